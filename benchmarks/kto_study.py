"""What each ingredient of kto does: every one left out or replaced, from the same model and the same pairs, three seeds each.

    python benchmarks/kto_study.py [--only NAME ...]      # finished runs are skipped; about 25 minutes on two quiet cores

Trains one small SFT model on half of the demo's data (runs/kto-study), samples its failures once per seed, and runs kto with
every variant of VARIANTS. The guards are off, but for the variants that turn them on, so that the curves show what an
ingredient does; what would have shipped is given as well. Writes benchmarks/kto_study.json, benchmarks/kto_study.svg and the
tables of docs/kto-study.md.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tables import Table, filled

from minitron import config, metrics, pipeline
from minitron.config import Config
from minitron.files import atomic_write, sha256_json
from minitron.report import el, ticks

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "demo.toml"
PAGE = HERE.parent / "docs" / "kto-study.md"
BASE = "kto-study"
SEEDS = [1, 2, 3]
SMALL = [
    "data.synth_rows=60000", "data.valid_fraction=0.03", "model.d_model=144", "model.n_layers=3", "model.d_ff=384",
    "sft.steps=700", "reject.prompts=5000", "reject.presets={hot={temperature=1.4}}",
]  # fmt: skip
SHORT = [
    "kto.steps=60", "kto.lr=3e-4", "kto.warmup_steps=5", "kto.eval_every_steps=10", "kto.blends=[1.0]",
    "eval.prompts=300", "eval.probes=300",
]  # fmt: skip
OFF = ["kto.guards.on=false", "kto.guards.walk_prompts=0", "kto.guards.probes_asked=0"]
# The reference article's settings. Adam and Muon make steps of the learning rate's size whatever the gradient's, so SHORT's
# rate over its steps moves a model of this size about as far as 5e-6 moved the article's in 2,000.
ARTICLE = [
    "kto.ratio=mean", "kto.beta=0.1", "kto.z=matched", "kto.weight_chosen=1", "kto.weight_rejected=1", "kto.nll_weight=0",
    "kto.token_clamp=[]", "kto.rejected_floor=0", "kto.mask_loops=false", "kto.cut_rejected=false",
]  # fmt: skip
GUARDED = ["kto.guards.on=true", "kto.guards.walk_prompts=64", "kto.guards.probes_asked=256"]
VARIANTS = {  # name -> what differs from the default settings, guards off
    "all ingredients": [],
    "the article's": ARTICLE,
    "no NLL term": ["kto.nll_weight=0"],
    "no clamp, floor, NLL": ["kto.token_clamp=[]", "kto.rejected_floor=0", "kto.nll_weight=0"],
    "as published (TRL)": [*ARTICLE, "kto.ratio=sum", "kto.z=batch"],
    "NLL alone": ["kto.beta=0"],
    "a tenth of the learning rate": ["kto.lr=3e-5"],
    "AdamW, not Muon": ["optim.name=adamw"],
    "the article's, a tenth of the rate": [*ARTICLE, "kto.lr=3e-5"],
    "the article's + NLL": [*ARTICLE, "kto.nll_weight=1"],
    "LoRA, rank 8": ["kto.lora_rank=8", "kto.lr=1e-3"],
    "chosen by the model": ["reject.chosen=model"],
    "sum, beta 0.1": ["kto.ratio=sum", "kto.beta=0.1"],
    "mean, beta 0.1": ["kto.beta=0.1"],
    "apo_zero": ["kto.loss=apo_zero"],
    "z batch": ["kto.z=batch"],
    "z matched": ["kto.z=matched"],
    "no token clamp": ["kto.token_clamp=[]"],
    "no floor": ["kto.rejected_floor=0"],
    "loops not masked": ["kto.mask_loops=false"],
    "all, guards on": GUARDED,
    "the article's, guards on": [*ARTICLE, *GUARDED],
}
CURVES = [
    "all ingredients",
    "no clamp, floor, NLL",
    "the article's",
    "as published (TRL)",
    "a tenth of the learning rate",
]


def recipe(name: str, seed: int, *overrides: str) -> Config:
    settings = config.load(RECIPE, [*SMALL, *SHORT, *OFF, *overrides])
    settings.name, settings.seed = name, seed
    return settings


def link(settings: Config, stages: dict[str, str]) -> None:
    """Lets a run use stages of another one: stage -> that run's name."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    for stage, owner in stages.items():
        place = settings.stage_dir(stage)
        if not place.is_symlink():
            place.symlink_to(Path("..") / owner / stage, target_is_directory=True)


