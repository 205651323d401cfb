"""Reading judged dialogues: parquet, JSONL, JSON or a hub id in; rows of one schema that pass the keep-rules out.

    reader = Reader(config.data)
    for rows in reader.read(find_files(config.data.files)):  # lists of Row, bounded in size
        messages = to_messages(row.turns, roles=roles)       # [{"role", "content"}, ...], or why there are none
    reader.tally                                             # every row that was read, counted once

Knows nothing about duplicates, hold-outs and what is written.
"""

import difflib
import functools
import glob
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from minitron.core.errors import MinitronError
from minitron.data.rules import Rules, Tally, to_number, to_scores
from minitron.recipe.schema import DataConfig, PretrainConfig

CHUNK_ROWS = 1024  # rows of text in memory at once
SCORE_ROWS = 65536  # rows of scores in memory at once
BUFFER_BYTES = 1 << 18  # read ahead, per column of a parquet file
TURN_COLUMNS = ("messages", "conversation", "conversations", "dialogue")
ALPACA_COLUMNS = ("instruction", "input", "output")
COPIED_COLUMNS = ("source", "skill", "check")
ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}

NO_MESSAGES = "malformed: no messages"
NO_TURN = "malformed: a turn is not a role and a content"
NO_TEXT = "malformed: a content is not text"
EMPTY = "malformed: a message is empty"
UNKNOWN_ROLE = "malformed: unknown role"
LATE_SYSTEM = "malformed: a system message is not the first"
NOT_USER_FIRST = "malformed: the user does not begin"
NO_ALTERNATION = "malformed: roles do not alternate"
NO_ANSWER = "malformed: no assistant turn"
NOT_UNICODE = "malformed: text that is not Unicode"


class Row(NamedTuple):
    """One row that passed the rules, not yet mapped. `scores` in the order of `Rules.columns`."""

    turns: Any
    source: str
    skill: str
    check: str
    scores: tuple[float | None, ...]
    probe: bool
    may_be_valid: bool


# --- one row's messages ----------------------------------------------------------------------------------------------


def role_map(config: DataConfig) -> dict[str, str]:
    """Known role names and the recipe's own -> system, user, assistant."""
    for name, role in config.roles.items():
        if role not in ("system", "user", "assistant"):
            message = f"data.roles: '{name}' is mapped to '{role}'"
            raise MinitronError(message, hint="map it to system, user or assistant", code=2)
    return ROLES | {name.strip().lower(): role for name, role in config.roles.items()}


def to_messages(turns: Any, *, roles: dict[str, str], unknown: set[str]) -> list[dict[str, str]] | str:
    """A row's turns as checked messages, or the reason why it is malformed. Adds unmapped roles to `unknown`.

    Good: an optional system message (left out if empty), then user and assistant in turn, the user first. A user's
    turn at the end, unanswered, is cut off.
    """
    if isinstance(turns, str):  # some datasets keep the list as JSON in a text column
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError):
            return NO_MESSAGES
    if not isinstance(turns, list) or not turns:
        return NO_MESSAGES
    messages = []
    for turn in turns:
        if not isinstance(turn, dict):
            return NO_TURN
        name = turn.get("role") or turn.get("from")
        content = turn.get("content")
        content = turn.get("value", "") if content is None else content
        if not isinstance(name, str):
            return NO_TURN
        if not isinstance(content, str | None):
            return NO_TEXT
        role = roles.get(name) or roles.get(name.strip().lower())
        if role is None:
            if len(unknown) < 10:
                unknown.add(_text(name[:40]))
            return UNKNOWN_ROLE
        messages.append({"role": role, "content": (content or "").strip()})
    if messages[0] == {"role": "system", "content": ""}:
        del messages[0]
    return _reason_against(messages) or messages


def _reason_against(messages: list[dict[str, str]]) -> str:
    begin = 1 if messages and messages[0]["role"] == "system" else 0
    for i, message in enumerate(messages[begin:]):
        if message["role"] == "system":
            return LATE_SYSTEM
        if message["role"] != ("assistant" if i % 2 else "user"):
            return NO_ALTERNATION if i else NOT_USER_FIRST
    if len(messages) > begin and messages[-1]["role"] == "user":
        del messages[-1]
    if len(messages) == begin:
        return NO_ANSWER
    return "" if all(message["content"] for message in messages) else EMPTY


