"""The chat program on a real terminal, at 80 and at 40 columns: commands, keys, history, paste; and off a terminal."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
from terminal import CTRL, DOWN, HOME, LEFT, ROOT, TINY, UP, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
GREETING = "This is llama. Type a message and press Enter. /help shows the commands, /quit leaves."


@pytest.fixture(params=[80, 40])
def columns(request) -> int:
    return request.param


@pytest.fixture
def home(tmp_path) -> Path:
    """The home folder, with a person's settings and the history."""
    return tmp_path / "home"


@pytest.fixture
def chat(program, columns, home):
    """Opens a chat with the tiny model."""
    opened = []

    def open_chat(*arguments: str, **environment: str) -> Terminal:
        flags = ["--model", TINY, "--temp", "0", "--seed", "1", "--max-tokens", "6", *arguments]
        opened.append(Terminal([program, *flags], columns=columns, home=home, **environment))
        if environment.get("TERM") != "dumb":
            opened[-1].prompt()
        return opened[-1]

    yield open_chat
    for terminal in opened:
        terminal.child.close(force=True)


def test_every_command(chat, tmp_path):
    t = chat()
    assert GREETING in t.said
    t.ask("/help", "begin and end it with")
    t.ask("/probs", "Nothing was said yet.")
    t.ask("hello", "(The answer was cut at 6 tokens; /max_tokens changes that.)")
    t.ask("/stats", "turns: 1, tokens: 15 of 64")
    t.ask("/probs", "%  <0x")
    t.ask("/tokens hi", "tokens: 2")
    assert "<0x68> | <0x69>" in t.said
    t.ask("/regen", "(The answer was cut")
    t.ask("/stats", "turns: 1, tokens: 15 of 64")
    file = tmp_path / "chat.json"
    t.ask(f"/save {file}", "; turns: 1.")
    messages = json.loads(file.read_text())["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"]
    assert messages[0]["content"] == "hello"
    t.ask("/undo", "Taken back: hello")
    t.ask("/stats", "turns: 0, tokens: 0 of 64")
    t.ask("/undo", "Nothing was said yet.")
    t.ask(f"/load {file}", "goes on here; turns: 1.")
    t.type("/edit\r")
    t.until(lambda: t.rows[-1] == "> hello")
    t.type("\x7f\x7fiko\r")
    t.until(lambda: "> heliko" in t.rows)
    t.prompt()
    t.ask("/stats", "turns: 1, tokens: 16 of 64")
    t.ask("/new", "The conversation is forgotten.")
    t.ask("/reset", "The conversation is forgotten.")
    t.ask("/system be kind", "The system message is set.")
    t.ask("/system", "System message: be kind")
    t.ask("/set", "repeat-penalty  1")
    for name, value in {"temperature": "0.5", "top-k": "7", "top-p": "0.9", "min-p": "0.1", "max-tokens": "9"}.items():
        t.ask(f"/set {name} {value}", f"{name}: {value}")
    t.ask("/set seed 5", "seed: 5")
    t.ask("/set repeat-penalty 1.1", "repeat-penalty: 1.1")
    t.ask("/temp", "temperature: 0.5")
    t.ask("/max_tokens", "tokens per answer, at most: 9")
    t.ask("/bench", "tokens at")
    t.ask("/satts", "Did you mean /stats?")
    t.type("/quit\r")
    assert t.ended() == 0


