"""The recipe's keep-rules, and the tally of what they drop.

    rules = Rules(config.data)
    values = {leaf: rules.judged(leaf, array) for leaf, array in ...}   # for each of rules.leaves
    rules.passing(values, rows=len(array), tally=tally)                 # which rows pass, as a mask

`data.expressions` describes how rules are written. A score that is null, NaN, or text that is not a number is missing: nobody
judged that row. "8/10" counts as 8. -1 is missing too, unless a rule on that column names a number below 0, such as `vote == -1`.
`data.missing_scores` says whether a missing value fails every rule that needs it, or passes them. Knows nothing about files and
dialogues.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from minitron.core.errors import MinitronError
from minitron.core.text import mended
from minitron.data.expressions import LENGTH, NUMBER, Condition, Leaf, Values, parse
from minitron.data.messages import MOST_ROLES
from minitron.recipe.data import DataConfig


@dataclass
class Tally:
    """Counts every row read exactly once: kept by the caller, or in `dropped` under the first reason."""

    rows_in: int = 0
    dropped: Counter = field(default_factory=Counter)
    kept_without_score: Counter = field(default_factory=Counter)
    masked: Counter = field(default_factory=Counter)  # rule of data.clean -> dialogues that it changed
    unknown_roles: set[str] = field(default_factory=set)
    files: list[dict] = field(default_factory=list)  # {"path", "rows"}

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"unknown_roles": sorted(self.unknown_roles)}

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> "Tally":
        counts = {name: Counter(found[name]) for name in ("dropped", "kept_without_score", "masked")}
        return cls(**found | counts | {"unknown_roles": set(found["unknown_roles"])})

    def drop(self, reason: str, rows: int = 1) -> None:
        if rows:
            self.dropped[reason] += rows

    def merge(self, other: "Tally") -> None:
        """Adds the counts of another tally, whose rows come after these."""
        self.rows_in += other.rows_in
        self.dropped.update(other.dropped)
        self.kept_without_score.update(other.kept_without_score)
        self.masked.update(other.masked)
        self.unknown_roles = set(sorted(self.unknown_roles | other.unknown_roles)[:MOST_ROLES])
        for file in other.files:
            if self.files and self.files[-1]["path"] == file["path"]:
                self.files[-1]["rows"] += file["rows"]
            else:
                self.files.append(dict(file))


@dataclass(frozen=True)
class Rule:
    """A condition and how the recipe writes it."""

    text: str
    condition: Condition

    @classmethod
    def parse(cls, text: str, *, option: str = "data.keep") -> "list[Rule]":
        """One rule for each condition that `and` joins, so that each drops rows under its own name."""
        return [cls(part.text, part.condition) for part in parse(text, option=option)]

    @property
    def leaves(self) -> list[Leaf]:
        return list(dict.fromkeys(self.condition.leaves()))


class Rules:
    """The recipe's keep-rules in their order, the rule that marks probes, and those for what may be held out.

    `keep` and `valid` are the names of the options that hold these rules in the recipe.
    """

    def __init__(self, config: DataConfig, *, keep: str = "data.keep", valid: str = "data.valid_keep"):
        self.keep = [rule for text in config.keep for rule in Rule.parse(text, option=keep)]
        self.probes = Rule.parse(config.probes, option="data.probes") if config.probes else []
        self.valid = [rule for text in config.valid_keep for rule in Rule.parse(text, option=valid)]
        self.keep_missing = config.missing_scores == "keep"
        every = self.keep + self.probes + self.valid
        self.leaves = list(dict.fromkeys(leaf for rule in every for leaf in rule.leaves))
        self.columns = list(dict.fromkeys(leaf.name for leaf in self.leaves if leaf.kind == NUMBER))  # kept as scores
        self._below = {name for rule in every for name in rule.condition.scores_below_zero()}
        for rule in self.valid if valid == "data.valid_keep" else ():
            if any(leaf.kind != NUMBER for leaf in rule.leaves):
                hint = "data.valid_keep may only compare columns of numbers; put other rules into data.keep"
                raise MinitronError(f"data.valid_keep: '{rule.text}' is not about scores", hint=hint, code=2)

    def about(self, column: str) -> Rule:
        """The first rule on a column."""
        rules = self.keep + self.probes + self.valid
        return next(rule for rule in rules if column in (leaf.name for leaf in rule.leaves))

    def judged(self, leaf: Leaf, x: pa.Array) -> pa.Array:
        """A column's values, null where a value is missing."""
        if leaf.kind != NUMBER:
            return x
        missing = pc.is_null(x, nan_is_null=True)
        if leaf.name not in self._below:
            missing = pc.or_kleene(missing, pc.equal(x, pa.scalar(-1.0, x.type)))
        return pc.if_else(missing, pa.scalar(None, x.type), x)

    def passing(self, values: Values, *, rows: int, tally: Tally | None = None) -> pa.BooleanArray:
        """Which of the rows pass all rules; with a tally, the others are counted under the first rule that drops them.

        `values` holds an array for each leaf of the rules, as `judged` gives it.
        """
        alive = pa.repeat(True, rows)
        for rule in self.keep:
            held = rule.condition.holds(values)
            passed = pc.and_(alive, pc.fill_null(held, self.keep_missing))
            if tally:
                unknown = pc.and_(alive, pc.is_null(held))
                failed = alive.true_count - pc.and_(alive, pc.fill_null(held, True)).true_count
                self._count_unknown(rule, unknown, values, tally)
                tally.drop(rule.text, failed)
            alive = passed
        return alive

    def _count_unknown(self, rule: Rule, unknown: pa.BooleanArray, values: Values, tally: Tally) -> None:
        """Counts rows that the rule cannot judge, under the first of its columns that is missing."""
        for leaf in rule.leaves:
            if not unknown.true_count:
                return
            here = pc.and_(unknown, pc.is_null(values[leaf]))
            unknown = pc.and_not(unknown, here)
            if self.keep_missing:
                tally.kept_without_score[leaf.name] += here.true_count
            else:
                tally.drop(f"no {'score' if leaf.kind == NUMBER else 'value'}: {leaf.name}", here.true_count)

    def are_probes(self, values: Values, *, rows: int) -> pa.BooleanArray:
        return _all_hold(self.probes, values, rows=rows) if self.probes else pa.repeat(False, rows)

    def may_be_valid(self, values: Values, *, rows: int) -> pa.BooleanArray:
        return _all_hold(self.valid, values, rows=rows)


