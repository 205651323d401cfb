"""RoPE (Su et al., arXiv 2104.09864) that turns the two halves of a head together, as Hugging Face does. h is a head's width."""

from typing import Any

import torch
from torch import Tensor

from minitron.recipe.training import ModelConfig


def rope_table(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin for all positions of the context, each (context, h), as `rope_at` gives them."""
    return rope_at(torch.arange(config.context), config)


def rope_at(positions: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin for these positions (...), however large, each (..., h). Sines of the left half are negative, since a turn gives
    left cos - right sin and right cos + left sin."""
    device, size = positions.device, config.head_size
    exact = torch.device("cpu") if device.type == "mps" else device  # MPS has no fp64
    inverse = config.rope_theta ** -(torch.arange(0, size, 2, dtype=torch.float64, device=exact) / size)
    angles = positions.to(exact, torch.float64).unsqueeze(-1) * inverse
    cos, sin = angles.cos().float().to(device), angles.sin().float().to(device)
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)  # element i turns with element i + h/2


def for_heads(table: Tensor, heads: int) -> Tensor:
    """A table of cos or sin (B, T, h), repeated for each head on a CPU: (B, T, heads or 1, h).

    On a CPU torch's inner loops would be short, and slow, if one factor were shared by all heads.
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
    """`rotate` with a backward that turns the gradient back in as few passes over memory as forward."""

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
