"""Files behind an address that fsspec knows (s3://bucket/chats.jsonl, gs://, hf://datasets/..., https://), as if they were paths.

Needs: pip install 'minitron[remote]', and for some kinds of address another library, which the error names. Knows nothing about what is
in the files.
"""

import re
from pathlib import Path

from minitron.core.errors import MinitronError

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters or more, as C:// is a disk


def is_address(text: str) -> bool:
    """Whether `text` is an address, and not a path on this computer."""
    return bool(ADDRESS.match(text))


def expand(pattern: str) -> list[Path]:
    """The file or folder at exactly this address, else what the glob matches, in the order of names. The paths are `universal_pathlib`'s:
    they open, list and compare as pathlib's do. Raises MinitronError if the kind of address is unknown or nobody answers there."""
    try:
        from upath import UPath
    except ImportError:
        message = f"reading {pattern} needs the library universal_pathlib, which is not installed"
        raise MinitronError(message, hint="pip install 'minitron[remote]'") from None
    try:
        exact = UPath(pattern)
        if exact.exists():
            return [exact]
        begin, magic, _ = pattern.partition(next((letter for letter in pattern if letter in "*?["), "\0"))
        folder = begin.rpartition("/")[0]
        return sorted(UPath(folder).glob(pattern[len(folder) + 1 :])) if magic else []
    except ImportError as error:  # fsspec says which library this kind of address needs
        raise MinitronError(
            f"{pattern}: {error}", hint="install that library with pip, where minitron is installed"
        ) from error
    except Exception as error:  # each kind of address has exceptions of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "check the address, the network and your credentials"
        raise MinitronError(f"{pattern} cannot be reached: {reason}", hint=hint) from error


def version(path: Path) -> list[str | int]:
    """Values that differ after a file has changed: of a local file its size and times, of a remote one what its file system says."""
    if isinstance(path, Path):
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return [str(path.fs.ukey(path.path))]
