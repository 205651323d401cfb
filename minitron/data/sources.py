"""Finds the recipe's files and datasets, reads them in any format and shape, and applies the rules to their rows.

    reader = Reader(config.data)
    for rows in reader.read(sources(config.data)):           # lists of Row, bounded in size
        messages = to_messages(row.turns, roles=roles, unknown=set())
    reader.tally                                             # every row that was read, counted once

Knows nothing about duplicates, hold-outs and what is written.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from minitron.core.addresses import is_address
from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import expand
from minitron.data.chats import Chat
from minitron.data.expressions import NUMBER, TEXT, Leaf, Values
from minitron.data.formats import ending, format_of, open_source
from minitron.data.formats.hub import Hub
from minitron.data.formats.source import Chunk, Source, reading
from minitron.data.formats.text import Text
from minitron.data.formats.trees import Trees
from minitron.data.messages import printable
from minitron.data.rules import Rules, Tally, find_column, not_numbers
from minitron.data.shapes import Shape, no_column
from minitron.recipe.data import DataConfig
from minitron.recipe.kinds import INPUTS

COPIED_COLUMNS = ("source", "skill", "check")


def find_files(patterns: list[str], *, option: str = "data.files", text: bool = False) -> list[Path]:
    """The files that an option names: those of each pattern in the order of their names, none twice.

    A pattern is a file, a folder, or a glob. A folder stands for the files in it (and in its folders) whose ending is known;
    names that begin with `.` or `_` are left out, as Spark does, and so are text files that are no chats. A glob means files, and
    folders only if their names end as files do (d.parquet/). With `text`, plain text is read too, and files named in the option
    may have any ending. Raises MinitronError if a pattern matches nothing that can be read.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        found = expand(pattern)
        if not found:
            here = f"paths are relative to the current directory, {Path.cwd()}"
            hint = "check the address and the network" if is_address(pattern) else here
            raise MinitronError(f"{option}: nothing matches {pattern}", hint=hint)
        files: list[Path] = []
        for path in found:
            if not path.is_dir():
                open_source(path, otherwise=Text if text else None)  # raises where its ending is unknown
                files.append(path)
            elif (
                path == Path(pattern).expanduser()
                or str(path).rstrip("/") == pattern.rstrip("/")
                or ending(path) in INPUTS
            ):
                files += _files_in(path, text=text)
        if not files:
            endings = ", ".join(end for end, kind in INPUTS.items() if text or kind.load() is not Text)
            raise MinitronError(f"{option}: {pattern} has no file that can be read", hint=f"files may be {endings}")
        paths |= dict.fromkeys(files)
    return list(paths)


def _files_in(folder: Path, *, text: bool) -> list[Path]:
    def wanted(path: Path) -> bool:
        hidden = any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        kind = format_of(path)
        if kind is None or hidden or not path.is_file():
            return False
        if text or kind is not Text or Text(path).begins_as_chat():
            return True
        no_chats.append(path.name)
        return False

    no_chats: list[str] = []
    found = sorted(filter(wanted, folder.rglob("*")))
    if no_chats:
        _tell_left_out(folder, tuple(sorted(no_chats)))
    return found


@cache
def _tell_left_out(folder: Path, names: tuple[str, ...]) -> None:
    some = ", ".join(names[:3]) + ("" if len(names) <= 3 else " and others")
    say(f"{folder}: text files that are not read, since they do not begin as a chat does: {len(names)} ({some})")


def sources(config: DataConfig) -> list[Source]:
    """The sources of the recipe's dialogues: its files, then its dataset."""
    found = [open_source(path) for path in find_files(config.files)]
    for source in found:
        source.chat = Chat(config, where=source.where)
    return [Trees(source) for source in [*found, *([Hub(config, section="data")] if config.hub else [])]]


def count_rows(found: Iterable[Source]) -> int:
    """Rows of all sources, 0 if one of them cannot tell without being read. For the progress bar."""
    counts = []
    for source in found:
        with reading(source.where):
            counts.append(source.count())
    return 0 if None in counts else sum(counts)


class Row(NamedTuple):
    """One row that passed the rules; its turns are not yet checked messages. `scores` are in the order of `Rules.columns`."""

    turns: Any
    source: str
    skill: str
    check: str
    scores: tuple[float | None, ...]
    probe: bool
    may_be_valid: bool


class Passed(NamedTuple):
    """Rows of a source that passed the rules: the columns of `shape` and COPIED_COLUMNS, as far as they are there."""

    cells: pa.RecordBatch | dict[str, list]
    count: int
    values: Values  # what the rules read
    shape: Shape
    source: str  # its name


