"""What an input format has to give: rows, in chunks whose columns the rules judge before their text is read.

A format is a subclass of `Source` with `rows`, which yields dicts. One whose data are tables (parquet, a hub) overrides
`chunks` instead, so that rules look at their columns before anything else is read. Knows nothing about dialogues.
"""

import io
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from minitron.core.addresses import is_address
from minitron.core.errors import MinitronError
from minitron.data.chats import Chat
from minitron.data.expressions import NUMBER, Leaf
from minitron.data.formats.encodings import decoded, decoded_lines
from minitron.data.messages import printable
from minitron.data.rules import field_of, find_column, is_text, read_leaf, read_values

CHUNK_ROWS = 1024  # rows of text in memory at once
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}  # endings after that of the format


class Chunk(ABC):
    """Some rows of a source. `names` are the columns, `rows` the number of rows."""

    names: list[str]
    rows: int

    @abstractmethod
    def values(self, leaf: Leaf) -> tuple[pa.Array, bool]:
        """A column as a rule reads it (numbers: float64, null for a missing one), and whether any of its values was text."""

    @abstractmethod
    def cells(self, names: list[str], passing: pa.BooleanArray | None = None) -> Iterator[dict[str, list]]:
        """The values of the named columns, as far as they exist, for the rows that pass (None: all rows), in parts of bounded size."""

    def batches(self, names: list[str], passing: pa.BooleanArray | None = None) -> Iterator[pa.RecordBatch] | None:
        """The same as Arrow's record batches; None if the chunk does not hold Arrow data."""
        return None


class Source:
    """A file (or a dataset) as rows. `where` names it in messages, `name` is recorded as the source of its dialogues."""

    every_row_has_all_columns = False  # true of tables: a column missing from the first rows is missing from all
    names_before: Sequence[str] = ()  # for a part of a file: columns that the file is known to have
    only_column = ""  # the column's name if there is only one
    chat: Chat | None = None  # set if dialogues are wanted: makes dialogues of a chat's messages

    def __init__(self, path: Path):
        self.path, self.where = path, printable(str(path))
        self.name = printable((path.with_suffix("") if self.compressed else path).stem)

    def rows(self) -> Iterator[dict]:
        """All rows, in order."""
        yield from rows_of(self.chunks())

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """All rows, in order, about `rows` at a time. Inside `reading`, errors of the file are raised as MinitronError."""
        found = self.rows()
        while objects := list(itertools.islice(found, rows)):
            yield Objects(objects)

    def count(self) -> int | None:
        """The number of rows, roughly, or None if only reading them all would tell."""
        return None

    def parts(self) -> list["Source"]:
        """Sources that together have these rows, in order, and can be read by several processes; empty if the source cannot be split."""
        return []

    @property
    def size(self) -> int:
        """Bytes on the disk; 0 if the file is not there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def open(self) -> BinaryIO:
        """The file's bytes, decompressed."""
        if self.compressed:
            kind = COMPRESSIONS[self.path.suffix.lower()]
            packed = str(self.path) if isinstance(self.path, Path) else self.path.open("rb")
            return io.BufferedReader(pa.input_stream(packed, compression=kind))
        return self.path.open("rb")

    def text(self) -> str:
        """All of it as text, whatever its encoding."""
        with self.open() as file:
            return decoded(file.read(), where=self.where)

    def lines(self) -> Iterator[str]:
        """Its lines as they are read, with their ends (\\n or \\r\\n), whatever their encoding."""
        with self.open() as file:
            yield from decoded_lines(file, where=self.where)

    def why_empty(self) -> MinitronError | None:
        """The error for a source that gave no rows; None if the reason is unknown."""
        return self.chat.why_empty() if self.chat else None

    def about(self) -> dict | None:
        """For the report, after reading: what became of the chat messages that the rows were made of."""
        return self.chat.about() if self.chat and self.chat.messages else None

    def told(self) -> list[str]:
        """The same as lines for people."""
        return self.chat.lines() if self.chat and self.chat.messages else []

    @property
    def compressed(self) -> bool:
        return self.path.suffix.lower() in COMPRESSIONS


