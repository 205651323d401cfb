"""Long work that is asked to stop: by Ctrl-C, by SIGTERM (a job queue, a system that shuts down) or by SIGHUP (a terminal
that was closed). The first signal lets the step be finished and saved, a second one ends it at once.

The exit status tells which it was, as shells have it: 128 + the signal's number, so 130 for Ctrl-C and 143 for SIGTERM.
"""

import signal
from typing import NoReturn

from minitron.core import distributed
from minitron.core.console import say

# Windows has no SIGHUP.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """A signal asked for the end, and what was done is saved. `code` is the exit status."""

    def __init__(self, number: int):
        super().__init__()
        self.code = 128 + number


class Interrupt:
    """A `with` block whose loop looks at `wanted` after every step, then saves and calls `leave`."""

    def __enter__(self) -> "Interrupt":
        self._number, self._before = 0, {}
        for number in SIGNALS:
            # What is ignored stays so: nohup does that with SIGHUP, a script's shell with SIGINT of what it runs behind it.
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
        raise Stopped(self._number or signal.SIGINT)  # of several processes only another one may have been asked

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
