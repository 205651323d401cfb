"""What each ingredient of kto does: one at a time is left out or replaced, on the same model and the same pairs, with three seeds.

    python benchmarks/kto_study.py [--only NAME ...]      # finished runs are skipped; an hour on two cores

Takes the demo's SFT model (runs/demo, trained if it is missing) and, for each seed, the pairs that kto_effect.py samples
from it. The guards are off and no blend is chosen afterwards, so that the effect of an ingredient can be seen: the weights of
the last step are measured as eval measures, on prompts and probes that no run saw, and compared with the limits that decide
what ships. Writes benchmarks/kto_study.json, benchmarks/kto_study.svg and the tables of docs/kto-study.md.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kto_effect
from tables import Table, put

from minitron.align import pairs, selection
from minitron.align.examples import encode_pairs
from minitron.align.method import Method
from minitron.core.files import atomic_write, sha256_json
from minitron.evaluate import failures
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.markup import el
from minitron.evaluate.plots import ticks
from minitron.evaluate.verdict import Candidate
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.stages import kto
from minitron.tokenizer import kinds
from minitron.train import metrics

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "kto-study.md"
SEEDS = [1, 2, 3]
SHORT = ["eval.prompts=500", "eval.probes=500", "kto.guards.on=false"]
PLAIN = Method(on_policy_prompts=0, probes_asked=0)
ARTICLE = replace(  # the reference article's settings (with BETA), except its learning rate
    PLAIN, z_ref="matched", weights=(1.0, 1.0), nll_weight=0.0, token_clamp=None, rejected_floor=None, mask_loops=False,
    cut_rejected=False,
)  # fmt: skip
PUBLISHED = replace(ARTICLE, ratio="sum", z_ref="batch")  # with BETA: the loss as TRL computes it
BETA = "kto.beta=0.1"
ANY_SCORE = "data.valid_keep=[]"  # reject then takes good answers of any score; the data stage itself stays the demo's
FAST = "kto.lr=5e-4"  # ten times the demo's
NARROW = (-1.0, 1.5)
VARIANTS: dict[str, tuple[Method, list[str]]] = {  # what differs from the demo's settings; the most informative first
    "all ingredients": (PLAIN, []),
    "NLL alone": (PLAIN, ["kto.beta=0"]),
    "no NLL term": (replace(PLAIN, nll_weight=0.0), []),
    "rejected not cut": (replace(PLAIN, cut_rejected=False), []),
    "token clamp [-1, 1.5]": (replace(PLAIN, token_clamp=NARROW), []),
    "good answers of any score": (PLAIN, [ANY_SCORE]),
    "the same, not cut, clamp [-1, 1.5]": (replace(PLAIN, cut_rejected=False, token_clamp=NARROW), [ANY_SCORE]),
    "as published (TRL)": (PUBLISHED, [BETA]),
    "the article's": (ARTICLE, [BETA]),
    "all, 10 x the rate": (PLAIN, [FAST]),
    "NLL alone, 10 x the rate": (PLAIN, ["kto.beta=0", FAST]),
    "as published, 10 x the rate": (PUBLISHED, [BETA, FAST]),
    "the article's, 10 x the rate": (ARTICLE, [BETA, FAST]),
    "no token clamp": (replace(PLAIN, token_clamp=None), []),
    "no floor": (replace(PLAIN, rejected_floor=None), []),
    "loops not masked": (replace(PLAIN, mask_loops=False), []),
    "APO-zero": (replace(PLAIN, loss="apo_zero"), []),
    "LoRA of rank 8": (PLAIN, ["kto.lora_rank=8"]),
    "LoRA of rank 8, 10 x the rate": (PLAIN, ["kto.lora_rank=8", FAST]),
    "good answers of the model's own": (PLAIN, ["reject.chosen=model"]),
}
CURVES = ["all ingredients", "as published (TRL)", "all, 10 x the rate", "as published, 10 x the rate", "the article's, 10 x the rate"]  # fmt: skip


def recipe(variant: str, seed: int) -> Config:
    settings = load_recipe(kto_effect.RECIPES / "demo.toml", [*SHORT, *VARIANTS[variant][1]])
    name = "study-" + "".join(c if c.isalnum() else "-" for c in variant) + f"-{seed}"
    return replace(settings, name=name, seed=seed)


@cache
def before(seed: int) -> dict:
    """The figures of the SFT model on the prompts and probes of a seed; kept in a file."""
    settings = recipe("all ingredients", seed)
    kto_effect.link(settings, {stage: "demo" for stage in ("data", "tokenizer", "sft")})
    done = settings.layout.run / "before.json"
    if not done.exists():
        atomic_write(done, json.dumps(measured(settings, kto_effect.model_of(settings, "sft")).to_json()))
    return json.loads(done.read_text())


def measured(settings: Config, model: LanguageModel) -> Candidate:
    return selection.measured(Examiner(settings, kinds.load(settings.layout.tokenizer)), model, blend=1.0)


def attempt(variant: str, seed: int) -> dict:
    """One run of kto: its curve, and the figures of its last weights. A finished run is read from its folder."""
    settings, method = recipe(variant, seed), VARIANTS[variant][0]
    sections = [settings.section(s) for s in ("data", "model", "optim", "sft", "reject", "kto", "eval")]
    about = sha256_json([*sections, asdict(method)])
    done = settings.layout.run / "row.json"
    if done.exists() and (row := json.loads(done.read_text()))["settings"] == about:
        return row
    owner = kto_effect.recipe("demo", seed)  # the run whose pairs are used
    name = (
        owner.name
        + "-any-score" * (not settings.data.valid_keep)
        + "-own-answers" * (settings.reject.chosen == "model")
    )
    owner = replace(owner, name=name, data=settings.data, reject=settings.reject)
    kto_effect.prepare("demo", owner, to="reject")
    kto_effect.link(settings, {stage: owner.name for stage in ("data", "tokenizer", "sft", "reject")})
    began, folder = time.perf_counter(), settings.layout.stage("kto")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tokenizer = kinds.load(settings.layout.tokenizer)
    rows = pairs.read(settings.layout.pairs)
    examples = encode_pairs(rows, tokenizer, context=settings.model.context, method=method)
    run = kto.begin(settings, tokenizer, method=method)
    run.align(*examples)
    now = measured(settings, selection.blended(run.reference, lora.weights(run.model), 1.0))
    rows, sft = metrics.read(folder / "metrics.jsonl"), before(seed)
    row = {
        "variant": variant,
        "seed": seed,
        "curve": [[r["step"], r["raw_z"], r["valid_loss"]] for r in rows if r.get("valid_loss") is not None],
        "first_loss": run.before.loss,
        "accuracy": statistics.fmean(r["accuracy"] for r in rows[-10:]),
        "before": sft,
        "trained": now.to_json(),
        "objection": selection.objection(now, Candidate.from_json(sft), settings=settings.kto, method=method),
        "settings": about,
        "seconds": round(time.perf_counter() - began, 1),
    }
    shutil.rmtree(folder)  # the runs together would fill a small disk
    atomic_write(done, json.dumps(row))
    return row


def mean_and_range(values: list[float], form: str) -> str:
    """`0.05 (0.04 to 0.06)`; only the mean if all three are written alike."""
    texts = [format(v, form) for v in (statistics.fmean(values), min(values), max(values))]
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"


HEAD = ["variant", "failing", *failures.KINDS, "held-out loss", "probes, points", "distinct-2", "raw z", "kto accuracy", "may ship"]  # fmt: skip


def line(variant: str, rows: list[dict]) -> list[str]:
    """The cells of one variant over its seeds. Changes are relative to the SFT model."""

    def change(name: str) -> list[float]:
        return [row["trained"][name] - row["before"][name] for row in rows]

    return [
        variant,
        mean_and_range([row["trained"]["failing"] for row in rows], ".1%"),
        *(f"{statistics.fmean(row['trained'][kind] for row in rows):.2%}" for kind in failures.KINDS),
        mean_and_range([row["trained"]["loss"] / row["before"]["loss"] - 1 for row in rows], "+.1%"),
        mean_and_range([100 * points for points in change("probes")], "+.1f"),
        mean_and_range([row["trained"]["distinct_2"] / row["before"]["distinct_2"] - 1 for row in rows], "+.1%"),
        mean_and_range([row["curve"][-1][1] for row in rows], "+.2f"),
        f"{statistics.fmean(row['accuracy'] for row in rows):.2f}",
        f"{sum(not row['objection'] for row in rows)} of {len(rows)}",
    ]


# ---- curves

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 300, 56, 12, 36, 40  # size and margins of a panel, in SVG units
INKS = ["#1d5fbf", "#b4540a", "#b3261e", "#7a3fa0", "#18702f"]  # chosen for the drawing's white background


def drawn(rows: list[dict]) -> str:
    """Draws raw z and the change of held-out loss over the steps, side by side, for the variants of CURVES; a line per seed."""
    panels = (
        ("raw z, nats per token", lambda row: [(step, z) for step, z, _ in row["curve"]]),
        ("held-out loss, change in %", lambda row: [(step, 100 * (loss / row["first_loss"] - 1)) for step, _, loss in row["curve"]]),
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
    """One plot: axes, and every line in the colour of its variant."""
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
    only, rows = arguments.parse_args().only, []
    for variant in only or VARIANTS:  # all seeds of a variant first, so that stopping early leaves whole variants
        some = [attempt(variant, seed) for seed in SEEDS]
        rows += some
        print(" | ".join(line(variant, some)), f"({[row['seconds'] for row in some]} s)", flush=True)
        if not only:
            write(rows)


def write(rows: list[dict]) -> None:
    atomic_write(HERE / "kto_study.json", json.dumps(rows) + "\n")
    atomic_write(HERE / "kto_study.svg", drawn(rows))
    lines = [line(name, some) for name in VARIANTS if (some := [row for row in rows if row["variant"] == name])]
    first = [row["before"] for row in rows if row["variant"] == "all ingredients"]
    rates = [f"{statistics.fmean(one[kind] for one in first):.2%}" for kind in ("failing", *failures.KINDS)]
    lines.insert(0, ["SFT model", *rates, "", f"{statistics.fmean(one['probes'] for one in first):.1%}", *[""] * 4])
    put([Table("ablation", "what each ingredient does", HEAD, lines)], PAGE)


if __name__ == "__main__":
    main()
