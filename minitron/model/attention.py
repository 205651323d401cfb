"""The attention layer, its KV cache, and what both cost. Each shape makes queries, keys and values in its own way.

Knows nothing about positions: a shape with RoPE turns queries and keys before it calls `mix`.

Letters in shapes: B rows, T tokens, S keys, D d_model, H heads, K key/value heads, h = D / H.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from minitron.model.costs import FP32, Load
from minitron.model.dot_product import WRITTEN_OUT, attention, ready, writes_out_attention
from minitron.model.segments import Segments, by_segment
from minitron.model.state import LayerState, Pass
from minitron.recipe.training import ModelConfig


class KVCache(LayerState):
    """Keys and values of one layer, (B, K, slots, h) each, filled from the left. All rows write at the same slot."""

    def __init__(self, shape: tuple[int, int, int, int], *, device: torch.device, dtype: torch.dtype):
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.used = 0  # slots filled so far

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the (B, K, T, h) of this pass and returns all keys and values so far, (B, K, S, h)."""
        begin, self.used = self.used, self.used + key.shape[2]
        self.keys[:, :, begin : self.used] = key
        self.values[:, :, begin : self.used] = value
        return self.keys[:, :, : self.used], self.values[:, :, : self.used]

    def select(self, rows: Tensor) -> None:
        self.keys, self.values = (self._selected(x, rows) for x in (self.keys, self.values))

    def _selected(self, x: Tensor, rows: Tensor) -> Tensor:
        """The rows of x. Only filled slots are copied: most are often empty."""
        kept = x.new_empty(len(rows), *x.shape[1:])
        kept[:, :, : self.used] = x[rows, :, : self.used]
        return kept

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class Attention(nn.Module):
    """What the attention layers of all shapes share. A subclass projects x to queries, keys and values and calls `mix`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.dropout = config.dropout
        self.cache_shape = (config.n_kv_heads, config.head_size)

    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> KVCache:
        """Room for `slots` tokens of each row."""
        heads, size = self.cache_shape
        return KVCache((rows, heads, slots, size), device=device, dtype=dtype)

    def mix(self, query: Tensor, key: Tensor, value: Tensor, step: Pass, cache: LayerState | None) -> Tensor:
        """Attention of query (B, H, T, h) on key, value (B, K, T, h) and those in the cache -> (B, T, D), or (N, D) with only the
        positions in `step.wanted`."""
        dropout = self.dropout if self.training else 0.0
        if isinstance(cache, KVCache):
            key, value = cache.extend(key, value)
        if step.segments is None:
            out = attention(query, key, value, step.mask, dropout)
        else:
            out = by_segment(query, key, value, step.segments, dropout)
        return step.keep(out.transpose(1, 2).flatten(2))

    @staticmethod
    def operations(config: ModelConfig) -> float:
        """Forward and backward, per token: 12 T D (PaLM, arXiv 2204.02311, appendix B)."""
        return 12 * config.context * config.n_heads * config.head_size

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """Query, key, value, the output that the last Linear reads (for `load.after` positions), and what `attention` itself
        keeps."""
        n, heads, low = load.tokens, config.n_heads, load.low
        width = heads * config.head_size
        written_out = load.device.type == "cpu" and (load.autocast or load.length <= WRITTEN_OUT)
        # plain products and a softmax, in `attention` or inside torch
        if written_out or (not load.on_cuda and config.dropout):
            copies = 3 if config.dropout else 1  # the weights; with dropout also its mask, and the weights after it
            return {"attention": low * ((3 * n + load.after) * width + copies * heads * n * load.length)}
        keys = config.n_kv_heads * config.head_size
        # the last term is the log-sum-exp of each row of weights
        fused = low * n * (2 * width + 2 * keys) + FP32 * n * heads
        # positions that are picked from the output, which is kept as well
        wanted = low * load.after * width if load.after < n else 0
        # the last term is the mask, as numbers
        return {"attention": fused + wanted + (low * n * load.length if load.packed else 0)}


def prepared(step: Pass, x: Tensor) -> Pass:
    """`step` with the mask or the segments that attention needs for inputs like x (B, T, D); made once for all layers."""
    if step.spans is not None:
        return replace(step, segments=Segments.of(step.spans, x))
    used, length = step.state.used if step.state is not None else 0, x.shape[1]
    mask = step.mask
    if mask is None and step.state is not None and step.state.pad is not None:
        mask = padded_mask(step.state.pad, used=used, length=length)
    elif mask is None and length > 1 and (used or writes_out_attention(x, used + length)):
        slots = torch.arange(used + length, device=x.device)
        mask = (slots <= slots[used:, None])[None, None]
    return replace(step, mask=mask if mask is None else ready(mask, x))


def padded_mask(pad: Tensor, *, used: int, length: int) -> Tensor:
    """The mask (B, 1, T, S) for rows whose first `pad` (B,) tokens are padding, for the `length` tokens after the first `used`."""
    slots = torch.arange(used + length, device=pad.device)
    queries = slots[used:, None]
    # Padding looks at itself only, so that no row of the softmax is empty.
    return ((slots >= pad[:, None, None]) & (slots <= queries) | (slots == queries)).unsqueeze(1)
