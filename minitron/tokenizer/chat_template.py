"""Messages -> ids and loss mask: the one place that knows the chat template (docs/formats.md).

<|user|>hello<|end|><|assistant|>hi!<|end|>: every message is its role's marker, its content, the end marker. Loss is
counted on the ids of an assistant's content and on its end marker, nowhere else.
"""

from minitron.core.errors import MinitronError
from minitron.tokenizer.base import ROLES, Tokenizer

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


def encode_message(message: Message, tokenizer: Tokenizer) -> list[int]:
    """Marker, content, end. Raises MinitronError for a role that the template does not have."""
    if (role := message["role"]) not in tokenizer.markers:
        raise MinitronError(f"a message has the unknown role {role!r}", hint=f"roles are {', '.join(ROLES)}")
    return [tokenizer.markers[role], *tokenizer.encode(message["content"]), tokenizer.end]


def encode_dialogue(messages: list[Message], tokenizer: Tokenizer) -> tuple[list[int], list[bool]]:
    """Ids of a whole dialogue and, for each id, whether it is a target that loss is counted on."""
    ids: list[int] = []
    mask: list[bool] = []
    for message in messages:
        part = encode_message(message, tokenizer)
        ids += part
        answer = message["role"] == "assistant"
        mask += [False] + [answer] * (len(part) - 1)  # the marker itself is given, never predicted
    return ids, mask


def encode_prompt(messages: list[Message], tokenizer: Tokenizer) -> list[int]:
    """Ids that ask for the next answer: the dialogue so far and the assistant's marker."""
    ids = [i for message in messages for i in encode_message(message, tokenizer)]
    return [*ids, tokenizer.assistant]


def fit(messages: list[Message], tokenizer: Tokenizer, *, context: int, max_tokens: int) -> tuple[list[Message], int]:
    """Drops whole oldest turns until prompt and answer fit; the system message and the newest turn stay.

    Room for min(max_tokens, context / 4) tokens of answer is kept free. Returns the messages that fit and how many were
    dropped. Raises MinitronError where the newest message alone is too long.
    """
    reserve = max(1, min(max_tokens, context // 4))
    lengths = [len(encode_message(m, tokenizer)) for m in messages]
    first = 1 if messages and messages[0]["role"] == "system" else 0
    start = first
    total = sum(lengths) + 1 + reserve
    while total > context and start < len(messages) - 1:
        # A turn is a user's message and all that follows up to the next one.
        step = start + 1
        while step < len(messages) - 1 and messages[step]["role"] != "user":
            step += 1
        total -= sum(lengths[start:step])
        start = step
    if total > context:
        room = context - reserve - 1 - sum(lengths[:first])
        raise MinitronError(
            f"the message has {lengths[-1]} tokens and the model has room for {max(0, room)}",
            hint="shorten it, or train with a larger model.context",
        )
    return messages[:first] + messages[start:], start - first
