"""RoPE (Su et al., arXiv 2104.09864) with halves of a head turning together, as Hugging Face has it. h is a head's width."""

from typing import Any

import torch
from torch import Tensor

from minitron.recipe.schema import ModelConfig


def rope_table(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin for all positions, each (context, h)."""
    return rope_at(torch.arange(config.context), config)


def rope_at(positions: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin for these positions (...), however large, each (..., h)."""
    device, size = positions.device, config.head_size
    exact = torch.device("cpu") if device.type == "mps" else device  # MPS has no fp64
    inverse = config.rope_theta ** -(torch.arange(0, size, 2, dtype=torch.float64, device=exact) / size)
    angles = positions.to(exact, torch.float64).unsqueeze(-1) * inverse
    angles = torch.cat((angles, angles), dim=-1)  # element i turns with element i + h/2
    return angles.cos().float().to(device), angles.sin().float().to(device)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, H, T, h) turned by cos and sin (B, 1, T, h)."""
    if x.device.type == "cpu":
        out: Tensor = _Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
        return out
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


class _Rotate(torch.autograd.Function):
    """The same in two passes over memory, where the lines above take five, and their gradient eight."""

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
    out = x * cos
    (left, right), (to_left, to_right) = x.chunk(2, dim=-1), out.chunk(2, dim=-1)
    sine = sin.chunk(2, dim=-1)[0]  # its halves are equal
    to_left.addcmul_(right, sine, value=-way)
    to_right.addcmul_(left, sine, value=way)
    return out
