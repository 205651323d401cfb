"""LoRA (Hu et al., arXiv 2106.09685): W + (alpha / rank) * B A in place of W, and only A and B are trained.

    attach(model, rank=8, seed=1)      # B is 0: the model computes what it did
    weights(model)                     # plain names -> W + B A, what checkpoints hold

Knows nothing about what the model is trained for.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from minitron.model.language_model import LanguageModel

ALPHA = 16


class LowRank(nn.Module):
    """W -> W + scale * B A."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator):
        super().__init__()
        out, into = weight.shape
        self.scale = ALPHA / rank
        a = torch.empty(rank, into).uniform_(-1, 1, generator=generator) / math.sqrt(into)
        self.a = nn.Parameter(a.to(weight.device))  # (rank, in)
        self.b = nn.Parameter(torch.zeros(out, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.b @ self.a)


def attach(model: LanguageModel, *, rank: int, seed: int) -> None:
    """Freezes the model and puts a low-rank change beside every matrix of its blocks."""
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    for module in list(model.blocks.modules()):
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank, generator))


def weights(model: LanguageModel) -> dict[str, Tensor]:
    """What the model computes with, under the names that it has without LoRA."""
    plain: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if ".parametrizations." not in name:
            plain[name] = parameter
        elif name.endswith(".parametrizations.weight.original"):
            module = name.removesuffix(".parametrizations.weight.original")
            linear = model.get_submodule(module)
            assert isinstance(linear, nn.Linear)
            plain[f"{module}.weight"] = linear.weight
    return plain


def state(model: LanguageModel) -> dict[str, Tensor]:
    """A and B of every matrix."""
    return {name: p.detach() for name, p in model.named_parameters() if name.endswith((".0.a", ".0.b"))}
