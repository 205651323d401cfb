"""RoPE (Su et al., arXiv 2104.09864) with halves of a head turning together, as Hugging Face has it. h is a head's width."""

from typing import Any

import torch
from torch import Tensor

from minitron.recipe.schema import ModelConfig


def rope_table(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin for all positions, each (context, h), as `rope_at` has them."""
    return rope_at(torch.arange(config.context), config)


def rope_at(positions: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin for these positions (...), however large, each (..., h). Sines of the left half are negative, as the right one takes them
    away from it: left cos - right sin, right cos + left sin."""
    device, size = positions.device, config.head_size
    exact = torch.device("cpu") if device.type == "mps" else device  # MPS has no fp64
    inverse = config.rope_theta ** -(torch.arange(0, size, 2, dtype=torch.float64, device=exact) / size)
    angles = positions.to(exact, torch.float64).unsqueeze(-1) * inverse
    cos, sin = angles.cos().float().to(device), angles.sin().float().to(device)
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)  # element i turns with element i + h/2


def for_heads(table: Tensor, heads: int) -> Tensor:
    """A table of cos or sin (B, T, h) for as many heads, (B, T, heads or 1, h).

    On a CPU it is written out, since torch's loops are short, and slow, where a factor is repeated head by head.
    """
    table = table.unsqueeze(2)
    return table.expand(-1, -1, heads, -1).contiguous() if table.device.type == "cpu" else table


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, T, H, h) turned by cos and sin (B, T, H or 1, h)."""
    if x.device.type == "cpu":
        out: Tensor = _Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
        return out
    return _turned(x, cos, sin, 1)


class _Rotate(torch.autograd.Function):
    """The same, with a gradient that is turned back in as few passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(gradient, cos, sin, -1), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, way: int) -> Tensor:
    """x turned forward (`way` 1) or back (-1)."""
    left, right = x.chunk(2, dim=-1)
    return (x * cos).addcmul_(torch.cat((right, left), dim=-1), sin, value=way)
