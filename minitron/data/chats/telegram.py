"""Telegram Desktop's export as machine-readable JSON: result.json, of one chat or of an account with all its chats."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

from minitron.data.chats.export import FORWARDED, NO_TEXT, PARTS, SERVICE, Export, Said, field, objects, seconds
from minitron.data.rules import to_number

KINDS = "chats", "left_chats"  # of an account
BESIDE = ("photo", "file", "location_information", "contact_information", "poll")


class Telegram(Export):
    title, holds = "Telegram", "json"

    @staticmethod
    def recognises(value: Any) -> bool:
        def is_chat(chat: Any) -> bool:
            return isinstance(chat, dict) and {"type", "id", "messages"} <= chat.keys()

        return is_chat(value) or any(
            is_chat(chat) for kind in KINDS for chat in field(field(value, kind, dict), "list", list)
        )

    @staticmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        every = (objects(field(value, kind, dict), "list", left_out) for kind in KINDS)
        for chat in [value] if "messages" in value else chain.from_iterable(every):
            talk = []
            for message in objects(chat, "messages", left_out):
                if message.get("type") != "message":
                    left_out[SERVICE] += 1
                elif {"forwarded_from", "forwarded_from_id"} & message.keys():  # null if that account is deleted
                    left_out[FORWARDED] += 1
                elif text := text_of(message.get("text")):
                    parts[PARTS] += any(name in message for name in BESIDE)
                    # a deleted account has no name any more
                    who = field(message, "from", str) or field(message, "from_id", str) or "?"
                    talk.append(Said(who, text, time_of(message)))
                else:
                    left_out[NO_TEXT] += 1
            yield talk


def text_of(text: Any) -> str:
    """The text of a message: a string, or a list of strings and entities, such as links and bold words, which have a text."""
    parts = text if isinstance(text, list) else [text]
    return "".join(part if isinstance(part, str) else field(part, "text", str) for part in parts).strip()


def time_of(message: dict) -> float | None:
    unix = to_number(message.get("date_unixtime"))
    return seconds(message.get("date")) if unix is None else unix
