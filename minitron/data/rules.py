"""Keep-rules such as `safety >= 8`, and the tally of what they drop.

    rules = Rules(config.data)
    rules.passing({"safety": array}, rows=len(array), tally=tally)   # which rows pass, as a mask

A score that is null, NaN, or text that reads as no number is missing: nobody judged that row. So is -1, unless a rule on
that column names a number below 0, such as `vote == -1`. By `data.missing_scores` a missing score fails every rule on its
column, or passes them. Knows nothing about files and dialogues.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from minitron.core.errors import MinitronError
from minitron.recipe.schema import DataConfig


@dataclass
class Tally:
    """Counts every row read exactly once: kept by the caller, or in `dropped` under the first reason."""

    rows_in: int = 0
    dropped: Counter = field(default_factory=Counter)
    kept_without_score: Counter = field(default_factory=Counter)
    unknown_roles: set[str] = field(default_factory=set)
    files: list[dict] = field(default_factory=list)  # {"path", "rows"}

    def drop(self, reason: str, rows: int = 1) -> None:
        if rows:
            self.dropped[reason] += rows


_RULE = re.compile(r"([^<>=!]+?)\s*(>=|<=|==|!=|>|<)\s*([^<>=!\s]+)")
_COMPARE = {
    ">=": pc.greater_equal,
    "<=": pc.less_equal,
    ">": pc.greater,
    "<": pc.less,
    "==": pc.equal,
    "!=": pc.not_equal,
}


@dataclass(frozen=True)
class Rule:
    """`column op number`, on arrays of float32 or float64."""

    text: str
    column: str
    op: str
    number: float
    minus_one_is_missing: bool = True

    @classmethod
    def parse(cls, text: str, *, option: str = "data.keep") -> "Rule":
        match = _RULE.fullmatch(text.strip())
        number = to_number(match[3]) if match else None
        if number is None:
            hint = "write a column, one of >= > <= < == !=, and a number, such as 'safety >= 8'"
            raise MinitronError(f"{option}: '{text}' is not a rule", hint=hint, code=2)
        return cls(text.strip(), match[1].strip(), match[2], number)

    @property
    def is_below_zero(self) -> bool:
        """Whether it makes sense only where scores below 0 are scores."""
        return self.number < 0 or (self.op == "<" and self.number == 0)

    def missing(self, x: pa.Array) -> pa.BooleanArray:
        missing = pc.is_null(x, nan_is_null=True)
        return pc.or_kleene(missing, pc.equal(x, pa.scalar(-1.0, x.type))) if self.minus_one_is_missing else missing

    def holds(self, x: pa.Array, *, if_missing: bool) -> pa.BooleanArray:
        # The number in the column's own type: 7.1 as float32 is less than 7.1.
        compared = _COMPARE[self.op](x, pa.scalar(self.number, x.type))
        if if_missing:
            return pc.or_kleene(self.missing(x), compared)
        return pc.and_kleene(compared, pc.invert(self.missing(x)))


class Rules:
    """The recipe's keep-rules in their order, the rule that marks probes, and those for what may be held out.

    `keep` and `valid` are how the options of these rules are called in the recipe.
    """

    def __init__(self, config: DataConfig, *, keep: str = "data.keep", valid: str = "data.valid_keep"):
        self.keep = [Rule.parse(text, option=keep) for text in config.keep]
        self.probes = Rule.parse(config.probes, option="data.probes") if config.probes else None
        self.valid = [Rule.parse(text, option=valid) for text in config.valid_keep]
        self.keep_missing = config.missing_scores == "keep"
        below = {rule.column for rule in self._every() if rule.is_below_zero}
        scored = lambda rule: replace(rule, minus_one_is_missing=rule.column not in below)  # noqa: E731
        self.keep, self.valid = list(map(scored, self.keep)), list(map(scored, self.valid))
        self.probes = self.probes and scored(self.probes)
        self.columns = list(dict.fromkeys(rule.column for rule in self._every()))

    def _every(self) -> list[Rule]:
        return self.keep + ([self.probes] if self.probes else []) + self.valid

    def about(self, column: str) -> Rule:
        """The first rule on a column."""
        return next(rule for rule in self._every() if rule.column == column)

    def judged(self, column: str, x: pa.Array) -> list[float | None]:
        """A column's scores, None where one is missing."""
        return pc.if_else(self.about(column).missing(x), None, x.cast(pa.float64(), safe=False)).to_pylist()

    def passing(self, scores: dict[str, pa.Array], *, rows: int, tally: Tally | None = None) -> pa.BooleanArray:
        """Which of the rows pass all rules; with a tally, the others are counted under the first that drops them."""
        alive = pa.repeat(True, rows)
        for rule in self.keep:
            x = scores[rule.column]
            held = pc.and_(alive, rule.holds(x, if_missing=self.keep_missing))
            if tally:
                failed = alive.true_count - held.true_count
                unjudged = pc.and_(alive, rule.missing(x)).true_count
                if self.keep_missing:
                    tally.kept_without_score[rule.column] += unjudged
                else:
                    tally.drop(f"no score: {rule.column}", unjudged)
                    failed -= unjudged
                tally.drop(rule.text, failed)
            alive = held
        return alive

    def are_probes(self, scores: dict[str, pa.Array], *, rows: int) -> list[bool]:
        return _all_hold([self.probes], scores, rows=rows) if self.probes else [False] * rows

    def may_be_valid(self, scores: dict[str, pa.Array], *, rows: int) -> list[bool]:
        return _all_hold(self.valid, scores, rows=rows)


def _all_hold(rules: list[Rule], scores: dict[str, pa.Array], *, rows: int) -> list[bool]:
    """Which rows pass all rules; a missing score passes none."""
    alive = pa.repeat(True, rows)
    for rule in rules:
        alive = pc.and_(alive, rule.holds(scores[rule.column], if_missing=False))
    return pc.fill_null(alive, False).to_pylist()


def to_scores(column: pa.Array, *, name: str) -> pa.Array:
    """A column as float32 or float64; what is no number is null. MinitronError where the type holds none at all."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_binary(kind):
        raise not_numbers(name, kind=str(kind))
    if pa.types.is_float32(column.type) or pa.types.is_float64(column.type):
        return column
    if pa.types.is_integer(column.type):
        return column.cast(pa.float64(), safe=False)  # unsafe: beyond 2**53 it rounds instead of failing
    return pa.array([to_number(value) for value in column.to_pylist()], pa.float64())


def to_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def not_numbers(column: str, *, kind: str) -> MinitronError:
    """The error for a rule on a column that holds something else."""
    return MinitronError(
        f"a rule compares the column '{column}' with a number, but it holds {kind}",
        hint="a rule needs a column of numbers: take this one out, or compare another column",
    )
