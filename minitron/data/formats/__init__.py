"""Input formats, one file each. To add one, write a `Source` in a file of its own and give its ending a line in
`recipe.kinds.INPUTS` (docs/extending.md).

    for chunk in open_source(Path("my/chats.jsonl.gz")).chunks(): ...

Knows nothing about what the rows mean.
"""

from pathlib import Path

from minitron.core.errors import MinitronError
from minitron.data.formats.source import COMPRESSIONS, Source
from minitron.recipe.kinds import INPUTS


def ending(path: Path) -> str:
    """The ending that tells the format, in lower case: `.jsonl` for chats.jsonl.gz."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower()


def format_of(path: Path) -> type[Source] | None:
    """The class that reads a file with this ending; None if the ending is unknown."""
    return INPUTS[end].load() if (end := ending(path)) in INPUTS else None


def open_source(path: Path, *, otherwise: type[Source] | None = None) -> Source:
    """The source that reads a file, by its ending. A file with an unknown ending is read as `otherwise`; without that, raises
    MinitronError."""
    kind = format_of(path) or otherwise
    if kind is None:
        hint = f"files may be {', '.join(INPUTS)}, each also with {' or '.join(COMPRESSIONS)} behind it"
        raise MinitronError(f"{path} has no known ending", hint=hint)
    return kind(path)
