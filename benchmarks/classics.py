"""Trains two articles' base models of Russian classics for some minutes on two cores; shows their loss curves and samples on the way.

    python benchmarks/classics.py chekhov --minutes 60       # by characters, 10.8M parameters (recipes/chekhov-char.toml)
    python benchmarks/classics.py classics --minutes 30      # 16,000 tokens, 46M parameters (recipes/ru-classics.toml)
    python benchmarks/classics.py table                      # write the page again

Shape, text and held-out part are the recipe's. The steps have fewer tokens than the articles', since two cores manage few large
ones, and the optimizer is Muon. The first ten steps tell how many fit into the minutes; a run that was stopped goes on. The texts are
those of the folder --data, unpacked once. Results go to benchmarks/classics.json and into docs/base-models.md.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from embeddings import unpacked
from tables import Table, put, show_all

from minitron.core.files import atomic_folder, atomic_write
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.stages import declared, pipeline
from minitron.train import metrics

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "classics.json", HERE.parent / "docs/base-models.md"
DATA = HERE.parents[1] / "shared/data"
MEASURED = 10  # steps that tell how many fit into the minutes
SHOWN = 120  # characters of a sample
LOOKS = 20  # validations, with a sample each
RUNS = {
    "chekhov": {
        "recipe": "chekhov-char",
        "files": "prose/Chekhov/*.txt",
        "settings": ["pretrain.batch_rows=8", "pretrain.accumulation=2", "optim.lr=4e-3", "optim.min_lr=1e-4", "model.dropout=0"],
        "prompt": "— Послушайте, ",
        "article": "5.41 at the start, 1.20 to 1.22 after 2,000 to 5,000 steps of 16,384 characters",
    },
    "classics": {
        "recipe": "ru-classics",
        "files": "prose/*/*.txt",
        "settings": ["pretrain.batch_rows=4", "pretrain.accumulation=2", "optim.lr=3e-3", "optim.min_lr=1e-4"],
        "prompt": "Был холодный вечер.",
        "article": "9.68 at the start, 3.36 after 21,000 steps of 3,072 tokens",
    },
}  # fmt: skip


def prepare(data: Path, out: Path) -> None:
    """Unpacks the texts, one file per work."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "prose").exists():
        with atomic_folder(out / "prose") as folder, unpacked(data / "ru_classics.tar.zst") as archive:
            for member in archive:
                if member.name.endswith(".txt"):
                    path = folder / Path(member.name).relative_to("prose")
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(archive.extractfile(member).read())


def config(name: str, out: Path, steps: int) -> Config:
    run = RUNS[name]
    settings = [
        *run["settings"],
        "optim.name=muon",
        f"pretrain.files={json.dumps([str(out / run['files'])])}",
        f"pretrain.samples={json.dumps([run['prompt']], ensure_ascii=False)}",
        f"pretrain.steps={steps}",
        f"pretrain.eval_every_steps={max(MEASURED, -(-steps // LOOKS))}",
        "pretrain.patience=0",
    ]
    return load_recipe(HERE.parent / f"recipes/{run['recipe']}.toml", settings)


def run(config: Config) -> None:
    for stage in declared.STAGES:
        if stage.name in ("tokenizer", "pretrain"):
            pipeline.run_stage(stage, config)


def train(name: str, out: Path, minutes: float) -> dict:
    """Trains a model and returns its curve. Expects that `out` is the current folder, as runs lie under that."""
    first = config(name, out, MEASURED)
    log = first.layout.metrics("pretrain")
    if not log.exists():
        run(first)
        rows = metrics.read(log)
        atomic_write(out / f"{name}.speed", json.dumps(rows[-1]["seconds"] / rows[-1]["step"]))
    steps = round(60 * minutes / json.loads((out / f"{name}.speed").read_text()))
    whole = config(name, out, steps)
    run(whole)
    per_step = whole.pretrain.batch_rows * whole.pretrain.accumulation * whole.model.context
    rows = [row for row in metrics.read(log) if "valid_loss" in row]
    return {
        "minutes": minutes,
        "steps": steps,
        "tokens_per_step": per_step,
        "checks": [
            {key: row[key] for key in ("step", "seconds", "valid_loss", "valid_bits_per_byte")}
            | {"sample": row["samples"][0]["text"]}
            for row in rows
        ],
    }


def shorten(sample: str) -> str:
    text = " ".join(sample.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"


def made(results: dict) -> list[Table]:
    """A table per model: some points of its loss curve, and what the model wrote at each."""
    head = ["step", "minutes", "million tokens", "nats per token", "bits per byte", "goes on with"]
    found = []
    for name, result in results.items():
        checks = result["checks"]
        shown = [*(c for c in checks if c["step"] <= MEASURED), *checks[-LOOKS::4], checks[-1]]
        rows = [
            [
                f"{c['step']:,}",
                f"{c['seconds'] / 60:.1f}",
                f"{c['step'] * result['tokens_per_step'] / 1e6:.2f}",
                f"{c['valid_loss']:.3f}",
                f"{c['valid_bits_per_byte']:.3f}",
                f"{RUNS[name]['prompt']}**{shorten(c['sample'])}**".replace("|", "\\|"),
            ]
            for c in {c["step"]: c for c in shown}.values()
        ]
        found.append(Table(name, f"{name}; the article: {RUNS[name]['article']}", head, rows))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("run", choices=[*RUNS, "table"])
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--data", type=Path, default=DATA, help="the folder with ru_classics.tar.zst")
    arguments.add_argument("--out", type=Path, default=Path("runs/classics"), help="where the runs are kept")
    a = arguments.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if a.run != "table":
        data, out = a.data.resolve(), a.out.resolve()
        prepare(data, out)
        os.chdir(out)
        results[a.run] = train(a.run, out, a.minutes)
        atomic_write(RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    found = made(results)
    show_all(found)
    put(found, PAGE)


if __name__ == "__main__":
    main()
