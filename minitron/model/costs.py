"""How much a block computes, from which layers say how much memory that takes.

Each layer's `saved_bytes(config, load)` gives the bytes that autograd keeps of one forward pass for backward, term -> bytes;
tests/test_plan.py compares their sum with what torch keeps. Knows nothing about how the figures are used.
"""

from collections import Counter
from dataclasses import dataclass

import torch

FP32 = 4  # bytes: weights, residual stream and norms, in every precision


@dataclass(frozen=True)
class Load:
    """What a block computes: `rows` of `length` tokens each, and after the mixing of positions only `after` positions in all."""

    rows: int
    length: int
    after: int
    device: torch.device
    low: int  # bytes of a number that Linear and attention read and write: 2 under autocast, else 4
    packed: bool = True  # rows hold several sequences, and there is a mask
    lora: bool = False  # Linears have a trained LoRA change beside them

    @property
    def tokens(self) -> int:
        return self.rows * self.length

    @property
    def on_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def autocast(self) -> bool:
        """Whether each Linear makes its own 16-bit copy of its input; in fp32 Linears share the input."""
        return self.low < FP32


def total(*parts: dict[str, int]) -> dict[str, int]:
    """The terms of several layers, summed by name."""
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part)
    return dict(found)
