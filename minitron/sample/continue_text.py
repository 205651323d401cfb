"""One text at a time, token by token: an answer for the chat, and a base model that goes on with a text past the end of its context.

    for token in stream(model, encode_prompt(messages, tokenizer), sampling=sampling, decoding=decoding): ...
    for token in continue_text(model, encode_text(text, tokenizer), sampling=sampling, decoding=decoding): ...

Knows nothing about dialogues.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import Sampling
from minitron.sample.generate import Decoding, draw
from minitron.tokenizer.base import Tokenizer


def window(length: int, context: int) -> int:
    """The place of the first id that the model sees of a text of `length` ids. A text that outgrows the context loses half a
    context of its oldest ids, and again whenever the window is full. The place depends on the length alone, so that a text goes
    on alike in one answer and in several. The chat program has the same rule (go_serve/internal/engine, Window)."""
    half = context // 2
    return 0 if length <= context else ((length - context - 1) // half + 1) * half


def stream(
    model: LanguageModel,
    prompt: list[int],
    *,
    sampling: Sampling,
    decoding: Decoding,
    watch: Callable[[Tensor, int], None] | None = None,
) -> Iterator[int]:
    """Yields the ids of an answer as `continue_text` does, but ends when the context is full."""
    room = max(0, model.context_limit - len(prompt))
    sampling = replace(sampling, max_tokens=min(sampling.max_tokens, room))
    return continue_text(model, prompt, sampling=sampling, decoding=decoding, watch=watch)


@torch.inference_mode()
def continue_text(
    model: LanguageModel,
    text: list[int],
    *,
    sampling: Sampling,
    decoding: Decoding,
    watch: Callable[[Tensor, int], None] | None = None,
) -> Iterator[int]:
    """Yields the ids that a base model appends to a text, up to the end marker or max_tokens. When the
    context is full it goes on with the newer part of the text. Before each id, `watch` gets the logits (V,)
    that it was drawn from, and the id."""
    generator = torch.Generator().manual_seed(decoding.seed)
    seen = torch.zeros(1, model.vocab_size, dtype=torch.bool, device=model.device)
    limit = model.context_limit
    ids, begin, unread = list(text), -1, []
    for _ in range(sampling.max_tokens):
        if (now := window(len(ids), limit)) != begin:
            begin, unread = now, ids[now:]
            state = model.new_state(1, min(limit, len(text) + sampling.max_tokens))
        hidden = model.hidden(torch.tensor([unread], device=model.device), state=state)[:, -1]
        logits = model.head(hidden).float()
        token = int(draw(logits, sampling, seen=seen, banned=decoding.banned, generator=generator).item())
        if token == decoding.end:
            return
        if watch:
            watch(logits[0], token)
        yield token
        seen[0, token] = True
        ids.append(token)
        unread = [token]


def encode_text(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a text for `continue_text`. Raises MinitronError if there are none: the model needs something to go on from."""
    if not (ids := tokenizer.encode(text)):
        raise MinitronError("the text has no tokens", hint="give the model something to go on from")
    return ids
