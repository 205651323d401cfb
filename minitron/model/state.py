"""`Pass`: what blocks are told about a forward pass. `State`: what a model keeps from one pass to the next while it writes.

Recurrent shapes, whose state does not grow, and shapes with a KV cache obey the same three rules: a block makes its own
`LayerState`, forgets everything where a position is 0, and goes on from a segment's `parent`. Sampling, packing and alignment
rely on no more than that. Knows nothing about attention.

Letters in shapes: B rows, T tokens, D d_model.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@dataclass
class Span:
    """A segment of a flat row of texts: the row's next `length` tokens. Segments follow each other without padding.

    A segment's tokens see those before them in the segment. With a `prefix_len` they also see the first `prefix_len` tokens of
    segment number `parent`, which the segment goes on from: so a prompt is computed once for all completions that follow it.
    """

    length: int
    parent: int = 0
    prefix_len: int = 0


class LayerState(ABC):
    """What one block keeps of the tokens read so far, for each of several rows."""

    @abstractmethod
    def select(self, rows: Tensor) -> None:
        """Keeps these rows (N,), in this order. A row that is named twice is forked."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of all rows."""


@dataclass
class State:
    """What a model keeps of B texts that it writes side by side. Made by `LanguageModel.new_state`."""

    layers: list[LayerState]
    used: int = 0  # tokens that each row has read so far, its padding included
    pad: Tensor | None = None  # (B,) how many of these, on the left, are padding; None: no row has padding

    def select(self, rows: Tensor) -> None:
        """Keeps these rows (N,), in this order: those still being written. A row that is named twice is forked."""
        for layer in self.layers:
            layer.select(rows)
        if self.pad is not None:
            self.pad = self.pad[rows]

    @property
    def nbytes(self) -> int:
        """Bytes of all layers."""
        return sum(layer.nbytes for layer in self.layers)


@dataclass
class Pass:
    """What every block is told of one forward pass over ids (B, T)."""

    # (B, T), counted within each sequence: where the position is 0 a sequence begins, and a recurrent block forgets
    positions: Tensor
    mask: Tensor | None = None  # (B or 1, 1, T, S): True where a query may look; None: causal
    spans: list[Span] | None = None  # the segments of a flat row (B = 1); None: an ordinary batch of rows
    state: State | None = None
    # (N,) indices into the flattened (B * T) positions: after the mixing in the last block only these are computed; None: all
    wanted: Tensor | None = None
    recompute: bool = False  # blocks keep only their input and are computed again in backward
    segments: Any = None  # the spans as `segments.Segments`, made by `attention.prepared` or `window.prepared`
    # (B, T) the positions, for layers that read a text in order; None: each row is one text from its beginning
    restarts: Tensor | None = None
    # cos and sin, (B, T, H + K or 1, h) each, in shapes with RoPE
    rope: tuple[Tensor, Tensor] | None = None

    def keep(self, x: Tensor) -> Tensor:
        """x (B, T, D) as it is, or only its wanted positions, (N, D)."""
        return x if self.wanted is None else x.flatten(0, 1).index_select(0, self.wanted)


def run_blocks(blocks: nn.ModuleList, x: Tensor, step: Pass) -> Tensor:
    """x (B, T, D) after all blocks; with `step.recompute` by gradient checkpointing (Chen et al., arXiv 1604.06174).

    All blocks but the last compute every position, since the next block looks at them all.
    """
    inner = replace(step, wanted=None)
    for number, block in enumerate(blocks, 1):
        now = step if number == len(blocks) else inner
        state = step.state.layers[number - 1] if step.state is not None else None
        x = checkpoint(block, x, now, state, use_reentrant=False) if step.recompute else block(x, now, state)
    return x


def compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype of products with x: autocast's if that is on, else that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