def friendly(folder: Path) -> Path:
    """The tiny model with questions to begin with, and a greeting that holds a terminal's control sequence."""
    shutil.copytree(TINY, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["crc32"]  # the checksum, as the config is changed on purpose
    config["chat"] = {
        "system": "",
        "greeting": "Hi \x1b[2J there",
        "questions": ["Who are you?", "Why?", "a" * 300, "How?", "4"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_questions(chat, tmp_path):
    folder = friendly(tmp_path / "friendly")
    t = chat("--model", folder)
    assert t.rows[-6:] == [
        "Hi \ufffd[2J there",
        "You could ask (Tab types it):",
        "  Who are you?",
        "  Why?",
        "  How?",
        ">",
    ]
    for question in ["Who are you?", "Why?", "How?", "Who are you?"]:
        t.type("\t")
        t.until(lambda question=question: t.rows[-1] == "> " + question)
    t.ask("", "(The answer was cut")
    t.ask("/stats", "turns: 1, tokens: 26 of 64")
    dumb = chat("--model", folder, TERM="dumb", LC_ALL="ru_RU.UTF-8")
    dumb.until(lambda: dumb.rows[-5:] == ["Можно спросить:", "  Who are you?", "  Why?", "  How?", ">"])


def test_a_full_context_is_told_once(chat):
    t = chat()
    for _ in range(9):
        t.ask("0123456789", "(The answer was cut")
    assert t.said.count("from now on it forgets the oldest turns") == 1
    t.ask("/regen", "(The answer was cut")
    t.ask("/stats", "turns: 9, tokens: 60 of 64")
    t.ask("x" * 70, "This message is too long: it has 70 tokens, 60 fit.")
    t.ask("hello", "(The answer was cut")
    assert t.said.count("from now on it forgets the oldest turns") == 1


def test_words_stay_whole(chat, columns):
    t = chat()
    t.ask("/help", "begin and end it with")
    words = {word for word in lang_help().split() if len(word) > 3}
    assert len(words) > 60
    shown = {word for row in t.screen.history.top for word in "".join(row[x].data for x in range(columns)).split()}
    shown |= {word for row in t.rows for word in row.split()}
    assert words <= shown
    t.ask("/stats", "turns: 0, tokens: 0 of 64")


def lang_help() -> str:
    source = (ROOT / "go_serve/internal/lang/lang.go").read_text()
    return source.split("Help: `")[1].split("`")[0]


def test_moves_by_words(chat):
    t = chat()
    t.type("one two three" + "\x1bb" + "\x1b[1;5D" + "x" + "\x1bf" + "y")  # Alt-B, Ctrl-Left, Alt-F
    t.until(lambda: t.rows[-1] == "> one xtwoy three")
    t.type("\x1b\x7f" + "\x1b[1;5C" + CTRL["W"])
    t.until(lambda: t.rows[-1] == "> one")


def test_save_asks_before_it_replaces(chat, tmp_path):
    file = tmp_path / "x.json"
    file.write_text("mine")
    t = chat()
    t.ask("hello", "(The answer")
    for answer, note in [("n\r", "stays"), ("\r", "stays"), (CTRL["C"], "stays"), ("y\r", "Written to")]:
        t.type(f"/save {file}\r")
        t.until("Replace it? [y/N]")
        t.settle()
        assert file.read_text() == "mine"
        before = t.said.count(note)
        t.type(answer)
        t.until(lambda note=note, before=before: t.said.count(note) > before)
        t.prompt()
    assert json.loads(file.read_text())["messages"]
    file.write_text('{"messages": [')
    t.ask(f"/load {file}", "holds no conversation")
    t.ask(f"/load {file}.not", "cannot be read")


def test_history_survives(chat, home):
    first = chat()
    first.ask("hello", "(The answer")
    first.ask("hello", "(The answer")
    first.type("\x1b[200~two\rlines\x1b[201~")
    first.until(lambda: first.rows[-2:] == ["> two", "  lines"])
    first.ask("", "(The answer")
    first.type(CTRL["D"])
    assert first.ended() == 0
    file = home / "config/minitron-chat/history"
    assert file.read_text() == "hello\ntwo\\nlines\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    second = chat()
    second.type("draft" + UP)
    second.until(lambda: second.rows[-2:] == ["> two", "  lines"])
    second.type(UP + UP)
    second.until(lambda: second.rows[-1] == "> hello")
    second.type(UP + DOWN + DOWN + DOWN)
    second.until(lambda: second.rows[-1] == "> draft")
    second.type(CTRL["U"] + CTRL["R"] + "ell")
    second.until(lambda: second.rows[-1] == "(search: ell) hello")
    second.type(CTRL["A"] + "x")
    second.until(lambda: second.rows[-1] == "> xhello")
    second.type(CTRL["C"] + CTRL["C"])
    assert second.ended() == 0
    assert file.read_text() == "hello\ntwo\\nlines\n"

    off = chat(MINITRON_HISTORY="off")
    off.type(UP)
    off.ask("secret", "(The answer")
    assert "secret" not in file.read_text()


def test_an_unwritable_history_stops_nothing(chat, home):
    home.mkdir()
    (home / "config").write_text("a file where a folder should be")
    t = chat()
    t.ask("hello", "(The answer")
    t.type(UP)
    t.until(lambda: t.rows[-1] == "> hello")


def test_a_paste_of_several_lines_is_one_message(chat):
    t = chat()
    t.type("a \x1b[200~one\r\ntwo\rthree\x1b[201~ b")
    t.until(lambda: t.rows[-3:] == ["> a one", "  two", "  three b"])
    t.until(lambda: t.cursor[1] == len("  three b"))
    t.ask("", "(The answer")
    t.ask("/stats", "turns: 1, tokens: 31 of 64")  # 17 characters, spaces are 3 bytes; the answer; 4 markers
    t.type('"""one\rtwo"""')
    t.until(lambda: t.rows[-2:] == ['> """one', '  two"""'])
    t.ask("", "(The answer")
    t.ask("/stats", "turns: 2, tokens: 48 of 64")  # 7 characters: without the quotes


@pytest.mark.parametrize("marks", [("\x1b[200~", "\x1b[201~"), ("", "")], ids=["bracketed", "typed"])
def test_ten_thousand_characters(chat, marks):
    t = chat()
    text = "".join(chr(ord("a") + i % 26) for i in range(10_000))
    begin = time.monotonic()
    t.type(marks[0] + text + marks[1])
    t.until(lambda: t.text.rstrip().endswith(text[-100:]))
    assert time.monotonic() - begin < 2
    t.until(lambda: t.cursor[1] == (2 + 10_000) % t.screen.columns)
    begin = time.monotonic()
    t.type(LEFT * 50 + "\x7f" + "x")
    t.settle()
    assert time.monotonic() - begin < 2
    t.ask("", "it has 10000 tokens")  # nothing was cut
    assert text[:9949] in t.text  # and all of it stays readable above


def test_emoji_and_marks(chat):
    t = chat()
    family, flag = "👩\u200d👩\u200d👧", "🇷🇺"
    t.type(f"a{family}b")
    t.settle()
    t.until(lambda: t.cursor[1] == 2 + 1 + 2 + 1)
    t.type(LEFT + "\x7f")
    t.settle()
    assert (t.rows[-1], t.cursor[1]) == ("> ab", 3)
    t.type(CTRL["E"] + "e\u0301日本" + flag + flag + LEFT)
    t.settle()
    t.until(lambda: t.cursor[1] == 2 + 2 + 1 + 4 + 2)
    t.type("\x7f" + CTRL["A"] + CTRL["D"] + CTRL["E"])
    t.settle()
    t.until(lambda: t.cursor[1] == 2 + 1 + 1 + 4 + 2)
    assert unicodedata.normalize("NFC", t.rows[-1]).startswith("> bé日本")
    t.type(CTRL["A"] + "/tokens ")
    t.ask("", "tokens: 18")  # b, e, 2 of the accent, 3 + 3 of the two signs, 8 of one flag


def test_lines_longer_than_the_window(chat):
    t = chat()
    width = t.screen.columns
    t.type("x" * (width - 3))
    t.settle()
    t.until(lambda: t.cursor[1] == width - 1)
    top = t.cursor[0]
    t.type("y")
    t.settle()
    t.until(lambda: t.cursor == (top + 1, 0))  # a full row
    t.type("日" + LEFT)
    t.settle()
    t.until(lambda: t.cursor == (top + 1, 0))
    t.type(LEFT)
    t.settle()
    t.until(lambda: t.cursor == (top, width - 1))
    t.type("\x7f" * 3)
    t.settle()
    t.until(lambda: t.cursor == (top, width - 4))
    t.until(lambda: t.rows[-1] == "> " + "x" * (width - 6) + "y日")
    t.type(HOME + "日" * width)
    t.settle()
    t.until(lambda: t.cursor == (top + 2, (2 + 2 * width) % width))
    t.type(CTRL["L"])
    t.settle()
    t.until(lambda: t.rows[0].startswith("> 日"))
    t.until(lambda: t.cursor == (2, 2))


def test_more_rows_than_the_window(chat):
    t = chat()
    lines = [f"line {n}" for n in range(40)]
    t.type("\x1b[200~" + "\n".join(lines) + "\x1b[201~")
    t.until(lambda: t.rows[-1] == "  line 39")
    t.type(UP * 39)
    t.until(lambda: t.screen.display[0].rstrip() == "> line 0")
    t.until(lambda: t.cursor[0] == 0)
    t.ask("", "it has 389 tokens")
    shown = ["> line 0", *("  " + line for line in lines[1:])]
    assert "".join(row.ljust(t.screen.columns) for row in shown) in t.text


@pytest.mark.parametrize("other", [(80, 100), (40, 80), (40, 60)])
def test_a_wider_window(program, home, other):
    before, after = other
    t = Terminal([program, "--model", TINY], columns=before, home=home)
    t.prompt()
    text = "0123456789" * 15
    t.type(text + LEFT * 20)
    t.settle()
    t.screen.resize(24, after)
    t.child.setwinsize(24, after)
    t.settle()
    shown = "> " + text
    t.until(
        lambda: (
            t.rows[-((len(shown) + after - 1) // after) :]
            == [shown[i : i + after] for i in range(0, len(shown), after)]
        )
    )
    t.until(lambda: t.cursor[1] == (len(shown) - 20) % after)
    assert "This is llama." in t.text
    t.ask("", "it has 150 tokens")


def test_ctrl_c_and_ctrl_d_at_the_prompt(chat):
    t = chat()
    how = "To leave, press Ctrl-C once more, or type /quit."
    t.type("something" + CTRL["C"])
    t.until(how)
    t.prompt()
    t.type("x" + CTRL["C"])
    t.until(lambda: t.said.count(how) == 2)
    t.prompt()
    t.ask("/stats", "turns: 0")
    t.type("x" + CTRL["D"])  # Ctrl-D leaves only on an empty line
    t.settle()
    assert t.child.isalive()
    t.type("\x7f" + CTRL["D"])
    assert t.ended() == 0


def test_tab(chat):
    t = chat()
    t.type("/re\t")
    t.until(lambda: t.rows[-2:] == ["> /re", "/regen  /reset"])
    t.type("g\t\x7f")
    t.until(lambda: t.rows[-1] == "> /regen")
    t.type(CTRL["U"] + "/set tem\t0,5")
    t.ask("", "temperature: 0.5")


def test_no_color(chat):
    t = chat(NO_COLOR="1")
    t.type("hllo" + LEFT * 3 + "e")
    t.until(lambda: t.rows[-1] == "> hello")
    t.ask("", "(The answer")
    t.type("/quit\r")
    assert t.ended() == 0
    assert not [part for part in t.raw.split(b"\x1b[")[1:] if part.lstrip(b"0123456789;")[:1] == b"m"]
    coloured = chat()
    assert b"\x1b[0;1;32m>" in coloured.raw


def test_a_dumb_terminal(chat):
    t = chat(TERM="dumb")
    t.until(lambda: t.rows[-1:] == [">"])
    t.type("hello\r")
    t.until("(The answer")
    t.type('"""one\rtwo"""\r')
    t.until(lambda: t.text.count("(The answer") == 2)
    t.type("/stats\r")
    t.until("turns: 2, tokens: 32 of 64")
    t.type(CTRL["C"])
    t.until("To leave, press Ctrl-C once more")
    t.type(CTRL["D"])
    assert t.ended() == 0
    assert b"\x1b" not in t.raw


def test_russian(chat):
    t = chat(LC_ALL="ru_RU.UTF-8")
    t.ask("/help", "продолжить записанный разговор")
    t.type(CTRL["R"] + "help")
    t.until(lambda: t.rows[-1] == "(поиск: help) /help")


def piped(program: Path, home: Path, text: bytes) -> tuple[str, str]:
    command = [program, "--model", TINY, "--temp", "0", "--max-tokens", "6"]
    env = os.environ | {"LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": str(home), "TERM": "xterm"}
    done = subprocess.run(command, input=text, capture_output=True, env=env, check=True)
    return done.stdout.decode(), done.stderr.decode()


def test_a_pipe(program, home):
    out, notes = piped(program, home, b"hello\n/stats\n")
    assert out.count("\n") >= 1
    cut = "(The answer was cut at 6 tokens; /max_tokens changes that.)"
    assert notes.splitlines()[:3] == [GREETING, cut, "turns: 1, tokens: 15 of 64"]
    assert "\x1b" not in out + notes
    assert not home.exists()
    out, notes = piped(program, home, b"x" * 1_000_000)
    assert "This message is too long: it has 1000000 tokens" in notes
