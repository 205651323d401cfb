"""Raw text: documents from files or a hub, split into train and valid, and cut into sequences.

    for sequence in sequences(texts(config.pretrain, "train"), tokenizer, context): ...
    rows = held_out(config)                   # what pretrain packed, for eval and export

Knows nothing about dialogues.
"""

import hashlib
import itertools
import math
import random
from collections.abc import Iterable, Iterator

import numpy as np

from minitron.core.errors import MinitronError
from minitron.core.text import mended
from minitron.data.cleaning import Cleaner
from minitron.data.formats import open_source
from minitron.data.formats.hub import Hub
from minitron.data.formats.source import Source, reading
from minitron.data.formats.text import Text
from minitron.data.packing import PackedRows, Sequence, is_whole
from minitron.data.shapes import no_column
from minitron.data.sources import find_files
from minitron.recipe.schema import Config
from minitron.recipe.training import PretrainConfig
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.sentencepiece import parts

LONG_CHARS = 10_000  # a longer document has its end held out; a shorter one is held out whole or not at all
HELD_OUT = 5  # if fewer whole documents than this would be held out, all documents have their ends held out
MOST_LOOKED_AT = 1000  # documents held in memory to find out whether there are few
BATCH_ROWS = 256
OF_MIXTURE = "column in tokenizer.mixture"  # the option, as `documents_of` calls it


def sources(config: PretrainConfig) -> list[Source]:
    """The sources of the recipe's text: its dataset, then its files."""
    hub = [Hub(config, section="pretrain")] if config.hub else []
    return hub + of_files(config.files, option="pretrain.files")


def of_files(patterns: list[str], *, option: str) -> list[Source]:
    """The files of an option as sources of text. A file with an unknown ending is plain text."""
    return [open_source(path, otherwise=Text) for path in find_files(patterns, option=option, text=True)]


def documents(config: PretrainConfig, *, cleaner: Cleaner | None = None) -> Iterator[str]:
    """Texts of all sources: a text file is one document, in other files each row's `pretrain.column` is one. They are cleaned as
    the recipe says; `cleaner` counts what that removes."""
    cleaner = cleaner or Cleaner(config.clean)
    for source in sources(config):
        for document in documents_of(source, column=config.column):
            if cleaned := cleaner.clean(document) if config.clean else document:
                yield cleaned


def documents_of(source: Source, *, column: str, option: str = "pretrain.column") -> Iterator[str]:
    """The non-empty texts of one source; `option` of the recipe names the column. Raises MinitronError if the column is missing or holds no text."""
    column, met = source.only_column or column, set()
    with reading(source.where):
        for chunk in source.chunks(BATCH_ROWS):
            if chunk.rows and column not in met | set(chunk.names):  # a file without rows may lack it
                raise no_column(column, names=chunk.names, where=source.where, otherwise=f"set {option}")
            met.add(column)
            for cells in chunk.cells([column]):
                yield from filter(None, (_text(value, column, source.where, option) for value in cells.get(column, ())))


def _text(value: object, column: str, where: str, option: str) -> str:
    if not isinstance(value, str | None):
        raise MinitronError(f"the column '{column}' of {where} holds no text", hint=f"set {option}")
    text = mended(value or "")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def texts(config: PretrainConfig, split: str, *, cleaner: Cleaner | None = None) -> Iterator[str]:
    """Texts of a split, train or valid. Long documents, or all documents if there are few, have their ends held out. Of short
    documents some whole ones are held out, chosen by a hash, so that their order does not matter."""
    share, found = config.valid_fraction, documents(config, cleaner=cleaner)
    enough = math.ceil(HELD_OUT / share) if share else 0
    first = list(itertools.islice(found, min(enough, MOST_LOOKED_AT)))
    few = len(first) < min(enough, MOST_LOOKED_AT)
    for document in itertools.chain(first, found):
        if len(document) > LONG_CHARS or few:
            end = int(len(document) * (1 - share))  # where nanoGPT cuts its one text
            if piece := document[end:] if split == "valid" else document[:end]:
                yield piece
            continue
        place = int.from_bytes(hashlib.blake2b(document.encode(), digest_size=8).digest()) / 2**64
        if (place < share) == (split == "valid"):
            yield document


def sequences(documents: Iterable[str], tokenizer: Tokenizer, context: int) -> Iterator[Sequence]:
    """The ids of each document and the end marker. If they are longer than the context, they are cut so that every id except a
    document's first is predicted exactly once."""
    for document in documents:
        ids = np.append(tokenizer.encode_flat(list(parts(document)))[0], tokenizer.end)
        until = _raw_bytes(document, ids, tokenizer)
        for at in range(0, len(ids) - 1, context):
            piece = ids[at : at + context + 1]
            target_bytes = int(until[at + len(piece)] - until[at + 1])
            yield Sequence(piece, np.arange(len(piece)) > 0, target_bytes)


def _raw_bytes(document: str, ids: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """(len(ids) + 1,) how many bytes of the document, before any normalisation, stand before each id; the last item is all of
    them.

    Bytes that normalisation added or removed, and those of unknown ids, are spread over all ids, so that every byte of a document
    is counted, whatever the tokenizer. If decoding gives the text back unchanged, this is exact for each id.
    """
    until = np.concatenate([[0], np.cumsum(tokenizer.byte_counts[ids])])
    raw = len(document.encode())
    if until[-1] == raw:
        return until
    if not until[-1]:
        until = np.arange(len(ids) + 1)
    return np.rint(until * (raw / until[-1])).astype(np.int64)


def held_out(config: Config) -> PackedRows:
    """The held-out text as pretrain packed it."""
    folder = config.layout.packed("pretrain", "valid")
    if not is_whole(folder):
        raise MinitronError(f"there is no held-out text in {folder}", hint="run: minitron pretrain RECIPE")
    return PackedRows(folder)


def excerpts(rows: PackedRows, *, count: int, least: int, seed: int) -> list[list[int]]:
    """Up to `count` pieces of the held-out text, of at least `least` ids, from anywhere in it; the same for the same seed."""
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    long_enough = (ids.tolist() for row in order for ids, _ in rows.sequences(row) if len(ids) >= least)
    return list(itertools.islice(long_enough, count))
