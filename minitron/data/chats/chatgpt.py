"""ChatGPT's export: conversations.json, where each conversation is a tree of nodes (`mapping`) and `current_node` is the leaf of
the branch that was shown last. Regenerated and edited messages are on other branches, which are left out."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from minitron.data.chats.export import HIDDEN, JUNK, PARTS, TOOLS, Export, Said, field

BRANCHES = "messages on branches that were not shown last"


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
    return Said(role, "\n".join(texts), time if isinstance(time, int | float) else None, role)
