"""DiscordChatExporter's JSON: a channel's messages. People are called by their nickname, as the channel shows them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from minitron.data.chats.export import NO_TEXT, PARTS, SERVICE, Export, Said, field, objects, seconds

SPOKEN = ("Default", "Reply")  # other types: joins, pins, calls, threads


class Discord(Export):
    title, holds = "Discord", "json"

    @staticmethod
    def recognises(value: Any) -> bool:
        return isinstance(value, dict) and {"guild", "channel", "messages"} <= value.keys()

    @staticmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        talk = []
        for message in objects(value, "messages", left_out):
            if message.get("type") not in SPOKEN:
                left_out[SERVICE] += 1
            elif text := field(message, "content", str).strip():
                parts[PARTS] += bool(field(message, "attachments", list) or field(message, "stickers", list))
                author = field(message, "author", dict)
                who = field(author, "nickname", str) or field(author, "name", str) or "?"
                talk.append(Said(who, text, seconds(message.get("timestamp"))))
            else:
                left_out[NO_TEXT] += 1
        yield sorted(talk, key=lambda said: said.at or 0.0) if all(said.at is not None for said in talk) else talk
