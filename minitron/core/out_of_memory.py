"""Reports too little memory as such. torch, NumPy, Arrow and Python raise errors of several kinds for it.

with explained("sft", hint="lower sft.batch_rows"):
    train()
"""

from collections.abc import Iterator
from contextlib import contextmanager

from minitron.core.errors import MinitronError

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


@contextmanager
def explained(what: str, *, hint: str) -> Iterator[None]:
    """Raises MinitronError in place of any error which says that `what` found too little memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(sign in str(error).lower() for sign in SIGNS):
            raise
        raise MinitronError(f"{what} needs more memory than there is", hint=hint) from error
