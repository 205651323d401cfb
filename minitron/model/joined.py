"""Several Linears that read the same input, as one product of matrices.

Letters in shapes: C input features, F output features of all Linears together.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.costs import FP32, Load

TALL = 2  # input rows per input feature: with fewer, joining the weights costs more than a single product saves


def product(x: Tensor, *linears: nn.Linear) -> Tensor:
    """The outputs of all Linears for x (..., C), one after the other in the last dimension (..., F).

    One product is faster than several: x is cast once, read once, and has one gradient. If a Linear has a bias, a LoRA change or a
    hook, each Linear is called by itself.
    """
    if x.numel() >= TALL * x.shape[-1] ** 2 and all(map(_plain, linears)):
        return F.linear(x, torch.cat([linear.weight for linear in linears]))
    return torch.cat([linear(x) for linear in linears], -1)


def _plain(linear: nn.Linear) -> bool:
    return type(linear) is nn.Linear and linear.bias is None and not linear._forward_pre_hooks


def saved_bytes(load: Load, rows: int, *, read: int, made: list[int]) -> int:
    """Bytes that `product` keeps for `rows` inputs with `read` features, where the Linears have `made` output features: the input, and
    in fp32 the joined weights. Weights in 16 bits are counted elsewhere, joined or not."""
    apart = load.lora or rows < TALL * read
    copies = len(made) if load.autocast and apart else 1
    weights = 0 if load.autocast or apart else FP32 * read * sum(made)
    return load.low * read * copies * rows + weights
