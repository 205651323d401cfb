"""Reading back what the data stage wrote. Streams: never a whole file in memory."""

from collections.abc import Iterator
from itertools import compress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from minitron.core.errors import MinitronError
from minitron.data.rules import Rules


def read(path: Path, *, rules: Rules | None = None) -> Iterator[dict]:
    """Dialogues of train.parquet, valid.parquet or probes.parquet: {messages, skill, check}, in the file's order. With `rules`
    only those that are judged well enough to be held out (`data.valid_keep`)."""
    strict = rules is not None and bool(rules.valid)
    try:
        with pq.ParquetFile(path) as file:
            columns = ["messages", "skill", "check", *(["scores"] if strict else [])]
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                rows = batch.to_pylist()
                yield from compress(rows, _judged_well(rows, rules)) if strict else rows
    except FileNotFoundError:
        raise MinitronError(f"there are no dialogues in {path.parent}", hint="run: minitron data RECIPE") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise MinitronError(f"{path} cannot be read: {error}", hint="run: minitron data RECIPE --force") from error


def _judged_well(rows: list[dict], rules: Rules) -> list[bool]:
    scores = [dict(row.pop("scores") or ()) for row in rows]
    columns = {name: pa.array([judged.get(name) for judged in scores], pa.float64()) for name in rules.columns}
    return rules.may_be_valid(columns, rows=len(rows))
