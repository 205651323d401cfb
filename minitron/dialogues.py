"""Reading back what the data stage wrote. Streams: never a whole file in memory."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

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
