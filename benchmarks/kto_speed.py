"""How fast KTO and the sampling of rejected answers are, beside TRL's KTOTrainer and transformers' generate.

Run: .venv/bin/python benchmarks/kto_speed.py (`make test` installs what it needs). The model has the shape of recipes/demo.toml and
fresh weights, and the pairs are invented, with completions of 10 to 160 tokens; `--run runs/demo` takes the SFT model and the pairs of
a finished run instead. Both programs get the same weights, examples, batch size and precision (fp32). Every figure is measured in a
process of its own (kto_peers.py), and the programs alternate: ours, theirs, ours, theirs. Parts, all by default:

    train  examples per second of an alignment: the reference is scored once, then steps with forward, backward and optimizer
    draw   tokens per second of answers of equal length, at several batch sizes and ways of sampling

TRL runs with the settings that are best for it, see docs/performance.md. Prints tables, writes benchmarks/kto_speed.json, and puts
the tables into docs/performance.md. `--quick` takes one round of few steps and only prints. `--docs` measures nothing and writes the tables from the file.
"""

import argparse
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import tables
import torch
from inference import machine, summary
from kto_peers import END

from minitron.align import pairs
from minitron.align.examples import encode_pairs
from minitron.align.method import Method
from minitron.align.preference import Batches, Example
from minitron.core import parallel
from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.model.language_model import LanguageModel
from minitron.recipe import schema
from minitron.recipe.layout import Layout
from minitron.recipe.load import load_recipe
from minitron.tokenizer import kinds
from minitron.train import checkpoint

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "kto_speed.json"
RECIPE = HERE.parent / "recipes/demo.toml"
SHORTEST, LONGEST = 10, 160  # tokens of an invented completion
PROMPT = (6, 60)  # tokens of an invented prompt
EXAMPLES, ROWS, STEPS = 256, 16, 40  # 40 steps of 16 rows read the examples 2.5 times
WAYS = {"temperature": {"temperature": 1.2}, "top-k, top-p": {"temperature": 0.8, "top_k": 40, "top_p": 0.95}}
TOKENS = 64  # of every answer drawn
BATCHES = {1: 16, 8: 64, 64: 256}  # rows of a batch -> answers sampled
OURS = 64  # rows of a batch in minitron, unless told otherwise (reject.batch_rows)
AGREE = 1e-3  # nats per token: the largest difference between both programs' log-probabilities


# ---- what both are given


def lay_out(folder: Path, run: Path | None) -> str:
    """Writes the run that both programs read, an SFT model and examples. Returns a description of the pairs in words."""
    (folder / "recipes").mkdir()
    shutil.copy(RECIPE, folder / "recipes/demo.toml")
    recipe = load_recipe(RECIPE)
    if run:
        model, _ = checkpoint.load_model(checkpoint.finished(run / "sft", "sft"))
        examples = recorded(recipe, run)
    else:
        torch.manual_seed(recipe.seed)
        model = LanguageModel(recipe.model, recipe.tokenizer.vocab_size)
        examples = invented(recipe)
    (folder / "runs/demo/sft").mkdir(parents=True)
    saved = checkpoint.save(folder / "runs/demo/sft", model, step=0, info={"stage": "sft"})
    checkpoint.point(folder / "runs/demo/sft", "best", saved.name)
    (folder / "examples.json").write_text(json.dumps([vars(e) for e in examples]))
    lengths = sorted(len(e.ids) - e.prompt for e in examples)
    return (
        f"{len(examples)} {'of ' + run.name + ' (its own failures)' if run else 'invented'}, prompts of "
        f"{statistics.mean(e.prompt for e in examples):.0f} tokens on average, completions of {lengths[0]} to {lengths[-1]}, "
        f"{statistics.mean(lengths):.0f} on average and {statistics.median(lengths):.0f} in the middle"
    )


