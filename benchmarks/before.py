"""Time until training reaches the held-out loss at which an earlier version of minitron ended, on four shipped recipes.

    .venv/bin/python benchmarks/before.py losses      # trains both versions, five seeds; goes on where it stopped (hours)
    .venv/bin/python benchmarks/before.py seconds     # seconds of a step of both in turn, in two settings (about twenty minutes)
    .venv/bin/python benchmarks/before.py table       # the table of docs/performance.md again

The earlier version is commit BASE of this repository, with the recipes that it had. Today's version trains with the settings of SHORT on the
same data: fewer steps or a smaller model; at the end of the steps the learning rate is at its minimum. A ratio is today's steps times seconds of a step, divided
by the earlier version's. So the losses can be measured on a busy machine. They are measured in the precision that the version chose
on this machine; the setting `avx2` (see demo.py) measures only the seconds. Results go to benchmarks/before.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from demo import SETTINGS
from tables import Table, put, show_all

from minitron.core.device import processor
from minitron.core.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCS = Path(__file__).with_suffix(".json"), ROOT / "docs/performance.md"
BASE = "83621de"
SEEDS = (1, 2, 3, 4, 5)
# today's settings for each recipe, found by hand with seeds 1 to 3 of shakespeare-char and seed 1 of the others
SHORT = {
    "shakespeare-char": ["pretrain.steps=430", "optim.lr=7e-3", "optim.warmup_steps=20", "model.n_layers=2"],
    "tinystories-10k": ["pretrain.steps=1400", "optim.lr=4e-3", "model.d_model=192", "model.n_heads=3"],
    "ru-jokes": ["sft.steps=2000", "optim.lr=4e-3", "model.d_model=192", "model.n_heads=3"],
    "demo": ["sft.steps=2100"],
}
STAGE = {"shakespeare-char": "pretrain", "tinystories-10k": "pretrain", "ru-jokes": "sft", "demo": "sft"}
PAIRS, STEPS = 3, 12  # short runs of each version that are timed, and their steps


def prepared(out: Path) -> dict[str, Path]:
    """The source of both versions, the real data where recipes look for it, and the demo's dialogues as the earlier version makes them."""
    sources = {"before": out / "before-source", "now": ROOT}
    if not sources["before"].exists():
        sources["before"].mkdir(parents=True)
        archive = subprocess.run(["git", "archive", BASE], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", str(sources["before"])], input=archive, check=True)
    for name in sources:
        lab = out / name / "lab"
        lab.mkdir(parents=True, exist_ok=True)
        if not (lab.parent / "shared").exists():
            (lab.parent / "shared").symlink_to((ROOT / "../shared").resolve())
    if not (out / "demo.parquet").exists():
        minitron(sources["before"], out, ["synth", str(out / "demo.parquet")], {})
    return sources


def minitron(source: Path, lab: Path, arguments: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "minitron", *arguments]
    own = os.environ | environment | {"PYTHONPATH": str(source)}
    subprocess.run(command, cwd=lab, env=own, check=True, stdout=sys.stderr)


def trained(version: str, recipe: str, settings: list[str], out: Path, environment: dict[str, str]) -> dict:
    """Trains by `minitron run --to STAGE`. Returns the steps made, the seconds in each, and held-out bits per byte."""
    stage, lab = STAGE[recipe], out / version / "lab"
    settings = [f"{stage}.eval_rows=0", *settings]
    if recipe == "demo":
        settings += ["data.synth_rows=0", f"data.files={json.dumps([str(out / 'demo.parquet')])}"]
    source = prepared(out)[version]
    file = source / "recipes" / f"{recipe}.toml"
    minitron(source, lab, ["run", str(file), "--to", stage, "--force", *settings], environment)
    metrics = [json.loads(line) for line in (lab / "runs" / recipe / stage / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in metrics if "valid_loss" in row][-1]
    middle = [
        (b["seconds"] - a["seconds"]) / (b["step"] - a["step"]) for a, b in zip(metrics, metrics[1:], strict=False)
    ]
    return {
        "steps": last["step"],
        "bits_per_byte": last["valid_bits_per_byte"],
        "step_seconds": statistics.median(middle) if middle else None,
    }


def losses(out: Path, only: list[str], seeds: list[int]) -> None:
    for seed in seeds:
        for recipe in only:
            for version in ("before", "now"):
                key = f"{recipe} {seed} {version}"
                if key not in load().get("losses", {}):
                    settings = [f"seed={seed}", *(SHORT[recipe] if version == "now" else [])]
                    found = trained(version, recipe, settings, out, {})
                    keep("losses", key, {name: found[name] for name in ("steps", "bits_per_byte")})


def seconds(out: Path, only: list[str]) -> None:
    for recipe in only:
        for setting, environment in SETTINGS.items():
            key = f"{recipe} {setting}"
            if key in load().get("seconds", {}):
                continue
            found = {"before": [], "now": []}
            for _ in range(PAIRS):
                for version, times in found.items():
                    # nothing is validated before the last step
                    settings = list(SHORT[recipe]) if version == "now" else []
                    settings += [f"{STAGE[recipe]}.{name}={STEPS}" for name in ("steps", "eval_every_steps")]
                    settings.append("optim.warmup_steps=2")
                    times.append(trained(version, recipe, settings, out, environment)["step_seconds"])
            keep("seconds", key, found | {"processor": processor()})


def made(results: dict) -> list[Table]:
    """The table: a row for each recipe and setting whose losses and seconds were measured."""
    head = [
        "recipe, setting",
        "seeds",
        "before: steps, ms each",
        "now: steps, ms each",
        "time, now / before",
        "bits per byte, now less before",
    ]
    rows = []
    for recipe in SHORT:
        found = {
            version: {
                key.split(" ")[1]: value
                for key, value in results.get("losses", {}).items()
                if key.startswith(f"{recipe} ") and key.endswith(version)
            }
            for version in ("before", "now")
        }
        both = sorted(found["before"].keys() & found["now"].keys())
        if not both:
            continue
        less = [found["now"][seed]["bits_per_byte"] - found["before"][seed]["bits_per_byte"] for seed in both]
        steps = {version: found[version][both[0]]["steps"] for version in found}
        for setting in SETTINGS:
            told = [f"{recipe}, {setting}", str(len(both))]
            if times := results.get("seconds", {}).get(f"{recipe} {setting}"):
                step = {version: statistics.median(times[version]) for version in steps}
                ratios = [
                    steps["now"] * now / (steps["before"] * before)
                    for before, now in zip(times["before"], times["now"], strict=True)
                ]
                told += [f"{steps[version]:,}, {step[version] * 1000:,.0f}" for version in ("before", "now")]
                told.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} ... {max(ratios):.2f})")
            else:
                told += [f"{steps['before']:,}", f"{steps['now']:,}", "not measured"]
            rows.append([*told, f"{statistics.median(less):+.4f} ({min(less):+.4f} ... {max(less):+.4f})"])
    return [Table("before", f"today's training beside commit {BASE}", head, rows)] if rows else []


def load() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(part: str, key: str, value: dict) -> None:
    results = load()
    results.setdefault(part, {})[key] = value
    atomic_write(RESULTS, json.dumps(results, indent=1) + "\n")
    print(key, json.dumps(value), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["losses", "seconds", "table"])
    parser.add_argument(
        "--only", nargs="*", choices=list(SHORT), default=list(SHORT), metavar="RECIPE", help="default: all four"
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS), metavar="S", help="default: 1 to 5")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "runs/before", metavar="FOLDER", help="for runs; default: runs/before"
    )
    arguments = parser.parse_args()
    if arguments.part == "losses":
        losses(arguments.out.resolve(), arguments.only, arguments.seeds)
    elif arguments.part == "seconds":
        seconds(arguments.out.resolve(), arguments.only)
    show_all(made(load()))
    put(made(load()), DOCS)


if __name__ == "__main__":
    main()
