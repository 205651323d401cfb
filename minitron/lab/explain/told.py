"""What a run's files say about data, training and the report card, collected for the page.

All of it is JSON, which the page's scripts turn into text nodes only, never into markup. If a file is missing, its part is left out.
Knows nothing about pages.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minitron.core.errors import MinitronError
from minitron.core.files import read_object
from minitron.curate.traced import Traced, trace
from minitron.lab.explain.dialogues import shortened
from minitron.recipe.layout import TRAINING
from minitron.recipe.schema import Config
from minitron.train import metrics

# All of these are upper limits.
ROWS = 2000  # of the data, from which examples are taken
EXAMPLES, REASONS, TURNS = 3, 12, 6  # rows kept or dropped for one reason, reasons, turns of a row
POINTS = 240  # of a curve
MOMENTS, PROMPTS = 12, 6  # of the samples during training: steps, and prompts at each
ANSWERS = 8  # with each way of sampling


def of(config: Config, *, card: str) -> dict[str, Any]:
    """Everything that the page is told. `card` is the text of the model card: Markdown, with metadata before it."""
    layout = config.layout
    aligned = "feedback" if config.labelled else "kto"  # what the report card compares before and after
    return {
        "name": config.title,
        "recipe": config.name,
        "base": config.base,
        "shipped": config.shipped,
        "data": data(config),
        "training": {stage: curves(metrics.read(layout.metrics(stage))) for stage in TRAINING},
        "report": report(read_object(layout.card)),
        "aligned": read_object(layout.stage_report(aligned)) | curves(metrics.read(layout.metrics(aligned))),
        "card": card.removeprefix("---").partition("\n---\n")[2].strip() if card.startswith("---") else card,
    }


# ---- data


def data(config: Config) -> dict[str, Any]:
    """The data stage's report, the sources that the recipe names, and examples of rows: kept ones, and dropped ones by reason."""
    try:
        rows = [] if config.base else list(trace(config, rows=ROWS))
    except MinitronError:  # the files may have been removed since
        rows = []
    return {
        "report": read_object(config.layout.stage_report("data")),
        "sources": [{"name": s.name, "licence": s.licence, "address": s.address} for s in config.data.sources],
        "kept": [example(row) for row in rows if not row.reason][:EXAMPLES],
        "dropped": [
            {"reason": reason, "rows": [example(row) for row in rows if row.reason == reason][:EXAMPLES]}
            for reason, _ in Counter(row.reason for row in rows if row.reason).most_common(REASONS)
        ],
    }


def example(row: Traced) -> dict[str, Any]:
    turns = [{"role": m["role"], "content": shortened(m["content"])} for m in (row.messages or [])[:TURNS]]
    return {"source": row.source, "scores": row.scores, "messages": turns, "raw": "" if turns else shortened(row.raw)}


# ---- training


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """metrics.jsonl as curves, [[step, value], ...] by name, and as samples, [{"step", "said": [{"prompt", "text"}]}]."""
    names = ("loss", "valid_loss", "raw_z", "chosen_log_ratio", "rejected_log_ratio")
    found = {name: list(thinned(points)) for name in names if (points := finite(rows, name))}
    said = [
        {
            "step": row["step"],
            "said": [{"prompt": s["prompt"], "text": shortened(s["text"])} for s in row["samples"][:PROMPTS]],
        }
        for row in rows
        if row.get("samples")
    ]
    return {"curves": found, "samples": spread(said)}


def finite(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    return [
        (row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    ]


def thinned(points: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Thins a curve to at most POINTS points. Each is the mean of a few neighbours, at the step of the last of them."""
    size = -(-len(points) // POINTS)
    for at in range(0, len(points), size):
        some = points[at : at + size]
        yield some[-1][0], round(sum(value for _, value in some) / len(some), 5)


def spread(values: Sequence[Any]) -> list[Any]:
    """Thins a list to at most MOMENTS items; keeps the first and the last."""
    if len(values) <= MOMENTS:
        return list(values)
    return [values[round(i * (len(values) - 1) / (MOMENTS - 1))] for i in range(MOMENTS)]


# ---- the report card


def report(card: dict[str, Any]) -> dict[str, Any]:
    """Shortens the contents of report.json, in place, to the answers that the page shows."""
    for model in card.get("models", {}).values():
        for found in model.get("failures", {}).values():
            found["samples"] = found.get("samples", [])[:ANSWERS]
        model["continuations"] = model.get("continuations", [])[:ANSWERS]
    return card
