"""A conversation with a model: its turns, its commands, and which turns are dropped. Knows nothing about terminals.

    session = Session(tokenizer, model, sampling=config.export.sampling(), system="", seed=1)
    reply = session.ask("hello", print)
    session.command("/probs")

In a `TextSession` a base model continues what is typed. The commands and the wording are those of the Go program
(go_serve/internal/repl).
"""

import bisect
import codecs
import difflib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate

from torch import Tensor

from minitron.chat import odds
from minitron.chat.labels import Book
from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import Sampling
from minitron.sample.continue_text import continue_text, encode_text, stream, window
from minitron.sample.generate import Decoding
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer

HELP = """\
/help            this list
/reset           forget the conversation
/system [text]   show or set the system message, which the model is told first ("/system -" removes it)
/temp [x]        show or set the temperature: 0 is always the likeliest word
/max_tokens [n]  show or set how long an answer may get, in tokens
/probs [on|off]  the tokens of the last answer, how probable they were, and the likeliest alternatives; on: while they are written
/branch N [K]    go back to token N of the last answer, take the K-th of its alternatives, and go on from there
/tokens [text]   how a text is cut into tokens, or all that the model saw and wrote last
/stats           sizes and speeds
/good, /bad [why]  label the last answer
/fix [text]      write what it should have answered
/labels [FILE]   how many labels there are, or write them to a file, for `minitron labels add RECIPE FILE`
/quit            leave (Ctrl-D too)
Ctrl-C stops an answer."""
COMMANDS = [word.rstrip(",") for line in HELP.splitlines() for word in line.split() if word.startswith("/")]
MAX_TEMPERATURE, MAX_MAX_TOKENS = 100, 1 << 20


