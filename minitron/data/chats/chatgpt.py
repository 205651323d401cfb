"""ChatGPT's export: conversations.json, where each conversation is a tree of nodes (`mapping`) and `current_node` is the leaf of
the branch that was shown last. Regenerated and edited messages are on other branches, which are left out.

An answer has marks in it that the page does not show as they are: what was found by a search, between characters for private
use, and older ones, 【4†source】. They are left out, but for the names and links that a reader sees."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from minitron.data.chats.export import HIDDEN, JUNK, PARTS, TOOLS, Export, Said, field

BRANCHES = "messages on branches that were not shown last"
MARKS = "marks within answers (sources, links, names)"
MARK = re.compile(
    "(?P<blank>[ \t]?)(?:\ue200(?P<kind>\\w*)\ue202?(?P<told>[^\ue200\ue201]*)\ue201|【\\d[^】\\n]{0,40}†[^】\\n]{0,80}】)"
)


class ChatGPT(Export):
    title, holds = "ChatGPT", "json"

    @staticmethod
    def recognises(value: Any) -> bool:
        return isinstance(value, list) and any(
            isinstance(one, dict) and isinstance(one.get("mapping"), dict) for one in value
        )

    @staticmethod
    def talks(value: Any, left_out: Counter[str], parts: Counter[str]) -> Iterator[list[Said]]:
        for conversation in value:
            if not isinstance(conversation, dict):
                left_out[JUNK] += 1
                continue
            nodes = field(conversation, "mapping", dict)
            shown = path(nodes, conversation.get("current_node"))
            left_out[BRANCHES] += sum(
                bool(field(node, "message", dict)) for key, node in nodes.items() if key not in shown
            )
            messages = [message for key in shown if (message := field(nodes[key], "message", dict))]
            yield [said for message in messages if (said := of_message(message, left_out, parts))]


def path(nodes: dict, leaf: Any) -> list[str]:
    """The keys of the nodes from the root to the leaf; if there is no such leaf, to the last node."""
    keys: dict[str, None] = {}  # a damaged tree may have cycles
    key = leaf if isinstance(leaf, str) and leaf in nodes else next(reversed(nodes), None)
    while isinstance(key, str) and key in nodes and key not in keys:
        keys[key] = None
        key = nodes[key].get("parent") if isinstance(nodes[key], dict) else None
    return list(keys)[::-1]


def of_message(message: dict, left_out: Counter[str], parts: Counter[str]) -> Said | None:
    role = field(field(message, "author", dict), "role", str)
    content = field(message, "content", dict)
    hidden = field(message, "metadata", dict).get("is_visually_hidden_from_conversation")
    if hidden or message.get("weight") == 0 or role == "system":
        left_out[HIDDEN] += 1
        return None
    kinds = ("text", "multimodal_text")
    if (
        role not in ("user", "assistant")
        or content.get("content_type") not in kinds
        or message.get("recipient", "all") != "all"
    ):
        left_out[TOOLS] += 1
        return None
    texts = []
    for part in field(content, "parts", list):
        text = part if isinstance(part, str) else field(part, "text", str)  # a transcript of what was spoken
        texts += [text] if text else []
        parts[PARTS] += not isinstance(part, str) and not text
    time = message.get("create_time")
    text = "\n".join(texts)
    if role == "assistant":
        text, count = MARK.subn(shown, text)
        parts[MARKS] += count
    return Said(role, text, time if isinstance(time, int | float) else None, role)


def shown(mark: re.Match[str]) -> str:
    """What a reader sees of a mark: the name of an entity, ["city", "Paris", ...], the title of a link, nothing of others."""
    seen = ""
    if mark["kind"] == "entity":
        with suppress(ValueError, LookupError, TypeError, RecursionError):
            seen = json.loads(mark["told"])[1]
    elif mark["kind"] in ("url", "link_title"):
        seen = mark["told"].partition("\ue202")[0]
    return mark["blank"] + seen if isinstance(seen, str) and seen else ""
