"""Attention in a flat row of texts. Segments of similar length are computed together; each sees only itself and the prefix that it goes
on from.

Letters in shapes: T tokens of the row, S segments of a group, Q and K their padded numbers of queries and keys, W either of these; H heads,
h a head's width.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minitron.model.dot_product import attention, ready, writes_out_attention, written_back, written_out
from minitron.model.state import Span


@dataclass(frozen=True)
class Group:
    """S segments of a flat row of similar length. Q and K are the most queries and keys that one has, rounded up (`padded_width`)."""

    queries: Tensor  # (S, Q) the queries' places in the row; past a segment's end its last place is repeated
    keys: Tensor  # (S, K) the keys' places, those of the prefix first; padded in the same way
    mask: Tensor  # (1 or S, 1, Q, K), as `attention` takes it


@dataclass(frozen=True)
class Segments:
    """Which tokens of a flat row see each other: segments, padded and grouped so that few products compute them all."""

    groups: list[Group]
    back: Tensor  # (T,) the place of each token of the row among the queries of all groups
    own: Tensor  # (T,) its place among the keys of all groups
    forked: bool = False  # whether a segment goes on from another: a key may then occur in several segments
    _places: dict[tuple[str, int], "Places"] = field(default_factory=dict)

    @classmethod
    def of(cls, spans: list[Span], x: Tensor, *, window: int | None = None) -> "Segments":
        """The segments of `spans`, for inputs like x (1, T, D). With a window a query sees at most that many keys, the last ones."""
        ends = np.cumsum([span.length for span in spans])
        starts = ends - [span.length for span in spans]
        by_width: dict[int, list[int]] = defaultdict(list)
        for number, span in enumerate(spans):
            by_width[padded_width(span.prefix_len + span.length)].append(number)
        groups, back, own, at, keys_at = [], np.empty(ends[-1], np.int64), np.empty(ends[-1], np.int64), 0, 0
        for _, numbers in sorted(by_width.items()):
            told = [(spans[n].length, spans[n].prefix_len, starts[n], starts[spans[n].parent]) for n in numbers]
            # padded to a round number of segments with the row's first token; nothing reads the results
            told += [(1, 0, 0, 0)] * (round_count(len(told)) - len(told))
            lengths, prefixes, first, parents = (np.array(column)[:, None] for column in zip(*told, strict=True))
            q, k = (np.arange(padded_width(int(size.max()))) for size in (lengths, prefixes + lengths))
            queries = first + np.minimum(q, lengths - 1)
            keys = np.where(k < prefixes, parents + k, first + np.minimum(k - prefixes, lengths - 1))
            last = np.minimum(prefixes[..., None] + q[:, None], len(k) - 1)  # (S, Q, 1); padding must see something
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
        """The `Places` of queries with this number of heads."""
        return self._found("queries", self.back, heads)

    def keys(self, heads: int) -> "Places":
        """The `Places` of keys with this number of heads."""
        return self._found("keys", self.own, heads)

    def _found(self, what: str, own: Tensor, heads: int) -> "Places":
        if (what, heads) not in self._places:  # once for all layers
            self._places[what, heads] = Places.of([getattr(group, what) for group in self.groups], own, heads)
        return self._places[what, heads]

    def in_order(self, read: Callable[..., Tensor], *rows: Tensor) -> Tensor:
        """The output (1, T, C) for a flat row of a layer that reads each text in order from its beginning. `read` gets `rows`
        (1, T, ...) as tensors (S, K, ...) of S texts, each with its prefix before it, and returns (S, K, C)."""
        found = []
        for group in self.groups:
            texts = (x[0].index_select(0, group.keys.flatten()).view(*group.keys.shape, *x.shape[2:]) for x in rows)
            found.append(read(*texts).flatten(0, 1))
        return torch.cat(found).index_select(0, self.own)[None]


@dataclass(frozen=True)
class Places:
    """Indices that take a flat row's tokens (T, H, h) to groups (S, H, W, h) of segments and back. They count rows of h numbers."""

    # for each group (S * H * W,): which of the T * H rows; past a segment's end that of its last token
    gather: list[Tensor]
    back: Tensor  # (T * H,) the place of each row among the rows of all groups
    spread: list[Tensor]  # as `gather`, but T * H, which means a row of zeros, wherever `back` does not point

    @classmethod
    def of(cls, groups: list[Tensor], own: Tensor, heads: int) -> "Places":
        """`groups` says which tokens are in each group, (S, W); `own` (T,) says where each token is among all of these."""
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
    """`width` rounded up to 32, 48, 64, 96, 128, ...: segments with the same rounded width are computed together. Finer steps
    would waste less arithmetic but need more calls."""
    return max(32, round_count(width))


def round_count(count: int) -> int:
    """`count` rounded up to 1, 2, 3, 4, 6, 8, 12, ...: few shapes, since in 16 bits oneDNN compiles and keeps a kernel for each."""
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if power > 2 and count <= power * 3 // 4 else power


def by_segment(query: Tensor, key: Tensor, value: Tensor, segments: Segments, dropout: float) -> Tensor:
    """Attention within the segments of a flat row: query (1, H, T, h), key and value with heads of their own number -> (1, H, T, h)."""
    if not dropout and all(writes_out_attention(query, group.keys.shape[1]) for group in segments.groups):
        written: Tensor = _BySegment.apply(query, key, value, segments)  # type: ignore[no-untyped-call]
        return written
    rows = [x[0].transpose(0, 1) for x in (query, key, value)]  # (T, heads, h): one token's numbers lie together
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
    """`by_segment` written out, with a third of the passes over memory: gathering the rows also separates the heads, and
    backward sums gradients only where a row was gathered more than once."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, segments: Segments) -> Tensor:
        (heads, size), kv_heads = query.shape[1::2], key.shape[1]
        places, key_places = segments.queries(heads), segments.keys(kv_heads)
        q_rows, k_rows, v_rows = (_rows(x) for x in (query, key, value))
        found, saved = [], []
        for group, of_q, of_k in zip(segments.groups, places.gather, key_places.gather, strict=True):
            texts = len(group.queries) * kv_heads
            q = q_rows.index_select(0, of_q).mul_(size**-0.5).view(texts, -1, size)
            k, v = (x.index_select(0, of_k).view(texts, -1, size) for x in (k_rows, v_rows))
            out, weights = written_out(q, k, v, group.mask, len(group.queries))
            found.append(out.view(-1, size))
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
        slopes, saved = [], ctx.saved_tensors  # once: blocks that are computed again give them a single time
        for number, where in enumerate(places.spread):
            q, k, v, weights = saved[4 * number : 4 * number + 4]
            slope = rows.index_select(0, where).view(len(q), -1, size)
            slopes.append(written_back(slope, q, k, v, weights))
        of_q, of_k, of_v = ([x.view(-1, size) for x in of_groups] for of_groups in zip(*slopes, strict=True))
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
    """The gradients of all groups' rows, (S * H * W, h) for each group -> those of the tokens' rows (T * H, h). Gradients past a
    segment's end are zeros."""
    whole = torch.cat(slopes)
    if not segments.forked:
        return whole.index_select(0, places.back)
    return whole.new_zeros(len(places.back), whole.shape[1]).index_add_(0, torch.cat(places.gather), whole)
