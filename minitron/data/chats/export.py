"""What an export of chats has to give: what was said, by whom and when, one conversation after the other.

A kind of export is a subclass of `Export` in a file of its own and a line of `recipe.kinds.CHATS`. It sorts out what nobody said
(service messages, what was deleted or forwarded) and counts that; who answers, and where a dialogue begins, is for `Chat`.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

SERVICE = "messages of the service (who joined, calls, pinned)"
NO_TEXT = "messages without text (pictures, stickers, voice, files)"
DELETED = "deleted messages"
FORWARDED = "forwarded messages"
HIDDEN = "hidden messages"
TOOLS = "calls of tools, what they returned, thoughts"
JUNK = "entries that are no message"

PARTS = "pictures and files beside a text"  # parts of messages, and so no message is counted twice
SWIPES = "answers that were swiped away"


class Said(NamedTuple):
    """A message. Without text (a picture alone) it says nothing; `at` is in seconds, None where the export does not say.
    `role` is user, assistant or system where the export itself knows it; else `who` is a person's name."""

    who: str
    text: str
    at: float | None = None
    role: str = ""


class Export(ABC):
    """A kind of export, read from a whole file. `title` is its name, `holds` what the file is parsed to before it is asked:
    `json` (any value), `lines` (a list of objects) or `text`."""

    title: str
    holds: str

    @staticmethod
    @abstractmethod
    def recognises(value: Any) -> bool:
        """Whether the file is of this kind; of `lines`, the first is enough."""

    @staticmethod
    @abstractmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        """Its conversations. Each message that is in none of them is counted once in `left_out`, by the reason; what is left out of
        messages that are, in `parts`. Whatever else the value holds, nothing is raised."""


Kind = TypeVar("Kind")


def field(value: Any, name: str, kind: type[Kind]) -> Kind:
    """An object's field if both are what they should be, else an empty one of that kind."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, kind) else kind()


def objects(value: Any, name: str, left_out: Counter[str]) -> Iterator[dict]:
    """The objects in a list that a field holds; what else is in it is counted."""
    for item in field(value, name, list):
        if isinstance(item, dict):
            yield item
        else:
            left_out[JUNK] += 1


def seconds(text: Any) -> float | None:
    """A time such as 2023-12-31T21:15:00+01:00, in seconds; None for what is none. A time without a zone counts as UTC."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
