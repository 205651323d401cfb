"""Causal attention, its KV cache, and what both cost. Shapes make queries, keys and values of it in their own ways.

Knows nothing about positions: a shape that turns queries and keys does so before.

Letters in shapes: B rows, T tokens, S keys, D d_model, H heads, K key/value heads, h = D / H.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.costs import FP32, Load
from minitron.model.state import LayerState, Pass, Span, compute_dtype
from minitron.recipe.schema import ModelConfig


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
        """Slots that are not filled yet are most of them, and not copied."""
        kept = x.new_empty(len(rows), *x.shape[1:])
        kept[:, :, : self.used] = x[rows, :, : self.used]
        return kept

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class Attention(nn.Module):
    """What both shapes' attention layers share. A subclass projects x to queries, keys and values and calls `mix`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.dropout = config.dropout
        self.cache_shape = (config.n_kv_heads, config.head_size)

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
        """Query, key, value, the output that the last Linear reads (of `load.after` positions), and what `attention` keeps
        for itself."""
        n, heads, low = load.tokens, config.n_heads, load.low
        width = heads * config.head_size
        written_out = load.device.type == "cpu" and (load.autocast or load.length <= WRITTEN_OUT)
        # the lines in `attention`, or torch's own of the same kind
        if written_out or (not load.on_cuda and config.dropout):
            copies = 3 if config.dropout else 1  # the weights; with dropout what stayed of them, and the product
            return {"attention": low * ((3 * n + load.after) * width + copies * heads * n * load.length)}
        keys = config.n_kv_heads * config.head_size
        fused = low * n * (2 * width + 2 * keys) + FP32 * n * heads  # and the log-sum-exp of each row of weights
        wanted = low * load.after * width if load.after < n else 0  # picked from the output, which is kept too
        return {"attention": fused + wanted + (low * n * load.length if load.packed else 0)}  # the mask, as numbers


def prepared(step: Pass, x: Tensor) -> Pass:
    """`step` with what `attention` takes (masks, segments) for inputs like x (B, T, D): made once for all layers."""
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


def ready(mask: Tensor, x: Tensor) -> Tensor:
    """0 where a query may look and -inf elsewhere, for attention that is written out; else True and False."""
    if not writes_out_attention(x, mask.shape[-1]):
        return mask.to(x.device)
    return torch.zeros((), dtype=compute_dtype(x)).masked_fill(~mask, float("-inf"))


@dataclass(frozen=True)
class Group:
    """S segments of a flat row that are about as long as each other; Q and K are the most queries and keys that one has."""

    queries: Tensor  # (S, Q) their places in the row; behind a segment's end its last place again
    keys: Tensor  # (S, K) the same, those that it goes on from first
    mask: Tensor  # (1 or S, 1, Q, K), as `attention` takes it