def run_stage(name: str, settings: Config, *, force: bool = False) -> None:
    pipeline.run_stage(pipeline.STAGES[pipeline.NAMES.index(name)], settings, force=force)


def pairs(seed: int, chosen: str) -> str:
    """The run that has the pairs of a seed; made where it is missing."""
    name = f"{BASE}-pairs-{chosen}-{seed}"
    settings = recipe(name, seed, f"reject.chosen={chosen}")
    link(settings, {stage: BASE for stage in ("data", "tokenizer", "sft")})
    run_stage("reject", settings)
    return name


def attempt(variant: str, seed: int) -> dict:
    """One kto: its curve, the trained model, and what would ship. A finished one is read from its folder."""
    overrides = VARIANTS[variant]
    name = f"{BASE}-" + "".join(c if c.isalnum() else "-" for c in variant) + f"-{seed}"
    settings = recipe(name, seed, *overrides)
    sections = ("model", "optim", "sft", "reject", "kto", "eval")
    about = sha256_json([settings.section(section) for section in sections])
    done = settings.run_dir / "row.json"
    if done.exists() and (row := json.loads(done.read_text()))["settings"] == about:
        return row
    owner = pairs(seed, settings.reject.chosen)
    link(settings, {**{stage: BASE for stage in ("data", "tokenizer", "sft")}, "reject": owner})
    began = time.perf_counter()
    run_stage("kto", settings, force=True)
    report = json.loads((settings.stage_dir("kto") / "report.json").read_text())
    rows = metrics.read(settings.stage_dir("kto") / "metrics.jsonl")
    before, trained = report["table"][0], report["table"][1]  # unblended: the farthest comes first
    shipped = next(r for r in report["table"] if r["blend"] == report["shipped_blend"])
    row = {
        "variant": variant,
        "seed": seed,
        "curve": [[r["step"], r["raw_z"], r["valid_loss"]] for r in rows if r.get("valid_loss") is not None],
        "z": [round(r["raw_z"], 4) for r in rows],
        "accuracy": statistics.fmean(r["accuracy"] for r in rows[-10:]),
        "chosen": statistics.fmean(r["chosen_log_ratio"] for r in rows[-10:]),
        "rejected": statistics.fmean(r["rejected_log_ratio"] for r in rows[-10:]),
        "before": before,
        "trained": trained,
        "shipped": shipped,
        "outcome": report["outcome"],
        "why": report["why"],
        "breaches": report["breaches"],
        "settings": about,
        "seconds": round(time.perf_counter() - began, 1),
    }
    for old in settings.run_dir.glob("kto*/checkpoints"):
        shutil.rmtree(old)  # 63 runs would fill a small disk
    atomic_write(done, json.dumps(row))
    return row


def mean_and_range(values: list[float], form: str) -> str:
    """`0.05 (0.04 to 0.06)`; the mean alone where the range looks the same."""
    texts = [format(v, form) for v in (statistics.fmean(values), min(values), max(values))]
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"


HEAD = ["variant", "raw z", "kto accuracy", "held-out loss", "probes, points", "failing", "distinct-2", "would ship"]


def line(variant: str, rows: list[dict]) -> list[str]:
    """The cells of one variant, over its seeds. Changes are against the SFT model."""

    def change(name: str) -> list[float]:
        return [row["trained"][name] - row["before"][name] for row in rows]

    return [
        variant,
        mean_and_range([row["z"][-1] for row in rows], "+.3f"),
        f"{statistics.fmean(row['accuracy'] for row in rows):.2f}",
        mean_and_range([row["trained"]["loss"] / row["before"]["loss"] - 1 for row in rows], "+.1%"),
        mean_and_range([100 * points for points in change("probes")], "+.1f"),
        mean_and_range([row["trained"]["failing"] for row in rows], ".1%"),
        mean_and_range([row["trained"]["distinct_2"] / row["before"]["distinct_2"] - 1 for row in rows], "+.1%"),
        ", ".join(f"{n} × {what}" for what, n in Counter(map(shipped, rows)).most_common()),
    ]


def shipped(row: dict) -> str:
    back = f", {row['breaches']} back" if row["breaches"] else ""
    return f"blend {row['shipped']['blend']:g}" if row["shipped"]["blend"] else f"SFT model ({row['outcome']}{back})"