@dataclass
class Reply:
    """One answer, why it ended (`end`, `max_tokens`, `context`, `interrupted`), and its costs in tokens and seconds."""

    text: str
    stopped: str
    forgotten_turns: int
    prompt_tokens: int
    answer_tokens: int
    prefill_seconds: float  # until the first token
    decode_seconds: float  # for the other tokens
    ids: list[int] = field(default_factory=list)  # of the whole answer, with the tokens that a branch kept

    def remarks(self) -> Iterator[str]:
        """What the person should know about the answer, such as that it was cut."""
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
        self.room: float = model.context_limit  # the most tokens of a prompt and its answer together
        self.turns: list[chat_template.Message] = []  # user and assistant, alternating
        self.last: Reply | None = None
        self.asked: list[int] = []  # the prompt of the conversation's last answer
        self.asked_under = system  # the system message in that prompt
        self.written: list[int] = []  # the ids of that answer
        self.book: Book | None = None  # where labels are kept
        self.fixing = False  # whether the next line is what the last answer should have been
        self.watched = False  # /probs on: whether tokens are shown with their odds while they are written
        self.watch: Callable[[str], None] = lambda line: None  # shows a token's line of odds

    def messages(self, system: str | None = None) -> list[chat_template.Message]:
        """The conversation, with the system message as it is now or with another one."""
        system = self.system if system is None else system
        return ([{"role": "system", "content": system}] if system else []) + self.turns

    def ask(self, text: str, on_text: Callable[[str], None], *, stopped: Callable[[], bool] = lambda: False) -> Reply:
        """The answer to `text`. `on_text` gets its parts, in whole characters; it ends early once `stopped()` is true.

        If the context is full, the oldest turns are forgotten for good. Raises MinitronError, and leaves the conversation
        as it was, if the message does not fit.
        """
        prompt, forgotten = self._read(text)
        reply = self._write(prompt, [], on_text, stopped)
        reply = replace(reply, forgotten_turns=forgotten // 2)
        if self._said(reply):  # without an answer the question counts as not asked, and no turn is forgotten
            self._keep(self.turns[forgotten:], text, prompt, reply)
            self.asked_under = self.system
        self.last = reply
        return reply

    def branch(
        self, where: str, on_text: Callable[[str], None], *, stopped: Callable[[], bool] = lambda: False
    ) -> Reply | str:
        """Writes another ending of the last answer: "N K" replaces its N-th token with the K-th of the others that /probs lists for it
        (K is 1 by default) and continues from there. `on_text` gets the whole new answer, which takes the old one's place. Returns
        what to tell the person instead of a reply if there is no such token."""
        if not self.written:
            return NOTHING_YET
        numbers = [_number(word, int, low=1, high=MAX_MAX_TOKENS) for word in where.split()]
        if len(numbers) not in (1, 2) or not numbers[0] or numbers[0] > len(self.written):
            return f"/branch needs a number from 1 to {len(self.written)}."
        at, other = numbers if len(numbers) == 2 else (numbers[0], 1)
        ids = self.asked + self.written[:at]
        (found,) = odds.look(self.model, ids, len(ids) - 1, never=self.tokenizer.never_sampled)
        if not other or other > len(found.others):
            return "This token has no alternative with that number; /probs lists them."
        token = found.others[other - 1].id
        begun = self.written[: at - 1] + [token] * (token != self.tokenizer.end)
        reply = self._write(self.asked, begun, on_text, stopped, ended=token == self.tokenizer.end)
        self._keep(self.turns[:-2], self.turns[-2]["content"], self.asked, reply)
        self.last = reply
        return reply

    def _write(
        self,
        prompt: list[int],
        begun: list[int],
        on_text: Callable[[str], None],
        stopped: Callable[[], bool],
        *,
        ended: bool = False,
    ) -> Reply:
        """The answer to a prompt that begins with the ids `begun`, which the model continues unless `ended` is true."""
        ids: list[int] = []
        times = [time.perf_counter()]
        self.seed += 1  # so that the same question gets another answer next time

        def watch(logits: Tensor, token: int) -> None:
            never = self.tokenizer.never_sampled
            self.watch(odds.Odds.of(logits, token, never=never).line(len(begun) + len(ids) + 1, self.tokenizer))

        def heard() -> Iterator[int]:
            yield from begun
            how = {"sampling": self.sampling, "decoding": Decoding.of(self.tokenizer, seed=self.seed)}
            if self.watched:
                how["watch"] = watch
            for token in () if ended else self.generate(self.model, prompt + begun, **how):
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
        elif not ended and len(prompt) + len(begun) + len(ids) >= self.room:
            why = "context"
        first = times[min(1, len(times) - 1)]
        costs = (len(prompt), len(ids), first - times[0], times[-1] - first)
        return Reply(self.tokenizer.decode(begun + ids), why, 0, *costs, ids=begun + ids)

    @staticmethod
    def _said(reply: Reply) -> bool:
        """Whether there is an answer: False if it was interrupted before its first token."""
        return bool(reply.ids) or reply.stopped != "interrupted"

    def _keep(self, before: list[chat_template.Message], text: str, prompt: list[int], reply: Reply) -> None:
        """Makes the conversation these turns, then the text and its answer."""
        self.turns = [*before, {"role": "user", "content": text}, {"role": "assistant", "content": reply.text}]
        self.asked, self.written = prompt, reply.ids

    generate = staticmethod(stream)

    def _read(self, text: str) -> tuple[list[int], int]:
        """The ids of the next prompt, and how many messages are forgotten for it."""
        kept = self._fitting(text)
        return chat_template.encode_prompt(kept, self.tokenizer), len(self.messages()) + 1 - len(kept)

    def _used(self) -> int:
        """The number of tokens in the conversation. An answer that the context cut off has no end marker."""
        sizes = [len(chat_template.encode_message(m, self.tokenizer)) for m in self.messages()]
        return min(self.model.context_limit, len(self.tokenizer.start) + sum(sizes)) if sizes else 0

    def _fitting(self, text: str) -> list[chat_template.Message]:
        """The messages of the next prompt, without the oldest turns if they do not all fit. Raises MinitronError."""
        how = {"context": self.model.context_limit, "max_tokens": self.sampling.max_tokens}
        try:
            return chat_template.fit([*self.messages(), {"role": "user", "content": text}], self.tokenizer, **how)[0]
        except MinitronError:
            if self.system and text:
                self._fitting("")  # raises if not even an empty message fits: then the system message is to blame
            elif self.system:
                hint = "shorten it with /system"
                raise MinitronError("the system message takes all the room", hint=hint) from None
            raise

    def command(self, line: str) -> str:
        """Carries out a line that begins with a slash and returns what to tell the person. Raises EOFError for /quit."""
        name, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        match name:
            case "/help":
                return HELP
            case "/reset":
                self.turns, self.asked, self.written = [], [], []
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
            case "/probs":
                return self._probs(rest.lower())
            case "/tokens":
                ids = self.tokenizer.encode(rest) if rest else self.asked + self.written
                spelt = " | ".join(odds.spelt(i, self.tokenizer) for i in ids)
                return f"tokens: {len(ids)}\n{spelt}" if ids else NOTHING_YET
            case "/stats":
                return self._stats()
            case "/good" | "/bad" | "/fix" | "/labels":
                return self._label(name[1:], rest)
            case "/quit":
                raise EOFError
        near = [c for c in COMMANDS if len(name) > 1 and c.startswith(name)]
        near = near or difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        return f"There is no command {name}." + (f" Did you mean {near[0]}?" if near else " /help shows the commands.")

    def _label(self, kind: str, rest: str) -> str:
        self.fixing = False
        if self.book is None:
            return "Labels are not kept here."
        if kind == "labels":
            return self.book.command(rest)
        if not self.turns:
            return NOTHING_YET
        if kind == "fix" and not rest:
            self.fixing = True
            return "Type what it should have said; an empty line takes that back."
        messages, answer = self.messages(self.asked_under)[:-1], self.turns[-1]["content"]
        return self.book.add(messages, answer, kind=kind, **{"fix" if kind == "fix" else "why": rest})

    def fix(self, text: str) -> str:
        """Takes the line that follows /fix as what the last answer should have been, and returns what to tell the person."""
        self.fixing = False
        return self.command(f"/fix {text}") if text.strip() else "Nothing is noted."

    def _set_system(self, text: str) -> str:
        if text:
            self.system = "" if text == "-" else text
            return "The system message is set." if self.system else "The system message is removed."
        return f"System message: {self.system}" if self.system else "There is no system message."

    def _probs(self, rest: str) -> str:
        if rest in ("on", "off"):
            self.watched = rest == "on"
            told = "Tokens are shown with their probabilities while they are written; /probs off ends that."
            return told if self.watched else "Answers are shown as text."
        ids, never = self.asked + self.written, self.tokenizer.never_sampled
        found = odds.look(self.model, ids, len(self.asked), never=never)
        return "\n".join(o.line(n, self.tokenizer) for n, o in enumerate(found, 1)) or NOTHING_YET

    def _stats(self) -> str:
        told = f"turns: {len(self.turns) // 2}, tokens: {self._used()}"
        if self.model.trunk.grows:
            told += f" of {self.model.config.context}"
        else:
            kept = self.model.new_state(1, self.model.config.context).nbytes
            told += f"; what the model keeps of them takes {kept / 1e6:.1f} MB, however long it gets"
        if self.last:
            speed = max(0, self.last.answer_tokens - 1) / max(self.last.decode_seconds, 1e-9)
            told += f"\nlast answer: read {self.last.prompt_tokens} tokens in {self.last.prefill_seconds:.2f} s, "
            told += f"wrote {self.last.answer_tokens} tokens at {speed:.1f} per second"
        return told


class TextSession(Session):
    """Texts that a base model continues, each on its own: no earlier text is in the prompt."""

    generate = staticmethod(continue_text)

    def __init__(self, tokenizer: Tokenizer, model: LanguageModel, *, sampling: Sampling, seed: int):
        super().__init__(tokenizer, model, sampling=sampling, system="", seed=seed)
        self.room = math.inf

    def _read(self, text: str) -> tuple[list[int], int]:
        return encode_text(text, self.tokenizer), 0

    def _used(self) -> int:
        written = len(self.tokenizer.encode("".join(turn["content"] for turn in self.turns[-2:])))
        return written - window(written, self.model.context_limit)

    def _label(self, kind: str, rest: str) -> str:
        return "This model continues text: there are no answers to label."

    def _set_system(self, text: str) -> str:
        return "This model continues text: it has no system message."


NOTHING_YET = "Nothing was said yet."


def _number(text: str, kind: type, *, low: float, high: float) -> float | None:
    """The number in a text, or None if there is none within the bounds."""
    try:
        value = kind(text)
    except ValueError:
        return None
    return value if low <= value <= high else None


def whole_characters(ids: Iterable[int], tokenizer: Tokenizer) -> Iterator[str]:
    """The text of ids as they arrive; the bytes of a character wait until it is complete. Joined, the parts equal `tokenizer.decode`."""
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
