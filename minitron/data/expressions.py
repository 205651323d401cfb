"""Keep-rules as expressions over the columns of a source: parsed here, evaluated over Arrow arrays, never run as Python.

    overall_score >= 6 and safety >= 8 and pii_leak == 0
    mean(judge_a, judge_b) >= 7 and agree(judge_a, judge_b, 1)
    source in ["forum", "mail"] and not (len(messages) > 8 or scores.tone < 3)

    [safety, leak] = parse("safety >= 8 and pii_leak == 0")     # conditions that must all hold, each with its own text
    safety.condition.holds({Leaf("safety"): array})             # pa.BooleanArray; null where a value is missing

A condition on a missing value is neither true nor false, and `and`, `or` and `not` treat that as SQL does: `a >= 6 or b >= 6`
holds if a is missing and b is 7. Knows nothing about files and about what counts as missing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from minitron.core.errors import MinitronError

NUMBER, TEXT, LENGTH = "number", "text", "length"
MOST_NESTED = 50  # levels of parentheses and nots
ROUNDED = 1e-9  # 7.3 - 7.1 is a little more than 0.2


@dataclass(frozen=True)
class Leaf:
    """A column as a condition reads it: its numbers, its texts, or how long its texts (in characters) and lists are."""

    name: str
    kind: str = NUMBER


Values = Mapping[Leaf, pa.Array]  # null: missing


@dataclass(frozen=True)
class Combined:
    """mean, min or max of columns of numbers; missing if one of them is."""

    function: str
    leaves: tuple[Leaf, ...]

    def of(self, values: Values) -> pa.Array:
        arrays = [values[leaf] for leaf in self.leaves]
        if self.function == "min":
            return pc.min_element_wise(*arrays, skip_nulls=False)
        if self.function == "max":
            return pc.max_element_wise(*arrays, skip_nulls=False)
        total = arrays[0]
        for array in arrays[1:]:
            total = pc.add(total, array)
        return pc.divide(total, float(len(arrays)))


Value = Leaf | Combined
_COMPARE = {
    ">=": pc.greater_equal,
    "<=": pc.less_equal,
    ">": pc.greater,
    "<": pc.less,
    "==": pc.equal,
    "!=": pc.not_equal,
}
_MIRRORED = {">=": "<=", "<=": ">=", ">": "<", "<": ">", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class Compare:
    """`left op right`, where a literal stands on the right."""

    op: str
    left: Value
    right: Value | float | str

    def holds(self, values: Values) -> pa.BooleanArray:
        x = _of(self.left, values)
        other = pa.scalar(self.right, x.type) if isinstance(self.right, float | str) else _of(self.right, values)
        return _COMPARE[self.op](x, other)

    def leaves(self) -> Iterator[Leaf]:
        yield from _leaves(self.left)
        if not isinstance(self.right, float | str):
            yield from _leaves(self.right)

    def scores_below_zero(self) -> Iterator[str]:
        """The columns in which numbers below 0 are scores (and not missing values), since the condition only makes sense if they are."""
        if isinstance(self.right, float) and (self.right < 0 or (self.op == "<" and self.right == 0)):
            yield from (leaf.name for leaf in self.leaves())


@dataclass(frozen=True)
class Among:
    """`value in [literals]`."""

    value: Value
    literals: tuple[float, ...] | tuple[str, ...]

    def holds(self, values: Values) -> pa.BooleanArray:
        x = _of(self.value, values)
        found = pc.is_in(x, value_set=pa.array(self.literals, x.type))
        return pc.if_else(pc.is_null(x), pa.scalar(None, pa.bool_()), found)

    def leaves(self) -> Iterator[Leaf]:
        yield from _leaves(self.value)

    def scores_below_zero(self) -> Iterator[str]:
        if any(isinstance(literal, float) and literal < 0 for literal in self.literals):
            yield from (leaf.name for leaf in self.leaves())


@dataclass(frozen=True)
class Agree:
    """`agree(a, b, most)`: two columns of numbers differ by `most` at most."""

    a: Leaf
    b: Leaf
    most: float

    def holds(self, values: Values) -> pa.BooleanArray:
        a, b = values[self.a], values[self.b]
        return pc.less_equal(pc.abs(pc.subtract(a, b)), self.most + ROUNDED)

    def leaves(self) -> Iterator[Leaf]:
        yield from (self.a, self.b)

    def scores_below_zero(self) -> Iterator[str]:
        yield from ()


@dataclass(frozen=True)
class Not:
    """`not condition`."""

    condition: "Condition"

    def holds(self, values: Values) -> pa.BooleanArray:
        return pc.invert(self.condition.holds(values))

    def leaves(self) -> Iterator[Leaf]:
        yield from self.condition.leaves()

    def scores_below_zero(self) -> Iterator[str]:
        yield from self.condition.scores_below_zero()


@dataclass(frozen=True)
class Joined:
    """Conditions with `and` or with `or` between them."""

    word: str
    conditions: tuple["Condition", ...]

    def holds(self, values: Values) -> pa.BooleanArray:
        join = pc.and_kleene if self.word == "and" else pc.or_kleene
        first, *rest = self.conditions
        held = first.holds(values)
        for condition in rest:
            held = join(held, condition.holds(values))
        return held

    def leaves(self) -> Iterator[Leaf]:
        for condition in self.conditions:
            yield from condition.leaves()

    def scores_below_zero(self) -> Iterator[str]:
        for condition in self.conditions:
            yield from condition.scores_below_zero()


Condition = Compare | Among | Agree | Not | Joined


def _of(value: Value, values: Values) -> pa.Array:
    return value.of(values) if isinstance(value, Combined) else values[value]


def _leaves(value: Value) -> Iterator[Leaf]:
    yield from value.leaves if isinstance(value, Combined) else (value,)


class Part(NamedTuple):
    """A condition, and how it is written."""

    condition: Condition
    text: str


def parse(text: str, *, option: str = "data.keep") -> list[Part]:
    """The conditions that `and` joins at the top of an expression, each with its text.

    Raises a MinitronError that shows the place if the text is no expression.
    """
    try:
        return _Parser(text).parts()
    except _Wrong as wrong:
        start = text.rfind("\n", 0, wrong.at) + 1
        line = text[start:].split("\n")[0].replace("\t", " ")
        shown = f"\n  {line}\n  {' ' * (wrong.at - start)}^ {wrong.what}"
        raise MinitronError(f"{option}: '{text.strip()}' is not a rule{shown}", hint=wrong.hint, code=2) from None


FORM = "write a column, one of >= > <= < == != in, and a number or a \"text\", such as 'safety >= 8'; join them with and, or, not"


class _Wrong(Exception):
    def __init__(self, at: int, what: str, hint: str = FORM):
        self.at, self.what, self.hint = at, what, hint


class _Token(NamedTuple):
    kind: str  # op, quoted, named (in backticks), number, word, end
    text: str
    start: int
    end: int


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SCAN = re.compile(
    r"""(?P<space>\s+) | (?P<op>[<>=!&|]+|[()\[\],]) | (?P<quoted>"[^"]*"|'[^']*') | (?P<named>`[^`]+`)
    | (?P<word>[^\s<>=!&|()\[\],"'`]+)""",
    re.VERBOSE,
)
_MEANT = {
    "=": "==",
    "=>": ">=",
    "=<": "<=",
    "<>": "!=",
    "===": "==",
    "&&": "and",
    "&": "and",
    "||": "or",
    "|": "or",
    "!": "not",
}
_WORDS = {"and", "or", "not", "in"}
_NOTHING = {"nan", "null", "none"}
_COLUMNS = {"mean": "mean", "min": "min", "max": "max"}


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _SCAN.match(text, at)
        if not match:
            raise _Wrong(at, "is never closed", f"end the text with another {text[at]}")
        kind, part = match.lastgroup or "", match[0]
        if kind == "op" and part not in _COMPARE and part not in "()[],":
            meant = _MEANT.get(part)
            raise _Wrong(at, "is no comparison", f"write {meant}" if meant else FORM)
        if kind == "word":
            kind = "number" if _NUMBER.fullmatch(part) else "op" if part.lower() in _WORDS else "word"
            part = part.lower() if kind == "op" else part
        if kind != "space":
            found.append(_Token(kind, part, at, match.end()))
        at = match.end()
    return [*found, _Token("end", "", len(text.rstrip()), len(text))]


class _Parser:
    """Recursive descent; from the loosest to the tightest: or, and, not, a condition."""

    def __init__(self, text: str):
        self.text, self.tokens, self.at, self.depth = text, _tokens(text), 0, 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self, *texts: str) -> _Token | None:
        """The next token if it is one of these operators."""
        token = self.next
        if token.kind != "op" or token.text not in texts:
            return None
        self.at += 1
        return token

    def wanted(self, text: str, what: str) -> None:
        if not self.take(text):
            raise _Wrong(self.next.start, what)

    def parts(self) -> list[Part]:
        found = self._either(top=True)
        if self.next.kind != "end":
            raise _Wrong(self.next.start, "here a rule is over: and, or?")
        return found

    def _either(self, *, top: bool = False) -> list[Part]:
        """`both or both ...` as one part; at the top of an expression without `or`, the parts that its `and` joins."""
        begin = self.next.start
        alternatives = [self._both()]
        while self.take("or"):
            alternatives.append(self._both())
        end = self.tokens[self.at - 1].end
        if len(alternatives) == 1:
            [parts] = alternatives
            joined = _joined("and", [part.condition for part in parts])
            return parts if top else [Part(joined, self.text[begin:end])]
        conditions = [_joined("and", [part.condition for part in parts]) for parts in alternatives]
        return [Part(_joined("or", conditions), self.text[begin:end])]

    def _both(self) -> list[Part]:
        parts = []
        while True:
            begin = self.next.start
            condition = self._factor()
            parts.append(Part(condition, self.text[begin : self.tokens[self.at - 1].end]))
            if not self.take("and"):
                return parts

    def _factor(self) -> Condition:
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise _Wrong(self.next.start, "too many parentheses or nots", "write it as several rules")
        if self.take("not"):
            found: Condition = Not(self._factor())
        elif self.take("("):
            [(found, _)] = self._either()
            self.wanted(")", "here a ) is missing")
        else:
            found = self._condition()
        self.depth -= 1
        return found

    def _condition(self) -> Condition:
        begin = self.next
        left = self._operand()
        if isinstance(left, Agree):
            return left
        denied, among = self.take("not"), self.take("in")
        if denied and not among:
            raise _Wrong(self.next.start, "here in is missing: column not in [...]")
        if among:
            found = self._among(left, begin)
            return Not(found) if denied else found
        op = self.take(*_COMPARE)
        if not op:
            raise _Wrong(self.next.start, "here a comparison is missing")
        after = self.next
        right = self._operand()
        if isinstance(right, Agree):
            raise _Wrong(after.start, "agree(...) stands alone")
        if isinstance(left, float | str):
            if isinstance(right, float | str):
                raise _Wrong(begin.start, "there is no column in this")
            return _compare(_MIRRORED[op.text], right, left, begin)
        return _compare(op.text, left, right, after)

    def _among(self, value: Value | float | str, begin: _Token) -> Among:
        if isinstance(value, float | str):
            raise _Wrong(begin.start, "before in stands a column")
        self.wanted("[", 'here a list is missing: ["a", "b"]')
        literals: list[float | str] = []
        while not self.take("]"):
            if literals:
                self.wanted(",", "here a , or ] is missing")
            token = self.next
            literal = self._operand()
            if not isinstance(literal, float | str):
                raise _Wrong(token.start, "a list holds numbers or texts", 'write a text in quotes: "a"')
            if literals and type(literal) is not type(literals[0]):
                raise _Wrong(token.start, "numbers or texts, not both")
            literals.append(literal)
        if not literals:
            raise _Wrong(self.tokens[self.at - 1].start, "the list is empty")
        return Among(_typed(value, literals[0], begin), tuple(literals))

    def _operand(self) -> Value | float | str | Agree:
        token = self.next
        self.at += 1
        if token.kind == "number":
            return float(token.text)
        if token.kind == "quoted":
            return token.text[1:-1]
        if token.kind == "named":
            return Leaf(token.text[1:-1])
        if token.kind != "word":
            self.at -= 1
            raise _Wrong(token.start, "here a column, a number or a text is missing")
        if self.take("("):
            return self._call(token)
        word = token.text.lower()
        if word in ("true", "false"):
            return float(word == "true")
        if word in _NOTHING:
            hint = "no comparison with a missing value holds: data.missing_scores says what becomes of such rows"
            raise _Wrong(token.start, "a missing value equals nothing", hint)
        last = token
        while self.next.kind == "word" and self.tokens[self.at + 1].text != "(":  # a name may be several words
            last = self.next
            self.at += 1
        return Leaf(self.text[token.start : last.end])

    def _call(self, name: _Token) -> Value | Agree:
        function, arguments = name.text.lower(), list[Value | float | str | Agree]()
        if function not in ("len", "agree", *_COLUMNS):
            hint = "functions are len, mean, min, max and agree; a column's name with such signs stands in backticks"
            raise _Wrong(name.start, "there is no such function", hint)
        while not self.take(")"):
            if arguments:
                self.wanted(",", "here a , or ) is missing")
            arguments.append(self._operand())
        leaves = tuple(argument for argument in arguments if argument.__class__ is Leaf)
        if function == "len" and len(leaves) == len(arguments) == 1:
            return Leaf(leaves[0].name, LENGTH)
        if function == "agree" and len(leaves) == 2 and len(arguments) == 3 and isinstance(arguments[2], float):
            return Agree(*leaves, arguments[2])
        if function in _COLUMNS and leaves and len(leaves) == len(arguments):
            return Combined(function, leaves)
        forms = {"len": "len(column)", "agree": "agree(column, column, number)"}
        raise _Wrong(name.start, f"write {forms.get(function, f'{function}(column, column)')}")


def _joined(word: str, conditions: list[Condition]) -> Condition:
    return conditions[0] if len(conditions) == 1 else Joined(word, tuple(conditions))


def _compare(op: str, left: Value, right: Value | float | str, at: _Token) -> Compare:
    return Compare(op, _typed(left, right, at), right)


def _typed(value: Value, beside: Value | float | str, at: _Token) -> Value:
    """The value in the kind that the other side asks for: a column that is compared with a text is read as texts."""
    if not isinstance(beside, str):
        return value
    if isinstance(value, Combined) or value.kind != NUMBER:
        raise _Wrong(at.start, "a number is compared with a text")
    return Leaf(value.name, TEXT)
