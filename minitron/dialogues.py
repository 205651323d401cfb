"""Reading back what the data stage wrote, and raw documents for pretrain. Streams: never a whole file in memory."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from minitron.config import expand
from minitron.errors import MinitronError


def read(path: Path) -> Iterator[dict]:
    """Dialogues of train.parquet, valid.parquet or probes.parquet: {messages, skill, check}, in the file's order."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024, columns=["messages", "skill", "check"]):
                yield from batch.to_pylist()
    except FileNotFoundError:
        raise MinitronError(f"there are no dialogues in {path.parent}", hint="run: minitron data RECIPE") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise MinitronError(f"{path} cannot be read: {error}", hint="run: minitron data RECIPE --force") from error


def documents(patterns: list[str], *, column: str) -> Iterator[str]:
    """Texts of files (one document each) and of a column of parquet files, in the order of the sorted file names."""
    for pattern in patterns:
        paths = expand([pattern])
        if not paths:
            raise MinitronError(f"no file matches {pattern}", hint="check pretrain.files in the recipe")
        for path in paths:
            if path.suffix == ".parquet":
                yield from _column(path, column)
                continue
            try:
                yield path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise MinitronError(f"{path} is not UTF-8 text", hint="convert it, or leave it out") from None


def _column(path: Path, column: str) -> Iterator[str]:
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise MinitronError(f"{path} is no parquet file", hint="check pretrain.files in the recipe") from error
    with file:
        names = file.schema_arrow.names
        if column not in names:
            raise MinitronError(f"{path} has no column '{column}', but {', '.join(names)}", hint="set pretrain.column")
        for batch in file.iter_batches(batch_size=256, columns=[column]):
            yield from (text for text in batch.column(0).to_pylist() if text)
