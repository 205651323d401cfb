"""Stops long work on Ctrl-C, on SIGTERM (from a job queue, or a system that shuts down) or on SIGHUP (a terminal was closed).
After the first signal the current step is finished and saved; a second one ends the work at once.

The exit status tells which signal it was, by the convention of shells: 128 + its number, so 130 for Ctrl-C and 143 for SIGTERM.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from minitron.core import distributed
from minitron.core.console import say

# Windows has no SIGHUP.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """A signal asked the work to stop. `code` is the exit status."""

    def __init__(self, number: int):
        super().__init__()
        self.code = 128 + number


@contextmanager
def raised() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise Stopped, as Ctrl-C raises KeyboardInterrupt: what is half written is removed. In the
    other processes of torchrun, which write nothing, they end the process as usual."""

    def stop(number: int, _frame: object) -> NoReturn:
        raise Stopped(number)

    # Whoever has set another handler keeps it, and ignored signals stay ignored.
    mine = distributed.rank() == 0 and threading.current_thread() is threading.main_thread()
    usual = [number for number in SIGNALS if mine and signal.getsignal(number) is signal.SIG_DFL]
    for number in usual:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)


class Interrupt:
    """A `with` block whose loop looks at `wanted` after every step, then saves and calls `leave`."""

    def __enter__(self) -> "Interrupt":
        self._number, self._before = 0, {}
        for number in SIGNALS:
            # Ignored signals stay ignored: nohup ignores SIGHUP, and a script's shell ignores SIGINT for its background jobs.
            if signal.getsignal(number) is not signal.SIG_IGN:
                try:
                    self._before[number] = signal.signal(number, self._note)
                except ValueError:  # not in the main thread: nothing to catch
                    break
        return self

    @property
    def wanted(self) -> bool:
        return self._number != 0

    def leave(self) -> NoReturn:
        """Raises Stopped."""
        raise Stopped(self._number or signal.SIGINT)  # the signal may have reached only another process

    def _note(self, number: int, _frame: object) -> None:
        if self._number:
            raise Stopped(number)
        self._number = number
        say("stopping after this step (once more: at once)")

    def __exit__(self, kind: type | None, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if self._number and distributed.rank() and kind and issubclass(kind, Exception):
            self.leave()  # the first process says what failed; torchrun has asked the others to end