def digest_of(messages: list[dict[str, str]]) -> bytes:
    """16 bytes that stand for a dialogue: BLAKE2b of its messages as JSON, [[role, content], ...].

    Raises UnicodeEncodeError for text with lone surrogates (JSON may hold them, UTF-8 may not).
    """
    text = _to_json([[message["role"], message["content"]] for message in messages])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


# --- sources ---------------------------------------------------------------------------------------------------------


def find_files(patterns: list[str], *, option: str = "data.files") -> list[Path]:
    """The files of an option, each pattern's in the order of their names, none twice."""
    paths: dict[Path, None] = {}
    for pattern in patterns:
        exact = Path(pattern).expanduser()
        found = [exact] if exact.exists() else sorted(map(Path, glob.glob(str(exact), recursive=True)))
        if not found:
            hint = f"paths are relative to the current directory, {Path.cwd()}"
            raise MinitronError(f"{option}: nothing matches {pattern}", hint=hint)
        for path in found:
            if path.is_dir():
                raise MinitronError(f"{path} is a folder", hint=f"name the files in it, such as {path}/*.parquet")
            if path.suffix not in (".parquet", ".jsonl", ".json"):
                hint = "files may be .parquet, .jsonl (an object per line) or .json (an array of objects)"
                raise MinitronError(f"{path} has no known ending", hint=hint)
            paths[path] = None
    return list(paths)


def count_rows(paths: list[Path]) -> int:
    """The rows of all files if their footers tell (parquet), else 0. For the progress bar."""
    try:
        return sum(pq.read_metadata(path).num_rows for path in paths)
    except (OSError, pa.ArrowException):
        return 0


def hub_tables(config: DataConfig | PretrainConfig, *, section: str) -> Iterator[pa.Table]:
    """The dataset that a section's hub, hub_config and hub_split name, CHUNK_ROWS rows at a time."""
    try:
        from datasets import load_dataset  # takes a second

        stream = load_dataset(config.hub, config.hub_config or None, split=config.hub_split, streaming=True)
        yield from stream.with_format("arrow").iter(batch_size=CHUNK_ROWS)
    except Exception as error:  # of the network, of ids, of formats, from many libraries: all for the user to mend
        options = ", ".join(f"{section}.{name}" for name in ("hub", "hub_config", "hub_split"))
        hint = f"check {options} and the network (private: hf auth login)"
        raise unreadable(f"the dataset {config.hub}", error, hint=hint) from error


