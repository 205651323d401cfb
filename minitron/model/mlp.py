"""MLPs, which work on each position by itself. The names of their weights are those of Hugging Face's Llama and of nanoGPT."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model import joined
from minitron.model.costs import Load
from minitron.recipe.training import ModelConfig


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.up_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.down_proj = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(silu_product(joined.product(x, self.gate_proj, self.up_proj)))
        return out

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """The input of gate and up; gate, silu(gate), up and their product."""
        made = [config.d_ff, config.d_ff]
        return {
            "Linear's inputs": joined.saved_bytes(load, load.after, read=config.d_model, made=made),
            "MLP": 4 * load.low * load.after * config.d_ff,
        }


def silu_product(both: Tensor) -> Tensor:
    """(..., 2 F) -> (..., F): silu of the first half times the second half."""
    if both.device.type == "cpu":
        out: Tensor = _SiluProduct.apply(both)  # type: ignore[no-untyped-call]
        return out
    gate, up = both.chunk(2, -1)
    return F.silu(gate) * up


class _SiluProduct(torch.autograd.Function):
    """`silu_product` with a backward that writes both halves of the gradient into one tensor, instead of joining them afterwards."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        gate, up = both.chunk(2, -1)
        silu = F.silu(gate)
        ctx.save_for_backward(both, silu)
        return silu * up

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        both, silu = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        of_both = torch.empty_like(both)
        of_gate, of_up = of_both.chunk(2, -1)
        torch.mul(silu, gradient, out=of_up)
        torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=of_gate)
        return of_both


class GELU(nn.Module):
    """proj(gelu(fc(x))) with the exact GELU (Hendrycks & Gimpel, arXiv 1606.08415)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.d_model, config.d_ff, bias=config.bias)
        self.c_proj = nn.Linear(config.d_ff, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x)))
        return out

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """The inputs of both Linears, and GELU's input."""
        return {
            "Linear's inputs": load.low * config.d_model * load.after,
            "MLP": 2 * load.low * load.after * config.d_ff,
        }
