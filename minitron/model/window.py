"""`window`: attention to the last `window` tokens (as in Mistral 7B, arXiv 2310.06825, section 2), with RoPE, and with norms of queries
and keys as in LFM2.

Its state is the keys and values of those tokens, however long the text is. Knows nothing about other layers.

Letters in shapes: B rows, T tokens, S keys, K key/value heads, h a head's width.
"""

from dataclasses import replace

import torch
from torch import Tensor

from minitron.model import attention
from minitron.model.attention import KVCache
from minitron.model.costs import Load
from minitron.model.dot_product import ready
from minitron.model.llama import LlamaAttention, LlamaBlock
from minitron.model.segments import Segments
from minitron.model.state import Pass
from minitron.recipe.training import ModelConfig


class WindowCache(KVCache):
    """The newest keys and values, (B, K, slots, h) each, as a ring: token t is in slot t % slots."""

    @property
    def slots(self) -> int:
        return self.keys.shape[2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the (B, K, T, h) of this pass; returns the keys and values (B, K, S, h) of the tokens that `tokens_seen` names."""
        length, before = key.shape[2], self.used
        self.used += length
        if length == 1:
            self.keys[:, :, before % self.slots] = key[:, :, 0]
            self.values[:, :, before % self.slots] = value[:, :, 0]
            there = min(self.used, self.slots)
            return self.keys[:, :, :there], self.values[:, :, :there]
        old = torch.arange(max(0, before - self.slots), before, device=key.device) % self.slots
        new = torch.arange(max(0, length - self.slots), length, device=key.device)
        key, value = key.to(self.keys.dtype), value.to(self.values.dtype)
        whole = torch.cat((self.keys[:, :, old], key), 2), torch.cat((self.values[:, :, old], value), 2)
        self.keys[:, :, (before + new) % self.slots] = key[:, :, new]
        self.values[:, :, (before + new) % self.slots] = value[:, :, new]
        return whole

    def tokens_seen(self, length: int, device: torch.device) -> Tensor:
        """The tokens of the text, (S,), whose keys `extend` will return when it gets `length` more tokens."""
        if length > 1:
            return torch.arange(max(0, self.used - self.slots), self.used + length, device=device)
        slots = torch.arange(min(self.used + 1, self.slots), device=device)
        return self.used - (self.used - slots) % self.slots


def prepared(step: Pass, x: Tensor, window: int) -> Pass:
    """`step` with the mask or the segments that attention to a window needs, for inputs like x (B, T, D); made once for all layers."""
    if step.spans is not None:
        return replace(step, segments=Segments.of(step.spans, x, window=window))
    if step.state is None and window >= x.shape[1]:
        return attention.prepared(step, x)
    length, used = x.shape[1], step.state.used if step.state is not None else 0
    queries = torch.arange(used, used + length, device=x.device)
    cache = next((s for s in step.state.layers if isinstance(s, WindowCache)), None) if step.state is not None else None
    keys = cache.tokens_seen(length, x.device) if cache is not None else queries
    seen = (keys <= queries[:, None]) & (keys > queries[:, None] - window)  # (T, S)
    if step.mask is not None:
        return replace(step, mask=ready(step.mask & seen, x))
    if step.state is not None and step.state.pad is not None:
        # Padding looks at itself only, so that no row of the softmax is empty.
        seen = seen & (keys >= step.state.pad[:, None, None]) | (keys == queries[:, None])
        return replace(step, mask=ready(seen.unsqueeze(1), x))
    return replace(step, mask=ready(seen[None, None], x))


class WindowAttention(LlamaAttention):
    def __init__(self, config: ModelConfig):
        super().__init__(replace(config, qk_norm=True))
        self.window = config.window

    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> WindowCache:
        heads, size = self.cache_shape
        return WindowCache((rows, heads, min(slots, self.window), size), device=device, dtype=dtype)

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """The same as for attention to all tokens: it is computed like that, with a mask."""
        return LlamaAttention.saved_bytes(replace(config, qk_norm=True), load)


class WindowBlock(LlamaBlock):
    mixer = WindowAttention
