"""Turns rows that passed the rules into checked dialogues with the columns that a run keeps, thousands at a time.

    for table in dialogues(reader, source, roles=roles): ...     # of the schema CHECKED; malformed rows are counted in reader.tally

Turns in an Arrow column are checked as a whole, other rows one by one. Knows nothing about duplicates and about what the run
keeps.
"""

import hashlib
import json
import platform
import tempfile
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from minitron import __version__
from minitron.core.addresses import version
from minitron.core.files import atomic_write, write_error
from minitron.data.columns import MESSAGES, are_checked, check, digests_of
from minitron.data.expressions import Leaf
from minitron.data.formats.parquet import PART_BYTES, Parquet
from minitron.data.formats.source import Source, one_of, reading, unreadable
from minitron.data.messages import NO_ANSWER, printable, role_map, to_messages
from minitron.data.quality import Quality
from minitron.data.rules import is_text
from minitron.data.shapes import Shape
from minitron.data.sources import COPIED_COLUMNS, Passed, Reader
from minitron.data.store import SCHEMA
from minitron.recipe.data import DataConfig

CHECKED = pa.schema([*SCHEMA, ("digest", pa.binary(16)), ("probe", pa.bool_()), ("may_be_valid", pa.bool_())])
MOST_GATHERED = 2 * PART_BYTES  # uncompressed size of a row group; pandas may write a file of gigabytes as one
UNANSWERED = "a probe without an answer: write one that passes its check"


class Written(NamedTuple):
    """The result of `write`: a file with a source's dialogues, and the reader with its counts."""

    path: Path
    reader: Reader
    size: int  # of the source, in bytes

    @property
    def tables(self) -> Iterator[pa.Table]:
        return read(self.path)


class Gathered(NamedTuple):
    """The result of `gather`: the same in memory."""

    tables: list[pa.Table]
    reader: Reader
    size: int


Task = tuple[Source, DataConfig, Path]  # the source, its options, and the folder to write into


def write(task: Task) -> Written:
    """Writes the dialogues of a source into the folder (Arrow's stream format), unless an earlier run left them there; runs in
    worker processes. The reader's counts are written last, beside them: without these a file is incomplete."""
    if found := left(task):
        return found
    source, config, folder = task
    path, met = _places(task)
    reader = Reader(config)
    try:
        met.unlink(missing_ok=True)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, CHECKED) as stream:
            for table in dialogues(reader, source, roles=role_map(config)):
                stream.write_table(table)
        met.write_text(json.dumps(reader.to_json()), encoding="utf-8")
    except OSError as error:  # errors of reading are MinitronErrors by now
        raise write_error(error, path=folder) from error
    return Written(path, reader, source.size)


def by_columns(source: Source, config: DataConfig) -> bool:
    """Whether `dialogues` checks the rows of this source in whole columns, except for unusual ones. Arrow and NumPy then do the work,
    for which threads of this process are enough, unless a row group is too large for `gather` to hold."""
    if config.clean or not isinstance(source, Parquet) or not isinstance(source.path, Path):
        return False
    with reading(source.where), pq.ParquetFile(source.path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    sizes = (metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if max(sizes, default=0) > MOST_GATHERED:
        return False
    turns = Shape.find(schema.names, config=config, where=source.where).whole_turns
    return bool(turns) and are_checked(schema.field(one_of(turns, schema.names, where=source.where)).type)


def gather(task: Task) -> Gathered:
    """The dialogues of a source, in memory; runs in threads of this process."""
    source, config, _ = task
    reader = Reader(config)
    return Gathered(list(dialogues(reader, source, roles=role_map(config))), reader, source.size)


def send(task: tuple[Source, DataConfig, Path]) -> tuple[bytes, bytes]:
    """`write` on another computer: returns the bytes of both files, for `receive`. The folder is the one that the source's path
    starts from."""
    source, config, where = task
    try:
        with chdir(where), tempfile.TemporaryDirectory() as folder:
            whole = (source, config, Path(folder))
            path, met = _places(whole)
            write(whole)
            return path.read_bytes(), met.read_bytes()
    except OSError as error:
        hint = (
            "the machines of a cluster need it in the same folder, of a disk that all of them see, or behind an address"
        )
        raise unreadable(f"{source.path} in {where} on {platform.node()}", error, hint=hint) from error


def receive(task: Task, sent: tuple[bytes, bytes]) -> Written:
    """Writes the files that another computer sent, as `write` does."""
    source, config, _ = task
    for path, content in zip(_places(task), sent, strict=True):
        atomic_write(path, content)
    return Written(path.with_suffix(".arrow"), Reader.of_json(config, json.loads(sent[1])), source.size)


def left(task: Task) -> Written | None:
    """What an earlier run wrote; None if it is missing or damaged, as after a power cut."""
    source, config, _ = task
    path, met = _places(task)
    try:
        reader = Reader.of_json(config, json.loads(met.read_text(encoding="utf-8")))
        for table in read(path):
            table.validate(full=True)
            if digests_of(table["messages"].combine_chunks()) != table["digest"].to_pylist():
                return None
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException):
        return None
    return Written(path, reader, source.size)


def _places(task: Task) -> tuple[Path, Path]:
    """The paths of the file of dialogues and of the file with the reader's counts."""
    source, config, folder = task
    path = folder / _key(source, config)
    return path.with_suffix(".arrow"), path.with_suffix(".json")


def _key(source: Source, config: DataConfig) -> str:
    """A hash of all that decides what is read: the options, the file's size and times (as in `core.hashes`), and which part of it
    is read."""
    decides = (__version__, str(CHECKED), type(source).__name__, vars(source), version(source.path), config)
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:32]


