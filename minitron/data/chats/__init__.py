"""Turns chats into dialogues: reads exports of Telegram, WhatsApp and others (a module each), and makes people user and
assistant.

    chat = Chat(config.data, where="result.json")
    export = chat.export_of("json", value)        # None: the file is no export of a chat
    for row in chat.rows(export, value): ...      # {"messages": [...]}
    chat.lines()                                  # what became of the messages, as lines for people

Neighbouring messages of one side become one turn, a pause begins a new dialogue, and a dialogue begins with the user and ends with
the assistant. Every message is counted once: in a dialogue, or under the reason why it is in none. Knows nothing about files.
"""

import difflib
import random
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from minitron.core.errors import MinitronError
from minitron.data.chats.export import NO_TEXT, Export, Said
from minitron.data.messages import role_map
from minitron.recipe.data import DataConfig
from minitron.recipe.kinds import CHATS
from minitron.tokenizer.chat_template import Message

EARLY = "answers before the first question"
LATE = "questions that nobody answered"
ELSEWHERE = "messages of chats in which the assistant writes nothing"

SHOWN = 5  # dialogues
SHOWN_CHARACTERS = 100  # of a turn
MOST_NAMES = 12  # in a sentence


class Unassigned(MinitronError):
    """Nobody said who of a chat's people is the assistant."""


