"""Causal attention, its KV cache, and what both cost. Shapes make queries, keys and values of it in their own ways.

Knows nothing about positions: a shape that turns queries and keys does so before.

Letters in shapes: B rows, T tokens, S keys, D d_model, H heads, K key/value heads, h = D / H.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.costs import FP32, Load
from minitron.model.state import LayerState, Pass, Span, compute_dtype
from minitron.recipe.schema import ModelConfig


class KVCache(LayerState):
    """Keys and values of one layer, (B, K, slots, h) each, filled from the left. All rows write at the same slot."""

    def __init__(self, shape: tuple[int, int, int, int], *, device: torch.device, dtype: torch.dtype):
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.used = 0  # slots filled so far

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the (B, K, T, h) of this pass and returns all keys and values so far, (B, K, S, h)."""
        begin, self.used = self.used, self.used + key.shape[2]
        self.keys[:, :, begin : self.used] = key
        self.values[:, :, begin : self.used] = value
        return self.keys[:, :, : self.used], self.values[:, :, : self.used]

    def select(self, rows: Tensor) -> None:
        self.keys, self.values = self.keys[rows], self.values[rows]

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class Attention(nn.Module):
    """What both shapes' attention layers share. A subclass projects x to queries, keys and values and calls `mix`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.dropout = config.dropout
        self.cache_shape = (config.n_kv_heads, config.d_model // config.n_heads)

    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> KVCache:
        """Room for `slots` tokens of each row."""
        heads, size = self.cache_shape
        return KVCache((rows, heads, slots, size), device=device, dtype=dtype)

    def mix(self, query: Tensor, key: Tensor, value: Tensor, step: Pass, cache: LayerState | None) -> Tensor:
        """Attention of query (B, H, T, h) on key, value (B, K, T, h), those in the cache included -> (B, T, D), or (N, D) of
        what is wanted."""
        dropout = self.dropout if self.training else 0.0
        if isinstance(cache, KVCache):
            key, value = cache.extend(key, value)
        if step.spans is None:
            out = attention(query, key, value, step.mask, dropout)
        else:
            out = by_span(query, key, value, step, dropout)
        return step.keep(out.transpose(1, 2).flatten(2))

    @staticmethod
    def operations(config: ModelConfig) -> float:
        """Forward and backward, per token: 12 T D (PaLM, arXiv 2204.02311, appendix B)."""
        return 12 * config.context * config.d_model

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """Query, key, value, the output that the last Linear reads (of `load.after` positions), and what `attention` keeps
        for itself."""
        n, heads, low = load.tokens, config.n_heads, load.low
        written_out = load.device.type == "cpu" and load.autocast
        # the lines in `attention`, or torch's own of the same kind
        if written_out or (not load.on_cuda and config.dropout):
            copies = 3 if config.dropout else 1  # the weights; with dropout what stayed of them, and the product
            return {"attention": low * ((3 * n + load.after) * config.d_model + copies * heads * n * load.length)}
        keys = config.n_kv_heads * config.d_model // heads
        fused = (
            low * n * (2 * config.d_model + 2 * keys) + FP32 * n * heads
        )  # and the log-sum-exp of each row of weights
        wanted = low * load.after * config.d_model if load.after < n else 0  # picked from the output, which is kept too
        return {"attention": fused + wanted + (low * n * load.length if load.packed else 0)}  # the mask, as numbers


def prepared(step: Pass, x: Tensor) -> Pass:
    """`step` with masks as `attention` takes them for inputs like x (B, T, D): made once for all layers."""
    written_out = writes_out_attention(x)
    used, length = step.state.used if step.state is not None else 0, x.shape[1]
    if step.spans is not None:
        masks = [span_mask(span, always=written_out) for span in step.spans]
        return replace(step, span_masks=[_ready(mask, x, written_out) for mask in masks])
    mask = step.mask
    if mask is None and step.state is not None and step.state.pad is not None:
        mask = padded_mask(step.state.pad, used=used, length=length)
    elif mask is None and length > 1 and (used or written_out):
        slots = torch.arange(used + length, device=x.device)
        mask = (slots <= slots[used:, None])[None, None]
    return replace(step, mask=_ready(mask, x, written_out))


def _ready(mask: Tensor | None, x: Tensor, written_out: bool) -> Tensor | None:
    """0 where a query may look and -inf elsewhere, for attention that is written out; else True and False."""
    if mask is not None and written_out:
        return torch.zeros((), dtype=torch.bfloat16).masked_fill(~mask, float("-inf"))
    return mask if mask is None else mask.to(x.device)


def span_mask(span: Span, *, always: bool) -> Tensor | None:
    """(length, prefix_len + length), True where a query may look; None where plain causal attention is right, unless
    `always` wanted."""
    seen = torch.ones(span.length, span.prefix_len + span.length, dtype=torch.bool).tril(span.prefix_len)
    return seen if span.prefix_len or always else None


def padded_mask(pad: Tensor, *, used: int, length: int) -> Tensor:
    """(B, 1, T, S) of rows whose first `pad` (B,) tokens are padding, for the `length` tokens after the first `used`."""
    slots = torch.arange(used + length, device=pad.device)
    queries = slots[used:, None]
    # Padding looks at itself only, so that no row of the softmax is empty.
    return ((slots >= pad[:, None, None]) & (slots <= queries) | (slots == queries)).unsqueeze(1)


def writes_out_attention(x: Tensor) -> bool:
    """torch 2.13's fused CPU kernel is slower in bf16 than four plain lines (seen with rows of 64 to 1,024 tokens)."""
    return x.device.type == "cpu" and compute_dtype(x) == torch.bfloat16


def by_span(query: Tensor, key: Tensor, value: Tensor, step: Pass, dropout: float) -> Tensor:
    """Attention within each segment of a flat row (B = 1), and on the part of its parent that it goes on from."""
    assert step.spans is not None
    assert step.span_masks is not None
    lengths, found = [span.length for span in step.spans], []
    queries, keys, values = (torch.split(x, lengths, 2) for x in (query, key, value))
    for span, mask, q, k, v in zip(step.spans, step.span_masks, queries, keys, values, strict=True):
        if span.prefix_len:
            k, v = (torch.cat((x[span.parent][:, :, : span.prefix_len], y), 2) for x, y in ((keys, k), (values, v)))
        found.append(attention(q, k, v, mask, dropout))
    return torch.cat(found, 2)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Scaled dot-product attention of query (B, H, T, h) on key, value (B, K, S, h) -> (B, H, T, h)."""
    grouped = query.shape[1] != key.shape[1]
    if writes_out_attention(query):
        if grouped:
            key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
        weights = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
        weights = (weights if mask is None else weights + mask).softmax(-1)
        return F.dropout(weights, dropout) @ value
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None and query.shape[2] > 1,
        enable_gqa=grouped,
    )
