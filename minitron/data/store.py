"""The dialogues of a run, as the data stage keeps them: train, valid and probes, parquet files of one schema.

    with open_parts(folder) as parts:                              # writes; the files appear when the block succeeds
        split = Split(parts, valid_fraction=0.02)
        split.add(table)                                           # of dialogues, as data.checked has them
        split.settle(want_valid=True)
    for dialogue in read(folder / "train.parquet"): ...            # {messages, skill, check}

Reading and writing are streamed: a file is never in memory as a whole. Knows nothing about where dialogues come from.
"""

import heapq
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from minitron.core.errors import MinitronError
from minitron.core.files import atomic_path, read_object, write_error
from minitron.data.columns import MESSAGES
from minitron.data.expressions import Leaf
from minitron.data.rules import Rules
from minitron.recipe import mixture
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config

PARTS = ("train", "valid", "probes")
LEAST_VALID = 20  # fewest dialogues held out, or a tenth of all if there are few
BUFFER_ROWS, BUFFER_CHARS = 4096, 8_000_000  # a row group is written when either is reached
# Columns of few different values, stored as a dictionary. Contents are not: trying that for them takes a tenth of the time of writing.
REPEATED = ["messages.list.element.role", "source", "scores.key_value.key", "scores.key_value.value", "skill", "check"]
SCHEMA = pa.schema(
    [
        ("messages", MESSAGES),
        ("source", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),  # of the rules' columns; null: not judged
        ("skill", pa.string()),
        ("check", pa.string()),
    ]
)


