"""RoPE (Su et al., arXiv 2104.09864) with halves of a head turning together, as Hugging Face has it. h is a head's width."""

import torch
from torch import Tensor

from minitron.recipe.schema import ModelConfig


def rope_table(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin for all positions, each (context, h)."""
    size = config.head_size
    inverse = config.rope_theta ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.outer(torch.arange(config.context, dtype=torch.float64), inverse)
    angles = torch.cat((angles, angles), dim=-1)  # element i turns with element i + h/2
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, H, T, h) turned by cos and sin (B, 1, T, h)."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin
