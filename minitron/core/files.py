"""Files and folders that are either whole or not there: written under a temporary name, synced to the disk, then renamed.

    with atomic_path("runs/demo/report.json") as temporary:
        temporary.write_text(text)
    with atomic_folder("runs/demo/sft/checkpoints/step-000500") as temporary:
        save_file(tensors, temporary / "model.safetensors")

A file that has its final name is complete, even after a power cut: its data is synced before the rename, the folder that
holds the name after it. Also SHA-256 of files and of plain values. Knows nothing about what the files hold.
"""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from minitron.core import addresses
from minitron.core.addresses import is_address
from minitron.core.errors import MinitronError

FREE_SPACE = "free some space, then run the same command again"
# What an operating system's error number means, and what to do about it.
REASONS = {
    errno.ENOSPC: ("no space left on the disk", FREE_SPACE),
    errno.EDQUOT: ("the disk quota is used up", FREE_SPACE),
    errno.EFBIG: ("the file is larger than allowed", "raise the limit on file sizes (ulimit -f)"),
    errno.EROFS: ("the disk is read-only", "run where files can be written"),
    errno.EACCES: ("permission denied", "check who owns it"),
    errno.EPERM: ("permission denied", "check who owns it"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ENOTDIR: ("a file or a broken link is where a folder should be", "move it away, or name another path"),
    errno.EISDIR: ("it is a folder", "name a file"),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.EIO: ("the disk reports an error", "check the disk, then run the same command again"),
    errno.EMFILE: ("too many files are open", "raise the limit on open files (ulimit -n)"),
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary sibling to write to; it becomes `path` if the block succeeds and is removed if not.

    The temporary name is `.<name>.<pid>.tmp`; what killed processes left under such names is removed first. Missing parent folders are
    made. An OSError of writing becomes a MinitronError; one about another file (read inside the block) is left alone.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        make_folder(path.parent)
        remove_leftovers(path.parent, path.name)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        if not _about(error, path, temporary):
            raise
        raise write_error(error, path=path) from error
    except BaseException:
        _remove(temporary)
        raise


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yields a temporary sibling folder to write files into; it replaces `path` if the block succeeds, and is removed if not.
    Errors as with `atomic_path`."""
    path = Path(path)
    temporary = _temporary(path)
    try:
        make_folder(path.parent)
        remove_leftovers(path.parent, path.name)
        temporary.mkdir()
        yield temporary
        for file in sorted(temporary.rglob("*"), reverse=True):
            _sync_folder(file) if file.is_dir() else _sync(file)
        _sync_folder(temporary)
        if path.exists():
            # A rename cannot replace a folder, so the old one goes first. Nothing that has to survive is ever written a second time.
            remove_folder(path)
        temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not _about(error, path, temporary):
            raise
        raise write_error(error, path=path) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_folder(path: Path) -> None:
    """Removes a folder. It is renamed first, so that a kill in the middle leaves no part of it under its name."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    shutil.rmtree(hidden, ignore_errors=True)
    shutil.rmtree(path.rename(hidden))


def make_folder(path: Path) -> None:
    """Makes a folder and its missing parents, so that they are there after a power cut."""
    if not path.is_dir():
        if path.parent != path:
            make_folder(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except FileExistsError:  # a message less clear than this one
            raise NotADirectoryError(errno.ENOTDIR, "", str(path)) from None
        _sync_folder(path.parent)


def _temporary(path: Path) -> Path:
    """A name that no other process uses, and that `remove_leftovers` finds."""
    if not path.name:  # such as "." or "/"
        raise write_error(OSError(errno.EISDIR, ""), path=path)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _about(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether an error is about writing `path`, not about another file that was read meanwhile."""
    if error.filename is None:
        return True
    file = Path(os.fsdecode(error.filename))
    return file in (path, *path.parents) or temporary in (file, *file.parents)


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Writes `data` (text as UTF-8) to `path`, or leaves what was there."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def atomic_set(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files that belong together. The last one stands for them all: while the others are replaced it is away, so that nobody
    takes old and new ones for a set. Where one cannot be written, all stay as they were."""
    *_, last = files
    with ExitStack() as stack:
        temporary = {name: stack.enter_context(atomic_path(folder / name)) for name in reversed(files)}
        for name, data in files.items():
            temporary[name].write_bytes(data)
            _sync(temporary[name])
        (folder / last).unlink(missing_ok=True)


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
    """The lines of a file that only grows; none if there is no file. A last line that a crash cut off is removed from the file."""
    path = Path(path)
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    return data[:whole].decode().split("\n")[:-1]


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one if there is no file, or none that holds an object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_error(error: OSError, *, path: str | Path) -> MinitronError:
    """The user's view of an OSError met while writing `path`."""
    reason, hint = _reason(error, "check that the path can be written")
    return MinitronError(f"{path} cannot be written: {reason}", hint=hint)


def expand(pattern: str) -> list[Path]:
    """The file or folder with exactly this name, else what the glob matches, in the order of names. `~` is the home folder. The pattern
    may also be an address (`addresses`), whose files look like paths."""
    if is_address(pattern):
        return addresses.expand(pattern)
    exact = Path(pattern).expanduser()
    return [exact] if exact.exists() else sorted(map(Path, glob.glob(str(exact), recursive=True)))


def read_error(error: OSError, *, path: str | Path) -> MinitronError:
    """The user's view of an OSError met while reading `path`."""
    reason, hint = _reason(error, "check that the file can be read")
    return MinitronError(f"{path} cannot be read: {reason}", hint=hint)


def path_error(error: OSError) -> MinitronError:
    """The user's view of an OSError that was not caught where it arose.

    minitron writes to new temporary names in folders, so an error about an existing file arose from reading it.
    """
    path = os.fsdecode(error.filename) if error.filename is not None else "a file"
    reading = os.path.isfile(path) or error.errno in (errno.ENOENT, errno.EISDIR)
    return read_error(error, path=path) if reading else write_error(error, path=path)


def _reason(error: OSError, otherwise: str) -> tuple[str, str]:
    code = error.errno
    if code is None:  # some libraries tell the number only in the text
        code = next((number for number in REASONS if f"[errno {number}]" in str(error).lower()), None)
    return REASONS.get(code, (error.strerror or str(error), otherwise))


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Removes the temporary files and folders, or those of one name, that killed processes left in `folder`. This process must not be
    writing to any of them; another process may."""
    temporary = re.compile(rf"\.{'.+' if name is None else re.escape(name)}\.(\d+)(\.old)?\.tmp", re.DOTALL)
    for leftover in folder.glob(".*.tmp"):
        written_by = temporary.fullmatch(leftover.name)
        if written_by and not _may_write(int(written_by[1])):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                _remove(leftover)


def _may_write(pid: int) -> bool:
    """Whether a process other than this one lives."""
    # On Windows `kill` would end the process; it removes no file that is open.
    if pid == os.getpid() or os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:  # it belongs to another user
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a plain value, as 64 hex digits; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()  # names of files may not be UTF-8


def _remove(file: Path) -> None:
    with suppress(OSError):  # a failure to tidy up must not hide the failure before it
        file.unlink()


def _sync(file: Path) -> None:
    # Windows syncs only what is open for writing; elsewhere the file of a running program cannot be opened for writing.
    descriptor = os.open(file, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there; NTFS journals the rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
