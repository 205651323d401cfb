"""One model in torch, transformers, llama.cpp and the chat program. Run: .venv/bin/python benchmarks/four_programs.py RUN [RUN ...]

RUN is a recipe, or a run's folder under ./runs, with a finished model. Each gives two models: the trained one, and one of the same
shape and tokenizer with random weights so large that no detail stays hidden. Compared are, for 200 texts (Russian,
English, emoji, random bytes), the logits after the text and 64 greedy tokens. Prints a table, writes benchmarks/four_programs.json
and puts the table into docs/interop.md. Exits with 1 if a logit is farther from torch's than 1e-4 in fp32 or 0.03 in fp16, if answers part at a token whose
lead over the other is larger than 0.03 in torch's logits, or if fewer than 98% of a trained model's answers are equal in all four.
Needs transformers and xllamacpp.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import tables
import torch

HERE = Path(__file__).resolve().parent
# first on the path, as benchmarks/llamacpp.py is another module than tests/llamacpp.py
sys.path.insert(0, str(HERE.parent / "tests"))
import four_programs as four  # noqa: E402
from terminal import build  # noqa: E402

from minitron.core.errors import MinitronError  # noqa: E402
from minitron.core.files import atomic_write  # noqa: E402
from minitron.model.language_model import LanguageModel  # noqa: E402
from minitron.recipe.target import load_target  # noqa: E402
from minitron.tokenizer import kinds  # noqa: E402
from minitron.train import checkpoint  # noqa: E402

RESULTS = HERE / "four_programs.json"
HEAD = [
    "model",
    "transformers, fp32",
    "transformers, fp16",
    "llama.cpp, F16",
    "minitron-chat, f16",
    "64 greedy tokens equal in all four",
    "the others part at choices nearer than",
]


def randomised(model: LanguageModel) -> LanguageModel:
    torch.manual_seed(1)
    made = LanguageModel(model.config, model.vocab_size).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight += torch.randn_like(weight) * 0.1
    return made


def table(results: dict) -> tables.Table:
    rows = []
    for name, found in results.items():
        gaps = [found["f32"], *(found["f16"][program] for program in ("transformers", "llama.cpp", "minitron-chat"))]
        rows.append(
            [
                name,
                *(f"{gap:.1e}" for gap in gaps),
                f"{found['same']} of {found['prompts']}",
                f"{found['parted']:.1e}" if found["parted"] else "",
            ]
        )
    return tables.Table("four programs", "Largest difference of a logit from torch", HEAD, rows)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("runs", nargs="+", metavar="RUN")
    arguments.add_argument("--count", type=int, default=200, help="texts; fewer than 200 print only")
    a = arguments.parse_args()
    results, wrong = {}, []
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for run in a.runs:
            config = load_target(run, [])
            if not (last := config.layout.last_trained):
                raise MinitronError(f"{run} has no finished model", hint=f"minitron run {run}")
            trained = checkpoint.load_model(last[1])[0].eval()
            tokenizer = kinds.load(config.layout.tokenizer)
            base = config.base or last[0] == "pretrain"
            for how, model in {"trained": trained, "random": randomised(trained)}.items():
                name = f"{config.name}, {config.model.arch}, {how}"
                where = Path(folder) / f"{len(results)}"
                found = four.compare(model, tokenizer, base=base, program=program, folder=where, count=a.count)
                results[name] = asdict(found) | {"params": model.count_params()}
                least = 0.98 * found.prompts if how == "trained" else 0
                if found.f32 > 1e-4 or max(*found.f16.values(), found.parted) > 0.03 or found.same < least:
                    wrong.append(name)
                print(name, results[name], flush=True)
    tables.show_all([table(results)])
    if a.count >= 200:
        atomic_write(RESULTS, json.dumps(results, indent=1) + "\n")
        tables.put([table(results)], HERE.parent / "docs" / "interop.md")
    if wrong:
        raise MinitronError(f"these differ too much: {'; '.join(wrong)}", hint="see the table")


if __name__ == "__main__":
    tables.run(main)
