"""Chat in the terminal with the model of a run. Run: minitron chat runs/demo (or recipes/demo.toml).

For the person who trains. `Session` is the conversation (turns, commands, what is forgotten) and knows no terminal, nor does
`TextSession`, in which a base model goes on with what is typed; below them are the two ways in: a terminal with a prompt and
a history of lines, and a pipe with nothing but answers on stdout. What it says and which commands it has are those of the
Go program (go_serve/internal/repl).
"""

import bisect
import codecs
import difflib
import math
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from pathlib import Path

from minitron.core.console import console, interactive, say, visible
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config, Sampling
from minitron.sample.continue_text import continue_text, encode_text, window
from minitron.sample.generate import Decoding, stream
from minitron.tokenizer import chat_template, kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint

HELP = """\
/help            this list
/reset           forget the conversation
/system [text]   show or set what the model is told first ("/system -" removes it)
/temp [x]        show or set the temperature: 0 is always the likeliest word
/max_tokens [n]  show or set how long an answer may get, in tokens
/stats           sizes and speeds
/quit            leave (Ctrl-D too)
Ctrl-C stops an answer."""
COMMANDS = [line.split()[0] for line in HELP.splitlines() if line.startswith("/")]
MAX_TEMPERATURE, MAX_MAX_TOKENS = 10, 1 << 20
# From the last stage to the first: where a run's newest settings are.


@dataclass
class Reply:
    """One answer, why it ended (`end`, `max_tokens`, `context`, `interrupted`), and what it cost."""

    text: str
    stopped: str
    forgotten_turns: int
    prompt_tokens: int
    answer_tokens: int
    prefill_seconds: float  # until the first token
    decode_seconds: float  # the other tokens

    def remarks(self) -> Iterator[str]:
        """What the person should know about it."""
        if self.forgotten_turns:
            yield f"(The conversation no longer fits: oldest turns forgotten: {self.forgotten_turns}.)"
        if self.stopped == "max_tokens":
            yield f"(The answer was cut at {self.answer_tokens} tokens; /max_tokens changes that.)"
        elif self.stopped == "context":
            yield "(The answer was cut: the context is full.)"
        elif self.stopped == "interrupted":
            yield "(stopped)"


