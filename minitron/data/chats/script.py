"""Dialogues as people type them: a line begins with a name and a colon.

    Anna: hello
    Bot: hi! how are you?
    and what is your name?

A line without a name continues the message above. An empty line begins a new dialogue, unless empty lines stand between most
messages; a line of `---`, `===` or `***` always does. A name counts only if it begins two messages or more, so that "Note: ..."
is no person.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from minitron.data.chats.export import JUNK, Export, Said

NAMED = re.compile(r"[ \t]*([^\W\d_][^\n:<>{}\[\]\"#|/\\]{0,39}?)[ \t]*:(?:[ \t]+(.*)|$)")
RULE = re.compile(r"\s*([-=*_])\1{2,}\s*")
MOST_PEOPLE = 100
LEAST_SHARE = 0.3  # share of the non-empty lines that must begin with a name


class Script(Export):
    title, holds = "lines of 'Name: text'", "text"

    @staticmethod
    def recognises(value: Any) -> bool:
        """Whether the text begins with a name, has at least two names, and has names at the beginning of many of its lines."""
        lines = [line for line in value[:200_000].split("\n") if line.strip() and not RULE.fullmatch(line)]
        names = people(lines)
        begun = [line for line in lines if name_of(line) in names]
        return 2 <= len(names) <= MOST_PEOPLE and begun[0] == lines[0] and len(begun) >= LEAST_SHARE * len(lines)

    @staticmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        lines = value.split("\n")
        names = people(lines)
        starts = [i for i, line in enumerate(lines) if name_of(line) in names]
        blanks = sum(i > 0 and not lines[i - 1].strip() for i in starts[1:])
        apart = 2 * blanks <= len(starts)  # empty lines stand between dialogues, not between messages
        talk: list[Said] = []
        text: list[str] = []
        who = ""

        def end_message() -> None:
            nonlocal who
            if who:
                talk.append(Said(who, "\n".join(text).strip()))
            who = ""
            text.clear()

        for i, line in enumerate(lines):
            new_person = name_of(line) in names
            if RULE.fullmatch(line) or (apart and new_person and i and not lines[i - 1].strip()):
                end_message()
                if talk:
                    yield talk
                    talk = []
            if new_person:
                end_message()
                match = NAMED.match(line)
                who, first = match[1].strip(), match[2] or ""
                text.append(first)
            elif who:
                text.append(line)
            elif line.strip() and not RULE.fullmatch(line):
                left_out[JUNK] += 1
        end_message()
        if talk:
            yield talk


def name_of(line: str) -> str:
    match = NAMED.match(line)
    return match[1].strip() if match else ""


def people(lines: list[str]) -> set[str]:
    """The names that begin at least two messages; if there are fewer than two such names, all names."""
    counts = Counter(name for line in lines if (name := name_of(line)))
    often = {name for name, count in counts.items() if count > 1}
    return often if len(often) > 1 else set(counts)
