"""Makes checked messages of the turns of one dialogue, or gives the reason why there are none.

    messages = to_messages(turns, roles=role_map(config.data), unknown=set())   # [{"role", "content"}, ...] or a reason
    digest_of(messages)                                                        # a hash of 16 bytes

Knows nothing about files, tables and scores.
"""

import hashlib
import json
import re
from typing import Any

from minitron.core.errors import MinitronError
from minitron.core.text import is_unicode, mended
from minitron.recipe.data import DataConfig
from minitron.tokenizer.chat_template import Message

Prompt = tuple[list[Message], str]  # a dialogue up to a user's turn, and the recorded answer

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "model": "assistant",
}

MOST_ROLES = 10  # unknown ones that are named: the first by name, so that the order of the rows makes no difference

NO_MESSAGES = "malformed: no messages"
NO_TURN = "malformed: a turn is not a role and a content"
NO_TEXT = "malformed: a content is not text"
EMPTY = "malformed: a message is empty"
UNKNOWN_ROLE = "malformed: unknown role"
LATE_SYSTEM = "malformed: a system message is not the first"
NOT_USER_FIRST = "malformed: the user does not begin"
NO_ALTERNATION = "malformed: roles do not alternate"
NO_ANSWER = "malformed: no assistant turn"
NOT_UNICODE = "malformed: text that is not Unicode"
WEIGHT_0 = "not to be learned: an answer has weight 0"

HINTS = {  # what to do if this reason leaves no dialogue; the hint for unknown roles is made elsewhere, since it names them
    NO_MESSAGES: "a dialogue is a list of turns: name the column that holds it in data.column",
    NO_TURN: 'write each turn as {"role": "user", "content": "..."}',
    NO_TEXT: "a content must be a text, or parts of text; pictures and calls of tools cannot be learned",
    EMPTY: "questions or answers are empty texts: are they in another column?",
    LATE_SYSTEM: "put the system message first, or take it out",
    NOT_USER_FIRST: "a dialogue begins with the user, after a system message at most: cut off what stands before",
    NO_ALTERNATION: "user and assistant take turns: join neighbouring messages of one role",
    NO_ANSWER: "a dialogue needs an answer of the assistant: check the roles, or set data.roles",
    NOT_UNICODE: "half characters (surrogates) cannot be saved: write the text anew from its source",
    WEIGHT_0: "every answer of a dialogue is learned: cut it before those with weight 0, or take the weights out",
}


def role_map(config: DataConfig) -> dict[str, str]:
    """The known role names and the recipe's own, each with its role: system, user or assistant. Raises MinitronError for another role."""
    for name, role in config.roles.items():
        if role not in ("system", "user", "assistant"):
            message = f"data.roles: '{name}' is mapped to '{role}'"
            raise MinitronError(message, hint="map it to system, user or assistant", code=2)
    return ROLES | {name.strip().lower(): role for name, role in config.roles.items()}


def to_messages(turns: Any, *, roles: dict[str, str], unknown: set[str]) -> list[Message] | str:
    """A row's turns as checked messages, or the reason why it is malformed. Adds unmapped roles to `unknown`.

    A good row has an optional system message (left out if empty), then user and assistant in turn, the user first. A user's turn
    at the end, which nobody answered, is cut off.
    """
    messages = parse(turns, roles=roles, unknown=unknown)
    if isinstance(messages, str):
        return messages
    reason = check_order(messages)
    if not reason and any(_role(turn, roles) == "assistant" and _weightless(turn) for turn in as_turns(turns)):
        reason = WEIGHT_0
    return reason or messages


def parse(turns: Any, *, roles: dict[str, str], unknown: set[str]) -> list[Message] | str:
    """Each turn as a message, in whatever order they are, or the reason why a turn is no message."""
    turns = as_turns(turns)
    if not turns:
        return NO_MESSAGES
    messages = []
    for turn in turns:
        if not isinstance(turn, dict):
            return NO_TURN
        name = _name(turn)
        if not isinstance(name, str):
            return NO_TURN
        content = _text_of(next((turn[key] for key in ("content", "value", "text") if turn.get(key) is not None), ""))
        if content is None:
            return NO_TEXT
        role = _role(turn, roles)
        if role is None:
            unknown.add(printable(name[:40]))
            if len(unknown) > MOST_ROLES:
                unknown.remove(max(unknown))
            return UNKNOWN_ROLE
        if not is_unicode(content):
            return NOT_UNICODE
        messages.append({"role": role, "content": tidy(content)})
    if messages[0] == {"role": "system", "content": ""}:
        del messages[0]
    return messages


def _name(turn: dict) -> Any:
    return turn.get("role") or turn.get("from")


def _role(turn: dict, roles: dict[str, str]) -> str | None:
    return roles.get(_name(turn)) or roles.get(_name(turn).strip().lower())


def _weightless(turn: dict) -> bool:
    """Whether the answer must not be a target of the loss (OpenAI's `weight`, axolotl's `train`)."""
    return turn.get("weight") == 0 or turn.get("train") is False


def check_order(messages: list[Message]) -> str:
    """The reason why messages are no dialogue; empty if they are one. Cuts off a user's turn at the end."""
    begin = 1 if messages and messages[0]["role"] == "system" else 0
    for i, message in enumerate(messages[begin:]):
        if message["role"] == "system":
            return LATE_SYSTEM
        if message["role"] != ("assistant" if i % 2 else "user"):
            return NO_ALTERNATION if i else NOT_USER_FIRST
    if len(messages) > begin and messages[-1]["role"] == "user":
        del messages[-1]
    if len(messages) == begin:
        return NO_ANSWER
    return "" if all(message["content"] for message in messages) else EMPTY


def as_turns(value: Any) -> list | None:
    """A cell as a list of turns. The cell may hold that list, one turn alone, JSON in a text, or a transcript; None for anything else."""
    if isinstance(value, str):
        if turns := transcript(value):
            return turns
        try:  # some datasets keep the list as JSON in a text column
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else None


_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")


def transcript(text: str) -> list[dict]:
    """The turns of a text like Anthropic's HH-RLHF, "\\n\\nHuman: ...\\n\\nAssistant: ..."; empty if it is not one."""
    first, *rest = _SPEAKER.split(text.lstrip("\n"))
    if first.strip() or not rest:
        return []
    return [{"role": name, "content": said} for name, said in zip(rest[::2], rest[1::2], strict=True)]


def tidy(content: str) -> str:
    """The content without white space around it, and with \\n as line ends. Code keeps the indentation of its first line."""
    if "\r" in content:
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    inner = content.strip()
    indent = content[: content.find(inner[:1])].rpartition("\n")[2] if inner else ""
    code = indent.strip(" \t") == "" != indent and re.search(r"\n[ \t]+\S", inner)
    return indent + inner if code and (len(indent) > 1 or indent == "\t") else inner


def _text_of(content: Any) -> str | None:
    """A content as text; a list of text parts is joined; None for anything else."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else None
    return content if isinstance(content, str) else None


def printable(value: Any) -> str:
    """Any cell's value as a text that UTF-8 can hold."""
    if value is None:
        return ""
    return mended(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def digest_of(messages: list[Message]) -> bytes:
    """A hash of a dialogue, 16 bytes: BLAKE2b of its messages as JSON, [[role, content], ...]."""
    text = _to_json([[message["role"], message["content"]] for message in messages])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