def report_of(config: Config) -> dict[str, Any]:
    """The data stage's report if the stage has run with these settings; else an empty one."""
    try:
        made_with = tomllib.loads((config.layout.stage("data") / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    same = made_with.get("data") == config.section("data") and made_with.get("seed") == config.seed
    return read_object(config.layout.stage_report("data")) if same else {}


def read(path: Path, *, only: Collection[int] | None = None) -> Iterator[dict]:
    """Dialogues of train.parquet, valid.parquet or probes.parquet: {messages, skill, check}, in the file's order. With `only`, those
    of these rows."""
    start = 0
    for batch in _batches(path, ["messages", "skill", "check"]):
        wanted = batch if only is None else batch.filter(_is_in(only, start, len(batch)))
        start += len(batch)
        yield from wanted.to_pylist()


def well_judged(path: Path, config: DataConfig) -> Iterator[int]:
    """The rows of such a file that the `valid_keep` of their source would hold out."""
    rules, start = {part.name: Rules(part.config) for part in mixture.ingredients(config)}, 0
    strict = any(each.valid for each in rules.values())
    for batch in _batches(path, ["source", "scores"] if strict else ["source"]):
        well = _judged_well(batch, rules) if strict else np.ones(len(batch), bool)
        yield from (start + np.flatnonzero(well)).tolist()
        start += len(batch)


def sources(path: Path) -> Counter[str]:
    """How many dialogues of each source such a file has."""
    found: Counter[str] = Counter()
    for batch in _batches(path, ["source"]):
        found.update(batch["source"].to_pylist())
    return found


def messages(path: Path, *, source: str | None = None) -> Iterator[tuple[list[int], list[str], list[str]]]:
    """The messages of such a file, a thousand dialogues at a time: where each dialogue begins and the last one ends, and the
    roles and contents of all of them. With `source`, only its dialogues."""
    for batch in _batches(path, ["messages", *([] if source is None else ["source"])]):
        column = batch["messages"]
        if source is not None:
            column = column.filter(pc.equal(batch["source"], source))
        ends = column.offsets.to_numpy()
        turns = column.flatten()
        yield (ends - ends[0]).tolist(), turns.field("role").to_pylist(), turns.field("content").to_pylist()


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=1024, columns=columns)
    except FileNotFoundError:
        raise MinitronError(f"there are no dialogues in {path.parent}", hint="run: minitron data RECIPE") from None
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise MinitronError(f"{path} cannot be read: {error}", hint="run: minitron data RECIPE --force") from error


def _judged_well(batch: pa.RecordBatch, rules: dict[str, Rules]) -> np.ndarray:
    """Which dialogues of a batch with `source` and `scores` pass the `valid_keep` of their source, or of the recipe if it has no named
    sources: (rows,) bool."""
    well = np.zeros(len(batch), bool)
    for name, each in rules.items():
        mine = pc.fill_null(pc.equal(batch["source"], name), False) if name else pa.array(np.ones(len(batch), bool))
        scores = batch["scores"].filter(mine)
        values = {Leaf(column): pc.map_lookup(scores, pa.scalar(column), "last") for column in each.columns}
        passes = each.may_be_valid(values, rows=len(scores))
        well[mine.to_numpy(zero_copy_only=False)] = passes.to_numpy(zero_copy_only=False)
    return well


class Part:
    """One output file while it is written, a row group at a time. `digests` and `may_be_valid` are those of the rows given to `add`."""

    def __init__(self, temporary: Path, *, path: Path):
        self.temporary, self.path = temporary, path
        self.chars = 0  # of what is written
        self.digests: list[bytes] = []
        self.may_be_valid = bytearray()
        self._written, self._buffer, self._buffer_rows, self._buffer_chars = 0, [], 0, 0
        self._writer = pq.ParquetWriter(temporary, SCHEMA, compression="zstd", use_dictionary=REPEATED)
        self._thread = ThreadPoolExecutor(1)  # compresses a row group while the next ones are gathered
        self._writing: Future[None] | None = None

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, failure, *_) -> None:
        with suppress(MinitronError) if failure else nullcontext():  # the first failure is the one to tell
            self._close_writer()

    @property
    def rows(self) -> int:
        return self._written + self._buffer_rows

    def add(self, table: pa.Table) -> None:
        """Adds dialogues and remembers their digests."""
        self.digests += digests(table).tolist()
        self.may_be_valid += table["may_be_valid"].to_numpy().tobytes()
        self.append(table)

    def append(self, table: pa.Table) -> None:
        """Adds dialogues. A row group ends when it has BUFFER_ROWS rows, or with the dialogue that brings it to BUFFER_CHARS
        characters."""
        if not len(table):
            return
        table = table.select(SCHEMA.names)
        chars = np.cumsum(_chars(table))
        start = 0
        while start < len(table):
            before = chars[start - 1] if start else 0
            reached = np.searchsorted(chars, before + BUFFER_CHARS - self._buffer_chars) + 1
            end = min(int(reached), start + BUFFER_ROWS - self._buffer_rows, len(table))
            self._buffer.append(table.slice(start, end - start))
            self._buffer_rows += end - start
            self._buffer_chars += int(chars[end - 1] - before)
            start = end
            if self._buffer_rows >= BUFFER_ROWS or self._buffer_chars >= BUFFER_CHARS:
                self._flush()

    def write(self, table: pa.Table, *, chars: int) -> None:
        """Writes a row group with so many characters."""
        self.chars += chars
        self._written += table.num_rows
        self._wait()
        self._writing = self._thread.submit(self._writer.write_table, table)

    def close(self) -> None:
        self._flush()
        self._close_writer()

    def rewrite(self, *, without: set[int], extra: pa.Table | None) -> None:
        """Writes the closed file anew, without the rows `without` and with `extra` at its end."""
        with atomic_path(self.temporary) as fresh, Part(fresh, path=self.path) as part:
            for start, table in self._tables():
                left = table.filter(pc.invert(_is_in(without, start, len(table))))
                part.write(left, chars=int(_chars(left).sum()))
            if extra:
                part.write(extra, chars=int(_chars(extra).sum()))
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

    def _wait(self) -> None:
        """Waits for the row group that is being written."""
        writing, self._writing = self._writing, None
        try:
            if writing:
                writing.result()
        except OSError as error:
            raise write_error(error, path=self.path) from error

    def _close_writer(self) -> None:
        self._wait()
        self._thread.shutdown()
        try:
            self._writer.close()
        except OSError as error:
            raise write_error(error, path=self.path) from error

    def _flush(self) -> None:
        if self._buffer:
            # one piece, so that the bytes do not depend on how rows came
            table = pa.concat_tables(self._buffer).combine_chunks()
            chars = self._buffer_chars
            self._buffer, self._buffer_rows, self._buffer_chars = [], 0, 0
            self.write(table, chars=chars)


def digests(table: pa.Table) -> np.ndarray:
    """The digest of each dialogue of a table (`checked.CHECKED`), (rows,) of 16 bytes each."""
    column = table["digest"].combine_chunks()
    data = column.buffers()[1] if len(column) else b""
    return np.frombuffer(data, "V16")[column.offset : column.offset + len(column)]


def _chars(table: pa.Table) -> np.ndarray:
    """Characters of each dialogue."""
    messages = table["messages"].combine_chunks()
    lengths = pc.utf8_length(messages.flatten().field("content")).to_numpy()
    ends = messages.offsets.to_numpy()
    return np.add.reduceat(lengths, ends[:-1] - ends[0])


def _is_in(rows: Collection[int], start: int, count: int) -> pa.BooleanArray:
    """Which of the rows from `start` on are in `rows`."""
    return pa.array(np.isin(np.arange(start, start + count), list(rows)))


