"""Runs a program in a terminal, as a person would: what it shows, its CPU time and its memory. Linux only.

with Terminal("dist/minitron-chat-linux-amd64") as chat:      # a pseudo-terminal: every byte, as soon as it comes
    seconds = chat.until_prompt()
with Window("talk", "dist/minitron-chat-linux-amd64") as chat:      # a window of tmux: the screen that a person sees
    answer = chat.say("Hello!")
"""

import os
import re
import select
import shlex
import subprocess
import time
from pathlib import Path

from minitron.core.errors import MinitronError


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """The memory of a process that is resident, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024 / 1e6


class Terminal:
    """Starts the program. At the end of the `with` block the program is killed."""

    def __init__(self, program: Path, *arguments: str):
        self.master, slave = os.openpty()
        self.shown = ""
        self.began = time.perf_counter()
        environment = os.environ | {"TERM": "xterm", "LANG": "en_US.UTF-8"}
        self.process = subprocess.Popen(
            [program, *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def type(self, text: str) -> None:
        self.shown = ""
        os.write(self.master, text.encode())

    def read(self, seconds: float) -> bool:
        """Adds what the program shows to `shown`. False if it shows nothing within `seconds`."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.shown += os.read(self.master, 1 << 16).decode(errors="replace")
        return True

    def until_prompt(self, limit_seconds: float = 300) -> float:
        """Waits for a prompt; returns the seconds since the start of the program. Raises MinitronError if none comes."""
        while not re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown).endswith("\n> "):
            if not self.read(limit_seconds):
                raise MinitronError(f"the program shows no prompt but {self.shown[-200:]!r}", hint="this is a bug")
        return time.perf_counter() - self.began

    def until_idle(self) -> None:
        """Waits until the program has shown nothing and used no CPU time for half a second."""
        before = -1.0
        while self.read(0.5) or cpu_seconds(self.process.pid) != before:
            before = cpu_seconds(self.process.pid)

    def resident_mb(self) -> float:
        return resident_mb(self.process.pid)


class Window:
    """Starts the chat program in a window of tmux. At the end of the `with` block the window is closed."""

    def __init__(self, name: str, program: Path, *arguments: str):
        self.name = name
        command = shlex.join(["env", "MINITRON_HISTORY=off", str(program), *arguments])
        self.tmux("new-session", "-d", "-x", "160", "-y", "50", "-s", name, command)
        self.shown()

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_) -> None:
        self.tmux("kill-session", "-t", self.name)

    def tmux(self, *words: str) -> str:
        return subprocess.run(["tmux", *words], check=True, capture_output=True, text=True).stdout

    def shown(self, limit_seconds: float = 600) -> list[str]:
        """The lines of the window, without empty ones, as soon as the last one is an empty prompt. Raises MinitronError if none comes."""
        end = time.perf_counter() + limit_seconds
        while time.perf_counter() < end:
            screen = self.tmux("capture-pane", "-p", "-J", "-t", self.name)
            lines = [line for line in screen.splitlines() if line.strip()]
            if lines and lines[-1].strip() == ">":
                return lines
            time.sleep(0.005)
        raise MinitronError("the program shows no prompt", hint="this is a bug")

    def say(self, text: str) -> str:
        """Types a line. Returns what the program shows below it."""
        self.tmux("send-keys", "-t", self.name, "-l", "--", text.removesuffix(";"))
        self.tmux("send-keys", "-t", self.name, "Enter")
        lines = self.shown()
        typed = max((i for i, line in enumerate(lines[:-1]) if line.startswith("> ")), default=-1)
        return "\n".join(lines[typed + 1 : -1])

    def resident_mb(self) -> float:
        return resident_mb(int(self.tmux("list-panes", "-t", self.name, "-F", "#{pane_pid}")))
