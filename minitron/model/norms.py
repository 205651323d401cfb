"""Normalisation layers, each with what autograd keeps of it."""

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
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)

    @staticmethod
    def saved_bytes(width: int, tokens: int, *, on_cuda: bool) -> int:
        """Its input, and on a CPU also input / rms."""
        return FP32 * width * tokens * (1 if on_cuda else 2)


class LayerNorm(nn.LayerNorm):
    """torch's own (Ba et al., arXiv 1607.06450)."""

    @staticmethod
    def saved_bytes(width: int, tokens: int, *, on_cuda: bool) -> int:
        """Its input."""
        return FP32 * width * tokens
