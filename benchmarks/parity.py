"""How closely the chat program and Python agree on a finished run. Run: .venv/bin/python benchmarks/parity.py [RECIPE]

Compares ids for every text of the data given with --texts FILE.parquet (a column `messages`), for 100,000 random byte strings and
for 20,000 texts full of marker look-alikes; logits for 1,000 prefixes of probes (of validation dialogues if there are no probes); and
greedy answers to 500 prompts. Prints a table and writes benchmarks/parity.json. The program built last, which lies in dist/, must be
that of the run.
"""

import argparse
import base64
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tables

from minitron.data import store
from minitron.program import go
from minitron.recipe.load import load_recipe
from minitron.tokenizer import chat_template, kinds

LOOKALIKES = ["<|user|>", "<|end|>", "<|assistant|>", "<|system|>", "＜｜user｜＞", "<|us", "er|>", "<|", "|>", "<unk>"]
LOOKALIKES += ["<0x0A>", "\u2581", "<s>", "</s>", " ", "\n", "user", "end", "\u200b", "\ufeff", "пользователь"]


def both(recipe: str, command: str, lines: list[dict]) -> tuple[list[dict], list[dict]]:
    """What a command of Python and of the program answers to the same lines."""
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    said = []
    for program in ([sys.executable, "-m", "minitron", command, recipe], [f"dist/{go.program_name(None)}", command]):
        done = subprocess.run(program, input=text, check=True, capture_output=True)
        said.append([json.loads(line) for line in done.stdout.splitlines()])
    return said[0], said[1]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("recipe", nargs="?", default="recipes/demo.toml")
    arguments.add_argument("--texts", help="parquet with a column `messages`")
    a = arguments.parse_args()
    recipe = load_recipe(a.recipe)
    tokenizer = kinds.load(recipe.layout.tokenizer)
    chance = random.Random(1)
    rows = []

    sets = {
        "random bytes": [
            {"b64": base64.b64encode(chance.randbytes(chance.randrange(64))).decode()} for _ in range(100_000)
        ],
        "marker look-alikes": [
            {"text": "".join(chance.choices(LOOKALIKES, k=chance.randrange(1, 12)))} for _ in range(20_000)
        ],
    }
    if a.texts:
        table = pq.read_table(a.texts, columns=["messages"]).to_pylist()
        sets[Path(a.texts).stem] = [{"text": m["content"]} for row in table for m in row["messages"]]
    markers = {*tokenizer.markers.values(), tokenizer.end}
    for name, lines in sets.items():
        python, program = both(a.recipe, "tokenize", lines)
        differ = sum(p != g for p, g in zip(python, program, strict=True))
        control = sum(bool(markers & set(p["ids"])) for p in (*python, *program))
        rows.append((f"ids: {name}", f"{len(lines):,} lines", f"{differ} differ, {control} with a control id"))

    asked = list(store.read(recipe.layout.dialogues("probes")))
    asked = asked or list(store.read(recipe.layout.dialogues("valid")))
    chance.shuffle(asked)
    prefixes = []
    for dialogue in itertools.islice(itertools.cycle(asked), 1000):
        ids, _ = chat_template.encode_dialogue(dialogue["messages"], tokenizer)
        prefixes.append({"ids": ids[: chance.randrange(1, min(len(ids), recipe.model.context) + 1)]})
    python, program = both(a.recipe, "logits", prefixes)
    gaps = [np.abs(np.subtract(p["logits"], g["logits"])).max() for p, g in zip(python, program, strict=True)]
    rows.append(
        ("logits", f"{len(gaps)} prefixes", f"largest difference {max(gaps):.4f}, median {np.median(gaps):.4f}")
    )

    questions = []
    for dialogue in asked:
        at = max(i for i, m in enumerate(dialogue["messages"]) if m["role"] == "assistant")
        questions.append({"messages": dialogue["messages"][:at], "max_tokens": 100})
    python, program = both(a.recipe, "complete", questions[:500])
    same = sum(p == g for p, g in zip(python, program, strict=True))
    rows.append(("greedy answers", f"{len(python)} prompts", f"{same / len(python):.1%} equal"))

    for what, how_many, result in rows:
        print(f"{what:<28} {how_many:<16} {result}")
    Path("benchmarks/parity.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    tables.run(main)
