"""Memory that this process has freed, given back to the system.

Where the sizes of tensors change all the time, as in sampling, glibc keeps hundreds of MB of freed memory in pieces that fit nothing
that comes later. Knows nothing about who freed it.
"""

import ctypes
import sys


def give_back() -> None:
    """Gives freed memory back to the system: a few milliseconds on Linux with glibc; elsewhere nothing happens."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None:
        trim(0)
