"""Several Linears that read the same input, as one product of matrices.

Letters in shapes: C features read, F features made by all.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.costs import FP32, Load

TALL = 2  # rows of input for each of its features: with fewer, copying the weights costs more than one product for several saves


def product(x: Tensor, *linears: nn.Linear) -> Tensor:
    """What all make of x (..., C), one after the other in the last dimension (..., F).

    One product is faster than several: x is cast once, read once, and has one gradient. A Linear with a change of its own (LoRA, a
    hook) is asked by itself.
    """
    if x.numel() >= TALL * x.shape[-1] ** 2 and all(map(_plain, linears)):
        return F.linear(x, torch.cat([linear.weight for linear in linears]))
    return torch.cat([linear(x) for linear in linears], -1)


def _plain(linear: nn.Linear) -> bool:
    return type(linear) is nn.Linear and linear.bias is None and not linear._forward_pre_hooks


def saved_bytes(load: Load, rows: int, *, read: int, made: list[int]) -> int:
    """What it keeps of `rows` inputs with `read` features, for Linears that make so many each: the input, and in fp32 the weights put
    together. Those in 16 bits are counted elsewhere, joined or not."""
    apart = load.lora or rows < TALL * read
    copies = len(made) if load.autocast and apart else 1
    weights = 0 if load.autocast or apart else FP32 * read * sum(made)
    return load.low * read * copies * rows + weights