class Reader:
    """Reads sources, applies the rules, and counts what it meets in `tally`. `rules`: those of the recipe's [data] by default."""

    def __init__(self, config: DataConfig, *, rules: Rules | None = None):
        self.config = config
        self.rules = rules or Rules(config)
        self.tally = Tally()
        self._unmet = {leaf.name for leaf in self.rules.leaves}  # no source had these columns so far
        self._met: dict[str, None] = {}  # columns of the sources
        self._texts: set[str] = set()  # columns that rules compare with numbers and that hold text
        self._numbers: set[str] = set()  # columns of which at least one value is a number, or reads as one

    def read(self, found: Iterable[Source]) -> Iterator[list[Row]]:
        """The rows that pass the rules, in their order."""
        for source in found:
            yield from self.read_one(source)
        self.check_columns()

    def read_one(self, source: Source) -> Iterator[list[Row]]:
        """The rows of one source that pass the rules."""
        with reading(source.where):
            yield from map(self._rows, self.passed(source))

    def passed(self, source: Source) -> Iterator[Passed]:
        """The same rows, in the columns of the source."""
        self.tally.files.append({"path": printable(str(source.path)), "rows": 0})
        with reading(source.where):
            yield from self._read(source)

    def to_json(self) -> dict[str, Any]:
        """The counts and columns met so far, as plain values for JSON."""
        # sorted, since the order of a set differs from process to process
        met = {name: sorted(getattr(self, name)) for name in ("_unmet", "_texts", "_numbers")}
        return met | {"_met": list(self._met), "tally": self.tally.to_json()}

    @classmethod
    def of_json(cls, config: DataConfig, found: dict[str, Any]) -> "Reader":
        """The reader whose state `to_json` gave."""
        reader = cls(config)
        reader.tally, reader._met = Tally.of_json(found["tally"]), dict.fromkeys(found["_met"])
        reader._unmet, reader._texts, reader._numbers = (set(found[n]) for n in ("_unmet", "_texts", "_numbers"))
        return reader

    def merge(self, other: "Reader") -> None:
        """Adds what another reader met, which read on where this one stopped."""
        self.tally.merge(other.tally)
        self._met |= other._met
        self._unmet &= other._unmet
        self._texts |= other._texts
        self._numbers |= other._numbers

    def check_columns(self) -> None:
        """Raises MinitronError for a rule whose column no source has, or that compares a column with a number although it holds none."""
        for column in sorted(self._unmet) if self.tally.rows_in else ():
            raise column_of_rule_missing(self.rules, column, names=self._met, where="the data")
        for column in sorted(self._texts - self._numbers):
            raise not_numbers(column, kind="text")

    def _read(self, source: Source) -> Iterator[Passed]:
        names: dict[str, None] = dict.fromkeys(source.names_before)
        shape = None
        for chunk in source.chunks():
            if not chunk.rows:
                continue
            if shape is None or not names.keys() >= set(chunk.names):
                names |= dict.fromkeys(chunk.names)
                shape = Shape.find(list(names), config=self.config, where=source.where)
                self._meet(chunk, source)
            yield from self._judge(chunk, shape, default=source.name)

    def _meet(self, chunk: Chunk, source: Source) -> None:
        self._met |= dict.fromkeys(chunk.names)
        self._unmet -= {name for name in self._unmet if find_column(name, chunk.names)}
        for leaf in self.rules.leaves if source.every_row_has_all_columns else ():
            if not find_column(leaf.name, chunk.names):
                raise column_of_rule_missing(self.rules, leaf.name, names=chunk.names, where=source.where)

    def _judge(self, chunk: Chunk, shape: Shape, *, default: str) -> Iterator[Passed]:
        values = {leaf: self._values(chunk, leaf) for leaf in self.rules.leaves}
        self.tally.rows_in += chunk.rows
        self.tally.files[-1]["rows"] += chunk.rows
        passing = self.rules.passing(values, rows=chunk.rows, tally=self.tally)
        if not passing.true_count:
            return
        values = {leaf: column.filter(passing) for leaf, column in values.items()}
        start, columns = 0, [*shape.columns, *COPIED_COLUMNS]
        for cells in chunk.batches(columns, passing) or chunk.cells(columns, passing):
            count = cells.num_rows if isinstance(cells, pa.RecordBatch) else len(next(iter(cells.values())))
            part = {leaf: column.slice(start, count) for leaf, column in values.items()}
            start += count
            yield Passed(cells, count, part, shape, default)

    def _rows(self, passed: Passed) -> list[Row]:
        cells, count, values, shape, default = passed
        cells = cells.to_pydict() if isinstance(cells, pa.RecordBatch) else cells
        source, skill, check = ([printable(v) for v in cells.get(n, [None] * count)] for n in COPIED_COLUMNS)
        scores = [values[Leaf(name)].to_pylist() for name in self.rules.columns]
        columns = [
            shape.turns(cells, count),
            [name or default for name in source],
            skill,
            check,
            list(zip(*scores, strict=True)) if scores else [()] * count,
            self.rules.are_probes(values, rows=count).to_pylist(),
            self.rules.may_be_valid(values, rows=count).to_pylist(),
        ]
        return [Row(*values) for values in zip(*columns, strict=True)]

    def _values(self, chunk: Chunk, leaf: Leaf) -> pa.Array:
        if not find_column(leaf.name, chunk.names):  # JSON rows may lack the column
            return pa.nulls(chunk.rows, pa.float64() if leaf.kind != TEXT else pa.large_string())
        values, any_text = chunk.values(leaf)
        if leaf.kind == NUMBER:
            self._texts |= {leaf.name} if any_text else set()
            self._numbers |= {leaf.name} if values.null_count < len(values) else set()
        return self.rules.judged(leaf, values)


def column_of_rule_missing(rules: Rules, column: str, *, names: Iterable[str], where: str) -> MinitronError:
    """The error for a rule on a column that is not there."""
    otherwise = f"without such scores, take the rule '{rules.about(column).text}' out"
    return no_column(column, names=names, where=where, otherwise=otherwise)
