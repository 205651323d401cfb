"""What all optimizers have in common: how one is made for a model, what it keeps, and how several make one step together.

    optimizer = make_optimizer(model, config.optim)
    optimizer.step(lr)

An optimizer is a subclass of `Method` in a file of its own (`adamw`, `muon`) and a line in `recipe.kinds.OPTIMIZERS`. Knows
nothing about schedules.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from minitron.core import distributed
from minitron.model import lora
from minitron.recipe.kinds import OPTIMIZERS
from minitron.recipe.training import OptimConfig

FP32 = 4  # bytes of each number that an optimizer keeps of a weight


class Method(ABC):
    """A way to change weights by their gradients."""

    @staticmethod
    @abstractmethod
    def build(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
        """torch's optimizers for the weights that are trained; each weight is in exactly one of them. `Optimizers.step` sets the
        learning rate at every step. `LanguageModel.trunk.matrices` gives the weights that are matrices of blocks."""

    @staticmethod
    @abstractmethod
    def state_bytes(weights: int, block_matrices: int) -> int:
        """Bytes that the optimizer keeps for `weights` weights in all, of which `block_matrices` are in the blocks' matrices."""

    @staticmethod
    @abstractmethod
    def learning_rate(d_model: int) -> float:
        """The peak learning rate that `minitron plan` proposes for a width, in inverse proportion to it (Yang et al., arXiv 2203.03466,
        table 3)."""


def method(name: str) -> type[Method]:
    """The class that the recipe's optim.name stands for."""
    found: type[Method] = OPTIMIZERS[name].load()
    return found


def decay_groups(weights: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay and vectors without, as nanoGPT has it."""
    return [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]


class MultiplyingOptimizer(torch.optim.Optimizer, ABC):
    """An optimizer whose update multiplies matrices, in the precision in which this machine is faster."""

    @property
    def products(self) -> str:
        """The precision of its matrix products, "fp32" or "bf16"; saved with its state."""
        found: str = self.param_groups[0]["products"]
        return found

    @products.setter
    def products(self, precision: str) -> None:
        for group in self.param_groups:
            group["products"] = precision

    @abstractmethod
    def trial(self, precision: str) -> None:
        """Computes the matrix products of an update, to be timed; changes nothing."""


def make_optimizer(model: nn.Module, config: OptimConfig) -> "Optimizers":
    """The optimizer of the recipe's optim.name; for LoRA always AdamW, since LoRA's factors are not the matrices that Muon is for."""
    return Optimizers(method("adamw" if lora.attached(model) else config.name).build(model, config))


class Optimizers:
    """One or several torch optimizers, used as one; all get the same learning rate."""

    def __init__(self, parts: list[torch.optim.Optimizer]):
        self.parts = parts

    def step(self, lr: float) -> None:
        """Makes one update with learning rate `lr`, then clears the gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()
        self.clear()

    def clear(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(distributed.parts_of(state, part))

    # ---- for the parts that multiply matrices

    @property
    def products(self) -> str:
        """The precision in which matrices are multiplied; empty if none are."""
        return next((part.products for part in self._multiplying()), "")

    @products.setter
    def products(self, precision: str) -> None:
        for part in self._multiplying():
            part.products = precision

    def trial(self, precision: str) -> None:
        """Computes the matrix products of an update, to be timed."""
        for part in self._multiplying():
            part.trial(precision)

    def _multiplying(self) -> list[MultiplyingOptimizer]:
        return [part for part in self.parts if isinstance(part, MultiplyingOptimizer)]
