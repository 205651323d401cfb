"""Tries to wreck models with kto: learning rates and betas from far too small to far too large, on three sizes.

    python benchmarks/kto_wreck.py [--quick]      # 72 short runs, half an hour on two cores; --quick: 4 runs, writes nothing

Trains the SFT models first (runs/wreck-*, which are kept: a second call skips them). Then runs kto with every pair of settings
and measures the model that would be exported as eval does, on probes that kto did not use for its choice of a blend. Prints the
table of docs/kto.md and writes benchmarks/kto_wreck.json. Exits with 1 if any exported model is worse than WORST_LOSS and WORST_PROBES allow.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from minitron.align.method import Method
from minitron.evaluate.examiner import Examiner
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.stages import kto, pipeline
from minitron.tokenizer import kinds
from minitron.train import checkpoint

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "demo.toml"
SIZES = {  # name -> what differs from the demo
    "wreck-0.4M": ["model.d_model=96", "model.n_layers=3", "model.d_ff=256", "sft.steps=500", "data.synth_rows=60000"],
    "wreck-1.1M": ["model.d_model=144", "model.n_layers=3", "model.d_ff=384", "sft.steps=600", "data.synth_rows=60000"],
    "wreck-2.2M": ["sft.steps=700", "data.synth_rows=60000"],
}
RATES = [1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3]
BETAS = [0.01, 0.1, 1.0, 10.0]
SHORT = [
    "reject.prompts=1200", "kto.steps=40", "kto.eval_every_steps=10", "kto.warmup_steps=5", "eval.prompts=100", "eval.probes=300",
]  # fmt: skip
METHOD = Method(blends=(0.5, 1.0), on_policy_prompts=32, probes_asked=128, held_out_rows=32)
WORST_LOSS, WORST_PROBES = 0.02, -0.03


def recipe(name: str, *overrides: str) -> Config:
    return replace(load_recipe(RECIPE, [*SIZES[name], *SHORT, *overrides]), name=name)


def measure(settings: Config, stage: str) -> dict:
    """Held-out loss and probe accuracy, as eval measures them."""
    tokenizer = kinds.load(settings.layout.tokenizer)
    model, _ = checkpoint.load_model(checkpoint.finished(settings.layout.stage(stage), stage))
    examiner = Examiner(settings, tokenizer)
    return {"loss": examiner.loss(model).loss, "probes": examiner.probes(model).accuracy.value}


def attempt(name: str, lr: float, beta: float, before: dict) -> dict:
    """Runs kto once, and measures the model that it would export."""
    settings, began = recipe(name, f"kto.lr={lr}", f"kto.beta={beta}"), time.perf_counter()
    shutil.rmtree(settings.layout.stage("kto"), ignore_errors=True)
    kto.run(settings, method=METHOD)
    report = json.loads((settings.layout.stage("kto") / "report.json").read_text())
    lines = (settings.layout.stage("kto") / "metrics.jsonl").read_text().splitlines()
    after = measure(settings, "kto") if report["shipped_blend"] else before
    return {
        "size": name.removeprefix("wreck-"),
        "lr": lr,
        "beta": beta,
        "outcome": report["outcome"],
        "blend": report["shipped_blend"],
        "breaches": report["breaches"],
        "steps": len(lines),
        "accuracy": json.loads(lines[-1])["accuracy"],
        "loss_change": after["loss"] / before["loss"] - 1,
        "probes_change": after["probes"] - before["probes"],
        "trained_loss_change": report["table"][-1]["loss"] / report["held_out_loss_before"] - 1,
        "why": report["why"],
        "seconds": round(time.perf_counter() - began, 1),
    }


def wrecked(row: dict) -> bool:
    return row["loss_change"] > WORST_LOSS or row["probes_change"] < WORST_PROBES


def table(rows: list[dict]) -> str:
    """A Markdown table with a line per size and learning rate and a column per beta: the outcome, and the changes of held-out loss and
    probes of the exported model."""
    betas = sorted({row["beta"] for row in rows})
    lines = [
        "| size, learning rate | " + " | ".join(f"beta {beta:g}" for beta in betas) + " |",
        "|---|" + "---|" * len(betas),
    ]
    for size, lr in sorted({(row["size"], row["lr"]) for row in rows}):
        cells = []
        for beta in betas:
            (row,) = (r for r in rows if (r["size"], r["lr"], r["beta"]) == (size, lr, beta))
            figures = f", {row['loss_change']:+.1%} {100 * row['probes_change']:+.1f}" if row["blend"] else ""
            back = f", {row['breaches']} back" if row["breaches"] else ""
            cells.append(row["outcome"] + figures + back)
        lines.append(f"| {size}, {lr:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--quick", action="store_true", help="the smallest model, 4 runs; print, write nothing")
    quick = arguments.parse_args().quick
    rows = []
    for name in list(SIZES)[: 1 if quick else None]:
        for stage in pipeline.select(recipe(name), None, "reject"):
            pipeline.run_stage(stage, recipe(name))
        before = measure(recipe(name), "sft")
        for lr in [1e-5, 1e-3] if quick else RATES:
            for beta in [0.01, 10.0] if quick else BETAS:
                rows.append({**attempt(name, lr, beta, before), "probes_before": before["probes"]})
                print(json.dumps(rows[-1]), flush=True)
    print(table(rows))
    bad = [row for row in rows if wrecked(row)]
    print(
        f"{len(rows)} runs, {len(bad)} exported a model beyond {WORST_LOSS:+.0%} loss or {100 * WORST_PROBES:+.0f} points of probes"
    )
    if not quick:
        (HERE / "kto_wreck.json").write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
