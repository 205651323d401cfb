"""The one console. Everything that is not a result goes to stderr through here.

Off a terminal there are no bars and no colours, only lines; NO_COLOR is respected (rich does both). What comes out of data
or out of a model never steers the terminal: its control characters are shown as U+FFFD.
"""

import atexit
import errno
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

from minitron.core.errors import MinitronError

PLAIN_EVERY_SECONDS = 20.0  # how often a long task says a line where no bar can be drawn


# Control characters, which could move the cursor, recolour the screen or name the window: C0 (but tab and newline), DEL and C1.
CONTROLS = dict.fromkeys([*(set(range(32)) - {9, 10}), *range(0x7F, 0xA0)], "\ufffd")


def visible(text: str) -> str:
    """The text with U+FFFD in place of every control character but tab and newline."""
    return text.translate(CONTROLS)


# Nobody reads any more: the terminal was closed (SIGHUP), the other program of a pipe ended, or the disk with the file is full.
UNREAD = (errno.EIO, errno.EPIPE, errno.ENOSPC)


class _Stderr:
    """stderr, which may go away while a task goes on: that is no reason to lose a step."""

    @property
    def rich_proxied_file(self) -> "_Stderr":
        """While a bar is shown, rich puts a proxy in place of sys.stderr; rich's console asks for what is behind the proxy."""
        return self

    @staticmethod
    def _file() -> TextIO:
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)

    def __getattr__(self, name: str):
        return getattr(self._file(), name)

    def write(self, text: str) -> int:
        return self._unless_closed(self._file().write, text) or 0

    def flush(self) -> None:
        self._unless_closed(self._file().flush)

    def _unless_closed(self, work, *arguments):
        try:
            return work(*arguments)
        except OSError as error:
            if error.errno not in UNREAD:
                raise


def _forget_unread() -> None:
    """Drops what stderr did not take. Python would try again at its end, and fail with a status of its own, 120."""
    try:
        if not sys.stderr.closed:
            sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


@cache
def console():
    """The rich console on stderr, made when first used (rich costs 50 ms to import)."""
    from rich.console import Console

    atexit.register(_forget_unread)
    return Console(file=_Stderr(), highlight=False, soft_wrap=True, emoji=False)


_logs: list[TextIO] = []  # where `say` writes, too
_quiet = False


def quiet(on: bool) -> None:
    """While on, nothing is printed or logged; for all but the first of several processes."""
    global _quiet
    _quiet = on


def say(message: str, *, style: str | None = None) -> None:
    """Prints one line for the user, without markup, and writes it to the logs."""
    if _quiet:
        return
    message = visible(message)
    console().print(message, style=style, markup=False)
    for log in _logs:
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")
        log.flush()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Within the block appends all that `say` prints to a file, with the time."""
    if _quiet:
        yield
        return
    with path.open("a", encoding="utf-8", errors="backslashreplace") as log:  # the name of a file may not be UTF-8
        _logs.append(log)
        try:
            yield
        finally:
            _logs.remove(log)


def ready_streams() -> None:
    """From now on no stream ends the program: one that is closed (`2>&-`) reads nothing and drops what it gets, and a character that
    stdout's encoding lacks is printed as `?`."""
    # In the order of their descriptors: a new file gets the lowest free one, so that each stream has its own again.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115  for as long as the program runs
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def tell(text: str) -> None:
    """Prints a line of a result, on stdout."""
    print(visible(text), flush=True)


def warn(message: str) -> None:
    say(f"warning: {message}", style="yellow")


def fail(error: MinitronError) -> None:
    """Prints an error and its hint the way every part of minitron does."""
    say(f"minitron: error: {error}", style="bold red")
    if error.hint:
        say(f"hint: {error.hint}")


class Progress:
    """Where a long task stands: `done` of `total`, with a text beside it. Made by `progress`."""

    def __init__(self, title: str, total: int, bar, done: int):
        self.title, self.total, self._bar = title, total, bar
        self._task = bar.add_task(title, total=total or None, completed=done, note="") if bar else None
        self._said = self._begun = time.monotonic()
        self._first = done

    def update(self, done: int, note: str = "") -> None:
        if self._bar:
            self._bar.update(self._task, completed=done, note=note)
        elif time.monotonic() - self._said >= PLAIN_EVERY_SECONDS:
            self._said = time.monotonic()
            of = f"/{self.total}" if self.total else ""
            left = (self._said - self._begun) / max(1, done - self._first) * (self.total - done)
            note += f"  {left / 60:.0f} min left" if left > 60 and done > self._first else ""
            say(f"{self.title} {done}{of}" + (f"  {note}" if note else ""))


@contextmanager
def progress(title: str, total: int = 0, *, done: int = 0) -> Iterator[Progress]:
    """A progress bar with the time left on a terminal, a line every 20 s elsewhere. `total` 0: unknown."""
    if _quiet or not console().is_terminal:
        yield Progress(title, total, None, done)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bar(*columns, console=console(), transient=True) as bar:
        yield Progress(title, total, bar, done)


def interactive() -> bool:
    """Whether stdin and stdout are both a terminal, so that a user can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()
