"""The dialogues of a run, as the data stage keeps them: train, valid and probes, parquet files of one schema.

    with open_split(folder, score_columns=["safety"]) as split:    # writes; the files appear when the block succeeds
        split.add(row, messages, digest=digest, part="train")
    for dialogue in read(folder / "train.parquet"): ...            # {messages, skill, check}

Both stream: never a whole file in memory. Knows nothing about where dialogues come from.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import compress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from minitron.core.errors import MinitronError
from minitron.core.files import atomic_path, write_error
from minitron.data.expressions import Leaf
from minitron.data.messages import Message
from minitron.data.rules import Rules
from minitron.data.sources import Row

PARTS = ("train", "valid", "probes")
LEAST_VALID = 20  # dialogues held out at least, or a tenth of all where there are few
BUFFER_ROWS, BUFFER_CHARS = 4096, 8_000_000  # a row group is written when either is reached
SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("source", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),  # of the rules' columns; null: not judged
        ("skill", pa.string()),
        ("check", pa.string()),
    ]
)


def read(path: Path, *, rules: Rules | None = None) -> Iterator[dict]:
    """Dialogues of train.parquet, valid.parquet or probes.parquet: {messages, skill, check}, in the file's order. With `rules`
    only those that are judged well enough to be held out (`data.valid_keep`)."""
    strict = rules is not None and bool(rules.valid)
    try:
        with pq.ParquetFile(path) as file:
            columns = ["messages", "skill", "check", *(["scores"] if strict else [])]
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                rows = batch.to_pylist()
                yield from compress(rows, _judged_well(rows, rules)) if strict else rows
    except FileNotFoundError:
        raise MinitronError(f"there are no dialogues in {path.parent}", hint="run: minitron data RECIPE") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise MinitronError(f"{path} cannot be read: {error}", hint="run: minitron data RECIPE --force") from error


def _judged_well(rows: list[dict], rules: Rules) -> list[bool]:
    scores = [dict(row.pop("scores") or ()) for row in rows]
    values = {Leaf(name): pa.array([judged.get(name) for judged in scores], pa.float64()) for name in rules.columns}
    return rules.may_be_valid(values, rows=len(rows)).to_pylist()


class Part:
    """One output file while it is written, a row group at a time."""

    def __init__(self, temporary: Path, *, path: Path, score_columns: list[str]):
        self.temporary, self.path, self.score_columns = temporary, path, score_columns
        self.chars = 0  # of what is written
        self._written, self._buffer, self._buffer_chars = 0, [], 0
        self._writer = pq.ParquetWriter(temporary, SCHEMA, compression="zstd")

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, failure, *_) -> None:
        with suppress(MinitronError) if failure else nullcontext():  # the first failure is the one to tell
            self._close_writer()

    @property
    def rows(self) -> int:
        return self._written + len(self._buffer)

    def add(self, row: Row, messages: list[Message]) -> None:
        scores = list(zip(self.score_columns, row.scores, strict=True))
        self._buffer.append((messages, row.source, scores, row.skill, row.check))
        self._buffer_chars += sum(len(message["content"]) for message in messages)
        if len(self._buffer) >= BUFFER_ROWS or self._buffer_chars >= BUFFER_CHARS:
            self._flush()

    def write(self, table: pa.Table) -> None:
        contents = table["messages"].combine_chunks().flatten().field("content")
        self.chars += pc.sum(pc.utf8_length(contents)).as_py() or 0
        self._written += table.num_rows
        try:
            self._writer.write_table(table)
        except OSError as error:
            raise write_error(error, path=self.path) from error

    def close(self) -> None:
        self._flush()
        self._close_writer()

    def rewrite(self, *, without: set[int], extra: pa.Table | None) -> None:
        """The closed file once more, less the rows `without`, and then `extra`."""
        score_columns = self.score_columns
        with atomic_path(self.temporary) as fresh, Part(fresh, path=self.path, score_columns=score_columns) as part:
            for start, table in self._tables():
                part.write(table.filter(pc.invert(_is_in(without, start, len(table)))))
            if extra:
                part.write(extra)
        self._written, self.chars = part.rows, part.chars

    def take(self, rows: set[int]) -> pa.Table:
        """Some rows of the closed file, in their order."""
        taken = [table.filter(_is_in(rows, start, len(table))) for start, table in self._tables()]
        return pa.concat_tables(taken) if taken else SCHEMA.empty_table()

    def _tables(self) -> Iterator[tuple[int, pa.Table]]:
        start = 0
        with pq.ParquetFile(self.temporary) as file:
            for group in range(file.num_row_groups):
                yield start, (table := file.read_row_group(group))
                start += len(table)

    def _close_writer(self) -> None:
        try:
            self._writer.close()
        except OSError as error:
            raise write_error(error, path=self.path) from error

    def _flush(self) -> None:
        if not self._buffer:
            return
        rows = zip(*self._buffer, strict=True)  # transposed
        columns = [pa.array(column, field.type) for column, field in zip(rows, SCHEMA, strict=True)]
        self._buffer, self._buffer_chars = [], 0
        self.write(pa.Table.from_arrays(columns, schema=SCHEMA))


def _is_in(rows: set[int], start: int, count: int) -> pa.BooleanArray:
    """Which of the rows from `start` on are in `rows`."""
    return pa.array(np.isin(np.arange(start, start + count), list(rows)))


class Split:
    """The three outputs, and where each dialogue went (by its digest, on disk)."""

    def __init__(self, parts: dict[str, Part], seen: sqlite3.Connection):
        self.parts, self._seen = parts, seen
        self.rows = 0  # distinct dialogues
        self._gone: dict[str, set[int]] = {name: set() for name in PARTS}  # rows that turned out to be probes
        # A scratch file: no journal, no flushing, one transaction, at most 32 MB of it in memory.
        for command in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -32768"):
            seen.execute(f"PRAGMA {command}")
        columns = "digest BLOB PRIMARY KEY, part TEXT, row INTEGER, may_be_valid INTEGER"
        seen.execute(f"CREATE TABLE seen ({columns}) WITHOUT ROWID")
        seen.execute("BEGIN")

    def add(self, row: Row, messages: list[Message], *, digest: bytes, part: str) -> bool:
        """Adds a dialogue; False if it was there already (if only now it shows to be a probe, it moves there)."""
        place = (part, self.parts[part].rows)
        values = (digest, *place, row.may_be_valid)
        new = self._seen.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)", values).rowcount > 0
        if not new:
            earlier = self._seen.execute("SELECT part, row FROM seen WHERE digest = ?", (digest,)).fetchone()
            if part != "probes" or earlier[0] == "probes":
                return False
            self._gone[earlier[0]].add(earlier[1])
            self._seen.execute("UPDATE seen SET part = ?, row = ? WHERE digest = ?", (*place, digest))
        self.parts[part].add(row, messages)
        self.rows += new
        return new

    def settle(self, *, want_valid: bool) -> int:
        """Closes the files; takes out of them what became a probe; leaves neither train nor valid empty, nor valid tiny.

        Returns how many dialogues valid got beyond those that it has by their digests.
        """
        for part in self.parts.values():
            part.close()
        extra: dict[str, pa.Table] = {}
        train, valid = (self.parts[name].rows - len(self._gone[name]) for name in ("train", "valid"))
        least = min(LEAST_VALID, max(1, (train + valid) // 10)) if want_valid and train + valid > 1 else 0
        moved = 0
        if not train:  # the dialogue with the largest digest is the last that valid would take
            self._move(1, "valid", "train", extra, order="DESC")
        elif valid < least:
            moved = self._move(least - valid, "train", "valid", extra, order="ASC")
        for name, part in self.parts.items():
            if self._gone[name] or name in extra:
                part.rewrite(without=self._gone[name], extra=extra.get(name))
        return moved

    def _move(self, count: int, source: str, target: str, extra: dict[str, pa.Table], *, order: str) -> int:
        """Moves up to `count` dialogues that may be held out. Returns how many there were."""
        query = f"SELECT row FROM seen WHERE part = ? AND may_be_valid ORDER BY digest {order} LIMIT ?"
        rows = {row for (row,) in self._seen.execute(query, (source, count))}
        if rows:
            extra[target] = self.parts[source].take(rows)
            self._gone[source] |= rows
        return len(rows)


@contextmanager
def open_split(folder: Path, *, score_columns: list[str]) -> Iterator[Split]:
    """A Split of the folder's three files, which appear when the block succeeds."""
    with ExitStack() as stack:
        parts = {}
        for name in PARTS:
            path = folder / f"{name}.parquet"
            temporary = stack.enter_context(atomic_path(path))
            parts[name] = stack.enter_context(Part(temporary, path=path, score_columns=score_columns))
        scratch = folder / f".seen.{os.getpid()}.tmp"
        stack.callback(scratch.unlink, missing_ok=True)
        seen = sqlite3.connect(scratch, isolation_level=None)
        stack.callback(seen.close)
        try:
            yield Split(parts, seen)
        except sqlite3.OperationalError as error:  # a full disk, mostly
            hint = "free some space, then run the same command again"
            raise MinitronError(f"{error} while writing {folder}", hint=hint) from error