class Reader:
    """Reads files and hub datasets, applies the rules, and counts what it meets in `tally`."""

    def __init__(self, config: DataConfig):
        self.config = config
        self.rules = Rules(config)
        self.tally = Tally()
        self._unmet = set(self.rules.columns)  # no source had these columns so far
        self._met: set[str] = set()  # columns of the sources
        self._texts: dict[str, bool] = {}  # rule columns that hold text -> whether any of it reads as a number

    def read(self, paths: list[Path]) -> Iterator[list[Row]]:
        """The rows that pass the rules, in their order: of the files, then of `data.hub`."""
        readers = {".parquet": self._read_parquet, ".jsonl": self._read_jsonl, ".json": self._read_json}
        for path in paths:
            self.tally.files.append({"path": str(path), "rows": 0})
            try:
                yield from readers[path.suffix](path)
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                raise unreadable(path, error, hint="check that the file is whole and may be read") from error
        if self.config.hub:
            self.tally.files.append({"path": self.config.hub, "rows": 0})
            yield from self._read_hub()
        for column in self._unmet if self.tally.rows_in else ():
            raise no_column(column, names=self._met, where="the data")
        for column, any_number in self._texts.items():
            if not any_number:
                raise _not_numbers(column, kind="text")

    def _read_parquet(self, path: Path) -> Iterator[list[Row]]:
        """Of each row group first the scores alone; its other columns only if some row passes, and only those needed."""
        try:
            # A buffer: without it, whole row groups are fetched ahead, and memory grows with their size.
            file = pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)
        except pa.ArrowInvalid as error:
            raise unreadable(path, error, hint="check that it is whole and really parquet") from error
        with file:
            layout = self._begin(file.schema_arrow, where=str(path))
            wanted = [name for name in file.schema_arrow.names if name in (*layout.columns, *self.rules.columns)]
            for group in range(file.num_row_groups):
                read = functools.partial(file.iter_batches, row_groups=[group], use_threads=False)
                rows = file.metadata.row_group(group).num_rows
                passing = self._passing(read(columns=self.rules.columns, batch_size=SCORE_ROWS), rows=rows)
                if not passing.true_count:
                    continue
                start = 0
                for batch in read(columns=wanted, batch_size=CHUNK_ROWS):
                    kept = batch.filter(passing.slice(start, batch.num_rows))
                    start += batch.num_rows
                    yield self._rows_of_table(kept, layout)

    def _passing(self, batches: Iterable[pa.RecordBatch], *, rows: int) -> pa.BooleanArray:
        """Which rows of a row group pass, from its scores; all of them are counted."""
        if not self.rules.columns:
            return self._count({}, rows=rows)
        masks = [self._count(self._scores(batch), rows=batch.num_rows) for batch in batches]
        return pa.concat_arrays(masks)

    def _read_hub(self) -> Iterator[list[Row]]:
        where, layout = f"the dataset {self.config.hub}", None
        for table in hub_tables(self.config, section="data"):
            layout = layout or self._begin(table.schema, where=where)
            passing = self._count(self._scores(table), rows=table.num_rows)
            yield self._rows_of_table(table.filter(passing), layout)

    def _read_jsonl(self, path: Path) -> Iterator[list[Row]]:
        with open(path, "rb") as lines:
            yield from self._rows_of_objects(json_lines(lines, path), where=str(path))

    def _read_json(self, path: Path) -> Iterator[list[Row]]:
        yield from self._rows_of_objects(iter(json_list(path)), where=str(path))

    def _rows_of_objects(self, objects: Iterator[dict], *, where: str) -> Iterator[list[Row]]:
        layout = None
        while chunk := list(itertools.islice(objects, CHUNK_ROWS)):
            names = list(dict.fromkeys(name for row in chunk for name in row))
            layout = layout or Layout.find(names, config=self.config, where=where)
            self._met.update(names)
            self._unmet -= self._met
            scores = self._scores_of_objects(chunk)
            passing = self._count(scores, rows=len(chunk))
            kept = list(itertools.compress(chunk, passing.to_pylist()))
            cells = {name: [row.get(name) for row in kept] for name in layout.columns}
            scores = {name: column.filter(passing) for name, column in scores.items()}
            yield self._rows(cells, scores, count=len(kept), layout=layout)

    def _rows_of_table(self, table: pa.Table | pa.RecordBatch, layout: "Layout") -> list[Row]:
        names = [name for name in layout.columns if name in table.schema.names]
        cells = {name: table[name].to_pylist() for name in names}
        return self._rows(cells, self._scores(table), count=table.num_rows, layout=layout)

    def _rows(self, cells: dict[str, list], scores: dict[str, pa.Array], *, count: int, layout: "Layout") -> list[Row]:
        blank, default = [None] * count, self.config.hub or Path(self.tally.files[-1]["path"]).stem
        source, skill, check = ([_text(v) for v in cells.get(name, blank)] for name in COPIED_COLUMNS)
        judged = [_judged(scores[name]) for name in self.rules.columns]
        columns = [
            layout.turns(cells, count),
            [name or default for name in source],
            skill,
            check,
            list(zip(*judged, strict=True)) if judged else [()] * count,
            self.rules.are_probes(scores, rows=count),
            self.rules.may_be_valid(scores, rows=count),
        ]
        return [Row(*values) for values in zip(*columns, strict=True)]

    def _begin(self, schema: pa.Schema, *, where: str) -> "Layout":
        """Checks a table's columns before anything is read."""
        layout = Layout.find(schema.names, config=self.config, where=where)
        for name in self.rules.columns:
            if name not in schema.names:
                raise no_column(name, names=schema.names, where=where)
            kind = schema.field(name).type
            if pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_binary(kind):
                raise _not_numbers(name, kind=str(kind))
        self._unmet.clear()
        return layout

    def _count(self, scores: dict[str, pa.Array], *, rows: int) -> pa.BooleanArray:
        self.tally.rows_in += rows
        self.tally.files[-1]["rows"] += rows
        return self.rules.passing(scores, rows=rows, tally=self.tally)

    def _scores(self, table: pa.Table | pa.RecordBatch) -> dict[str, pa.Array]:
        scores = {}
        for name in self.rules.columns:
            column = table[name].combine_chunks() if isinstance(table, pa.Table) else table[name]
            scores[name] = to_scores(column)
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                self._note_text(name, any_text=column.null_count < len(column), scores=scores[name])
        return scores

    def _scores_of_objects(self, objects: list[dict]) -> dict[str, pa.Array]:
        scores = {}
        for name in self.rules.columns:
            values = [row.get(name) for row in objects]
            scores[name] = pa.array(map(to_number, values), pa.float64())
            self._note_text(name, any_text=any(isinstance(value, str) for value in values), scores=scores[name])
        return scores

    def _note_text(self, name: str, *, any_text: bool, scores: pa.Array) -> None:
        if any_text or name in self._texts:
            self._texts[name] = self._texts.get(name, False) or scores.null_count < len(scores)


