"""The text that the laboratory looks at: any files of the project's formats, or what a run was trained on.

    for batch in batches(pieces_of(files, column="text")): ...      # lists of Piece, some megabytes each

Knows nothing about vocabularies.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from minitron.core.console import warn
from minitron.core.errors import MinitronError
from minitron.data import documents, store
from minitron.data.formats import open_source
from minitron.data.formats.source import Source, reading
from minitron.data.formats.text import Text
from minitron.data.messages import role_map, to_messages
from minitron.data.shapes import TURNS, Shape
from minitron.data.sources import find_files
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.tokenizer.sentencepiece import clean, parts

BATCH_CHARS = 4_000_000  # in memory at once


class Piece(NamedTuple):
    """A text, where it comes from, and whether a model learns to write it (answers) or only reads it (questions)."""

    text: str
    learnt: bool = True
    source: str = ""


def pieces_of(patterns: list[str], *, column: str = "") -> Iterator[Piece]:
    """The texts of files: of each turn if a file has dialogues and no column is named, else of each document or each row's `column`.

    If several files are given, an unreadable one is skipped (from the fault on) with a warning. Another warning counts the rows that are
    not dialogues. Raises MinitronError where a pattern matches nothing, or no file can be read.
    """
    files, broken = find_files(patterns, option="CORPUS", text=True), 0
    for path in files:
        source = open_source(path, otherwise=Text)
        try:
            with reading(source.where):
                names = next((chunk.names for chunk in source.chunks() if chunk.rows), [])
            if column or source.only_column or not (set(TURNS) & set(names)):
                for text in documents.documents_of(source, column=column or source.only_column or "text"):
                    yield Piece(text, source=source.name)
            else:
                yield from _turns(source, names)
        except MinitronError as error:
            broken += 1
            if broken == len(files):
                raise
            warn(f"left out: {error}")
    if broken:
        warn(f"{broken:,} of {len(files):,} files were left out, in whole or from the first fault on")


def _turns(source: Source, names: list[str]) -> Iterator[Piece]:
    config = DataConfig()
    shape, roles = Shape.find(names, config=config, where=source.where), role_map(config)
    broken = 0
    with reading(source.where):
        for chunk in source.chunks():
            for cells in chunk.cells(list(shape.columns)):
                count = len(next(iter(cells.values())))
                for turns in shape.turns(cells, count):
                    messages = to_messages(turns, roles=roles, unknown=set())
                    if isinstance(messages, list):
                        yield from (Piece(m["content"], m["role"] == "assistant", source.name) for m in messages)
                    else:
                        broken += 1
    if broken:
        warn(f"{source.where}: {broken:,} rows are no dialogues")


def pieces_of_run(config: Config) -> Iterator[Piece]:
    """What the run was trained on: its dialogues and its raw text. Raises MinitronError where the dialogues are missing."""
    train = config.layout.dialogues("train")
    if not config.base:
        if not train.exists():
            raise MinitronError(
                f"there are no dialogues in {train}", hint="run: minitron data RECIPE, or name a CORPUS"
            )
        for dialogue in store.read(train):
            yield from (Piece(m["content"], m["role"] == "assistant", "dialogues") for m in dialogue["messages"])
    if config.pretrain:
        yield from (Piece(text, source="pretrain") for text in documents.texts(config.pretrain, "train"))


def batches(found: Iterable[Piece]) -> Iterator[list[Piece]]:
    """The pieces in order, cut into parts short enough for SentencePiece, some megabytes at a time."""
    batch, size = [], 0
    for piece in found:
        for part in parts(clean(piece.text)):
            batch.append(piece._replace(text=part))
            size += len(part)
            if size >= BATCH_CHARS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
