"""Lets one process at a time work in a folder.

    with held(Path("runs/demo/sft")):
        ...

The operating system releases the lock however the process ends, so none is ever left behind. Knows nothing about what
is done in the folder.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minitron.core.errors import MinitronError
from minitron.core.files import make_folder, write_error

if os.name == "nt":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # some network disks


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, which need not exist yet. Raises MinitronError if another process holds it.

    The lock is on a hidden file beside the folder, since the folder itself may be renamed. That file is never removed.
    """
    file = folder.with_name(f".{folder.name}.lock")
    try:
        make_folder(file.parent)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise write_error(error, path=file) from error
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in BUSY:
                hint = "wait until it has ended, or stop it"
                raise MinitronError(f"another minitron is working in {folder}", hint=hint) from None
            if error.errno not in UNSUPPORTED:
                raise write_error(error, path=file) from error
        yield
    finally:
        os.close(descriptor)
