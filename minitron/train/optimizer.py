"""What all optimizers have in common: how one is made for a model, what it keeps, and one step of several side by side.

    optimizer = make_optimizer(model, config.optim)
    optimizer.step(lr)

An optimizer is a subclass of `Method` in a file of its own (`adamw`, `muon`) and a line in `recipe.kinds.OPTIMIZERS`. Knows
nothing about schedules.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import nn

from minitron.core import distributed, parallel
from minitron.core.errors import MinitronError
from minitron.recipe.kinds import OPTIMIZERS
from minitron.recipe.schema import OptimConfig

FP32 = 4  # bytes of what an optimizer keeps of a weight


class Method(ABC):
    """A way to change weights by their gradients."""

    can_shard: ClassVar[bool] = True  # whether it works where each process holds a part of every weight only

    @staticmethod
    @abstractmethod
    def build(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
        """torch's optimizers for the weights that are trained; each weight is in one of them. They run side by side. Learning
        rates are set at every step. Which weights are matrices of blocks: `LanguageModel.trunk.matrices`."""

    @staticmethod
    @abstractmethod
    def state_bytes(weights: int, block_matrices: int) -> int:
        """What it keeps, for so many weights in all, of which so many are matrices of the blocks."""

    @staticmethod
    @abstractmethod
    def learning_rate(d_model: int) -> float:
        """The peak that `minitron plan` proposes for a width, in inverse proportion to it (Yang et al., arXiv 2203.03466, table 3)."""


def method(name: str) -> type[Method]:
    """What the recipe's optim.name means."""
    found: type[Method] = OPTIMIZERS[name].load()
    return found


def decay_groups(weights: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay and vectors without, as nanoGPT has it."""
    return [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: OptimConfig) -> "Optimizers":
    """What the recipe's optim.name says. Raises MinitronError where it cannot work on a sharded model."""
    kind = method(config.name)
    if distributed.sharded(model) and not kind.can_shard:
        raise MinitronError(
            f"{kind.__name__} works on whole matrices, which a sharded model does not have",
            hint="set shard = false, or optim.name = 'adamw'",
        )
    return Optimizers(kind.build(model, config), next(model.parameters()).device)


class Optimizers:
    """One or several torch optimizers under one face; the schedule sets the same learning rate for all."""

    def __init__(self, parts: list[torch.optim.Optimizer], device: torch.device):
        self.parts, self.device = parts, device

    def step(self, lr: float) -> None:
        """One update with learning rate `lr`, then gradients are cleared. Parts share nothing: they run side by side."""

        def work(part: torch.optim.Optimizer) -> None:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()

        parallel.parallel_map(work, self.parts, device=self.device)
        self.clear()

    def clear(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(distributed.parts_of(state, part))
