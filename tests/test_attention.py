"""Attention sequence by sequence equals attention with one mask over the whole row, values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from minitron.data.packing import collate
from minitron.model.dot_product import WRITTEN_OUT, attention
from minitron.model.segments import Segments, by_segment, padded_width, round_count
from minitron.model.state import Span


def dense(spans: list[Span]) -> torch.Tensor:
    """(T, T) mask: True where the row's token may attend to the column's."""
    starts, total = [], 0
    for span in spans:
        starts.append(total)
        total += span.length
    seen = torch.zeros(total, total, dtype=torch.bool)
    for start, span in zip(starts, spans, strict=True):
        own = slice(start, start + span.length)
        seen[own, own] = torch.ones(span.length, span.length, dtype=torch.bool).tril()
        first = starts[span.parent]
        seen[own, first : first + span.prefix_len] = True
    return seen


@st.composite
def rows(draw) -> list[Span]:
    spans: list[Span] = []
    for number in range(draw(st.integers(1, 9))):
        length = draw(st.integers(1, 70))
        roots = [n for n, span in enumerate(spans) if not span.prefix_len]
        if roots and draw(st.booleans()):
            parent = draw(st.sampled_from(roots))
            spans.append(Span(length, parent, draw(st.integers(1, spans[parent].length))))
        else:
            spans.append(Span(length, number))
    return spans


@settings(deadline=None, max_examples=60)
@given(rows(), st.sampled_from([1, 2, 4]))
def test_by_segment_is_attention_with_a_mask(spans, kv_heads):
    chance = torch.Generator().manual_seed(len(spans))
    total = sum(span.length for span in spans)
    ours = [torch.randn(1, heads, total, 8, generator=chance).requires_grad_() for heads in (4, kv_heads, kv_heads)]
    theirs = [x.detach().clone().requires_grad_() for x in ours]
    one = by_segment(*ours, Segments.of(spans, ours[0]), 0.0)
    other = F.scaled_dot_product_attention(*theirs, attn_mask=dense(spans), enable_gqa=True)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    weight = torch.randn(one.shape, generator=chance)
    (one * weight).sum().backward()
    (other * weight).sum().backward()
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("keys", [40, WRITTEN_OUT, WRITTEN_OUT + 1])
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_written_out_is_the_fused_kernel(keys, kv_heads):
    chance = torch.Generator().manual_seed(0)
    ours = [torch.randn(2, keys, heads, 8, generator=chance).transpose(1, 2) for heads in (4, kv_heads, kv_heads)]
    theirs = [x.clone().requires_grad_() for x in ours]
    seen = torch.ones(keys, keys, dtype=torch.bool).tril()
    mask = torch.zeros(()).masked_fill(~seen, float("-inf")) if keys <= WRITTEN_OUT else seen
    want = F.scaled_dot_product_attention(*theirs, is_causal=True, enable_gqa=True)
    found = attention(*(x.requires_grad_() for x in ours), mask, 0.0)
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)
    slope = torch.randn(want.shape, generator=chance)
    for x, y in zip(torch.autograd.grad(found, ours, slope), torch.autograd.grad(want, theirs, slope), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


def test_a_batch_says_the_same_twice():
    """A batch's mask, which GPUs use, and its lengths, which CPUs use, describe the same sequences."""
    chance = torch.Generator().manual_seed(0)
    sizes = [[5, 9, 3], [16], [7, 7], [1]]
    made = [[(torch.arange(n).numpy(), torch.rand(n, generator=chance).numpy() < 0.5) for n in row] for row in sizes]
    batch = collate(made, context=16)
    assert batch.lengths == [5, 9, 2, 16, 7, 7, 2, 1, 15]  # the last id of a full row is a target only
    whole = dense([Span(n, i) for i, n in enumerate(batch.lengths)]).view(4, 16, 4, 16)
    for row in range(4):
        assert torch.equal(batch.mask[row, 0], whole[row, :, row])
        assert not whole[row, :, [other for other in range(4) if other != row]].any()


def test_shapes_are_few():
    """Packed rows have few shapes, whatever their sequences; otherwise kernels, compiled for each shape, would fill the memory."""
    chance = torch.Generator().manual_seed(0)
    shapes = set()
    for _ in range(300):
        lengths = torch.randint(1, 120, (400,), generator=chance).tolist()
        spans = [Span(n, i) for i, n in enumerate(lengths[: int(torch.randint(5, 40, (), generator=chance))])]
        shapes |= {tuple(group.queries.shape) for group in Segments.of(spans, torch.zeros(1, 1)).groups}
    assert len(shapes) < 40
    assert [round_count(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 25)] == [1, 2, 3, 4, 6, 6, 8, 8, 12, 16, 24, 32]


def test_widths_are_few():
    found = [padded_width(n) for n in (1, 32, 33, 48, 49, 65, 128, 129, 1000)]
    assert found == [32, 32, 48, 48, 64, 96, 128, 192, 1024]