# ---- curves

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 300, 56, 12, 36, 40  # of a panel and its margins, in SVG units
INKS = ["#1d5fbf", "#b4540a", "#b3261e", "#7a3fa0", "#18702f"]  # on white, the drawing's own ground


def drawn(rows: list[dict]) -> str:
    """Raw z and the change of held-out loss over the steps of CURVES, side by side; a line per seed."""
    panels = (
        ("raw z, nats per token", lambda row: [(step, z) for step, z, _ in row["curve"]]),
        ("held-out loss, change in %", lambda row: [(step, 100 * (loss / row["before"]["loss"] - 1)) for step, _, loss in row["curve"]]),
    )  # fmt: skip
    shown = [name for name in CURVES if any(row["variant"] == name for row in rows)]
    parts = [el("rect", width=2 * WIDTH, height=HEIGHT + 20 * len(shown), fill="#fff")]
    for number, (title, points_of) in enumerate(panels):
        lines = [(shown.index(row["variant"]), points_of(row)) for row in rows if row["variant"] in shown]
        parts.append(el("g", panel(title, lines), transform=f"translate({number * WIDTH} 0)"))
    for number, name in enumerate(shown):
        y = HEIGHT + 20 * number
        parts.append(el("line", x1=LEFT, x2=LEFT + 28, y1=y, y2=y, stroke=INKS[number], stroke_width=2))
        parts.append(el("text", name, x=LEFT + 36, y=y + 4))
    size = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {2 * WIDTH} {HEIGHT + 20 * len(shown)}"}
    return el("svg", *parts, **size, font_family="system-ui, sans-serif", font_size=12, fill="#1c2126") + "\n"


def panel(title: str, lines: list[tuple[int, list[tuple[float, float]]]]) -> list[str]:
    """One plot: axes, and every line in its variant's ink."""
    points = [(0.0, 0.0), *(point for _, some in lines for point in some)]  # at step 0 the policy is the SFT model
    high_x, low_y, high_y = max(x for x, _ in points), min(y for _, y in points), max(y for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / high_x * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - (y - low_y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [el("text", title, x=LEFT, y=20, font_weight="600")]
    for tick in ticks(low_y, high_y):
        x, y = place(0, tick)
        parts.append(el("line", x1=x, x2=WIDTH - RIGHT, y1=y, y2=y, stroke="#d5d9de"))
        parts.append(el("text", f"{tick:g}", x=x - 6, y=y + 4, text_anchor="end"))
    for tick in ticks(0, high_x, whole=True):
        x, y = place(tick, low_y)
        parts.append(el("text", f"{tick:g}" + (" steps" if tick == 0 else ""), x=x, y=y + 18, text_anchor="middle"))
    for ink, some in lines:
        corners = " ".join(f"{x},{y}" for x, y in (place(*point) for point in [(0, 0), *some]))
        parts.append(el("polyline", points=corners, fill="none", stroke=INKS[ink], stroke_width=1.5))
    return parts


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--only", nargs="+", choices=VARIANTS, help="these variants alone; prints, writes nothing")
    only = arguments.parse_args().only
    base = recipe(BASE, 1)
    for stage in pipeline.select(base, None, "sft"):
        pipeline.run_stage(stage, base)
    rows = []
    for seed in SEEDS:  # seed by seed: stopped early, it has all variants of some
        for variant in only or VARIANTS:
            rows.append(attempt(variant, seed))
            print(f"seed {seed}:", " | ".join(line(variant, rows[-1:])), f"({rows[-1]['seconds']} s)", flush=True)
            if not only:
                write(rows)


def write(rows: list[dict]) -> None:
    atomic_write(HERE / "kto_study.json", json.dumps(rows) + "\n")
    atomic_write(HERE / "kto_study.svg", drawn(rows))
    lines = [line(name, some) for name in VARIANTS if (some := [row for row in rows if row["variant"] == name])]
    before = [format(statistics.fmean(row["before"][key] for row in rows), ".1%") for key in ("probes", "failing")]
    lines.insert(0, ["SFT model", "0", "", "", before[0], before[1], "", ""])
    table = Table("ablation", "what each ingredient does", HEAD, lines)
    atomic_write(PAGE, filled(PAGE.read_text(encoding="utf-8"), table))


if __name__ == "__main__":
    main()
