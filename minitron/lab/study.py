"""Compares tokenizers by what a model learns with them: the same small model over a grid, on one budget. Run: minitron study RECIPE

A cell is one place in the grid with one seed. It is a run of its own under runs/<recipe>/study/, so that a study that was stopped
goes on from there. Contexts and batches hold the same number of bytes of text in all cells, not the same number of tokens; all cells
are judged by bits per byte of the same held-out text. Knows nothing about pages.
"""

import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minitron.core.console import say
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, read_object, sha256_json
from minitron.core.hashes import Hashes
from minitron.data.packing import PackedRows
from minitron.plan import memory, timing
from minitron.recipe.data import DataConfig
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.load import resolve
from minitron.recipe.schema import Config, StudyConfig
from minitron.stages import declared, pipeline
from minitron.tokenizer import kinds
from minitron.train import metrics

POINTS = 5  # validations during a cell's training
LEAST_CONTEXT = 16  # tokens
TIMED = ("batch_rows", "accumulation", "recompute", "optim")  # options of pretrain by which steps take longer
MINUTE, MEGABYTE, PETA = 60.0, 1e6, 1e15


@dataclass(frozen=True)
class Point:
    """A place in the grid: a tokenizer and a learning rate. Each seed makes one cell of it."""

    kind: str
    vocab_size: int
    normalization: str
    lr: float

    @property
    def name(self) -> str:
        rules = Path(self.normalization).stem
        return f"{self.kind}-{self.vocab_size}-{rules}-lr{self.lr:g}"


@dataclass(frozen=True)
class Result:
    """The result of a cell. `curve` has pairs (bytes of text read, bits per byte of the held-out text)."""

    point: Point
    seed: int
    vocab_size: int  # the trained tokenizer's, which may differ from the one asked for
    bytes_per_token: float
    context: int
    steps: int
    body: int  # parameters of all but the embedding and the head
    head: int  # parameters of the embedding, which is the head too, or of both if the head is untied
    text_bytes: float  # bytes of text read in training
    operations: float
    seconds: float
    loss: float  # nats per token
    bits_per_byte: float
    curve: list[tuple[float, float]]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Result":
        curve = [(float(x), float(y)) for x, y in value["curve"]]
        return cls(**value | {"point": Point(**value["point"]), "curve": curve})


def points(study: StudyConfig, lr: float) -> list[Point]:
    """The grid in the order of the recipe. Kinds of tokenizer whose vocabulary size cannot be chosen get a single size."""
    found: dict[Point, None] = {}
    for kind in study.kinds:
        for size in study.vocab_sizes if TOKENIZERS[kind].sized else study.vocab_sizes[:1]:
            for rules in study.normalizations:
                for rate in study.lrs or [lr]:
                    found[Point(kind, size, rules, rate)] = None
    return list(found)


def run(config: Config) -> list[Result]:
    """The results of all cells; finished cells are read from their files. Raises MinitronError where the recipe has no [pretrain] or no
    [study]."""
    study = config.study
    if study is None or config.pretrain is None:
        hint = "add [study] with kinds, vocab_sizes and a budget, and [pretrain] with the text"
        raise MinitronError(f"{config.recipe} is no study: it needs [pretrain] and [study]", hint=hint, code=2)
    grid = points(study, config.pretrain.optim.lr)
    cells = [(point, seed) for seed in range(config.seed, config.seed + study.seeds) for point in grid]
    for point in grid:  # what no tokenizer can be made of is told before anything is trained
        pipeline.run_stage(declared.named("tokenizer"), with_point(config, point, config.seed))
    results = []
    for number, (point, seed) in enumerate(cells, 1):
        say(f"study: cell {number} of {len(cells)}: {point.name}, seed {seed}", style="bold cyan")
        results.append(cell(config, point, seed))
        found = results[-1]
        say(f"study: {found.bits_per_byte:.4f} bits per byte, {found.loss:.4f} nats per token, {found.seconds:.0f} s")
    atomic_write(config.layout.study_results, json.dumps([dataclasses.asdict(r) for r in results], indent=1))
    return results


def cell(config: Config, point: Point, seed: int) -> Result:
    """The result of one cell: trains its tokenizer, then its model, as far as that is not done yet."""
    named = with_point(config, point, seed)
    pipeline.run_stage(declared.named("tokenizer"), named)
    if not _bytes_per_token(named):
        pipeline.run_stage(declared.named("tokenizer"), named, force=True)
    # a speed that is measured again gives another number of steps
    begin_anew = _speed_file(named).exists() and not _known_speeds(named)
    sized = with_budget(named)
    done = sized.layout.run / "result.json"
    decides = {name: sized.section(name) for name in ("seed", "tokenizer", "model", "optim", "pretrain")}
    read = pipeline.fingerprint(declared.named("pretrain"), sized, Hashes(sized.layout.hashes))["reads"]
    # only these: a new option elsewhere must not undo finished cells
    key = sha256_json([decides, sorted(read.values()), pipeline.FORMAT])
    known = read_object(done)
    if known.get("key") == key:
        with suppress(KeyError, TypeError, ValueError):  # damaged: it is computed anew
            return Result.from_json(known["result"])
    pipeline.run_stage(declared.named("pretrain"), sized, force=begin_anew)
    result = _result(sized, point, seed)
    atomic_write(done, json.dumps({"key": key, "result": dataclasses.asdict(result)}, indent=1))
    return result


