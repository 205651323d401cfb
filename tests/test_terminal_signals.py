"""The chat program among signals and other programs: Ctrl-C, Ctrl-Z, a shell, windows that change their size."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from terminal import CTRL, LEFT, ROOT, TINY, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Path:
    """A bundle whose answers take seconds: fresh weights, much room."""
    out = tmp_path_factory.mktemp("slow")
    shape = ["d_model=256", "n_layers=8", "n_heads=4", "context=8192"]
    settings = [*(f"model.{part}" for part in shape), "tokenizer.vocab_size=500"]
    command = [sys.executable, "-m", "minitron", "export", ROOT / "recipes/demo.toml", "--untrained", *settings]
    subprocess.run([*command, "--out", out], check=True, capture_output=True)
    return out


@pytest.fixture
def home(tmp_path) -> Path:
    """The home folder, with a person's settings."""
    return tmp_path / "home"


def slow_chat(program: Path, slow: Path, home: Path, **how) -> Terminal:
    t = Terminal([program, "--model", slow, "--temp", "0", "--max-tokens", "8000", "--threads", "1"], home=home, **how)
    t.prompt()
    return t


def answering(t: Terminal) -> None:
    """Waits until an answer has begun."""
    before = len(t.raw)
    t.until(lambda: len(t.raw) > before + 200)


@pytest.mark.parametrize("columns", [80, 40])
def test_ctrl_c_stops_an_answer(program, slow, home, columns):
    t = slow_chat(program, slow, home, columns=columns)
    waited = []
    for n in range(1, 6):
        t.type("hello\r")
        answering(t)
        begin = time.monotonic()
        t.type(CTRL["C"])
        t.until(lambda n=n: t.raw.count(b"(stopped)") == n)
        waited.append(time.monotonic() - begin)
        t.prompt()
        t.ask("/new", "forgotten")
    assert min(waited) < 0.05, waited  # a busy machine may be late, but not five times
    t.type("/quit\r")
    assert t.ended() == 0


def test_what_is_typed_during_an_answer_waits(program, slow, home):
    t = slow_chat(program, slow, home)
    t.type("hello\r")
    answering(t)
    t.type("nextnext")
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        t.read()
    assert b"nextnext" not in t.raw
    t.type(CTRL["C"])
    t.until(lambda: t.rows[-1] == "> nextnext")
    t.type(CTRL["U"] + "hello\r")
    answering(t)
    t.type("sent\rbegun" + CTRL["C"])  # what was sent is taken back too
    t.until(lambda: t.raw.count(b"(stopped)") == 2)
    t.prompt()
    t.ask("/stats", "turns: 2, ")
    t.child.close(force=True)


def shell(home: Path) -> Terminal:
    t = Terminal(["bash", "--norc", "--noprofile", "-i"], home=home, PS1="$ ")
    t.until(lambda: t.rows[-1:] == ["$"])
    return t


def settings(t: Terminal) -> str:
    """The terminal's settings as the shell's programs see them."""
    shown = re.compile(r"<([0-9a-f:]{30,})>")
    before = len(shown.findall(t.text))
    t.type('echo "<$(stty -g)>"\r')
    t.until(lambda: len(shown.findall(t.text)) > before)
    return shown.findall(t.text)[-1]


def test_suspend_and_resume_at_the_prompt(program, home):
    t = shell(home)
    before = settings(t)
    t.type(f"PS1='$ ' {program} --model {TINY}\r")
    t.prompt()
    t.type("half" + LEFT + CTRL["Z"])
    t.until(lambda: "Stopped" in t.text and t.rows[-1] == "$")
    assert settings(t) == before
    t.type("fg\r")
    t.until(lambda: t.rows[-1] == "> half" and t.cursor[1] == len("> hal"))
    t.type("x")
    t.until(lambda: t.rows[-1] == "> halxf")
    t.type(CTRL["U"] + CTRL["K"] + "/quit\r")
    t.until(lambda: t.rows[-1] == "$")
    assert settings(t) == before
    t.child.close(force=True)


def test_suspend_and_resume_in_an_answer(program, slow, home):
    t = shell(home)
    before = settings(t)
    t.type(f"{program} --model {slow} --temp 0 --max-tokens 8000 --threads 1\r")
    t.prompt()
    t.type("hello\r")
    answering(t)
    t.type(CTRL["Z"])
    t.until(lambda: "Stopped" in t.text and t.rows[-1] == "$")
    assert settings(t) == before
    t.type("fg\r")
    answering(t)
    t.type(CTRL["C"])
    t.until("(stopped)")
    t.prompt()
    t.type("/quit\r")
    t.until(lambda: t.rows[-1] == "$")
    assert settings(t) == before
    t.child.close(force=True)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_leaves_the_terminal_as_it_was(program, home, name):
    kind = signal.Signals[name]
    before_us = signal.signal(kind, signal.SIG_DFL)  # under nohup it is ignored, and the program would inherit that
    t = shell(home)
    before = settings(t)
    t.type(f"sh -c 'echo $$ > {home}.pid; exec {program} --model {TINY}'\r")
    t.until("/quit leaves.")
    t.settle()
    os.kill(int(Path(f"{home}.pid").read_text()), kind)
    t.until(lambda: t.rows[-1] == "$", seconds=20)
    t.settle()
    t.type("\r")
    assert settings(t) == before
    assert t.raw.rfind(b"\x1b[?2004l") > t.raw.rfind(b"/quit leaves.")
    t.child.close(force=True)
    signal.signal(kind, before_us)


@pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux")
@pytest.mark.parametrize("widths", [(80, 40), (40, 80), (80, 33)])
def test_a_terminal_that_breaks_rows_anew(program, home, tmp_path, widths):
    """Like most terminals, tmux itself breaks a window's rows anew, to the new width."""
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]

    def run(*command: str) -> str:
        return subprocess.run([*tmux, *command], check=True, capture_output=True, text=True).stdout

    def rows() -> list[str]:
        return run("capture-pane", "-p").rstrip("\n").split("\n")

    def until(true) -> None:
        end = time.monotonic() + 10
        while not true():
            assert time.monotonic() < end, "\n".join(rows())
            time.sleep(0.05)

    env = os.environ | {"XDG_CONFIG_HOME": str(home), "LC_ALL": "C.UTF-8"}
    start = ["new-session", "-d", "-x", str(widths[0]), "-y", "24", f"{program} --model {TINY} --temp 0"]
    subprocess.run([*tmux, *start], check=True, env=env)
    try:
        until(lambda: rows()[-1] == ">")
        text = "0123456789" * 15
        run("send-keys", "-l", text)
        run("send-keys", *["Left"] * 20)
        shown = "> " + text
        for width in [*widths, widths[0], widths[1]]:
            run("resize-window", "-x", str(width), "-y", "24")
            wanted = [shown[i : i + width] for i in range(0, len(shown), width)]
            until(lambda wanted=wanted: rows()[-len(wanted) :] == wanted)
            cursor = run("display-message", "-p", "#{cursor_x} #{cursor_y}").split()
            assert cursor[0] == str((len(shown) - 20) % width)
            assert rows()[int(cursor[1]) - (len(shown) - 20) // width] == wanted[0]
            assert "".join(row.ljust(width) for row in rows()).count("> 0123") == 1
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