class Objects(Chunk):
    """A chunk of dicts, each with columns of its own."""

    def __init__(self, objects: list[dict]):
        self.objects, self.rows = objects, len(objects)
        self.names = list(dict.fromkeys(name for row in objects for name in row))

    def values(self, leaf: Leaf) -> tuple[pa.Array, bool]:
        values = [value_of(row, leaf.name) for row in self.objects]
        return read_values(values, leaf), any(isinstance(value, str) for value in values)

    def cells(self, names: list[str], passing: pa.BooleanArray | None = None) -> Iterator[dict[str, list]]:
        kept = self.objects if passing is None else list(itertools.compress(self.objects, passing.to_pylist()))
        yield {name: [row.get(name) for row in kept] for name in names}


class Columns(Chunk):
    """A chunk of an Arrow table in memory."""

    def __init__(self, table: pa.Table | pa.RecordBatch, *, where: str):
        self.table, self.rows, self.names, self.where = table, table.num_rows, table.schema.names, where

    def values(self, leaf: Leaf) -> tuple[pa.Array, bool]:
        name, fields = column_of(leaf, self.names, where=self.where)
        column = self.table[name]
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        return column_values(column, fields, leaf, where=self.where)

    def batches(self, names: list[str], passing: pa.BooleanArray | None = None) -> Iterator[pa.RecordBatch]:
        table = self.table if passing is None else self.table.filter(passing)
        table = table.select([one_of(name, self.names, where=self.where) for name in names if name in self.names])
        yield from [table] if isinstance(table, pa.RecordBatch) else table.combine_chunks().to_batches()

    def cells(self, names: list[str], passing: pa.BooleanArray | None = None) -> Iterator[dict[str, list]]:
        yield from map(pa.RecordBatch.to_pydict, self.batches(names, passing))


def rows_of(chunks: Iterable[Chunk]) -> Iterator[dict]:
    """The rows of some chunks, as dicts."""
    for chunk in chunks:
        for cells in chunk.cells(chunk.names):
            columns = [cells[name] for name in chunk.names]
            yield from (dict(zip(chunk.names, row, strict=True)) for row in zip(*columns, strict=True))


def value_of(row: dict, name: str) -> Any:
    """A row's value under the name of a column, or of a field within it (`find_column`); None if there is nothing."""
    if name in row:
        return row[name]
    found = find_column(name, row)
    value = row[found[0]] if found else None
    for key in found[1] if found else ():
        if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):  # a map of Arrow
            value = dict(reversed(value))  # the first of equal keys, as in `field_of`
        value = value.get(key) if isinstance(value, dict) else None
    return value


def column_of(leaf: Leaf, names: list[str], *, where: str) -> tuple[str, list[str]]:
    """The column that a leaf reads, which must be there, and the fields on the way into it."""
    found = find_column(leaf.name, names)
    assert found, (leaf, names)
    return one_of(found[0], names, where=where), found[1]


def column_values(column: pa.Array, fields: list[str], leaf: Leaf, *, where: str) -> tuple[pa.Array, bool]:
    """An Arrow column as `Chunk.values` gives it."""
    column = field_of(column, fields, where=where, name=leaf.name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    text = leaf.kind == NUMBER and is_text(column.type) and column.null_count < len(column)
    return read_leaf(column, leaf), text


def one_of(name: str, names: list[str], *, where: str) -> str:
    """Returns the name. Raises MinitronError if several columns have it."""
    if names.count(name) > 1:
        raise MinitronError(f"{where} has the column '{name}' twice", hint="rename or remove one of them")
    return name


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turns the errors of libraries about a file that cannot be read into a MinitronError that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8, or leave it out"
        raise MinitronError(f"{where} is not UTF-8 text: {error.reason} at byte {error.start}", hint=hint) from error
    except (OSError, pa.ArrowException, EOFError) as error:
        raise unreadable(where, error, hint="check that it is whole and may be read") from error
    except MinitronError:
        raise
    except Exception as error:
        if not is_address(where):
            raise
        raise unreadable(where, error, hint="check the address, the network and your credentials") from error


def unreadable(where: str | Path, error: Exception, *, hint: str) -> MinitronError:
    """The error for a source that a library could not read, with the first line of the library's reason."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).strip()
    lines = reason.splitlines() or [type(error).__name__]
    return MinitronError(f"{where} cannot be read: {lines[0]}", hint=hint)
