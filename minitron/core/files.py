"""Files that are either whole or not there: written under a temporary name, flushed, then renamed.

    with atomic_path("runs/demo/sft/model.safetensors") as temporary:
        save_file(tensors, temporary)

Also SHA-256 of files and of plain values. Knows nothing about what the files hold.
"""

import errno
import glob
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minitron.core.errors import MinitronError

REASONS = {
    errno.ENOSPC: ("no space left on the disk", "free some space, then run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, then run the same command again"),
    errno.EFBIG: ("the file is larger than allowed", "raise the limit on file sizes (ulimit -f)"),
    errno.EROFS: ("the disk is read-only", "run where files can be written"),
    errno.EACCES: ("permission denied", "check who owns that folder"),
    errno.EPERM: ("permission denied", "check who owns that folder"),
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary sibling to write to; it becomes `path` if the block succeeds and is removed if not.

    The temporary name is `.<name>.<pid>.tmp`. Missing parent folders are made. An OSError of writing becomes a
    MinitronError; one about another file (read inside the block) is left alone.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        ours = (path, temporary, *path.parents)
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in ours:
            raise
        raise write_error(error, path=path) from error
    except BaseException:
        _remove(temporary)
        raise


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Writes `data` (text as UTF-8) to `path`, or leaves what was there."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def append_line(path: str | Path, line: str) -> None:
    """Adds a line to a file that `whole_lines` reads; after a crash it is there whole or not at all."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise write_error(error, path=path) from error


def whole_lines(path: str | Path) -> list[str]:
    """The lines of a file that only grows, none where there is no file; one that a crash cut off is removed from it."""
    path = Path(path)
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    return data[:whole].decode().split("\n")[:-1]


def write_error(error: OSError, *, path: str | Path) -> MinitronError:
    """The user's view of an OSError met while writing `path`."""
    code = error.errno
    if code is None:  # some libraries tell the number only in the text
        code = next((number for number in REASONS if f"[errno {number}]" in str(error).lower()), None)
    reason, hint = REASONS.get(code, (error.strerror or str(error), "check that the path can be written"))
    return MinitronError(f"{reason} while writing {path}", hint=hint)


def expand(pattern: str) -> list[Path]:
    """The file or folder with just this name, else what the glob matches, in the order of their names. `~` is the home folder."""
    exact = Path(pattern).expanduser()
    return [exact] if exact.exists() else sorted(map(Path, glob.glob(str(exact), recursive=True)))


def remove_leftovers(folder: str | Path) -> None:
    """Removes the temporary files that a killed process left in `folder`."""
    for leftover in Path(folder).glob(".*.tmp"):
        _remove(leftover)


def sha256_file(path: str | Path) -> str:
    """64 hex digits of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """64 hex digits of a plain value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _remove(file: Path) -> None:
    with suppress(OSError):  # a failure to tidy up must not hide the failure before it
        file.unlink()


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there; NTFS journals the rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
