"""Chat in the terminal with the model of a run. Run: minitron chat runs/demo (or recipes/demo.toml).

For the person who trains the model. Drives a `session.Session` in two ways: from a terminal, with a prompt and a history of lines,
and from a pipe, with nothing but answers on stdout.
"""

import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minitron.chat.labels import Book
from minitron.chat.session import Reply, Session, TextSession
from minitron.core.console import console, interactive, say, visible
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.data.labels import Model
from minitron.recipe.layout import pointed
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds
from minitron.train import checkpoint


def run(config: Config, *, stage: str | None = None) -> None:
    """Chats until the person leaves or the input ends. `stage` None: the stage whose model ships, or the last one before it that has
    a model, if feedback or kto have none yet. Raises MinitronError if the stage has no finished model."""
    if stage is None:
        stage = config.shipped
        if stage == "feedback" and not pointed(config.layout.stage("feedback"), "best"):
            stage = config.finished
        if stage == "kto" and not pointed(config.layout.stage("kto"), "best"):
            stage = "sft"
    folder = checkpoint.finished(config.layout.stage(stage), stage)
    tokenizer = kinds.load(config.layout.tokenizer)
    model, about = checkpoint.load_model(folder, device=pick_device(config.device))
    how = {"sampling": config.export.sampling(), "seed": secrets.randbits(31)}
    if stage == "pretrain":
        session, what = TextSession(tokenizer, model, **how), "how a text begins"
    else:
        session, what = Session(tokenizer, model, system=config.export.system, **how), "a message"
        session.book = Book(config.layout.labels, Model(config.title, about["sha256"]["model.safetensors"]))
    say(
        f"This is {config.title} ({stage}, step {about['step']:,}). "
        f"Type {what} and press Enter. /help shows the commands, /quit leaves.",
        style="bold",
    )
    if config.export.greeting:
        say(config.export.greeting)
    sys.stdin.reconfigure(errors="replace")
    if interactive():
        sys.stdout.reconfigure(errors="replace")
        _talk(session, _typed_lines(config.layout.chat_history), on_terminal=True)
    else:
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
        _talk(session, (line.decode("utf-8", "replace") for line in sys.stdin.buffer), on_terminal=False)


def _talk(session: Session, lines: Iterator[str], *, on_terminal: bool) -> None:
    """Answers each line on stdout; everything else goes to stderr."""

    def write(part: str) -> None:
        sys.stdout.write(visible(part) if on_terminal else part)
        sys.stdout.flush()

    def answer(say_it: Callable[..., Reply | str], text: str) -> None:
        """Writes the answer while it grows; with /probs on, writes it whole after the list of its tokens."""
        whole: list[str] = []
        pressed.clear()
        reply = say_it(text, whole.append if session.watched else write, stopped=lambda: bool(pressed))
        if isinstance(reply, str):
            say(reply, style="dim")
            return
        write("".join(whole) + "\n")
        for remark in reply.remarks():
            say(remark, style="dim")

    session.watch = lambda line: say(line, style="dim")
    with _ctrl_c_noted(on_terminal) as pressed:
        for line in lines:
            text = line.rstrip("\r\n")
            try:
                name, _, rest = text.partition(" ")
                if session.fixing:
                    say(session.fix(text), style="dim")
                elif name == "/branch":
                    answer(session.branch, rest)
                elif text.startswith("/"):
                    say(session.command(text), style="dim")
                elif text.strip():
                    answer(session.ask, text)
            except EOFError:
                return
            except MinitronError as error:
                say(f"{error}: {error.hint}", style="yellow")


@contextmanager
def _ctrl_c_noted(on_terminal: bool) -> Iterator[list[bool]]:
    """Within the block, Ctrl-C only appends to the yielded list. If stdin is no terminal, it ends the program as usual."""
    pressed: list[bool] = []
    if not on_terminal:
        yield pressed
        return
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _typed_lines(history: Path) -> Iterator[str]:
    """Lines typed at the prompt. Ctrl-D ends them, and so does Ctrl-C twice in a row."""
    read, warned = _reader(history), False
    while True:
        try:
            line = read()
            warned = False
            yield line
        except EOFError:
            return
        except KeyboardInterrupt:
            if warned:
                return
            warned = True
            say("To leave, press Ctrl-C once more, or type /quit.", style="dim")


def _reader(history: Path) -> Callable[[], str]:
    """A function that asks for one line: with arrow keys and history, or without them on a terminal that cannot do that."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.formatted_text import FormattedText
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.utils import is_dumb_terminal

    if is_dumb_terminal():
        return _read_plainly

    class History(FileHistory):
        def store_string(self, string: str) -> None:
            with suppress(OSError, UnicodeError):  # a full disk or a stray byte is no reason to stop talking
                super().store_string(string)

    session = PromptSession(history=History(history))
    style = "" if console().no_color else "bold ansigreen"
    return lambda: session.prompt(FormattedText([(style, "> ")]))


def _read_plainly() -> str:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # the handler that raises KeyboardInterrupt
    try:
        return input("> ")
    except (EOFError, KeyboardInterrupt):
        say("")  # leave the line of the prompt
        raise
    finally:
        signal.signal(signal.SIGINT, before)