def with_point(config: Config, point: Point, seed: int) -> Config:
    """The recipe of a cell, without the settings that depend on its trained tokenizer (`with_budget`)."""
    tokenizer = replace(
        config.tokenizer, kind=point.kind, vocab_size=point.vocab_size, normalization=point.normalization
    )
    changed = replace(config, name=f"{config.name}/study/{point.name}-seed{seed}", seed=seed, tokenizer=tokenizer)
    changed = replace(changed, data=DataConfig(), reject=None, kto=None)
    low = config.pretrain.optim.min_lr
    return changed.with_optim(lr=point.lr, min_lr=point.lr / 10 if low is None else low)


def with_budget(config: Config) -> Config:
    """The same recipe with a context and a batch that hold the study's bytes of text, and with as many steps as its budget allows. The
    cell's tokenizer must be trained already."""
    study = config.study
    size = kinds.load(config.layout.tokenizer).vocab_size
    per_token = max(0.25, _bytes_per_token(config))
    context = max(LEAST_CONTEXT, round(study.context_bytes / per_token))
    rows = max(1, round(study.batch_bytes / (context * per_token)))
    micro = min(rows, max(1, round(rows / config.pretrain.accumulation)))
    accumulation = max(1, round(rows / micro))
    config = replace(
        config,
        model=replace(config.model, context=context),
        pretrain=replace(
            config.pretrain, batch_rows=micro, accumulation=accumulation, eval_rows=0, patience=0, samples=[]
        ),
    )
    config = resolve(config)
    tokens = micro * accumulation * context
    if study.equal == "text":
        steps = study.budget * MEGABYTE / (tokens * per_token)
    elif study.equal == "flops":
        steps = study.budget * PETA / timing.operations(_counted(config, size), "pretrain", tokens)
    else:
        steps = study.budget * MINUTE / _seconds_per_step(_counted(config, size))
    steps = max(POINTS, round(steps))
    changed = replace(config.pretrain, steps=steps, eval_every_steps=-(-steps // POINTS))
    return replace(config, pretrain=changed)


def _counted(config: Config, size: int) -> Config:
    """The same recipe with the trained tokenizer's vocabulary size, for counting operations and measuring speed."""
    return replace(config, tokenizer=replace(config.tokenizer, vocab_size=size))


def _seconds_per_step(config: Config) -> float:
    """Seconds per training step. They are measured once for a cell's settings and kept in a file, so that a cell that goes on has the
    same number of steps as before, and one of another shape a number of its own."""
    decides = ("device", "tokenizer.vocab_size", "model", *(f"pretrain.{name}" for name in TIMED))
    key, known = sha256_json([config.section(name) for name in decides]), _known_speeds(config)
    if key not in known:
        speed = timing.measure(config, "pretrain", pick_device(config.device)).step(config.pretrain.accumulation)
        known |= {key: speed}
        atomic_write(_speed_file(config), json.dumps({"seconds_per_step": known}))
    return known[key]


def _speed_file(config: Config) -> Path:
    return config.layout.run / "speed.json"


def _known_speeds(config: Config) -> dict[str, float]:
    """Seconds per training step as they were measured, by a hash of the settings; empty if none were, or the file is damaged."""
    found = read_object(_speed_file(config)).get("seconds_per_step")
    found = found if isinstance(found, dict) else {}
    return {key: _positive(value) for key, value in found.items() if _positive(value)}


def _bytes_per_token(config: Config) -> float:
    """As the tokenizer's report says; 0 if that is damaged."""
    return _positive(read_object(config.layout.stage_report("tokenizer")).get("bytes_per_token"))


def _positive(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else 0.0


def _result(config: Config, point: Point, seed: int) -> Result:
    rows = metrics.read(config.layout.metrics("pretrain"))
    checks = [row for row in rows if "valid_bits_per_byte" in row]
    train, valid = (PackedRows(config.layout.packed("pretrain", split)) for split in ("train", "valid"))
    tokens = config.pretrain.batch_rows * config.pretrain.accumulation * config.model.context
    per_row = train.target_bytes / max(1, len(train))  # bytes; rows are not quite full
    per_step = config.pretrain.batch_rows * config.pretrain.accumulation * per_row
    size = kinds.load(config.layout.tokenizer).vocab_size
    parts = memory.parameters(config.model, size)
    head = size * config.model.d_model * (2 if config.model.untied_head else 1)
    last = checks[-1]
    return Result(
        point=point,
        seed=seed,
        vocab_size=size,
        bytes_per_token=valid.target_bytes / max(1, valid.targets),
        context=config.model.context,
        steps=config.pretrain.steps,
        body=sum(parts.values()) - head,
        head=head,
        text_bytes=config.pretrain.steps * per_step,
        operations=timing.operations(_counted(config, size), "pretrain", tokens * config.pretrain.steps),
        seconds=last["seconds"],
        loss=last["valid_loss"],
        bits_per_byte=last["valid_bits_per_byte"],
        curve=[(row["step"] * per_step, row["valid_bits_per_byte"]) for row in checks],
    )


# ---- what it says


@dataclass(frozen=True)
class Summary:
    """A tokenizer's results with all seeds, at its best learning rate."""

    point: Point
    results: list[Result]  # one per seed, in the order of the seeds

    @property
    def bits_per_byte(self) -> float:
        return sum(r.bits_per_byte for r in self.results) / len(self.results)

    @property
    def loss(self) -> float:
        return sum(r.loss for r in self.results) / len(self.results)


def summaries(results: list[Result]) -> list[Summary]:
    """Each tokenizer at the learning rate that is best on average over the seeds, the fewest bits per byte first."""
    by_point: dict[Point, list[Result]] = {}
    for result in results:
        by_point.setdefault(result.point, []).append(result)
    best: dict[tuple[str, int, str], Summary] = {}
    for point, found in by_point.items():
        summary = Summary(point, sorted(found, key=lambda r: r.seed))
        key = (point.kind, point.vocab_size, point.normalization)
        if key not in best or summary.bits_per_byte < best[key].bits_per_byte:
            best[key] = summary
    return sorted(best.values(), key=lambda s: s.bits_per_byte)


def difference(first: Summary, second: Summary) -> tuple[float, float, float]:
    """Bits per byte of `second` minus those of `first`, and the limits of the 95% confidence interval by Student's t over pairs of the
    same seed; with one seed the interval is infinite."""
    pairs = [b.bits_per_byte - a.bits_per_byte for a, b in zip(first.results, second.results, strict=True)]
    mean = sum(pairs) / len(pairs)
    if len(pairs) < 2:
        return mean, -math.inf, math.inf
    deviation = math.sqrt(sum((p - mean) ** 2 for p in pairs) / (len(pairs) - 1))
    half = student(len(pairs) - 1) * deviation / math.sqrt(len(pairs))
    return mean, mean - half, mean + half


# The 97.5% quantile of Student's t for 1, 2, 3, ... degrees of freedom.
T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def student(freedom: int) -> float:
    """The 97.5% quantile of Student's t; beyond the table its last entry, which makes intervals a little too wide."""
    return T975[min(freedom, len(T975)) - 1]


def verdict(found: list[Summary]) -> Iterator[str]:
    """The conclusions as sentences: which tokenizer is best, which ones cannot be told apart from it, and which one the loss per token
    would have chosen."""
    if not found:
        return
    best = found[0]
    yield (
        f"Of the same text, {label(best.point)} needs the fewest bits per byte: {best.bits_per_byte:.4f} "
        f"(mean of {len(best.results)} seeds)."
    )
    if len(found) > 2:
        yield "Each interval is for a single pair; the best of several is easily flattered by chance, so look at more seeds."
    for other in found[1:]:
        mean, low, high = difference(best, other)
        if low > 0:
            yield f"{label(other.point)} needs {mean:.4f} more (95% confidence {low:.4f} to {high:.4f})."
        elif math.isinf(low):
            yield f"{label(other.point)} needs {mean:.4f} more; one seed cannot tell whether that is chance."
        else:
            yield (
                f"{label(other.point)} is not told apart from it: {mean:+.4f} (95% confidence {low:+.4f} to {high:+.4f})."
            )
    by_loss = sorted(found, key=lambda s: s.loss)
    if (first := by_loss[0]) is not best:
        yield (
            f"Loss per token would have chosen {label(first.point)} ({first.loss:.4f} nats), which is number "
            f"{found.index(first) + 1} of {len(found)} by bits per byte: shorter tokens are easier to guess, one by one."
        )


def label(point: Point) -> str:
    """The point in words."""
    size = f" {point.vocab_size:,}" if TOKENIZERS[point.kind].sized else ""
    rules = "" if point.normalization == "identity" else f" {Path(point.normalization).stem}"
    return f"{point.kind}{size}{rules}"