def _all_hold(rules: list[Rule], values: Values, *, rows: int) -> pa.BooleanArray:
    """Which rows pass all rules; a missing value passes none."""
    alive = pa.repeat(True, rows)
    for rule in rules:
        alive = pc.and_(alive, pc.fill_null(rule.condition.holds(values), False))
    return alive


# --- columns as rules read them --------------------------------------------------------------------------------------


def to_scores(column: pa.Array, *, name: str) -> pa.Array:
    """A column as float64, null for what is not a number. Raises MinitronError if the type cannot hold numbers at all."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_binary(kind):
        raise not_numbers(name, kind=str(kind))
    if pa.types.is_float64(kind):
        return column
    if pa.types.is_integer(kind):
        return column.cast(pa.float64(), safe=False)  # unsafe: beyond 2**53 it rounds instead of failing
    if not (is_text(kind) or pa.types.is_float32(kind)):
        return pa.array([to_number(value) for value in column.to_pylist()], pa.float64())
    coded = column.dictionary_encode()  # many rows have few distinct values, each of which is converted once
    if pa.types.is_float32(kind):  # by its shortest decimal: 7.1, and not 7.0999999, which is what a cast gives
        numbers = coded.dictionary.cast(pa.string()).cast(pa.float64())
    else:
        numbers = pa.array(map(to_number, coded.dictionary.to_pylist()), pa.float64())
    return numbers.take(coded.indices)


_OUT_OF = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*/\s*\d+(?:\.\d+)?\s*")


def to_number(value: Any) -> float | None:
    """Any value as a number, or a text that reads as one; "8/10" gives 8. None for anything else, NaN included."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        match = _OUT_OF.fullmatch(value) if isinstance(value, str) else None
        return float(match[1]) if match else None
    return None if math.isnan(number) else number


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of the kinds of text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def to_texts(column: pa.Array, *, name: str) -> pa.Array:
    """A column of texts as strings. Raises MinitronError if it holds something else."""
    if not (is_text(column.type) or pa.types.is_null(column.type)):
        raise MinitronError(
            f"a rule compares the column '{name}' with a text, but it holds {column.type}",
            hint="write numbers without quotes, or compare a column of texts",
        )
    return column.cast(pa.large_string())


