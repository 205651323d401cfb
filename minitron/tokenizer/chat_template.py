"""Messages -> ids and loss mask: the one place that knows the chat template (docs/formats.md).

<|user|>hello<|end|><|assistant|>hi!<|end|>: every message is its role's marker, its content and the end marker. An imported
tokenizer may have another form (`forms`; `Tokenizer.start`, `opening`, `content`, `closing`). Loss is counted on the ids of an
assistant's content and on its end marker, nowhere else.
"""

from itertools import pairwise

import numpy as np

from minitron.core.errors import MinitronError
from minitron.tokenizer.base import ROLES, Tokenizer

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


def encode_message(message: Message, tokenizer: Tokenizer) -> list[int]:
    """Marker, content, end. Raises MinitronError for a role that the template does not have."""
    return _messages([message["role"]], [tokenizer.encode(tokenizer.content(message["content"]))], tokenizer)[0]


def encode_dialogue(messages: list[Message], tokenizer: Tokenizer) -> tuple[list[int], list[bool]]:
    """Ids of a whole dialogue and, for each id, whether it is a target that loss is counted on."""
    roles = [message["role"] for message in messages]
    contents = [tokenizer.encode(tokenizer.content(message["content"])) for message in messages]
    ids, mask = _messages(roles, contents, tokenizer)
    return [*tokenizer.start, *ids], list(map(bool, bytes(len(tokenizer.start)) + mask))


def encode_dialogues(
    dialogues: list[int], roles: list[str], contents: np.ndarray, ends: np.ndarray, tokenizer: Tokenizer
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`encode_dialogue` for many dialogues at once. `roles` are those of all their messages; `contents` and `ends` are the ids of
    the messages' contents, as `Tokenizer.encode_flat` gives them; `dialogues` says with which message each dialogue begins.

    Returns ids, mask (uint8, 1 on targets) and (messages + 1,) offsets: where each message begins and the last one ends.
    """
    opening, closing = _opening(tokenizer), tokenizer.closing
    for role in set(roles) - opening.keys():
        raise _unknown_role(role)
    said, spoken = np.diff(ends), np.array(roles, str)
    before = np.array([len(opening[role]) for role in roles], np.int64)  # tokens that stand before a content
    before[dialogues] += len(tokenizer.start)
    places = np.concatenate([[0], np.cumsum(before + said + len(closing))])
    begins, closes = places[:-1] + before, places[1:] - len(closing)  # where contents begin and end
    ids, mask = np.empty(places[-1], contents.dtype), np.zeros(places[-1], np.uint8)
    inside = np.repeat(begins - ends[:-1], said) + np.arange(len(contents))
    ids[inside], mask[inside] = contents, np.repeat(spoken == "assistant", said)
    mask[closes] = spoken == "assistant"
    for i, token in enumerate(tokenizer.start):
        ids[places[dialogues] + i] = token
    for role, marker in opening.items():
        for i, token in enumerate(marker):
            ids[begins[spoken == role] - len(marker) + i] = token
    for i, token in enumerate(closing):
        ids[closes + i] = token
    return ids, mask, places


def _messages(roles: list[str], contents: list[list[int]], tokenizer: Tokenizer) -> tuple[list[int], bytes]:
    """Ids and mask of a dialogue's messages, without what stands before the first one."""
    opening, closing, ids, mask = _opening(tokenizer), tokenizer.closing, list[int](), bytearray()
    for role, content in zip(roles, contents, strict=True):
        if role not in opening:
            raise _unknown_role(role)
        ids += opening[role]
        ids += content
        ids += closing
        # the marker itself is given, never predicted; neither is what a template adds after the end marker
        mask += b"\0" * len(opening[role])
        mask += (b"\1" if role == "assistant" else b"\0") * (len(content) + 1)
        mask += b"\0" * (len(closing) - 1)
    return ids, bytes(mask)


def _opening(tokenizer: Tokenizer) -> dict[str, list[int]]:
    if not tokenizer.opening:
        raise MinitronError(
            f"the tokenizer {tokenizer.path} has no chat markers, so the model cannot chat",
            hint='train it on dialogues first, in a recipe with sft.init = "runs/NAME"',
        )
    return tokenizer.opening


def _unknown_role(role: str) -> MinitronError:
    return MinitronError(f"a message has the unknown role {role!r}", hint=f"roles are {', '.join(ROLES)}")


def encode_prompt(messages: list[Message], tokenizer: Tokenizer) -> list[int]:
    """Ids that ask for the next answer: the dialogue so far and the assistant's marker."""
    ids = [i for message in messages for i in encode_message(message, tokenizer)]
    return [*tokenizer.start, *ids, *tokenizer.opening["assistant"]]


def fit(
    messages: list[Message], tokenizer: Tokenizer, *, context: int, max_tokens: int, least: int = 1
) -> tuple[list[Message], int]:
    """Leaves out the oldest turns, each as a whole, until prompt and answer fit; the system message and the newest message stay.

    Room for min(max_tokens, context / 4) tokens of answer is kept free; if the newest message leaves less, as many as it leaves,
    but `least` in any case. The chat program's rule (`left_out`) decides how many turns go. Returns the messages that fit and how
    many were left out. Raises MinitronError if the newest message alone is too long.
    """
    lengths = [len(encode_message(m, tokenizer)) for m in messages]
    first = 1 if messages and messages[0]["role"] == "system" else 0
    asking = len(tokenizer.opening["assistant"])
    free = context - len(tokenizer.start) - sum(lengths[:first])  # for the turns and the answer
    room = free - max(least, min(max_tokens, context // 4, free - lengths[-1] - asking))
    if lengths[-1] + asking > room:
        raise MinitronError(
            f"the message has {lengths[-1]} tokens and the model has room for {max(0, room - asking)}",
            hint="shorten it, or train with a larger model.context",
        )
    last = len(messages) - 1
    # where turns begin: a user's message and all that follows up to the next one
    starts = [i for i in range(first, last) if i == first or messages[i]["role"] == "user"] + [last]
    sizes = [sum(lengths[i:j]) for i, j in pairwise(starts)]
    start = starts[left_out(sizes, [lengths[i] + asking for i in starts], room=room)]
    return messages[:first] + messages[start:], start - first


def left_out(sizes: list[int], questions: list[int], *, room: int) -> int:
    """How many of the oldest turns a model does not see when it is asked the last question. The chat program has the same rule
    (go_serve/internal/chat, leftOut).

    `sizes` are the tokens of each turn. `questions` are the tokens of each turn's question with the assistant's marker and, last,
    those of the new question, so it is one longer. When a question no longer fits after the turns, the oldest turns are dropped
    until the rest takes at most half of the room, so that the following questions reuse the KV cache. If the question itself
    takes more than half, only as many turns are dropped as it needs. The newest turn stays if it fits at all. The rule is
    replayed for each turn as it was asked, so that the result depends on the turns alone and stays the same while they grow.
    """
    first = seen = 0  # seen: tokens of turns[first:i]
    for i, asked in enumerate(questions):
        free = room - asked
        if seen > free:
            kept = min(room // 2, free)
            while first < i and (seen > free or (seen > kept and first < i - 1)):
                seen -= sizes[first]
                first += 1
        if i < len(sizes):
            seen += sizes[i]
    return first
