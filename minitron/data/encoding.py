"""Dialogues as token ids and loss masks, as sft trains on them and eval measures on them. Knows nothing about packing."""

from collections.abc import Callable, Iterator
from itertools import pairwise
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
    """Dialogues (with `source`, only those of that source) as ids and masks. Dialogues longer than context + 1 lose whole
    exchanges at the end; `cut` counts those that were shortened, and those left out because even that did not help. Dialogues for
    whose contents `skip` is true are passed over.

    Contents are encoded a thousand dialogues at a time, so that the tokenizer can use all cores.
    """
    for ends, roles, contents in store.messages(path, source=source):
        encoded = tokenizer.encode_flat([tokenizer.content(text) for text in contents])
        ids, mask, written = chat_template.encode_dialogues(ends[:-1], roles, *encoded, tokenizer)
        places = written.tolist()
        for begin, end in pairwise(ends):
            if skip(contents[begin:end]):
                continue
            whole, room = end, places[begin] + context + 1
            while places[end] > room and end - begin > 2:
                end -= 2
            own = slice(places[begin], places[end])
            if places[end] > room or not mask[own].any():
                cut["left out"] += 1
                continue
            cut["shortened"] += end < whole
            answers = sum(len(contents[i].encode()) for i in range(begin, end) if roles[i] == "assistant")
            yield Sequence(ids[own], mask[own], answers)