class Chat:
    """Makes dialogues of a source's chats: the recipe says who answers and after which pause a dialogue ends. Counts what became
    of the messages."""

    def __init__(self, config: DataConfig, *, where: str):
        self.where, self.roles, self.pause = where, role_map(config), 60 * config.pause_minutes
        self.wanted = config.assistant
        names = [config.assistant, *(name for name, role in config.roles.items() if role == "assistant")]
        self.assistants = {folded(name) for name in names} - {""}
        self._begin()

    def _begin(self) -> None:
        """Resets the counts, because a source may be read more than once."""
        self.title, self.messages, self.kept, self.dialogues = "", 0, 0, 0
        self.left_out: Counter[str] = Counter()  # reason -> messages; with `kept` they sum to `messages`
        self.parts: Counter[str] = Counter()  # what was left out of messages that stayed
        self.people: Counter[str] = Counter()  # name -> messages
        self.samples: list[list[Message]] = []
        self._random = random.Random(1)

    def export_of(self, holds: str, value: Any) -> type[Export] | None:
        """The kind of export that the parsed content of a file is, or None; `holds` is what it was parsed to (`Export.holds`)."""
        return next((kind for kind in export_kinds() if kind.holds == holds and kind.recognises(value)), None)

    def rows(self, export: type[Export], value: Any) -> Iterator[dict]:
        """The export's dialogues, a row each. Raises MinitronError if it has names of people and the recipe does not say who answers."""
        self._begin()
        self.title = export.title
        talks = list(export.talks(value, self.left_out, self.parts))
        self.messages = self.left_out.total() + sum(map(len, talks))
        self.people.update(said.who for talk in talks for said in talk if not said.role)
        role_of = self._cast()
        for talk in talks:
            said = [one if one.role else one._replace(role=role_of[folded(one.who)]) for one in talk]
            if not any(one.role == "assistant" for one in said):
                self.left_out[ELSEWHERE] += len(said)
                continue
            named = any(not one.role for one in talk)
            for messages in self._dialogues(said, named=named):
                self._keep_sample(messages)
                yield {"messages": messages}

    def _cast(self) -> dict[str, str]:
        """Folded name -> role, for everyone who writes."""
        if not self.people:
            return {}
        known = {folded(name): self.roles.get(folded(name)) for name in self.people}
        if self.assistants:
            return {name: "assistant" if name in self.assistants else role_but_assistant(known[name]) for name in known}
        if "assistant" in known.values() and all(known.values()):
            return {name: role or "user" for name, role in known.items()}
        name = max(self.people, key=self.people.__getitem__)
        raise Unassigned(
            f"{self.where} is a chat ({self.title}) and the recipe does not say who is the assistant: {self._names()}",
            hint=f'such as data.assistant = "{name}": this person\'s messages are learned, those of others are the questions',
            code=2,
        )

    def _names(self) -> str:
        told = [f"{name} ({count:,})" for name, count in self.people.most_common(MOST_NAMES)]
        return ", ".join(told) + (
            f" and {len(self.people) - MOST_NAMES:,} more" if len(self.people) > MOST_NAMES else ""
        )

    def why_empty(self) -> MinitronError | None:
        """The error for an export that gave no dialogue, or None if the reason is not known here."""
        if self.assistants and self.people and not self.assistants & set(map(folded, self.people)):
            near = difflib.get_close_matches(self.wanted, self.people, n=1)
            hint = (f"did you mean '{near[0]}'? " if near else "") + f"those who write are {self._names()}"
            return MinitronError(f"{self.where}: nobody is called '{self.wanted}'", hint=hint, code=2)
        if self.messages and not self.dialogues:
            hint = (
                "check data.assistant: what this person answered is learned, and questions of others must stand before"
            )
            reasons = "; ".join(f"{reason}: {count:,}" for reason, count in self.left_out.most_common() if count)
            return MinitronError(f"{self.where} ({self.title}) holds no dialogue: {reasons}", hint=hint)
        return None

    def _dialogues(self, talk: list[Said], *, named: bool) -> Iterator[list[Message]]:
        """Cuts a conversation into dialogues. One of people (`named`) is cut at its pauses. One whose roles the export knows is
        cut at messages without text, since the answer to a picture answers nothing that the model sees; but not at an empty
        message of the assistant that it goes on after, such as a program's before it calls a tool."""
        pause = self.pause if named else 0
        turns: list[list[Said]] = []  # neighbouring messages of one role
        last: float | None = None
        for said, after in zip_longest(talk, talk[1:]):
            empty = not said.text.strip()
            goes_on = after is not None and said.role == after.role == "assistant"
            if (pause and said.at is not None and last is not None and abs(said.at - last) > pause) or (
                empty and not named and not goes_on
            ):
                yield from self._finished(turns)
                turns = []
            last = said.at if said.at is not None else last
            if empty:
                self.left_out[NO_TEXT] += 1
            elif turns and turns[-1][-1].role == said.role:
                turns[-1].append(said)
            else:
                turns.append([said])
        yield from self._finished(turns)

    def _finished(self, turns: list[list[Said]]) -> Iterator[list[Message]]:
        """The turns as a dialogue, if any are left after cutting off answers before the first question and unanswered questions
        at the end."""
        first = next((i for i, turn in enumerate(turns) if turn[0].role == "user"), len(turns))
        last = next((i for i in range(len(turns), 0, -1) if turns[i - 1][0].role == "assistant"), 0)
        system = turns[:1] if first and turns[0][0].role == "system" and first < last else []
        self.left_out[EARLY] += sum(map(len, turns[len(system) : first]))
        self.left_out[LATE] += sum(map(len, turns[max(first, last) :]))
        kept = [*system, *turns[first:last]]
        if kept:
            self.dialogues += 1
            self.kept += sum(map(len, kept))
            yield [{"role": turn[0].role, "content": "\n".join(one.text.strip() for one in turn)} for turn in kept]

    def _keep_sample(self, messages: list[Message]) -> None:
        """Reservoir sampling (Algorithm R): after n dialogues, each of them is a sample with the same chance."""
        place = len(self.samples) if len(self.samples) < SHOWN else self._random.randrange(self.dialogues)
        if place < SHOWN:
            self.samples[place : place + 1] = [messages]

    def about(self) -> dict[str, Any]:
        """For programs: the counts."""
        return {
            "path": self.where,
            "export": self.title,
            "messages": self.messages,
            "in_dialogues": self.kept,
            "dialogues": self.dialogues,
            "left_out": {reason: count for reason, count in self.left_out.most_common() if count},
            "parts_left_out": {part: count for part, count in self.parts.most_common() if count},
        }

    def lines(self) -> list[str]:
        """For people: the counts, and some of the dialogues that came out."""
        told = [
            f"{self.where}: {self.title}, {self.messages:,} messages, {self.kept:,} of them in {self.dialogues:,} dialogues"
        ]
        counts = {**self.left_out, **self.parts}
        told += [f"- {reason}: {count:,}" for reason, count in sorted(counts.items(), key=lambda one: -one[1]) if count]
        for number, messages in enumerate(self.samples, 1):
            told.append(f"dialogue {number} of {len(self.samples)} from anywhere in it:")
            told += [f"  {message['role']:<9}  {shortened(message['content'])}" for message in messages]
        return told


def export_kinds() -> Iterator[type[Export]]:
    """All kinds of export, in the order in which they are tried."""
    return (kind.load() for kind in CHATS.values())


def role_but_assistant(role: str | None) -> str:
    """The role of a person who is not the one that answers."""
    return "system" if role == "system" else "user"


def folded(name: str) -> str:
    """A name in the form in which names are compared: without direction marks and other invisible characters, without tildes
    (WhatsApp marks people who are not contacts with one), with single spaces, case-folded."""
    seen = "".join(c for c in name if unicodedata.category(c) != "Cf").replace("~", " ")
    return " ".join(seen.split()).casefold()


def shortened(text: str) -> str:
    line = text.replace("\n", " ↵ ")
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "…"