def to_lengths(column: pa.Array, *, name: str) -> pa.Array:
    """How long a column's lists (in items) and texts (in characters) are. Raises MinitronError if it holds something else."""
    kind = column.type
    if pa.types.is_null(kind) or is_text(kind):
        return pc.utf8_length(column.cast(pa.large_string())).cast(pa.float64())
    if pa.types.is_map(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.array((None if value is None else len(value) for value in column.to_pylist()), pa.float64())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pc.list_value_length(column).cast(pa.float64())
    raise MinitronError(
        f"a rule asks for the length of the column '{name}', but it holds {kind}",
        hint="len is for texts and lists",
    )


def read_leaf(column: pa.Array, leaf: Leaf) -> pa.Array:
    """A column, no dictionary, as a leaf of a rule reads it."""
    convert = {NUMBER: to_scores, LENGTH: to_lengths}.get(leaf.kind, to_texts)
    return convert(column, name=leaf.name)


def read_values(values: list[Any], leaf: Leaf) -> pa.Array:
    """`read_leaf` for Python values of any type; a value that is not of the leaf's kind becomes null."""
    if leaf.kind == NUMBER:
        return pa.array(map(to_number, values), pa.float64())
    if leaf.kind == LENGTH:
        return pa.array((float(len(v)) if isinstance(v, str | list) else None for v in values), pa.float64())
    texts = (mended(v) if isinstance(v, str) else None for v in values)
    return pa.array(texts, pa.large_string())


def find_column(name: str, names: Iterable[str]) -> tuple[str, list[str]] | None:
    """Finds a rule's column among a source's columns: the column itself, and the fields on the way into it. `a.b.c` is the column
    of that name; or else the field `c` of the column `a.b`; or else the field `c` in the field `b` of the column `a`. None if
    there is none."""
    names, words = set(names), name.split(".")
    for count in range(len(words), 0, -1):
        if (column := ".".join(words[:count])) in names:
            return column, words[count:]
    return None


def field_of(column: pa.Array, fields: list[str], *, where: str, name: str) -> pa.Array:
    """A field of a column of structs, or the values under that key in a column of maps. Raises MinitronError if there is no such
    field."""
    at = name
    for depth, key in enumerate(fields):
        at = ".".join([*name.split(".")[: -len(fields)], *fields[:depth]])
        kind = column.type
        if pa.types.is_map(kind) and is_text(kind.key_type):
            column = pc.map_lookup(column, pa.scalar(key, kind.key_type), "first")
        elif pa.types.is_struct(kind) and kind.get_field_index(key) >= 0:
            column = pc.struct_field(column, [key])
        else:
            has = [f"{at}.{kind.field(i).name}" for i in range(kind.num_fields)] if pa.types.is_struct(kind) else []
            hint = f"'{at}' has {', '.join(has[:30])}" if has else f"'{at}' holds {kind}"
            raise MinitronError(f"{where} has no column '{name}'", hint=hint)
    return column


def not_numbers(column: str, *, kind: str) -> MinitronError:
    """The error for a rule on a column that holds something else."""
    return MinitronError(
        f"a rule compares the column '{column}' with a number, but it holds {kind}",
        hint="a rule needs a column of numbers: take this one out, or compare another column",
    )