@dataclass(frozen=True)
class Segments:
    """Which tokens of a flat row see each other: segments, padded to groups so that few products compute them all."""

    groups: list[Group]
    back: Tensor  # (T,) where each token of the row is among the queries of all groups
    own: Tensor  # (T,) the same among the keys
    forked: bool = False  # whether one goes on from another, whose keys are then in both
    _places: dict[tuple[str, int], "Places"] = field(default_factory=dict)

    @classmethod
    def of(cls, spans: list[Span], x: Tensor, *, window: int | None = None) -> "Segments":
        """For inputs like x (1, T, D); with a window a query sees so many keys at most, the last ones."""
        ends = np.cumsum([span.length for span in spans])
        starts = ends - [span.length for span in spans]
        by_width: dict[int, list[int]] = defaultdict(list)
        for number, span in enumerate(spans):
            by_width[padded_width(span.prefix_len + span.length)].append(number)
        groups, back, own, at, keys_at = [], np.empty(ends[-1], np.int64), np.empty(ends[-1], np.int64), 0, 0
        for _, numbers in sorted(by_width.items()):
            told = [(spans[n].length, spans[n].prefix_len, starts[n], starts[spans[n].parent]) for n in numbers]
            # filled up with the row's first token, which nothing reads, for a round shape
            told += [(1, 0, 0, 0)] * (round_count(len(told)) - len(told))
            lengths, prefixes, first, parents = (np.array(column)[:, None] for column in zip(*told, strict=True))
            q, k = (np.arange(padded_width(int(size.max()))) for size in (lengths, prefixes + lengths))
            queries = first + np.minimum(q, lengths - 1)
            keys = np.where(k < prefixes, parents + k, first + np.minimum(k - prefixes, lengths - 1))
            last = np.minimum(prefixes[..., None] + q[:, None], len(k) - 1)  # (S, Q, 1); filling sees something, too
            seen = (k <= last) & (k > last - (window or len(k)))  # (S, Q, K)
            if not prefixes.any():
                seen = seen[:1]
            mask = ready(torch.from_numpy(seen[:, None]), x)
            groups.append(Group(torch.from_numpy(queries).to(x.device), torch.from_numpy(keys).to(x.device), mask))
            for row, number in enumerate(numbers):
                span, counted = spans[number], np.arange(spans[number].length)
                here = slice(starts[number], starts[number] + span.length)
                back[here] = at + row * len(q) + counted
                own[here] = keys_at + row * len(k) + span.prefix_len + counted
            at, keys_at = at + len(told) * len(q), keys_at + len(told) * len(k)
        forked = any(span.prefix_len for span in spans)
        return cls(groups, torch.from_numpy(back).to(x.device), torch.from_numpy(own).to(x.device), forked)

    def queries(self, heads: int) -> "Places":
        """Where the queries of so many heads are."""
        return self._found("queries", self.back, heads)

    def keys(self, heads: int) -> "Places":
        """Where the keys of so many heads are."""
        return self._found("keys", self.own, heads)

    def _found(self, what: str, own: Tensor, heads: int) -> "Places":
        if (what, heads) not in self._places:  # once for all layers
            self._places[what, heads] = Places.of([getattr(group, what) for group in self.groups], own, heads)
        return self._places[what, heads]

    def in_order(self, read: Callable[..., Tensor], *rows: Tensor) -> Tensor:
        """What a layer makes of the tokens of a flat row that reads each text from its beginning: `read` gets tensors (S, K, ...) like
        `rows` (1, T, ...) of S texts, each with what it goes on from, and returns (S, K, C) -> (1, T, C)."""
        found = []
        for group in self.groups:
            texts = (x[0].index_select(0, group.keys.flatten()).view(*group.keys.shape, *x.shape[2:]) for x in rows)
            found.append(read(*texts).flatten(0, 1))
        return torch.cat(found).index_select(0, self.own)[None]


@dataclass(frozen=True)
class Places:
    """The way from a flat row's tokens (T, H, h) to groups (S, H, W, h) of segments and back, in rows of h numbers."""

    gather: list[Tensor]  # of each group (S * H * W,): which of the T * H rows; behind a segment's end its last token's
    back: Tensor  # (T * H,) where each is among the rows of all groups
    spread: list[Tensor]  # of each group (S * H * W,): as `gather`, but T * H, a row of zeros, behind a segment's end

    @classmethod
    def of(cls, groups: list[Tensor], own: Tensor, heads: int) -> "Places":
        """`groups`: which tokens are in each, (S, W); `own` (T,): where each token is among these."""
        head, gather, rows, at = torch.arange(heads, device=own.device), [], [], 0
        for tokens in groups:
            gather.append((tokens[:, None] * heads + head[:, None]).flatten())
            here = torch.arange(at, at + tokens.numel() * heads, device=own.device)
            rows.append(here.view(len(tokens), heads, -1).transpose(1, 2).reshape(-1, heads))
            at += tokens.numel() * heads
        back = torch.cat(rows).index_select(0, own).flatten()
        spread = torch.full((at,), len(back), device=own.device)
        spread[back] = torch.arange(len(back), device=own.device)
        return cls(gather, back, list(torch.split(spread, [len(rows) for rows in gather])))


def padded_width(width: int) -> int:
    """The next of 32, 48, 64, 96, 128, ...: what lies between is computed together. Narrower steps waste less arithmetic and more
    calls."""
    return max(32, round_count(width))