@dataclass(frozen=True)
class Layout:
    """Where a source keeps its turns: in one column, or as Alpaca's instruction, input, output."""

    column: str  # empty: Alpaca

    @property
    def columns(self) -> tuple[str, ...]:
        return ((self.column,) if self.column else ALPACA_COLUMNS) + COPIED_COLUMNS

    @classmethod
    def find(cls, names: list[str], *, config: DataConfig, where: str) -> "Layout":
        named = config.column != "auto"
        if named and config.format != "alpaca":
            if config.column not in names:
                raise no_column(config.column, names=names, where=where)
            return cls(config.column)
        usual = [name for name in TURN_COLUMNS if name in names]
        if usual and config.format != "alpaca":
            return cls(usual[0])
        if "instruction" in names and "output" in names and config.format != "messages":
            return cls("")
        wanted = "instruction and output" if config.format == "alpaca" else ", ".join(TURN_COLUMNS)
        hint = f"it has {_listed(names)}; name the one with the turns in data.column"
        raise MinitronError(f"{where} has no column with turns ({wanted})", hint=hint)

    def turns(self, cells: dict[str, list], count: int) -> list:
        if self.column:
            return cells[self.column]
        inputs = cells.get("input", [None] * count)
        return [
            [{"role": "user", "content": joined(ask, more)}, {"role": "assistant", "content": answer}]
            for ask, more, answer in zip(cells["instruction"], inputs, cells["output"], strict=True)
        ]


def joined(instruction: Any, more: Any) -> Any:
    """Alpaca's instruction with its input, if there is one."""
    if isinstance(instruction, str) and isinstance(more, str) and more.strip():
        return f"{instruction.strip()}\n\n{more.strip()}"
    return instruction


def json_list(path: Path) -> list[dict]:
    """The objects of a .json file."""
    try:
        objects = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        hint = "is it one object per line? then name it .jsonl"
        raise unreadable(path, error, hint=hint) from error
    if not isinstance(objects, list) or not all(isinstance(row, dict) for row in objects):
        hint = "write one object per dialogue: [{...}, {...}]"
        raise MinitronError(f"{path} is not a JSON array of objects", hint=hint)
    return objects


def json_lines(lines: Iterable[bytes], path: Path) -> Iterator[dict]:
    """The objects of a .jsonl file."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
            raise unreadable(f"{path}, line {number},", error, hint="mend or remove that line") from error
        if not isinstance(row, dict):
            hint = 'each line is one dialogue, such as {"messages": [...]}'
            raise MinitronError(f"{path}, line {number}, is not a JSON object", hint=hint)
        yield row


def _judged(scores: pa.Array) -> list[float | None]:
    missing = pc.or_kleene(pc.is_null(scores, nan_is_null=True), pc.equal(scores, -1))
    return pc.if_else(missing, None, scores.cast(pa.float64(), safe=False)).to_pylist()


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _listed(names: Iterable[str], most: int = 30) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def no_column(column: str, *, names: Iterable[str], where: str) -> MinitronError:
    """The error for a column that is not among `names`, with the nearest one."""
    near = difflib.get_close_matches(column, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return MinitronError(f"{where} has no column '{column}'", hint=f"{hint}it has {_listed(names)}")


def _not_numbers(column: str, *, kind: str) -> MinitronError:
    return MinitronError(
        f"a rule compares the column '{column}' with a number, but it holds {kind}",
        hint="use numeric columns in data.keep, data.valid_keep and data.probes",
    )


def unreadable(where: str | Path, error: Exception, *, hint: str) -> MinitronError:
    """The error for a source that a library gave up on, with the first line of its reason."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return MinitronError(f"{where} cannot be read: {lines[0]}", hint=hint)
