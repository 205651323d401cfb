"""What people think of a model's answers: the files of `/labels FILE` (docs/loop.md), and the one that a recipe learns from.

    model, labels, dropped = read(Path("anna.json"))     # what a friend sent: every field is checked
    keep(path, labels); kept = load(path)                # labels/<recipe>.jsonl, a label per line
    chosen_and_rejected(kept, dropped)                   # the good and the bad answers, by these labels

A label that cannot be used is counted in `dropped` by the reason. Knows nothing about models and training.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.core.text import is_unicode
from minitron.data.labelled import Labelled
from minitron.data.messages import ROLES, check_order, parse, tidy
from minitron.tokenizer.chat_template import Message

FORMAT, VERSION = "minitron-labels", 1
GOOD, BAD, FIX = KINDS = ("good", "bad", "fix")
MOST_BYTES = 16 << 20  # of a file: the chat programs write at most half of that
MOST_LABELS = 10_000  # of a file
MOST_CHARACTERS = 20_000  # of a message, an answer or a fix
MOST_WHY = 2_000
MOST_MESSAGES = 200
ASK_AGAIN = "ask for a file that /labels FILE or the page's button wrote"

NOT_A_LABEL = "not a label"
TOO_LONG = "too long"
CONTROL = "control characters or control tokens in it"
NO_FIX = "a fix without a text, or with the answer's own"
NO_ANSWER = "an empty answer cannot be good"
CONTRADICTION = "good for one and bad for another"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|<\|\w*\|>")  # people type neither of these
_HTML = re.compile(r"<[a-zA-Z!/][^<>]*>")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class NoLabels(MinitronError):
    """A file holds no labels; the message says why."""


@dataclass(frozen=True)
class Model:
    """Whose answers were labelled: its name, and the SHA-256 of its weights."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Label:
    """What a person thinks of an answer to `messages`, which end with a user's message."""

    messages: list[Message]
    answer: str
    kind: str  # of KINDS
    why: str
    fix: str  # the answer that should have been given; empty unless that is the kind
    time: str  # ISO 8601, or empty
    model: str = ""  # its name
    sha256: str = ""

    @property
    def key(self) -> str:
        """Equal for labels that say the same."""
        return json.dumps([*_place(self.messages), self.answer, self.kind, self.fix])

    @property
    def has_html(self) -> bool:
        return bool(_HTML.search(self.fix or self.answer))


def _place(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]


# --- what friends send -----------------------------------------------------------------------------------------------


def read(path: Path, *, hint: str = ASK_AGAIN) -> tuple[Model, list[Label], Counter[str]]:
    """The model, the labels, and counts of the labels that cannot be used, by the reason. Raises NoLabels for a file that holds
    no list of labels, and MinitronError if there is no such file. `hint` is what to do about the former."""
    if not path.is_file():
        raise MinitronError(f"there is no file {path}", hint="name a file that a friend sent", code=2)
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise NoLabels(f"{path} is larger than {MOST_BYTES >> 20} MiB", hint=hint)
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NoLabels(f"{path} is not UTF-8 text", hint=hint) from None
    except (ValueError, RecursionError):
        raise NoLabels(f"{path} is not JSON", hint=hint) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise NoLabels(f"{path} is no file of labels", hint=hint)
    if type(found.get("version")) is not int or found["version"] != VERSION:
        raise NoLabels(f"{path} has labels of another version of minitron", hint="bring minitron up to date")
    rows = found.get("labels")
    if not isinstance(rows, list) or len(rows) > MOST_LABELS:
        raise NoLabels(f"{path} has no list of labels, or one of more than {MOST_LABELS:,}", hint=hint)
    about = found.get("model")
    about = about if isinstance(about, dict) else {}
    model = Model(_line(about.get("name")), _line(about.get("sha256")))
    labels, dropped = [], Counter[str]()
    for row in rows:
        label = parse_label(row)
        if isinstance(label, str):
            dropped[label] += 1
        else:
            labels.append(replace(label, model=model.name, sha256=model.sha256))
    return model, labels, dropped


