"""Compares ideas for learning more from the same tokens, or in the same time, with the default settings, on a recipe's own data.

Run: .venv/bin/python benchmarks/training.py [--recipe FILE] [--tokens N] [--seeds N] [--only NAME ...]. The recipe's data and
tokenizer stages run first (in runs/). Every cell trains from fresh weights on the same number of tokens. Finished cells
are kept in benchmarks/training.json, so that the same command goes on after a stop. The table goes into docs/training-notes.md.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tables import Table, put, show_all

from minitron.core.device import processor
from minitron.model.llama import Llama
from minitron.model.shape import Trunk
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.stages import declared, pipeline, sft
from minitron.tokenizer import kinds
from minitron.train import fresh, muon
from minitron.train.loop import Fit, fit
from minitron.train.passes import mean_loss

ROOT = Path(__file__).resolve().parent.parent
RESULTS, NOTES = Path(__file__).with_suffix(".json"), ROOT / "docs" / "training-notes.md"
# name -> the options of the recipe that it changes; ideas that no option covers are patches in `patched`
IDEAS: dict[str, list[str]] = {
    "the default": [],
    "twice as many tokens a step": ["sft.batch_rows=8"],
    "half as many tokens a step": ["sft.batch_rows=2"],
    "twice the learning rate": ["optim.lr=8e-3"],
    "half the learning rate": ["optim.lr=2e-3"],
    "embeddings without spelling": [],
    "those at GPT-2's 0.02": [],
    "keys apart from queries": [],
    "an induction head": ["sft.induction_head=true"],
    "AdamW": ["optim.name=adamw", "optim.lr=2e-3"],
    "Jordan's coefficients": [],
    "all heads one matrix": [],
    "QK-norm": ["model.qk_norm=true"],
    "flat, then straight down": ["optim.schedule=wsd", "optim.min_lr=0.0"],
    "weight decay 0.01": ["optim.weight_decay=0.01"],
    "width 192": ["model.d_model=192", "model.n_heads=3", "model.d_ff=512", "optim.lr=3e-3"],
    "width 96": ["model.d_model=96", "model.n_heads=3", "model.d_ff=256", "optim.lr=5e-3"],
}


@contextmanager
def patched(idea: str) -> Iterator[None]:
    """A context in which the ideas that no option of a recipe covers take effect."""
    if idea == "Jordan's coefficients":
        with patch.object(muon.orthogonal, "__defaults__", (muon.JORDAN,)):
            yield
    elif idea == "embeddings without spelling":
        with patch.object(fresh, "SPELT", 0.0):
            yield
    elif idea == "those at GPT-2's 0.02":
        with patch.object(fresh, "SPELT", 0.0), patch.object(fresh, "LENGTH", 0.02 * 128**0.5):
            yield
    elif idea == "keys apart from queries":
        with patch.object(Llama, "queries_and_keys", lambda trunk: []):
            yield
    elif idea == "all heads one matrix":
        with patch.object(Trunk, "per_head", lambda trunk: []):
            yield
    else:
        yield


def trained(config: Config, idea: str, seed: int, tokens: int, folder: Path) -> dict:
    """Trains a model with an idea. Returns its held-out loss, the seconds in steps, parameters and steps."""
    tokenizer = kinds.load(config.layout.tokenizer)
    train, valid = (sft.rows(config, tokenizer, split) for split in ("train", "valid"))
    settings = config.sft
    steps = round(tokens / (settings.batch_rows * settings.accumulation * config.model.context))
    settings = type(settings)(**vars(settings) | {"steps": steps, "eval_every_steps": steps, "samples": ()})
    with patched(idea):
        model = fresh.fresh_model(config.model, tokenizer, seed=seed, train=settings)
        fit(model, train, valid, run=Fit("sft", folder, settings, seed))
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    loss = mean_loss(model, valid, limit=0, batch_rows=8)
    return {"loss": loss, "seconds": last["seconds"], "parameters": model.count_params(), "steps": steps}


def tables(results: dict) -> list[Table]:
    rows = []
    of_default = results["cells"].get("the default", {})
    for idea, cells in results["cells"].items():
        seeds = [seed for seed in cells if seed in of_default]
        losses, seconds = ([cells[s][key] for s in cells] for key in ("loss", "seconds"))
        change = [cells[s]["loss"] / of_default[s]["loss"] - 1 for s in seeds]
        slower = [cells[s]["seconds"] / of_default[s]["seconds"] for s in seeds]
        parameters = next(iter(cells.values()))["parameters"]
        row = [idea, f"{parameters / 1e6:.2f}M", f"{statistics.median(losses):.4f}"]
        row += [f"{statistics.median(change):+.1%} ({min(change):+.1%} to {max(change):+.1%})" if change else ""]
        rows.append([*row, f"{statistics.median(slower):.2f}" if slower else "", str(len(seconds))])
    head = ["idea", "parameters", "held-out loss", "to the default, same seed", "seconds, of the default's", "seeds"]
    title = f"{results['recipe']}, {results['tokens'] / 1e6:.1f}M tokens, {results['processor']}"
    return [Table("ideas", title, head, rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", default="recipes/demo.toml")
    parser.add_argument("--tokens", type=float, default=1.2e6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=IDEAS, default=list(IDEAS))
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    asked = parser.parse_args()
    about = {"recipe": asked.recipe, "tokens": int(asked.tokens), "processor": processor()}
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if {key: results.get(key) for key in about} != about:
        results = about | {"cells": {}}
    for stage in declared.STAGES[:2]:
        pipeline.run_stage(stage, load_recipe(asked.recipe))
    for seed in range(1, asked.seeds + 1):
        for idea in asked.only:
            cells = results["cells"].setdefault(idea, {})
            if str(seed) in cells:
                continue
            overrides = [*IDEAS[idea], f"optim.precision={asked.precision}"]
            with tempfile.TemporaryDirectory() as folder:
                config = load_recipe(asked.recipe, overrides)
                cells[str(seed)] = trained(config, idea, seed, results["tokens"], Path(folder))
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    found = tables(results)
    show_all(found)
    put(found, NOTES)


if __name__ == "__main__":
    main()
