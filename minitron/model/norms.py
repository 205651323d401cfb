"""Normalisation layers, and what autograd keeps of each."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.costs import FP32


class RMSNorm(nn.Module):
    """x / rms(x) * weight (Zhang & Sennrich, arXiv 1910.07467), in fp32 as Llama does it."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            out: Tensor = _RMSNorm.apply(x.float(), self.weight, self.eps)  # type: ignore[no-untyped-call]
            return out.to(x.dtype)
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)

    @staticmethod
    def saved_bytes(width: int, tokens: int, *, on_cuda: bool) -> int:
        """Its input, and on a CPU 1 / rms."""
        return FP32 * tokens * (width if on_cuda else width + 1)


class _RMSNorm(torch.autograd.Function):
    """RMSNorm in fewer passes over memory: torch has no kernel of its own for CPUs and needs six passes forward and eight
    backward, which was 7% of a training step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        out: Tensor = (x * scale).mul_(weight)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, scale = ctx.saved_tensors
        along = gradient * x
        to_weight = scale.flatten() @ along.flatten(0, -2)
        mean = (along @ weight)[..., None].div_(x.shape[-1])
        return (gradient * weight).mul_(scale).addcmul_(x, mean * scale**3, value=-1), to_weight, None


class LayerNorm(nn.LayerNorm):
    """torch's LayerNorm (Ba et al., arXiv 1607.06450)."""

    @staticmethod
    def saved_bytes(width: int, tokens: int, *, on_cuda: bool) -> int:
        """Its input."""
        return FP32 * width * tokens
