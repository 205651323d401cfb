"""Dialogues as token ids and loss masks, as sft trains on them and eval measures on them. Knows nothing about packing."""

from collections.abc import Iterator
from pathlib import Path

from minitron.data import store
from minitron.data.packing import Sequence
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer


def encode(path: Path, tokenizer: Tokenizer, context: int, cut: dict[str, int]) -> Iterator[Sequence]:
    """Dialogues as ids and masks; those longer than context + 1 lose whole last turns, which `cut` counts."""
    for dialogue in store.read(path):
        messages = dialogue["messages"]
        ids, mask = chat_template.encode_dialogue(messages, tokenizer)
        whole = len(messages)
        while len(ids) > context + 1 and len(messages) > 2:
            messages = messages[:-2]
            ids, mask = chat_template.encode_dialogue(messages, tokenizer)
        if len(ids) > context + 1 or not any(mask):
            cut["left out"] += 1
            continue
        cut["shortened"] += len(messages) < whole
        answers = sum(len(m["content"].encode()) for m in messages if m["role"] == "assistant")
        yield Sequence(ids, mask, answers)