class Settled(NamedTuple):
    """What `settle` decided: how many dialogues were held out beyond those chosen by their digests (`moved`), how many were
    dropped only then, by the reason, and for each origin {"name", "train", "valid", "probes", "written"}."""

    moved: int
    dropped: Counter[str]
    origins: list[dict[str, Any]]
    near: dict[str, Any] | None = None  # near-duplicates, where they were looked for


class Split:
    """The three outputs in the order of the input. Remembers which dialogues they have by their digests (about 120 bytes of
    memory for each)."""

    def __init__(self, parts: dict[str, Part], *, valid_fraction: float, max_rows: int = 0):
        self.parts, self.valid_fraction, self.max_rows = parts, valid_fraction, max_rows
        self.rows = 0  # distinct dialogues
        self._seen: set[bytes] = set()
        self._probes: set[bytes] = set()
        self._became_probes: set[bytes] = set()  # digests of probes that are in train or valid, too
        self._gone: dict[str, set[int]] = {name: set() for name in PARTS}  # rows that became probes, or that move

    @property
    def full(self) -> bool:
        """Whether there are as many dialogues as max_rows asks for."""
        return bool(self.max_rows) and self.rows >= self.max_rows

    def add(self, table: pa.Table, *, origin: int = 0) -> int:
        """Adds dialogues (`checked.CHECKED`) until it is full: to probes, to valid if a dialogue may be held out and has a small
        digest, or else to train.

        Returns how many of them had been added before; one that only now turns out to be a probe moves to probes.
        """
        seen, found = self._seen, digests(table)
        if self.max_rows:
            table, found = self._needed(table, found)
        probe, may_be_valid = table["probe"].to_numpy(), table["may_be_valid"].to_numpy()
        share = found.view(">u8")[::2] / 2.0**64
        part = np.where(probe, 2, np.where(may_be_valid & (share < self.valid_fraction), 1, 0))
        new = (digest not in seen and not seen.add(digest) for digest in found.tolist())  # set.add returns None
        stays = np.fromiter(new, bool, len(found))
        twice = len(stays) - int(stays.sum())
        for row in np.flatnonzero(probe).tolist():
            digest = found[row].tobytes()
            if not stays[row] and digest not in self._probes:
                self._became_probes.add(digest)
                stays[row] = True
            self._probes.add(digest)
        self.rows = len(seen)
        for number, name in enumerate(PARTS):
            mine = stays & (part == number)
            if mine.any():
                self.parts[name].add(table if mine.all() else table.filter(pa.array(mine)))
        return twice

    def _needed(self, table: pa.Table, found: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        """The dialogues and their digests, up to the one with which there are as many as max_rows asks for."""
        new: set[bytes] = set()
        for row, digest in enumerate(found.tolist()):
            if self.rows + len(new) == self.max_rows:
                return table.slice(0, row), found[:row]
            if digest not in self._seen:
                new.add(digest)
        return table, found

    def settle(self, *, want_valid: bool) -> Settled:
        """Closes the files; takes out of train and valid what became a probe; moves dialogues so that train is not empty and
        valid not too small."""
        for name, part in self.parts.items():
            part.close()
            if self._became_probes and name != "probes":
                self._gone[name] = {row for row, digest in enumerate(part.digests) if digest in self._became_probes}
        extra: dict[str, pa.Table] = {}
        train, valid = (self.parts[name].rows - len(self._gone[name]) for name in ("train", "valid"))
        least = min(LEAST_VALID, max(1, (train + valid) // 10)) if want_valid and train + valid > 1 else 0
        moved = 0
        if not train:  # the dialogue with the largest digest is the last that valid would take
            self._move(1, "valid", "train", extra, choose=heapq.nlargest)
        elif valid < least:
            moved = self._move(least - valid, "train", "valid", extra, choose=heapq.nsmallest)
        for name, part in self.parts.items():
            if self._gone[name] or name in extra:
                part.rewrite(without=self._gone[name], extra=extra.get(name))
        return Settled(moved, Counter(), [])

    def _move(self, count: int, source: str, target: str, extra: dict[str, pa.Table], *, choose: Callable) -> int:
        """Moves up to `count` dialogues that may be held out. Returns how many it moved."""
        part, gone = self.parts[source], self._gone[source]
        free = ((part.digests[row], row) for row, may in enumerate(part.may_be_valid) if may and row not in gone)
        rows = {row for _, row in choose(count, free)}
        if rows:
            extra[target] = part.take(rows)
            gone |= rows
        return len(rows)


@contextmanager
def open_parts(folder: Path) -> Iterator[dict[str, Part]]:
    """The folder's three files, which appear when the block succeeds."""
    with ExitStack() as stack:
        parts = {}
        for name in PARTS:
            path = folder / f"{name}.parquet"
            temporary = stack.enter_context(atomic_path(path))
            parts[name] = stack.enter_context(Part(temporary, path=path))
        yield parts
