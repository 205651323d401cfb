"""RoPE (Su et al., arXiv 2104.09864) with halves of a head turning together, as Hugging Face has it. h is a head's width."""

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
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin
