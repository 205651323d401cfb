"""Input formats, one file each. To add one, write a `Source` in a file of its own and give its ending a line in FORMATS.

    for chunk in open_source(Path("my/chats.jsonl.gz")).chunks(): ...

Knows nothing about what the rows mean.
"""

from pathlib import Path

from minitron.core.errors import MinitronError
from minitron.data.formats.json_array import JsonArray
from minitron.data.formats.json_lines import JsonLines
from minitron.data.formats.parquet import Parquet
from minitron.data.formats.source import COMPRESSIONS, Source
from minitron.data.formats.text import Text

FORMATS: dict[str, type[Source]] = {
    ".parquet": Parquet,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": JsonArray,
    ".txt": Text,
    ".md": Text,
}


def ending(path: Path) -> str:
    """The ending that tells the format, in lower case; `.jsonl` of chats.jsonl.gz."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower()


def open_source(path: Path, *, otherwise: type[Source] | None = None) -> Source:
    """The file as rows, by its ending. A file of no known ending is read as `otherwise`; without, MinitronError."""
    kind = FORMATS.get(ending(path), otherwise)
    if kind is None:
        hint = f"files may be {', '.join(FORMATS)}, each also with {' or '.join(COMPRESSIONS)} behind it"
        raise MinitronError(f"{path} has no known ending", hint=hint)
    return kind(path)
