"""Whether kto does its job: failure rates before and after, on prompts that neither training nor the choice of a blend saw.

    python benchmarks/kto_effect.py [--recipes demo ru-jokes] [--seeds 1 2 3 4 5]      # finished seeds are skipped

Takes one SFT model per recipe (runs/NAME, trained if it is missing), then runs reject and kto once per seed: a seed changes what
is sampled, which batches are read and which held-out prompts are asked. Both models then answer eval's prompts with the sampling
of the chat and of every preset. Writes benchmarks/kto_effect.json and the tables of docs/kto-study.md. Exits with 1 if a goal is
missed.

distinct-2 falls as a text grows, and rises with every broken word. So it is compared only on the prompts where neither model's
answer fails, and at the same number of word pairs: the expected number of distinct pairs among that many drawn without
replacement (rarefaction: Hurlbert, Ecology 52, 1971, eq. 2).
"""

import argparse
import itertools
import json
import math
import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tables import Table, put

from minitron.core.files import atomic_write, sha256_json
from minitron.evaluate import failures
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.intervals import Share, change
from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.sample.generate import ask
from minitron.stages import pipeline
from minitron.tokenizer import kinds
from minitron.train import checkpoint

HERE = Path(__file__).resolve().parent
RECIPES = HERE.parent / "recipes"
PAGE = HERE.parent / "docs" / "kto-study.md"
KINDS = ("failing", *failures.KINDS)
DRAWS = 200  # random halves of the prompts that give the interval of distinct-2


def recipe(name: str, seed: int) -> Config:
    """The shipped recipe with a seed, and with a run name of that seed."""
    return replace(load_recipe(RECIPES / f"{name}.toml", []), name=f"effect-{name}-{seed}", seed=seed)


def prepare(name: str, settings: Config, *, to: str = "kto") -> None:
    """Links a run to the data, tokenizer and SFT model of the recipe's own run, and runs the stages after them, up to `to`."""
    base = replace(load_recipe(RECIPES / f"{name}.toml", []), name=name)
    for stage in pipeline.select(base, None, "sft"):
        pipeline.run_stage(stage, base)
    link(settings, {stage: name for stage in ("data", "tokenizer", "sft")})
    for stage in pipeline.select(settings, "reject", to):
        pipeline.run_stage(stage, settings)


def link(settings: Config, stages: dict[str, str]) -> None:
    """Lets a run use stages of other runs by symbolic links. `stages`: stage -> name of the run that has it."""
    settings.layout.run.mkdir(parents=True, exist_ok=True)
    for stage, owner in stages.items():
        place = settings.layout.stage(stage)
        if not place.is_symlink():
            place.symlink_to(Path("..") / owner / stage, target_is_directory=True)


def model_of(settings: Config, stage: str) -> LanguageModel:
    return checkpoint.load_model(checkpoint.finished(settings.layout.stage(stage), stage))[0]


def answers(settings: Config, examiner: Examiner, model: LanguageModel) -> dict[str, list[dict]]:
    """Way of sampling -> the answer to each prompt, with its failures."""
    ways, out = {"chat": settings.export.sampling()}, {}
    ways |= {name: preset.sampling(preset.max_tokens) for name, preset in settings.reject.presets.items()}
    prompts, references = [p for p, _ in examiner.prompts], [r for _, r in examiner.prompts]
    for name, way in ways.items():
        way = replace(way, max_tokens=min(way.max_tokens, settings.eval.max_tokens))
        how = {"sampling": way, "seed": settings.seed + 7, "batch_rows": settings.eval.batch_rows, "title": name}
        texts, ended = ask(model, examiner.tokenizer, prompts, **how)
        judged = failures.judge(texts, ended=ended, references=references)
        out[name] = [{"text": t, "failures": j.failures, **asdict(j)} for t, j in zip(texts, judged, strict=True)]
    return out


