"""A recipe's dialogues as one source or several: [data] itself, or its tables [[data.source]].

    for each in ingredients(config.data): Reader(each.config) ...

Knows nothing about files.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from minitron.recipe.data import DataConfig, DataSource, DialogueConfig

PLACES = ("files", "hub", "hub_config", "hub_split")
RULES = ("keep", "probes", "valid_keep")  # each source has its own: one without scores needs no rules
SHARED = [
    spec.name for spec in dataclasses.fields(DialogueConfig) if spec.name not in (*PLACES, *RULES)
]  # a source takes these from [data] if it does not set them itself
BUILTIN = "built-in"


@dataclass(frozen=True)
class Ingredient:
    """One source: `config` is [data] with its options. `name` is empty where the recipe has no [[data.source]]."""

    name: str
    config: DataConfig
    weight: float = 0.0
    repeats: float = 1.0
    cap: int = 0


def ingredients(data: DataConfig) -> list[Ingredient]:
    """All sources, in the recipe's order."""
    if not data.source:
        return [Ingredient("", data)]
    return [
        Ingredient(name_of(one), _as_data(data, one), weight=one.weight, repeats=one.repeats, cap=one.cap)
        for one in data.source
    ]


def repeats(mixed: list[Ingredient], rows: list[int]) -> list[float]:
    """How often the dialogues of each ingredient are written; `rows` says how many each has to train on. With weights the one that has
    most dialogues for its weight is written once, the others as often as their weights need."""
    if not any(each.weight for each in mixed):
        return [each.repeats for each in mixed]
    wanted = [each.weight / count if count else 0.0 for each, count in zip(mixed, rows, strict=True)]
    least = min(filter(None, wanted), default=1.0)
    return [max(1.0, each / least) for each in wanted]


def name_of(source: DataSource) -> str:
    """The name of a source."""
    if source.name or not source.files:
        return source.name or source.hub or BUILTIN
    first = source.files[0]
    return first if set(first) & set("*?[") else Path(first).name.partition(".")[0] or first


def _as_data(data: DataConfig, source: DataSource) -> DataConfig:
    own = {spec.name: getattr(source, spec.name) for spec in dataclasses.fields(DialogueConfig)}
    return replace(data, source=[], synth_rows=source.builtin, **own)


def check(data: DataConfig) -> list[str]:
    """What is wrong with a recipe's [[data.source]], one line for each mistake."""
    found = data.source
    if not found:
        return []
    beside = [name for name in ("synth_rows", "files", "hub", *RULES) if getattr(data, name)]
    problems = [f"data.{name} belongs in a [[data.source]], since the recipe has such tables" for name in beside]
    for i, one in enumerate(found):
        if sum((bool(one.builtin), bool(one.files), bool(one.hub))) != 1:
            problems.append(f"data.source[{i}] needs one of builtin, files and hub")
        if one.weight and one.repeats != 1:
            problems.append(f"data.source[{i}]: weight and repeats exclude each other; keep one")
    if 0 < sum(bool(one.weight) for one in found) < len(found):
        problems.append("data.source: all have a weight, or none")
    if sum(bool(one.builtin) for one in found) > 1:
        problems.append("data.source: only one can be builtin")
    twice = [name for name, count in Counter(map(name_of, found)).items() if count > 1]
    problems += [f"data.source: two are called '{name}'; say names" for name in twice]
    return problems