def invented(recipe: schema.Config) -> list[Example]:
    """Pairs of random ids. The logarithms of the lengths of completions are distributed uniformly."""
    chance, made = random.Random(recipe.seed), []

    def ids(count: int) -> list[int]:
        return [chance.randrange(4, recipe.tokenizer.vocab_size) for _ in range(count)]

    for _ in range(EXAMPLES // 2):
        prompt = ids(chance.randint(*PROMPT))
        for label in (True, False):
            length = round(math.exp(chance.uniform(math.log(SHORTEST), math.log(LONGEST))))
            made.append(Example([*prompt, *ids(length - 1), END], len(prompt), label))
    return made


def recorded(recipe: schema.Config, run: Path) -> list[Example]:
    """A random sample of the pairs of a run. Every completion gets the end marker as its last token, since TRL adds it to all."""
    layout, context = Layout(run), recipe.model.context
    method = Method(mask_loops=False)  # TRL cannot leave a part of a completion out of the loss
    rows = pairs.read(layout.pairs)
    found, _ = encode_pairs(rows, kinds.load(layout.tokenizer), context=context, method=method)
    for one in found:
        if one.ids[-1] != END:
            one.ids = [*one.ids[: recipe.model.context], END]
    both_of = [both for both in zip(found[::2], found[1::2], strict=True) if both[0].label and not both[1].label]
    chosen = random.Random(recipe.seed).sample(both_of, min(len(both_of), EXAMPLES // 2))
    usable = len(chosen) // (ROWS // 2) * (ROWS // 2)
    return [one for both in chosen[:usable] for one in both]


# ---- measuring


def measure(what: str, who: str, folder: Path, **how) -> dict:
    """What kto_peers.py prints, parsed. Raises MinitronError if it fails."""
    command = [sys.executable, str(HERE / "kto_peers.py"), what, who, str(folder), json.dumps(how)]
    paths = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(parallel.cores())}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise MinitronError(
            f"{what} with {who} ended with status {done.returncode}:\n{done.stderr.strip()[-2000:]}",
            hint="is the bench extra installed? .venv/bin/pip install -e '.[bench]'",
        )
    return json.loads(done.stdout)


def train(folder: Path, rounds: int, steps: int) -> dict:
    """Figures by program: examples per second with and without the scoring of the reference, and memory. Raises MinitronError if the
    log-probabilities of both programs differ."""
    examples = [Example(**one) for one in json.loads((folder / "examples.json").read_text())]
    ways = {
        "minitron": ("minitron", {"optimizer": "adamw"}),
        "TRL": ("hugging-face", {"gradient_checkpointing": False}),
        "minitron, Muon": ("minitron", {"optimizer": "muon"}),
        "TRL, as it comes": ("hugging-face", {"gradient_checkpointing": True}),
    }
    said = {name: [] for name in ways}
    for number in range(rounds):
        for name, (who, how) in ways.items():
            said[name].append(measure("train", who, folder, steps=steps, rows=ROWS, **how))
        say(f"train, round {number + 1} of {rounds}: {whole(said['minitron'][-1], steps) / whole(said['TRL'][-1], steps):.2f} times TRL")  # fmt: skip
    ours, theirs = said["minitron"][0]["reference"], said["TRL"][0]["reference"]
    lengths = [len(e.ids) - e.prompt for e in examples]
    gap = max(abs(a - b) / n for a, b, n in zip(ours, theirs, lengths, strict=True))
    if gap > AGREE:
        raise MinitronError(f"log-probabilities differ from TRL's by {gap:.1e} nats per token", hint="this is a bug")
    table = {
        name: {
            "examples_per_second": summary([whole(one, steps) for one in runs]),
            "steps_alone": summary([steps * ROWS / one["step_seconds"] for one in runs]),
            "reference_seconds": summary([one["reference_seconds"] for one in runs], digits=2),
            "peak_mb": summary([one["peak_mb"] for one in runs]),
            "before_mb": summary([one["before_mb"] for one in runs]),
            "ratio": ratio([whole(one, steps) for one in runs], [whole(one, steps) for one in said["TRL"]]),
            "ratio_steps": ratio(
                [1 / one["step_seconds"] for one in runs], [1 / one["step_seconds"] for one in said["TRL"]]
            ),  # fmt: skip
        }
        for name, runs in said.items()
    }
    counts = {"examples": len(examples), "steps": steps, "rows": ROWS, "tokens": tokens_of_a_batch(examples)}
    return counts | {"largest_difference": gap, "systems": table}


def tokens_of_a_batch(examples: list[Example]) -> dict:
    """Mean tokens of a batch over the first epoch, without mismatched pairs: of the examples themselves, what TRL computes (all rows are
    as wide as the longest), and what minitron computes (each prompt once, and no last token)."""
    batches = Batches([e.label for e in examples], rows=ROWS, seed=1)
    found = {"examples": [], "TRL": [], "minitron": []}
    for step in range(len(examples) // ROWS):
        some = [examples[i] for i in batches.step(step)]
        lengths = [len(e.ids) for e in some]
        found["examples"].append(sum(lengths))
        found["TRL"].append(ROWS * max(lengths))
        prompts = {tuple(e.ids[: e.prompt]) for e in some}
        found["minitron"].append(sum(map(len, prompts)) + sum(len(e.ids) - e.prompt - 1 for e in some))
    return {name: round(statistics.mean(counts)) for name, counts in found.items()}


def whole(one: dict, steps: int) -> float:
    """Examples per second, with the time for scoring the reference included."""
    return steps * ROWS / (one["step_seconds"] + one["reference_seconds"])


def ratio(ours: list[float], theirs: list[float]) -> dict:
    return summary([us / them for us, them in zip(ours, theirs, strict=True)], digits=2)


def draw(folder: Path, rounds: int, tokens: int) -> dict:
    """Figures by way of sampling and batch size. Raises MinitronError if greedy answers of both programs differ."""
    found = {}
    for way, sampling in WAYS.items():
        said = {(who, rows): [] for who in ("minitron", "hugging-face") for rows in BATCHES}
        for _ in range(rounds):
            for rows, answers in BATCHES.items():
                for who in ("minitron", "hugging-face"):
                    how = {"rows": rows, "answers": answers, "tokens": tokens, "sampling": sampling}
                    said[who, rows].append(one := measure("draw", who, folder, **how))
                    one["speed"] = one["tokens"] / one["seconds"]
        for rows, answers in BATCHES.items():
            ours, theirs = said["minitron", rows], said["hugging-face", rows]
            if ours[0]["greedy"] != theirs[0]["greedy"]:
                raise MinitronError("greedy answers differ from transformers'", hint="this is a bug")
            speeds = [one["speed"] for one in theirs]
            found[f"{way}: {rows}"] = row = {
                "way": way,
                "rows": rows,
                "answers": answers,
                "minitron": summary([one["speed"] for one in ours]),
                "transformers": summary(speeds),
                "ratio": ratio([one["speed"] for one in ours], speeds),
                "ours_to_this": ratio([one["speed"] for one in said["minitron", OURS]], speeds),
                "peak_mb": [max(one["peak_mb"] for one in runs) for runs in (ours, theirs)],
            }
            say(f"draw, {way}, batches of {rows}: {row['ratio']['median']:.2f} times transformers")
    return {"tokens": tokens, "ways": WAYS, "rows": found}


# ---- tables


def made(results: dict) -> list[tables.Table]:
    found = []
    for name, part in results["train"].items():
        rows = []
        for system, one in part["systems"].items():
            rows.append(
                [
                    system,
                    f"{one['examples_per_second']['median']:.1f}",
                    spread(one["ratio"]),
                    f"{one['steps_alone']['median']:.1f}",
                    spread(one["ratio_steps"]),
                    f"{one['reference_seconds']['median']:.1f}",
                    f"{one['peak_mb']['high']:.0f} ({one['peak_mb']['high'] - one['before_mb']['low']:.0f})",
                ]
            )
        head = ["", "examples/s", "to TRL", "steps alone", "to TRL", "reference, s", "peak MB (of it the run)"]
        tokens = ", ".join(f"{who} {count:,}" for who, count in part["tokens"].items())
        title = f"KTO, pairs: {part['pairs']}; tokens of a batch: {tokens}"
        found.append(tables.Table(f"kto-train-{name}", title, head, rows))
    for name, part in results["draw"].items():
        head = ["sampling, batch", "minitron", "transformers", "ratio", f"ours at {OURS} to this", "peak MB, ours", "theirs"]  # fmt: skip
        rows = [
            [
                f"{one['way']}, {one['rows']}",
                f"{one['minitron']['median']:,.0f}",
                f"{one['transformers']['median']:,.0f}",
                spread(one["ratio"]),
                spread(one["ours_to_this"]),
                *(f"{mb:.0f}" for mb in one["peak_mb"]),
            ]
            for one in part["rows"].values()
        ]
        found.append(tables.Table(f"kto-draw-{name}", f"tokens per second, {part['tokens']} per answer", head, rows))
    return found


def spread(value: dict) -> str:
    return f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--only", nargs="+", choices=("train", "draw"), default=["train", "draw"])
    arguments.add_argument(
        "--run", type=Path, metavar="FOLDER", help="a run with sft and reject done, such as runs/demo"
    )
    arguments.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="alternating runs per figure (default: 5)"
    )
    arguments.add_argument("--quick", action="store_true", help="one round of few steps and tokens; write nothing")
    arguments.add_argument("--docs", action="store_true", help="only write the tables anew from the file")
    a = arguments.parse_args()
    results = {"machine": machine(), "train": {}, "draw": {}}
    if not a.quick:
        results = tables.earlier(RESULTS, results, docs=a.docs)
    if not a.docs:
        name = "run" if a.run else "invented"
        rounds, steps, tokens = (1, 8, 16) if a.quick else (a.rounds, STEPS, TOKENS)
        with tempfile.TemporaryDirectory() as folder:
            pairs = lay_out(Path(folder), a.run and a.run.resolve())
            if "train" in a.only:
                results["train"][name] = {"pairs": pairs} | train(Path(folder), rounds, steps)
            if "draw" in a.only:
                results["draw"][name] = {"pairs": pairs} | draw(Path(folder), rounds, tokens)
        if not a.quick:
            atomic_write(RESULTS, json.dumps(results, indent=1) + "\n")
    tables.show_all(made(results))
    if not a.quick:
        tables.put(made(results), HERE.parent / "docs/performance.md")


if __name__ == "__main__":
    tables.run(main)