def attempt(name: str, seed: int) -> dict:
    """Runs kto with a seed and measures both models. A finished seed is read from its folder."""
    done, settings = recipe(name, seed).layout.run / "row.json", recipe(name, seed)
    about = sha256_json([settings.section(s) for s in ("data", "model", "optim", "sft", "reject", "kto", "eval")])
    if done.exists() and (row := json.loads(done.read_text()))["settings"] == about:
        return row
    began = time.perf_counter()
    prepare(name, settings)
    tokenizer = kinds.load(settings.layout.tokenizer)
    examiner, chooser = Examiner(settings, tokenizer), Examiner(settings, tokenizer, spare=True)
    seen = {json.dumps(prompt) for prompt, _ in chooser.prompts}
    if any(json.dumps(prompt) in seen for prompt, _ in examiner.prompts):
        sys.exit(f"{name}: too few held-out prompts: lower eval.prompts or raise data.valid_fraction")
    row = {"recipe": name, "seed": seed, "settings": about, "models": {}}
    said = {}
    for stage in ("sft", "kto"):
        model = model_of(settings, stage)
        said[stage] = answers(settings, examiner, model)
        probes = examiner.probes(model)
        row["models"][stage] = {
            "loss": examiner.loss(model).loss,
            "probes": probes.accuracy.value if probes else None,
            "asked": probes.accuracy.count if probes else 0,
            "counts": {way: count(some) for way, some in said[stage].items()},
        }
    row["distinct_2"] = {way: diversity(said["sft"][way], said["kto"][way], seed=seed) for way in said["sft"]}
    report = json.loads((settings.layout.stage("kto") / "report.json").read_text())
    row |= {key: report[key] for key in ("outcome", "why", "shipped_blend", "shipped_step", "breaches", "table")}
    row["pairs"] = json.loads((settings.layout.stage("reject") / "report.json").read_text())
    row["seconds"] = round(time.perf_counter() - began)
    atomic_write(done, json.dumps(row))
    return row


def count(some: list[dict]) -> dict[str, int]:
    return {
        "answers": len(some),
        "failing": sum(bool(a["failures"]) for a in some),
        "ended": sum(a["ended"] for a in some),
        **{kind: sum(a[kind] for a in some) for kind in failures.KINDS},
    }


# ---- diversity


