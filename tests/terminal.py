"""A window for the chat program: pexpect types, pyte is the screen. For test_terminal and test_terminal_signals."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from minitron.program import go

pexpect = pytest.importorskip("pexpect")
pyte = pytest.importorskip("pyte")

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "go_serve/internal/model/testdata/llama"  # context 64, every byte a token
UP, DOWN, LEFT, RIGHT, HOME = "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[C", "\x1b[H"
CTRL = {letter: chr(ord(letter) & 31) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def build(out: Path) -> Path:
    """The program, without a model in it."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    command = [go.find_go(), "build", "-o", out / "minitron-chat", go.PROGRAM]
    subprocess.run(command, cwd=ROOT / "go_serve", env=environment, check=True)
    return out / "minitron-chat"


class Terminal:
    """A window with a program in it."""

    def __init__(self, command: list, *, columns: int = 80, rows: int = 24, home: Path, **environment: str):
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LANG", "LC_MESSAGES", "MINITRON_HISTORY")}
        env = kept | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "HOME": str(home)}
        env |= {"XDG_CONFIG_HOME": str(home / "config")} | environment
        self.raw = b""
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=0.001)
        self.stream = pyte.ByteStream(self.screen)
        command = [str(part) for part in command]
        self.child = pexpect.spawn(command[0], command[1:], env=env, dimensions=(rows, columns), timeout=20)
        self.child.delaybeforesend = None

    def read(self, seconds: float = 0.02) -> bool:
        """Reads what the program wrote; returns whether there was anything."""
        try:
            data = self.child.read_nonblocking(1 << 16, seconds)
        except pexpect.TIMEOUT:
            return False
        except pexpect.EOF:
            return False
        self.raw += data
        self.stream.feed(data)
        return True

    def type(self, keys: str) -> None:
        data = keys.encode()
        while data:  # a terminal's input buffer holds only so much
            data = data[self.child.send(data[:1024]) :]
            self.read(0.001)

    @property
    def rows(self) -> list[str]:
        """The rows of the window, without empty ones at the end."""
        rows = [row.rstrip() for row in self.screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def text(self) -> str:
        """All rows joined, also those scrolled off the top, so that it does not matter where lines are broken."""
        width = range(self.screen.columns)
        above = ["".join(row[x].data for x in width) for row in self.screen.history.top]
        return "".join(above) + "".join(self.screen.display)

    @property
    def said(self) -> str:
        """The text with runs of white space made single spaces."""
        return " ".join(self.text.split())

    @property
    def cursor(self) -> tuple[int, int]:
        return self.screen.cursor.y, self.screen.cursor.x

    def until(self, what, seconds: float = 15) -> None:
        """Waits for a text on the screen, or for a condition (a callable) to hold."""
        end = time.monotonic() + seconds
        true = what if callable(what) else lambda: " ".join(what.split()) in self.said
        while not true():
            assert time.monotonic() < end, f"{what} did not come:\n" + "\n".join(self.rows[-12:])
            self.read()

    def settle(self) -> None:
        """Waits until the program writes nothing more."""
        while self.read(0.15):
            pass

    def prompt(self) -> None:
        """Waits for an empty prompt."""
        self.until(lambda: self.rows[-1:] == [">"] and self.cursor[1] == 2)

    def ask(self, keys: str, answer: str) -> None:
        """Sends a line, waits for a text after it and for the next prompt."""
        answer = " ".join(answer.split())
        before = self.said.count(answer)
        self.type(keys + "\r")
        self.until(lambda: self.said.count(answer) > before)
        self.prompt()

    def ended(self) -> int:
        while self.read(0.1) or self.child.isalive():
            pass
        self.child.close()
        return self.child.exitstatus
