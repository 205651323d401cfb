"""Claude's export: conversations.json, a list of conversations with `chat_messages`."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from minitron.data.chats.export import JUNK, PARTS, TOOLS, Export, Said, field, objects, seconds

ROLES = {"human": "user", "assistant": "assistant"}


class Claude(Export):
    title, holds = "Claude", "json"

    @staticmethod
    def recognises(value: Any) -> bool:
        return isinstance(value, list) and any(
            isinstance(one, dict) and isinstance(one.get("chat_messages"), list) for one in value
        )

    @staticmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        for conversation in value:
            if not isinstance(conversation, dict):
                left_out[JUNK] += 1
                continue
            talk = []
            for message in objects(conversation, "chat_messages", left_out):
                role = ROLES.get(field(message, "sender", str))
                if not role:
                    left_out[JUNK] += 1
                    continue
                parts[PARTS] += len(field(message, "attachments", list)) + len(field(message, "files", list))
                talk.append(Said(role, text_of(message, parts), seconds(message.get("created_at")), role))
            yield talk


def text_of(message: dict, parts: Counter[str]) -> str:
    """A message's text parts; its `text` if it has no parts, as in older exports."""
    content = field(message, "content", list)
    if not content:
        return field(message, "text", str)
    texts = [field(part, "text", str) for part in content if field(part, "type", str) == "text"]
    parts[TOOLS] += len(content) - len(texts)
    return "\n".join(filter(None, texts))
