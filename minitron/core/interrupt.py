"""Ctrl-C during long work: once to finish the step and save, twice to leave at once."""

import signal

from minitron.core.console import say


class Interrupt:
    """Ctrl-C once: finish the step, save, leave. Twice: leave at once."""

    def __enter__(self) -> "Interrupt":
        self.wanted = False
        try:
            self._before = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not in the main thread: nothing to catch
            self._before = None
        return self

    def _note(self, *_: object) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
        say("stopping after this step (Ctrl-C again: at once)")

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