def _line(value: Any) -> str:
    """A short text without control characters; empty for any other value."""
    return _CONTROL.sub("", value[:200]).strip() if isinstance(value, str) and is_unicode(value) else ""


def parse_label(row: Any) -> Label | str:
    """The label in a row, all of whose texts can be learnt and shown, or what is wrong with it."""
    if not isinstance(row, dict) or row.get("kind") not in KINDS or not isinstance(row.get("messages"), list):
        return NOT_A_LABEL
    texts = [row.get(name, "") for name in ("answer", "why", "fix", "time")]
    if not all(isinstance(text, str) for text in texts) or "answer" not in row:
        return NOT_A_LABEL
    if len(row["messages"]) > MOST_MESSAGES or max(map(len, texts)) > MOST_CHARACTERS or len(texts[1]) > MOST_WHY:
        return TOO_LONG
    messages = parse(row["messages"], roles=ROLES, unknown=set())
    if isinstance(messages, str):
        return messages
    if any(len(message["content"]) > MOST_CHARACTERS for message in messages):
        return TOO_LONG
    if messages[-1]["role"] != "user":
        return NOT_A_LABEL
    if reason := check_order([*messages, {"role": "assistant", "content": "?"}]):
        return reason
    if not all(map(is_unicode, texts)) or any(map(_CONTROL.search, [*texts, *(m["content"] for m in messages)])):
        return CONTROL
    answer, why, fix, time = map(tidy, texts)
    label = Label(messages, answer, row["kind"], why, fix if row["kind"] == FIX else "", "")
    if label.kind == FIX and label.fix in ("", answer):
        return NO_FIX
    if label.kind == GOOD and not answer:
        return NO_ANSWER
    return replace(label, time=time if _TIME.fullmatch(time) else "")


def write(path: Path, model: Model, labels: list[Label]) -> None:
    """Writes the file that people send, in the format of the chat program."""
    rows = []
    for label in labels:
        row = {"messages": label.messages, "answer": label.answer, "kind": label.kind}
        row |= {name: text for name, text in (("why", label.why), ("fix", label.fix)) if text} | {"time": label.time}
        rows.append(row)
    about = {"format": FORMAT, "version": VERSION, "model": asdict(model), "labels": rows}
    atomic_write(path, json.dumps(about, ensure_ascii=False, indent=1) + "\n")


# --- what a recipe learns from ---------------------------------------------------------------------------------------


def keep(path: Path, labels: Iterable[Label]) -> None:
    """Writes what `load` reads, whole or not at all."""
    atomic_write(path, "".join(json.dumps(asdict(label), ensure_ascii=False) + "\n" for label in labels))


def load(path: Path) -> list[Label]:
    """The labels in a file that `keep` wrote; empty if there is no file. A person may have edited it: a line that is no label
    raises MinitronError."""
    if not path.is_file():
        return []
    found = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise MinitronError(f"{path} is not UTF-8 text", hint="restore an earlier copy of it") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        label = parse_label(row)
        if isinstance(label, str):
            raise MinitronError(f"{path}, line {number}: {label}", hint="correct that line, or take it out")
        found.append(replace(label, model=_line(row.get("model")), sha256=_line(row.get("sha256"))))
    return found


def chosen_and_rejected(labels: list[Label], dropped: Counter[str]) -> list[Labelled]:
    """The labels as labelled completions, each answer to a prompt once: good answers and fixes are chosen; bad answers, and those
    that a fix replaces, are rejected.

    An answer that is labelled both ways is left out, and counted in `dropped`.
    """
    said: dict[str, tuple[Labelled, set[bool]]] = {}
    for label in labels:
        of_it = [(label.answer, label.kind == GOOD)]
        if label.kind == FIX:
            of_it = [(label.fix, True), (label.answer, False)]
        for text, good in of_it:
            key = json.dumps([*_place(label.messages), text])
            said.setdefault(key, (Labelled(label.messages, text, good), set()))[1].add(good)
    dropped.update([CONTRADICTION] * sum(len(kinds) == 2 for _, kinds in said.values()))
    return [one for one, kinds in said.values() if len(kinds) == 1]