def read(path: Path) -> Iterator[pa.Table]:
    """What `write` wrote, in parts of bounded size."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        for batch in stream:
            yield pa.Table.from_batches([batch])


def dialogues(reader: Reader, source: Source, *, roles: dict[str, str]) -> Iterator[pa.Table]:
    """The dialogues of a source that pass the reader's rules and are well formed, in order."""
    quality = Quality(reader.config.clean, masked=reader.tally.masked) if reader.config.clean else None
    with reading(source.where):
        for passed in reader.passed(source):
            rules, values = reader.rules, passed.values
            probe = rules.are_probes(values, rows=passed.count)
            rows, messages = _messages(passed, probe, reader, roles, quality)
            if not len(rows):
                continue
            columns = [
                messages,
                *(
                    _texts(passed, name, rows, default=passed.source if name == "source" else "")
                    for name in COPIED_COLUMNS
                ),
                pa.array(digests_of(messages), pa.binary(16)),
                probe.take(rows),
                rules.may_be_valid(values, rows=passed.count).take(rows),
            ]
            columns.insert(2, _scores(rules.columns, values, rows))
            yield pa.Table.from_arrays(columns, schema=CHECKED)


def _messages(
    passed: Passed, probe: pa.BooleanArray, reader: Reader, roles: dict[str, str], quality: Quality | None
) -> tuple[pa.Array, pa.Array]:
    """The numbers of the rows that are dialogues, and their messages."""
    cells, column = passed.cells, passed.shape.whole_turns
    sound, quick = np.zeros(passed.count, bool), None
    if not quality and isinstance(cells, pa.RecordBatch) and column in cells.schema.names:
        with suppress(pa.ArrowInvalid):  # text that is not UTF-8: the check row by row gives the reason
            sound, quick = check(cells[column], roles=roles)
    rest = np.flatnonzero(~sound)
    slow, found = [], []
    tally, probes = reader.tally, probe.to_pylist() if len(rest) else []
    for row, turns in zip(
        rest.tolist(), passed.shape.turns(_rows(cells, rest), len(rest)) if len(rest) else (), strict=True
    ):
        messages = to_messages(turns, roles=roles, unknown=tally.unknown_roles)
        if quality and isinstance(messages, list):
            messages = quality.of(messages)
        if isinstance(messages, list):
            slow.append(row)
            found.append(messages)
        else:
            tally.drop(UNANSWERED if probes[row] and messages == NO_ANSWER else messages)
    rows = np.concatenate([np.flatnonzero(sound), np.array(slow, np.int64)])
    written = pa.array(found, MESSAGES)
    if quick is not None and len(quick):
        written = pa.concat_arrays([quick, written]) if slow else quick
    order = np.argsort(rows)
    return pa.array(rows[order]), written.take(pa.array(order)) if slow and len(written) > len(slow) else written


def _rows(cells: pa.RecordBatch | dict[str, list], rows: np.ndarray) -> dict[str, list]:
    if isinstance(cells, pa.RecordBatch):
        return cells.take(pa.array(rows)).to_pydict()
    return {name: [values[row] for row in rows.tolist()] for name, values in cells.items()}


def _texts(passed: Passed, name: str, rows: pa.Array, *, default: str) -> pa.StringArray:
    """A column as texts, with `default` where a row has none."""
    cells = passed.cells
    if isinstance(cells, pa.RecordBatch) and name in cells.schema.names and is_text(cells[name].type):
        texts = cells[name].take(rows).cast(pa.string())
        texts.validate(full=True)
        return pc.if_else(pc.equal(pc.fill_null(texts, ""), ""), default, texts)
    values = cells[name] if name in (cells.schema.names if isinstance(cells, pa.RecordBatch) else cells) else None
    if values is None:
        return pa.array([default] * len(rows), pa.string())
    values = values.to_pylist() if isinstance(values, pa.Array) else values
    return pa.array([printable(values[row]) or default for row in rows.to_pylist()], pa.string())


def _scores(names: list[str], values: dict[Leaf, pa.Array], rows: pa.Array) -> pa.MapArray:
    """Each row's scores by the names of their columns, null where one is missing."""
    columns = [values[Leaf(name)].take(rows) for name in names]
    ends = pa.array(np.arange(len(rows) + 1) * len(names), pa.int32())
    if not names:
        return pa.MapArray.from_arrays(ends, pa.array([], pa.string()), pa.array([], pa.float64()))
    order = pa.array(np.arange(len(rows) * len(names)).reshape(len(names), -1).T.ravel())  # row after row
    scores = pa.concat_arrays(columns).take(order)
    return pa.MapArray.from_arrays(ends, pa.array(names * len(rows), pa.string()), scores)
