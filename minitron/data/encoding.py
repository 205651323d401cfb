"""Dialogues as token ids and loss masks, as sft trains on them and eval measures on them. Knows nothing about packing."""

from collections.abc import Callable, Iterator
from pathlib import Path

from minitron.data import store
from minitron.data.packing import Sequence
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer


def encode(
    path: Path,
    tokenizer: Tokenizer,
    context: int,
    cut: dict[str, int],
    *,
    source: str | None = None,
    skip: Callable[[list[str]], bool] = lambda contents: False,
) -> Iterator[Sequence]:
    """Dialogues (with `source` only its own) as ids and masks; those longer than context + 1 lose whole last turns, which `cut`
    counts. Those of which `skip` says so are left out.

    Contents are encoded a thousand dialogues at a time, so that the tokenizer can use all cores.
    """
    around = len(tokenizer.closing)
    for ends, roles, contents in store.messages(path, source=source):
        encoded = tokenizer.encode_many([tokenizer.content(text) for text in contents])
        for begin, end in zip(ends, ends[1:], strict=False):
            if skip(contents[begin:end]):
                continue
            whole = end
            size = len(tokenizer.start)
            size += sum(len(encoded[i]) + len(tokenizer.opening.get(roles[i], ())) + around for i in range(begin, end))
            while size > context + 1 and end - begin > 2:
                size -= sum(
                    len(encoded[i]) + len(tokenizer.opening.get(roles[i], ())) + around for i in (end - 1, end - 2)
                )
                end -= 2
            ids, mask = chat_template.join(roles[begin:end], encoded[begin:end], tokenizer)
            if len(ids) > context + 1 or not any(mask):
                cut["left out"] += 1
                continue
            cut["shortened"] += end < whole
            answers = sum(len(contents[i].encode()) for i in range(begin, end) if roles[i] == "assistant")
            yield Sequence(ids, mask, answers)
