"""What an export of chats has to give: what was said, by whom and when, one conversation after the other.

A kind of export is a subclass of `Export` in a file of its own and a line of `recipe.kinds.CHATS`. It leaves out, and counts,
what the people themselves did not say (service messages, deleted and forwarded ones). `Chat` decides who answers and where a
dialogue begins.
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

PARTS = "pictures and files beside a text"  # this and the next count parts of messages that stay
SWIPES = "answers that were swiped away"


class Said(NamedTuple):
    """A message. `text` is empty for a picture alone; `at` is in seconds, None if the export does not say. `role` is user,
    assistant or system if the export itself knows it; otherwise it is empty and `who` is a person's name."""

    who: str
    text: str
    at: float | None = None
    role: str = ""


class Export(ABC):
    """A kind of export, read from a whole file. `title` is its name; `holds` says to what a file is parsed before `recognises`
    sees it: `json` (any value), `lines` (a list of objects) or `text`."""

    title: str
    holds: str

    @staticmethod
    @abstractmethod
    def recognises(value: Any) -> bool:
        """Whether the file is of this kind; of `lines`, a list with only the first is enough."""

    @staticmethod
    @abstractmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        """The export's conversations. Each message that is in none of them is counted once in `left_out`, by the reason; what is
        left out of messages that stay is counted in `parts`. Whatever else the value holds, no error is raised."""


Kind = TypeVar("Kind")


def field(value: Any, name: str, kind: type[Kind]) -> Kind:
    """An object's field, if `value` is an object and the field is of this kind, else an empty value of this kind."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, kind) else kind()


def objects(value: Any, name: str, left_out: Counter[str]) -> Iterator[dict]:
    """The objects in the list that a field holds; anything else in the list is counted in `left_out`."""
    for item in field(value, name, list):
        if isinstance(item, dict):
            yield item
        else:
            left_out[JUNK] += 1


def seconds(text: Any) -> float | None:
    """A time such as 2023-12-31T21:15:00+01:00, in seconds; None for anything that is not a time. A time without a zone counts as UTC."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