def diversity(before: list[dict], after: list[dict], *, seed: int) -> dict:
    """distinct-2 of both models at the same number of word pairs, and a 95% interval of the change from random halves of
    the prompts: the delete-d jackknife with d = n / 2 (Shao & Wu, Ann. Statist. 17, 1989). Not a bootstrap: a prompt that is
    drawn twice makes a text less diverse, and most so the text of the model with fewer word pairs, which is not thinned."""
    kept = [
        (Counter(itertools.pairwise(failures.words(b["text"]))), Counter(itertools.pairwise(failures.words(a["text"]))))
        for b, a in zip(before, after, strict=True)
        if not b["failures"] and not a["failures"]
    ]

    def change(some: list[tuple[Counter, Counter]]) -> tuple[float, float]:
        totals = Counter(), Counter()
        for pair in some:
            for total, counts in zip(totals, pair, strict=True):
                total.update(counts)
        size = min(total.total() for total in totals)
        return tuple(rarefied(total, size) for total in totals)

    chance, (b, a) = random.Random(seed), change(kept)
    halves = [change(chance.sample(kept, len(kept) // 2)) for _ in range(DRAWS)]
    half_width = 1.96 * statistics.stdev(right / left - 1 for left, right in halves)
    return {
        "prompts": len(kept),
        "before": b,
        "after": a,
        "change": a / b - 1,
        "interval": [a / b - 1 - half_width, a / b - 1 + half_width],
    }


def rarefied(counts: Counter, size: int) -> float:
    """Expected share of distinct things among `size` things drawn without replacement: the sum over the kinds of things i of
    1 - C(N - n_i, size) / C(N, size), divided by size."""
    total = counts.total()
    whole = log_choose(total, size)
    alike = Counter(counts.values())  # n -> how many things occur n times
    expected = sum(
        times * (1 - (math.exp(log_choose(total - n, size) - whole) if total - n >= size else 0.0))
        for n, times in alike.items()
    )
    return expected / max(1, size)


def log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


# ---- the verdict


def pooled(rows: list[dict]) -> dict:
    """Rates over all seeds before and after kto, with the 95% interval of their change: name of the rate -> figures."""
    measures = []
    for kind in (*KINDS, "ended"):
        counts = {
            stage: [sum(way[key] for row in rows for way in row["models"][stage]["counts"].values()) for key in ("answers", kind)]
            for stage in ("sft", "kto")
        }  # fmt: skip
        measures.append(rate(kind, *counts["sft"], *counts["kto"]))
    if rows[0]["models"]["sft"]["probes"] is not None:
        asked = sum(row["models"]["sft"]["asked"] for row in rows)
        right = [sum(r["models"][s]["probes"] * r["models"][s]["asked"] for r in rows) for s in ("sft", "kto")]
        measures.append(rate("probes", asked, round(right[0]), asked, round(right[1])))
    return {measure["name"]: measure for measure in measures}


def rate(name: str, asked: int, one: int, asked_after: int, two: int) -> dict:
    before, after = Share.of(one, asked), Share.of(two, asked_after)
    return {
        "name": name,
        "before": before.value,
        "after": after.value,
        "interval": list(change(before, after)),
        "answers": asked,
    }


def mean_change(values: list[float]) -> tuple[float, float, float]:
    """Mean over seeds with its 95% interval (Student's t)."""
    t = {1: math.inf, 2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}[len(values)]
    mean = statistics.fmean(values)
    half = t * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return mean, mean - half, mean + half


RARE = 0.001  # a failure in fewer than one answer of a thousand, both before and after, is too rare to be halved


def goals(rows: list[dict]) -> list[list[str]]:
    """A row [goal, what was measured, `yes` or `no` or why it is neither] per goal, over all seeds."""
    found, out = pooled(rows), []

    def goal(text: str, seen: str, met: bool) -> None:
        out.append([text, seen, "yes" if met else "no"])

    def fall(kind: str) -> float:
        return 1 - found[kind]["after"] / max(found[kind]["before"], 1e-9)

    goal("loops -80%, or under 1%", show(found["loop"]), fall("loop") >= 0.8 or found["loop"]["after"] < 0.01)
    for kind in ("canned", "runaway"):
        goal(f"{kind} -50%", show(found[kind]), fall(kind) >= 0.5)
        if max(found[kind]["before"], found[kind]["after"]) < RARE:
            out[-1][-1] = "hardly any to halve"
    loss = [row["models"]["kto"]["loss"] / row["models"]["sft"]["loss"] - 1 for row in rows]
    seen = f"{max(loss):+.2%} at most, mean {statistics.fmean(loss):+.2%}"
    goal("held-out loss at most +1%", seen, max(loss) <= 0.01)
    if "probes" in found:
        p = found["probes"]
        goal("probes at most 1 point lower", show(p), p["after"] >= p["before"] - 0.01)
    mean, low, high = mean_change([row["distinct_2"]["chat"]["change"] for row in rows])
    goal("distinct-2 no lower (chat)", f"{mean:+.1%} ({low:+.1%} to {high:+.1%})", high >= 0)
    return out


def show(m: dict) -> str:
    low, high = m["interval"]
    change = f", {m['after'] / m['before'] - 1:+.0%}" if m["before"] and m["name"] != "probes" else ""
    return f"{m['before']:.2%} to {m['after']:.2%}{change} ({100 * low:+.2f} to {100 * high:+.2f} points)"


def table(name: str, rows: list[dict]) -> Table:
    """A line per seed, and one for all seeds together."""
    kinds = [*KINDS, *(["probes"] if rows[0]["models"]["sft"]["probes"] is not None else [])]
    lines = []
    for some in [*([row] for row in rows), rows]:
        found, (first, *others) = pooled(some), some
        loss = statistics.fmean(row["models"]["kto"]["loss"] / row["models"]["sft"]["loss"] - 1 for row in some)
        if others:
            diverse = mean_change([row["distinct_2"]["chat"]["change"] for row in some])
            start = ["all", f"{sum(row['outcome'] == 'improved' for row in some)} of {len(some)} improved"]
        else:
            diverse = first["distinct_2"]["chat"]["change"], *first["distinct_2"]["chat"]["interval"]
            start = [str(first["seed"]), f"{first['outcome']}, blend {first['shipped_blend']:g}"]
        end = [f"{loss:+.2%}", f"{diverse[0]:+.1%} ({diverse[1]:+.1%} to {diverse[2]:+.1%})"]
        lines.append([*start, *(show(found[kind]) for kind in kinds), *end])
    return Table(f"effect-{name}", name, ["seed", "outcome", *kinds, "held-out loss", "distinct-2, chat"], lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--recipes", nargs="+", default=["demo", "ru-jokes"])
    arguments.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    chosen, everything, missed = arguments.parse_args(), {}, 0
    for name in chosen.recipes:
        rows = everything[name] = []
        for seed in chosen.seeds:
            rows.append(attempt(name, seed))
            print(" | ".join(table(name, rows[-1:]).rows[0]), flush=True)
        seen = goals(rows)
        for row in seen:
            print(f"{name}: " + ": ".join(row))
        missed += sum(row[2] == "no" for row in seen)
        put([table(name, rows), Table(f"goals-{name}", name, ["goal", "seen", "met"], seen)], PAGE)
    atomic_write(HERE / "kto_effect.json", json.dumps(everything, indent=1) + "\n")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
