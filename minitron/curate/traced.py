"""Rows of a recipe's data, each with what the rules make of it: kept, or the reason why it is dropped.

    for row in trace(config, rows=5000): print(row.reason or "kept", row.messages)

Reads the same way as the data stage (`data.sources.Reader`), one row at a time. Knows nothing about how it is shown.
"""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from minitron import synth
from minitron.core.errors import MinitronError
from minitron.data import store
from minitron.data.expressions import Leaf
from minitron.data.formats import open_source
from minitron.data.formats.source import Chunk, Columns, Objects, Source, rows_of, value_of
from minitron.data.messages import digest_of, parse, printable, role_map, to_messages
from minitron.data.quality import Quality
from minitron.data.rules import to_number
from minitron.data.shapes import Shape
from minitron.data.sources import Reader
from minitron.data.sources import sources as sources_of
from minitron.recipe import mixture
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.tokenizer.chat_template import Message

DUPLICATE = "exact duplicate"
MOST_FILES = 50  # about so many are read; of more, a selection spread evenly
LONGEST = 2000  # characters that are shown of a row that holds no dialogue


@dataclass(frozen=True)
class Traced:
    """A row: where it comes from, why it is dropped (empty: it is kept), its dialogue or, if it holds none, its contents as text (`raw`),
    the scores in the rules' columns (None: missing), and if `data.clean` masked something, the dialogue as it was before."""

    source: str
    reason: str
    messages: list[Message] | None
    raw: str
    scores: dict[str, float | None]
    unmasked: list[Message] | None = None


class OneByOne(Source):
    """The first rows of a source, in chunks of one, so that what a reader does with each can be seen."""

    def __init__(self, inner: Source, reader: Reader, *, most: int, name: str = ""):
        self.inner, self.reader, self.most = inner, reader, most
        self.path, self.where, self.name = inner.path, inner.where, name or inner.name
        self.every_row_has_all_columns = inner.every_row_has_all_columns
        self.row: dict[str, Any] = {}
        self.whole = False  # whether all rows of the source were read
        self.dropped: list[tuple[dict[str, Any], str]] = []

    def chunks(self, rows: int = 1) -> Iterator[Chunk]:
        found = self._singles()
        for row, chunk in itertools.islice(found, self.most):
            self.row, before = row, self.reader.tally.dropped.copy()
            yield chunk
            if reason := next(iter(self.reader.tally.dropped - before), ""):
                self.dropped.append((row, reason))
        self.whole = next(found, None) is None

    def _singles(self) -> Iterator[tuple[dict[str, Any], Chunk]]:
        """Each row, as a dict and as a chunk that holds it as the source does: a rule sees the number that the data stage sees."""
        for chunk in self.inner.chunks():
            batches = chunk.batches(chunk.names)
            if batches is None:
                yield from ((row, Objects([row])) for row in rows_of([chunk]))
                continue
            for batch in batches:
                for at in range(batch.num_rows):
                    row = batch.slice(at, 1)
                    yield row.to_pylist()[0], Columns(row, where=self.where)


def trace(config: Config, *, rows: int) -> Iterator[Traced]:
    """The first rows of each source, about `rows` in all. Raises MinitronError where the recipe names no dialogues, and for data that the
    data stage could not read either."""
    seen = set[bytes]()
    with opened(config, rows=rows) as found:
        whole = sum(len(sources) for _, sources in found)
        some = [(part, sources[:: -(-whole // MOST_FILES)]) for part, sources in found]
        most = max(1, rows // max(1, sum(len(sources) for _, sources in some)))
        for (part, sources), (_, every) in zip(some, found, strict=True):
            reader = Reader(part.config)
            ones = [OneByOne(source, reader, most=most, name=part.name) for source in sources]
            for one in ones:
                yield from _of_part(one, part.config, seen)
            # a column that no row has had so far may still be in rows that were not read
            if len(sources) == len(every) and all(one.whole for one in ones):
                reader.check_columns()


@contextmanager
def opened(config: Config, *, rows: int) -> Iterator[list[tuple[mixture.Ingredient, list[Source]]]]:
    """The recipe's parts with their sources. Built-in dialogues that the data stage has not written with these settings are made for the
    time being, at most `rows` of them."""
    made = config.layout.stage("data") / "synth.parquet"
    written = made.exists() and bool(store.report_of(config))
    if not config.data.given:
        hint = "set data.files, data.hub or data.synth_rows; for raw text see: minitron clean"
        raise MinitronError(f"{config.recipe} names no dialogues", hint=hint, code=2)
    with tempfile.TemporaryDirectory() as scratch:
        found = []
        for part in mixture.ingredients(config.data):
            path = made if written else Path(scratch) / "synth.parquet"
            if part.config.synth_rows and path != made:
                synth.write(
                    path,
                    rows=min(part.config.synth_rows, rows),
                    seed=config.seed,
                    who=synth.Persona.of(part.config.persona),
                    long=part.config.synth_long,
                )
            found.append((part, [open_source(path)] if part.config.synth_rows else sources_of(part.config)))
        yield found


def _of_part(one: OneByOne, data: DataConfig, seen: set[bytes]) -> Iterator[Traced]:
    reader, roles, quality = one.reader, role_map(data), Quality(data.clean)

    def score(row: dict[str, Any], name: str) -> float | None:
        given = pa.array([to_number(value_of(row, name))], pa.float64())
        return reader.rules.judged(Leaf(name), given)[0].as_py()

    def traced(row: dict[str, Any], reason: str, messages: list[Message] | None = None) -> Traced:
        scores = {name: score(row, name) for name in reader.rules.columns}
        raw = "" if messages else printable(row)[:LONGEST]
        return Traced(one.name, reason, messages, raw, scores)

    for rows in reader.read_one(one):
        for passed in rows:
            messages = to_messages(passed.turns, roles=roles, unknown=reader.tally.unknown_roles)
            if isinstance(messages, str):
                yield traced(one.row, messages, _as_it_is(one.row, data, one.where, roles))
                continue
            if isinstance(cleaned := quality.of(messages), str):
                yield traced(one.row, cleaned, messages)
                continue
            digest = digest_of(cleaned)
            found = traced(one.row, DUPLICATE if digest in seen else "", cleaned)
            yield found if cleaned == messages else replace(found, unmasked=messages)
            seen.add(digest)
    for row, reason in one.dropped:
        yield traced(row, reason, _as_it_is(row, data, one.where, roles))


def _as_it_is(row: dict[str, Any], data: DataConfig, where: str, roles: dict[str, str]) -> list[Message] | None:
    """A row's turns as messages, in whatever order they are; None if it has none, or one that is not a message."""
    shape = Shape.find(list(row), config=data, where=where)
    turns = shape.turns({name: [row.get(name)] for name in shape.columns}, 1)[0]
    messages = parse(turns, roles=roles, unknown=set())
    return None if isinstance(messages, str) else messages
