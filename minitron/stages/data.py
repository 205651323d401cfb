"""Judged dialogues in, train, valid and probes out. Run: minitron data recipes/demo.toml

Writes `train.parquet`, `valid.parquet`, `probes.parquet` (one schema, input order) and, last, `report.json`, in which
every row is counted once: kept, or under the first reason that dropped it. One pass over the data; what it remembers
of past dialogues is their digests, on disk.

Which dialogues are kept, and in which file, does not depend on the order of the rows: of equal dialogues one stays; it
is a probe if any of its copies is; valid takes those whose digest is small. Knows nothing about tokens.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from minitron.core.console import Progress, progress, say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_path, atomic_write, remove_leftovers, write_error
from minitron.data.rules import Tally
from minitron.data.sources import (
    NOT_UNICODE,
    UNKNOWN_ROLE,
    Reader,
    Row,
    count_rows,
    digest_of,
    find_files,
    role_map,
    to_messages,
)
from minitron.recipe.schema import Config

PARTS = ("train", "valid", "probes")
DUPLICATE = "exact duplicate"
BEYOND = "not needed: data.max_rows reached"
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


def run(config: Config) -> None:
    data, folder = config.data, config.layout.stage("data")
    if not (data.synth_rows or data.files or data.hub):
        hint = "set data.files, data.hub or data.synth_rows"
        raise MinitronError(f"{config.recipe} names no data", hint=hint, code=2)
    reader, roles = Reader(data), role_map(data)  # both check the recipe
    remove_leftovers(folder)
    if data.synth_rows:
        from minitron import synth

        paths = [folder / "synth.parquet"]
        folder.mkdir(parents=True, exist_ok=True)
        synth.write(paths[0], rows=data.synth_rows, seed=config.seed)
    else:
        paths = find_files(data.files)
    with _open_split(folder, score_columns=reader.rules.columns) as split:
        with progress("reading dialogues", count_rows(paths)) as bar:
            _fill(split, reader, paths, roles=roles, bar=bar)
        report = _report(split, reader.tally)
        split.settle(want_valid=data.valid_fraction > 0)
        report |= {name: part.rows for name, part in split.parts.items()}
        report["chars"] = {name: part.chars for name, part in split.parts.items()}
        (config.layout.stage_report("data")).unlink(
            missing_ok=True
        )  # the old report is not about what now takes its place
    atomic_write(config.layout.stage_report("data"), json.dumps(report, indent=1, ensure_ascii=False))
    _show(report)


def _fill(split: "Split", reader: Reader, paths: list[Path], *, roles: dict[str, str], bar: Progress) -> None:
    data, tally = reader.config, reader.tally
    for rows in reader.read(paths):
        for row in rows:
            if data.max_rows and split.rows >= data.max_rows:
                tally.drop(BEYOND, tally.rows_in - split.rows - tally.dropped.total())
                return
            messages = to_messages(row.turns, roles=roles, unknown=tally.unknown_roles)
            if isinstance(messages, str):
                tally.drop(messages)
                continue
            try:
                digest = digest_of(messages)
            except UnicodeEncodeError:
                tally.drop(NOT_UNICODE)
                continue
            share = int.from_bytes(digest[:8], "big") / 2**64
            valid = row.may_be_valid and share < data.valid_fraction
            part = "probes" if row.probe else "valid" if valid else "train"
            if not split.add(row, messages, digest=digest, part=part):
                tally.drop(DUPLICATE)
        bar.update(tally.rows_in, f"{split.rows:,} kept")


def _report(split: "Split", tally: Tally) -> dict:
    """What became of every row; raises if nothing is left to train on."""
    dropped = dict(tally.dropped.most_common())
    assert split.rows + sum(dropped.values()) == tally.rows_in, "every row is counted exactly once"
    if not tally.rows_in:
        paths = ", ".join(file["path"] for file in tally.files)
        raise MinitronError(f"there are no rows in {paths}", hint="check data.files or data.hub_split")
    if split.rows == split.parts["probes"].rows:
        what = "all dialogues that are left are probes" if split.rows else "no dialogue is left"
        reasons = "; ".join(f"{reason}: {rows:,}" for reason, rows in dropped.items())
        hint = "check data.keep and data.probes"
        if UNKNOWN_ROLE in dropped:
            hint = f"map these roles in data.roles: {', '.join(sorted(tally.unknown_roles))}"
        raise MinitronError(f"{what} of {tally.rows_in:,} rows ({reasons})", hint=hint)
    report = {"rows_in": tally.rows_in, "kept": split.rows, "dropped": dropped}
    report["kept_without_score"] = {name: rows for name, rows in tally.kept_without_score.items() if rows}
    report["unknown_roles"] = sorted(tally.unknown_roles)
    return report | {"files": tally.files}


def _show(report: dict) -> None:
    lines = [("rows read", report["rows_in"])]
    lines += [(f"- {reason}", rows) for reason, rows in report["dropped"].items()]
    lines += [("kept", report["kept"])] + [(f"  {name}", report[name]) for name in PARTS]
    width = max(len(text) for text, _ in lines)
    for text, rows in lines:
        say(f"{text:<{width}} {rows:>12,}")
    for column, rows in report["kept_without_score"].items():
        warn(f"{rows:,} rows have no score '{column}' and passed its rule (data.missing_scores)")
    if report["unknown_roles"]:
        warn(f"unknown roles, to be mapped in data.roles: {', '.join(report['unknown_roles'])}")


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

    def add(self, row: Row, messages: list[dict[str, str]]) -> None:
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
                gone = np.isin(np.arange(start, start + len(table)), list(without))
                part.write(table.filter(pa.array(~gone)))
            if extra:
                part.write(extra)
        self._written, self.chars = part.rows, part.chars

    def take(self, row: int) -> pa.Table:
        """One row of the closed file."""
        return next(table.slice(row - start, 1) for start, table in self._tables() if row < start + len(table))

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


class Split:
    """The three outputs, and where each dialogue went (by its digest, on disk)."""

    def __init__(self, parts: dict[str, Part], seen: sqlite3.Connection):
        self.parts, self._seen = parts, seen
        self.rows = 0  # distinct dialogues
        self._gone: dict[str, set[int]] = {name: set() for name in PARTS}  # rows that turned out to be probes
        # A scratch file: no journal, no flushing, one transaction, at most 32 MB of it in memory.
        for command in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -32768"):
            seen.execute(f"PRAGMA {command}")
        seen.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, part TEXT, row INTEGER) WITHOUT ROWID")
        seen.execute("BEGIN")

    def add(self, row: Row, messages: list[dict[str, str]], *, digest: bytes, part: str) -> bool:
        """Adds a dialogue; False if it was there already (if only now it shows to be a probe, it moves there)."""
        place = (part, self.parts[part].rows)
        new = self._seen.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (digest, *place)).rowcount > 0
        if not new:
            earlier = self._seen.execute("SELECT part, row FROM seen WHERE digest = ?", (digest,)).fetchone()
            if part != "probes" or earlier[0] == "probes":
                return False
            self._gone[earlier[0]].add(earlier[1])
            self._seen.execute("UPDATE seen SET part = ?, row = ? WHERE digest = ?", (*place, digest))
        self.parts[part].add(row, messages)
        self.rows += new
        return new

    def settle(self, *, want_valid: bool) -> None:
        """Closes the files; takes out of them what became a probe; leaves neither train nor valid empty."""
        for part in self.parts.values():
            part.close()
        extra: dict[str, pa.Table] = {}
        train, valid = (self.parts[name].rows - len(self._gone[name]) for name in ("train", "valid"))
        if not train:  # tiny data: the dialogue with the largest digest is the last that valid would take
            self._move("valid", "train", extra, order="DESC")
        elif not valid and train > 1 and want_valid:
            self._move("train", "valid", extra, order="ASC")
        for name, part in self.parts.items():
            if self._gone[name] or name in extra:
                part.rewrite(without=self._gone[name], extra=extra.get(name))

    def _move(self, source: str, target: str, extra: dict[str, pa.Table], *, order: str) -> None:
        query = f"SELECT row FROM seen WHERE part = ? ORDER BY digest {order} LIMIT 1"
        (row,) = self._seen.execute(query, (source,)).fetchone()
        extra[target] = self.parts[source].take(row)
        self._gone[source].add(row)


@contextmanager
def _open_split(folder: Path, *, score_columns: list[str]) -> Iterator[Split]:
    """A Split in `folder`, whose files appear when the block succeeds."""
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
