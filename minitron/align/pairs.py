"""pairs.parquet, which reject writes and kto learns from, and apart.parquet beside it. Only this module knows their columns.

A row is a completion with its label. A good completion comes first, then the bad one for the same prompt. Prompt and completion are
lists of messages: TRL's KTOTrainer trains on the file as it is. Knows nothing about losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from minitron.core.errors import MinitronError
from minitron.core.files import atomic_path
from minitron.data.columns import MESSAGES
from minitron.tokenizer.chat_template import Message

SCHEMA = pa.schema(
    [
        ("prompt", MESSAGES),
        ("completion", MESSAGES),
        ("label", pa.bool_()),
        ("preset", pa.string()),
        ("failure", pa.string()),
    ]
)


@dataclass(frozen=True)
class Completion:
    """A dialogue up to a user's turn, an answer to it, and whether that is a good one (`label`)."""

    prompt: list[Message]
    completion: str
    label: bool
    preset: str  # the preset that produced a rejected one; `data`, `model` or `recorded` for others
    failure: str = ""  # the failures that a rejected one shows, such as "loop+runaway"


def read(path: Path) -> list[Completion]:
    """All rows. Raises MinitronError if the file does not exist or cannot be read."""
    names = [field.name for field in fields(Completion)]
    try:
        rows = pq.read_table(path, columns=names).to_pylist()
    except FileNotFoundError:
        raise MinitronError(f"there are no pairs in {path.parent}", hint="run: minitron reject RECIPE") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        hint = "run: minitron reject RECIPE --force"
        raise MinitronError(f"{path} cannot be read: {error}", hint=hint) from error
    return [Completion(**row | {"completion": _text(row["completion"])}) for row in rows]


def _text(completion: str | list[Message]) -> str:
    """The answer's text in a row: older files hold the text itself instead of messages."""
    return completion if isinstance(completion, str) else completion[0]["content"]


def write(path: Path, rows: Sequence[Completion]) -> None:
    """Writes all rows; the file appears whole or not at all."""
    made = [vars(row) | {"completion": [{"role": "assistant", "content": row.completion}]} for row in rows]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(made, schema=SCHEMA), temporary)


def count(path: Path) -> int:
    """The number of rows, without reading them."""
    return int(pq.read_metadata(path).num_rows)
