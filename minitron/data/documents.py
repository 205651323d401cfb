"""Raw text: documents from files or a hub, split, cut into sequences; and how a base model goes on with a text.

    for sequence in sequences(texts(config.pretrain, "train"), tokenizer, context): ...
    rows = held_out(config)                   # what pretrain packed: eval and export ask with it
    for token in extend(model, ids, ...):     # how a base model goes on with a text

Knows nothing about dialogues.
"""

import hashlib
import itertools
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from minitron.core.errors import MinitronError
from minitron.data.packing import PackedRows, Sequence
from minitron.data.sources import hub_tables, no_column, unreadable
from minitron.recipe.load import expand
from minitron.recipe.schema import Config, PretrainConfig
from minitron.tokenizer.sentencepiece import Tokenizer, parts

LONG_CHARS = 10_000  # of a longer document the end is held out; shorter ones are held out whole or not at all
BATCH_ROWS = 256


def documents(config: PretrainConfig) -> Iterator[str]:
    """Texts of the files (one document each; of parquet, a column's) in the order of their sorted names, or of the hub's."""
    if config.hub:
        yield from _column(hub_tables(config, section="pretrain"), config.column, where=f"the dataset {config.hub}")
    for pattern in config.files:
        paths = expand([pattern])
        if not paths:
            raise MinitronError(f"no file matches {pattern}", hint="check pretrain.files in the recipe")
        for path in paths:
            if path.suffix == ".parquet":
                yield from _column(_parquet(path, config.column), config.column, where=str(path))
                continue
            try:
                yield path.read_text(encoding="utf-8-sig")
            except UnicodeDecodeError:
                raise MinitronError(f"{path} is not UTF-8 text", hint="convert it, or leave it out") from None


def _parquet(path: Path, column: str) -> Iterator[pa.Table | pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            yield file.schema_arrow.empty_table()  # with the names of all columns
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=[column])
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error, hint="check pretrain.files in the recipe") from error


def _column(tables: Iterable[pa.Table | pa.RecordBatch], column: str, *, where: str) -> Iterator[str]:
    for table in tables:
        if column not in table.schema.names:
            error = no_column(column, names=table.schema.names, where=where)
            raise MinitronError(str(error), hint=f"{error.hint}; set pretrain.column")
        for text in table[column].to_pylist():
            if not isinstance(text, str | None):
                raise MinitronError(f"the column '{column}' of {where} holds no text", hint="set pretrain.column")
            if text:
                yield text


def texts(config: PretrainConfig, split: str) -> Iterator[str]:
    """Texts of a split: the ends of long documents, and short ones by a hash, so that their order does not matter."""
    share = config.valid_fraction
    for document in documents(config):
        if len(document) > LONG_CHARS:
            end = int(len(document) * (1 - share))  # where nanoGPT cuts its one text
            yield document[end:] if split == "valid" else document[:end]
            continue
        place = int.from_bytes(hashlib.blake2b(document.encode(errors="replace"), digest_size=8).digest()) / 2**64
        if (place < share) == (split == "valid"):
            yield document


def sequences(documents: Iterable[str], tokenizer: Tokenizer, context: int) -> Iterator[Sequence]:
    """Text, end marker; longer than the context: cut so that every id but a document's first is predicted exactly once."""
    for document in documents:
        ids = [i for part in tokenizer.encode_many(list(parts(document))) for i in part] + [tokenizer.end]
        for at in range(0, len(ids) - 1, context):
            piece = ids[at : at + context + 1]
            yield Sequence(piece, [False] + [True] * (len(piece) - 1), int(tokenizer.byte_counts[piece[1:]].sum()))


def held_out(config: Config) -> PackedRows:
    """The held-out text as pretrain packed it."""
    folder = config.layout.packed("pretrain", "valid")
    if not (folder / "pack.json").exists():
        raise MinitronError(f"there is no held-out text in {folder}", hint="run: minitron pretrain RECIPE --force")
    return PackedRows(folder)


def excerpts(rows: PackedRows, *, count: int, least: int, seed: int) -> list[list[int]]:
    """Up to `count` pieces of the held-out text, of at least `least` ids, from anywhere in it; the same for the same seed."""
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    long_enough = (ids.tolist() for row in order for ids, _ in rows.sequences(row) if len(ids) >= least)
    return list(itertools.islice(long_enough, count))