def round_count(count: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, ...: in 16 bits oneDNN compiles and keeps a kernel for every shape that it meets."""
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if power > 2 and count <= power * 3 // 4 else power


def padded_mask(pad: Tensor, *, used: int, length: int) -> Tensor:
    """(B, 1, T, S) of rows whose first `pad` (B,) tokens are padding, for the `length` tokens after the first `used`."""
    slots = torch.arange(used + length, device=pad.device)
    queries = slots[used:, None]
    # Padding looks at itself only, so that no row of the softmax is empty.
    return ((slots >= pad[:, None, None]) & (slots <= queries) | (slots == queries)).unsqueeze(1)


WRITTEN_OUT = 512  # keys, in fp32


def writes_out_attention(x: Tensor, keys: int) -> bool:
    """torch 2.13's fused CPU kernel is slower than four plain lines (benchmarks/attention.py): in bf16 (seen with 64 to 1,024
    keys) and, of short texts, in fp32."""
    return x.device.type == "cpu" and (compute_dtype(x) == torch.bfloat16 or keys <= WRITTEN_OUT)


def by_segment(query: Tensor, key: Tensor, value: Tensor, segments: Segments, dropout: float) -> Tensor:
    """Attention within the segments of a flat row, (1, H, T, h) of each -> (1, H, T, h)."""
    if not dropout and all(writes_out_attention(query, group.keys.shape[1]) for group in segments.groups):
        written: Tensor = _BySegment.apply(query, key, value, segments)  # type: ignore[no-untyped-call]
        return written
    rows = [x[0].transpose(0, 1) for x in (query, key, value)]  # (T, H or K, h): one token's numbers lie together
    found = []
    for group in segments.groups:
        places = (group.queries, group.keys, group.keys)
        q, k, v = (
            x.index_select(0, where.flatten()).view(*where.shape, *x.shape[1:]).transpose(1, 2)
            for x, where in zip(rows, places, strict=True)
        )
        found.append(attention(q, k, v, group.mask, dropout).transpose(1, 2).flatten(0, 1))
    return torch.cat(found).index_select(0, segments.back).transpose(0, 1)[None]


class _BySegment(torch.autograd.Function):
    """The same, written out, with a third of the passes over memory: heads are apart as soon as rows are gathered, and what
    was gathered from one place only is not added up in backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, segments: Segments) -> Tensor:
        (heads, size), kv_heads = query.shape[1::2], key.shape[1]
        places, key_places = segments.queries(heads), segments.keys(kv_heads)
        q_rows, k_rows, v_rows = (_rows(x) for x in (query, key, value))
        found, saved = [], []
        for group, of_q, of_k in zip(segments.groups, places.gather, key_places.gather, strict=True):
            count, width = group.queries.shape
            # the queries of all heads that share keys follow each other
            q = q_rows.index_select(0, of_q).mul_(size**-0.5).view(count * kv_heads, -1, size)
            k, v = (x.index_select(0, of_k).view(count * kv_heads, -1, size) for x in (k_rows, v_rows))
            scores = torch.bmm(q, k.mT)
            scores.view(count, heads, width, -1).add_(group.mask)
            weights = torch.softmax(scores, -1, dtype=scores.dtype)
            found.append(torch.bmm(weights, v).view(-1, size))
            saved += [q, k, v, weights]
        ctx.save_for_backward(*saved)
        ctx.segments, ctx.heads = segments, (heads, kv_heads)
        return _tokens(torch.cat(found).index_select(0, places.back), heads)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        segments, (heads, kv_heads) = ctx.segments, ctx.heads
        places, key_places = segments.queries(heads), segments.keys(kv_heads)
        size = gradient.shape[-1]
        rows = gradient.new_empty(len(places.back) + 1, size)
        rows[:-1], rows[-1] = _rows(gradient), 0
        of_q, of_k, of_v = [], [], []
        for number, where in enumerate(places.spread):
            q, k, v, weights = ctx.saved_tensors[4 * number : 4 * number + 4]
            slope = rows.index_select(0, where).view(len(q), -1, size)
            of_v.append(torch.bmm(weights.mT, slope).view(-1, size))
            slope = torch._softmax_backward_data(torch.bmm(slope, v.mT), weights, -1, weights.dtype)
            of_q.append(torch.bmm(slope, k).mul_(size**-0.5).view(-1, size))
            of_k.append(torch.bmm(slope.mT, q).view(-1, size))
        of_query = torch.cat(of_q).index_select(0, places.back)
        of_key, of_value = (_gathered_back(x, segments, key_places) for x in (of_k, of_v))
        return _tokens(of_query, heads), _tokens(of_key, kv_heads), _tokens(of_value, kv_heads), None


def _rows(x: Tensor) -> Tensor:
    """(1, H, T, h) -> (T * H, h)"""
    return x[0].transpose(0, 1).reshape(-1, x.shape[-1])


def _tokens(rows: Tensor, heads: int) -> Tensor:
    """(T * H, h) -> (1, H, T, h)"""
    return rows.view(-1, heads, rows.shape[-1]).transpose(0, 1)[None]


def _gathered_back(slopes: list[Tensor], segments: Segments, places: Places) -> Tensor:
    """Gradients of the rows of all groups, of each (S * K * W, h) -> those of the tokens' rows (T * K, h). Those behind a segment's
    end are zeros."""
    whole = torch.cat(slopes)
    if not segments.forked:
        return whole.index_select(0, places.back)
    return whole.new_zeros(len(places.back), whole.shape[1]).index_add_(0, torch.cat(places.gather), whole)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Scaled dot-product attention of query (B, H, T, h) on key, value (B, K, S, h) -> (B, H, T, h)."""
    grouped = query.shape[1] != key.shape[1]
    if writes_out_attention(query, key.shape[2]):
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