class Session:
    """A conversation with a model. `sampling` may be changed between answers."""

    def __init__(self, tokenizer: Tokenizer, model: LanguageModel, *, sampling: Sampling, system: str, seed: int):
        self.tokenizer, self.model, self.sampling, self.seed = tokenizer, model, sampling, seed
        self.system = system
        self.room: float = model.context_limit  # tokens of a prompt and its answer
        self.turns: list[chat_template.Message] = []  # user and assistant by turns
        self.last: Reply | None = None

    def messages(self) -> list[chat_template.Message]:
        return ([{"role": "system", "content": self.system}] if self.system else []) + self.turns

    def ask(self, text: str, on_text: Callable[[str], None], *, stopped: Callable[[], bool] = lambda: False) -> Reply:
        """The answer to `text`, whose parts `on_text` gets as whole characters; ends early once `stopped()` is true.

        Where the context is full, the oldest turns are forgotten for good. Raises MinitronError, and leaves the
        conversation as it was, when the message does not fit.
        """
        prompt, forgotten = self._read(text)
        ids: list[int] = []
        times = [time.perf_counter()]
        self.seed += 1  # another answer when the same is asked again

        def heard() -> Iterator[int]:
            decoding = Decoding.of(self.tokenizer, seed=self.seed)
            for token in self.generate(self.model, prompt, sampling=self.sampling, decoding=decoding):
                if stopped():
                    return
                times.append(time.perf_counter())
                ids.append(token)
                yield token

        for part in whole_characters(heard(), self.tokenizer):
            on_text(part)
        why = "end"
        if stopped():
            why = "interrupted"
        elif len(ids) == self.sampling.max_tokens:
            why = "max_tokens"
        elif len(prompt) + len(ids) >= self.room:
            why = "context"
        answer = self.tokenizer.decode(ids)
        if ids or why != "interrupted":  # stopped before it began, it was never asked: nothing is forgotten for it
            self.turns = self.turns[forgotten:]
            self.turns += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
        first = times[min(1, len(times) - 1)]
        costs = (len(prompt), len(ids), first - times[0], times[-1] - first)
        self.last = Reply(answer, why, forgotten // 2, *costs)
        return self.last

    generate = staticmethod(stream)

    def _read(self, text: str) -> tuple[list[int], int]:
        """The ids of the next prompt, and how many messages are forgotten for it."""
        kept = self._fitting(text)
        return chat_template.encode_prompt(kept, self.tokenizer), len(self.messages()) + 1 - len(kept)

    def _used(self) -> int:
        """Tokens of the conversation."""
        return sum(len(chat_template.encode_message(m, self.tokenizer)) for m in self.messages())

    def _fitting(self, text: str) -> list[chat_template.Message]:
        """The messages of the next prompt, the oldest turns left out where they do not fit."""
        how = {"context": self.model.context_limit, "max_tokens": self.sampling.max_tokens}
        try:
            return chat_template.fit([*self.messages(), {"role": "user", "content": text}], self.tokenizer, **how)[0]
        except MinitronError:
            if self.system and text:
                self._fitting("")  # where not even this fits, the system message is to blame
            elif self.system:
                hint = "shorten it with /system"
                raise MinitronError("what the model is told first takes all the room", hint=hint) from None
            raise

    def command(self, line: str) -> str:
        """Carries out a line that begins with a slash and returns what to tell. Raises EOFError for /quit."""
        name, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        match name:
            case "/help":
                return HELP
            case "/reset":
                self.turns = []
                return "The conversation is forgotten."
            case "/system":
                return self._set_system(rest)
            case "/temp":
                value = _number(rest.replace(",", "."), float, low=0, high=MAX_TEMPERATURE)
                if rest and value is None:
                    return f"/temp needs a number from 0 to {MAX_TEMPERATURE}."
                self.sampling = self.sampling if value is None else replace(self.sampling, temperature=value)
                return f"temperature: {self.sampling.temperature:g}"
            case "/max_tokens":
                value = _number(rest, int, low=1, high=MAX_MAX_TOKENS)
                if rest and value is None:
                    return f"/max_tokens needs a whole number from 1 to {MAX_MAX_TOKENS}."
                self.sampling = replace(self.sampling, max_tokens=value or self.sampling.max_tokens)
                return f"tokens per answer, at most: {self.sampling.max_tokens}"
            case "/stats":
                return self._stats()
            case "/quit":
                raise EOFError
        near = [c for c in COMMANDS if len(name) > 1 and c.startswith(name)]
        near = near or difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        return f"There is no command {name}." + (f" Did you mean {near[0]}?" if near else " /help shows the commands.")

    def _set_system(self, text: str) -> str:
        if text:
            self.system = "" if text == "-" else text
            return "The model is told this first from now on." if self.system else _TOLD_NOTHING + " from now on."
        return f"The model is told first: {self.system}" if self.system else _TOLD_NOTHING + "."

    def _stats(self) -> str:
        told = f"turns: {len(self.turns) // 2}, tokens: {self._used()} of {self.model.config.context}"
        if self.last:
            speed = max(0, self.last.answer_tokens - 1) / max(self.last.decode_seconds, 1e-9)
            told += f"\nlast answer: read {self.last.prompt_tokens} tokens in {self.last.prefill_seconds:.2f} s, "
            told += f"wrote {self.last.answer_tokens} tokens at {speed:.1f} per second"
        return told


class TextSession(Session):
    """Texts that a base model goes on with, each by itself: none of the others is in its prompt."""

    generate = staticmethod(continue_text)

    def __init__(self, tokenizer: Tokenizer, model: LanguageModel, *, sampling: Sampling, seed: int):
        super().__init__(tokenizer, model, sampling=sampling, system="", seed=seed)
        self.room = math.inf

    def _read(self, text: str) -> tuple[list[int], int]:
        return encode_text(text, self.tokenizer), 0

    def _used(self) -> int:
        written = len(self.tokenizer.encode("".join(turn["content"] for turn in self.turns[-2:])))
        return written - window(written, self.model.context_limit)

    def _set_system(self, text: str) -> str:
        return "This model goes on with a text and is told nothing first."


_TOLD_NOTHING = "The model is told nothing first"


def _number(text: str, kind: type, *, low: float, high: float) -> float | None:
    """The number in a text, None where there is none within the bounds."""
    try:
        value = kind(text)
    except ValueError:
        return None
    return value if low <= value <= high else None


def whole_characters(ids: Iterable[int], tokenizer: Tokenizer) -> Iterator[str]:
    """The text of ids while they come; bytes of a character wait for its last one. Joined, it is `tokenizer.decode`."""
    waiting: list[int] = []  # ids of a character that has begun
    for token in ids:
        waiting.append(token)
        ends = list(accumulate(len(tokenizer.piece_bytes(i)) for i in waiting))
        raw = b"".join(map(tokenizer.piece_bytes, waiting))
        ready = bisect.bisect_right(ends, codecs.utf_8_decode(raw, "replace", False)[1])
        if ready:
            yield tokenizer.decode(waiting[:ready])
            del waiting[:ready]
    if waiting:
        yield tokenizer.decode(waiting)


def run(config: Config, *, stage: str | None = None) -> None:
    """Chats until the person leaves or the input ends. `stage` None: the one that ships, or sft while kto has no model."""
    if stage is None:
        stage = config.shipped
        if stage == "kto" and not checkpoint.pointed(config.layout.stage("kto"), "best"):
            stage = "sft"
    folder = checkpoint.finished(config.layout.stage(stage), stage)
    tokenizer = kinds.load(config.layout.tokenizer)
    model, about = checkpoint.load_model(folder, device=pick_device(config.device))
    sampling = Sampling(**{f.name: getattr(config.export, f.name) for f in fields(Sampling)})
    how = {"sampling": sampling, "seed": secrets.randbits(31)}
    if stage == "pretrain":
        session, what = TextSession(tokenizer, model, **how), "how a text begins"
    else:
        session, what = Session(tokenizer, model, system=config.export.system, **how), "a message"
    say(
        f"This is {config.export.title or config.name} ({stage}, step {about['step']:,}). "
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
    """Answers each line, on stdout; everything else goes to stderr."""

    def write(part: str) -> None:
        sys.stdout.write(visible(part) if on_terminal else part)
        sys.stdout.flush()

    with _ctrl_c_noted(on_terminal) as pressed:
        for line in lines:
            text = line.rstrip("\r\n")
            try:
                if text.startswith("/"):
                    say(session.command(text), style="dim")
                elif text.strip():
                    pressed.clear()
                    reply = session.ask(text, write, stopped=lambda: bool(pressed))
                    write("\n")
                    for remark in reply.remarks():
                        say(remark, style="dim")
            except EOFError:
                return
            except MinitronError as error:
                say(f"{error}: {error.hint}", style="yellow")


@contextmanager
def _ctrl_c_noted(on_terminal: bool) -> Iterator[list[bool]]:
    """Within the block Ctrl-C only adds to the yielded list. Off a terminal it ends the program, as ever."""
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
    """Lines from the prompt. Ctrl-D ends them, and so does Ctrl-C twice in a row."""
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
    """A function that asks for one line: with arrow keys and history, or plain on a terminal that cannot do more."""
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
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which raises KeyboardInterrupt
    try:
        return input("> ")
    except (EOFError, KeyboardInterrupt):
        say("")  # leave the line of the prompt
        raise
    finally:
        signal.signal(signal.SIGINT, before)
