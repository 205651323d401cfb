"""Scaled dot-product attention (Vaswani et al., arXiv 1706.03762, section 3.2.1): chooses how to compute it, and does so itself on CPUs.

Knows nothing about texts and caches.

Letters in shapes: B rows, T tokens, S keys, H heads, K key/value heads, G = H / K heads that share keys, h a head's width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from minitron.model.state import compute_dtype

WRITTEN_OUT = 512  # in fp32, up to so many keys


def writes_out_attention(x: Tensor, keys: int) -> bool:
    """Whether attention is computed by plain products and a softmax. On a CPU torch 2.13's fused kernel is slower than that in bf16
    (measured with 64 to 1,024 keys), and in fp32 for short texts (benchmarks/attention.py)."""
    return x.device.type == "cpu" and (compute_dtype(x) == torch.bfloat16 or keys <= WRITTEN_OUT)


def ready(mask: Tensor, x: Tensor) -> Tensor:
    """The mask as `attention` takes it: if that is written out, 0 where a query may look and -inf elsewhere; else True and False."""
    if not writes_out_attention(x, mask.shape[-1]):
        return mask.to(x.device)
    return torch.zeros((), dtype=compute_dtype(x)).masked_fill(~mask, float("-inf"))


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Scaled dot-product attention of query (B, H, T, h) on key, value (B, K, S, h) -> (B, H, T, h)."""
    grouped = query.shape[1] != key.shape[1]
    if writes_out_attention(query, key.shape[2]):
        if not dropout:
            written: Tensor = _Attention.apply(query, key, value, mask)  # type: ignore[no-untyped-call]
            return written
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


class _Attention(torch.autograd.Function):
    """Attention written out, of query (B, H, T, h) on key, value (B, K, S, h). Its own backward needs fewer passes over memory than
    the one that torch derives from the same lines."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        (rows, kv_heads), size = key.shape[:2], query.shape[-1]
        q, k, v = (x.reshape(rows * kv_heads, -1, size) for x in (query * size**-0.5, key, value))
        out, weights = written_out(q, k, v, mask, rows)
        ctx.save_for_backward(q, k, v, weights)
        ctx.kv_heads = kv_heads
        return out.view(query.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        rows, heads, _, size = gradient.shape
        slopes = written_back(gradient.reshape(len(q), -1, size), q, k, v, weights)
        return *(x.view(rows, n, -1, size) for x, n in zip(slopes, (heads, *[ctx.kv_heads] * 2), strict=True)), None


def written_out(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rows: int) -> tuple[Tensor, Tensor]:
    """The output (B * K, G * T, h) and the attention weights (B * K, G * T, S) of `rows` texts. q (B * K, G * T, h) is scaled already,
    with the queries of the G heads that share keys one after the other; k, v (B * K, S, h); mask (..., T, S) is added to the scores."""
    scores = torch.bmm(q, k.mT)
    if mask is not None:
        scores.view(rows, -1, *mask.shape[-2:]).add_(mask)
    weights = torch.softmax(scores, -1, dtype=scores.dtype)
    return torch.bmm(weights, v), weights


def written_back(slope: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of queries (before they were scaled), keys and values, from the gradient of the output, (B * K, G * T, h)."""
    of_v = torch.bmm(weights.mT, slope)
    slope = torch._softmax_backward_data(torch.bmm(slope, v.mT), weights, -1, weights.dtype)
    return torch.bmm(slope, k).mul_(q.shape[-1] ** -0.5), torch.bmm(slope.mT, q), of_v
