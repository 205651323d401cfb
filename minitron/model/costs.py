"""How much work a block has, for layers to say what that takes of memory.

Each layer's `saved_bytes(config, load)` gives what autograd keeps for backward of one forward pass, term -> bytes;
tests/test_plan.py compares their sum with what torch keeps. Knows nothing about what is done with the figures.
"""

from collections import Counter
from dataclasses import dataclass

import torch

FP32 = 4  # bytes: weights, residual stream and norms, in every precision


@dataclass(frozen=True)
class Load:
    """What a block computes: `rows` of `length` tokens, and `after` of all these positions behind its mixing."""

    rows: int
    length: int
    after: int
    device: torch.device
    low: int  # bytes of a number that Linear and attention read and write: 2 under autocast, else 4
    packed: bool = True  # rows hold several sequences, and there is a mask
    lora: bool = False  # Linears have trained changes beside them

    @property
    def tokens(self) -> int:
        return self.rows * self.length

    @property
    def on_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def autocast(self) -> bool:
        """Whether a Linear makes a copy of its own of what it reads; in fp32 they share it."""
        return self.low < FP32


def total(*parts: dict[str, int]) -> dict[str, int]:
    """Terms of several layers, added up."""
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part)
    return dict(found)
