"""What belongs to a shape of model: blocks and their state, parameter groups, costs, and its names in other programs' formats.

A shape is a subclass of `Trunk` in a file of its own, and a line in `recipe.kinds.SHAPES`. Other packages learn everything about
a shape through these classes: an optimizer asks which weights are matrices, the planner what a block keeps, GGUF what a weight
is called. Knows nothing about which shapes there are.

Letters in shapes: B rows, T tokens, D d_model, V vocabulary.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from minitron.model.costs import Load
from minitron.model.norms import LayerNorm, RMSNorm
from minitron.model.state import LayerState, Pass
from minitron.recipe.training import ModelConfig


@dataclass(frozen=True)
class Gguf:
    """How a shape is described in GGUF, for llama.cpp."""

    architecture: str
    norm_eps: str  # GGUF's key for norm_eps
    names: dict[str, str]  # name of a weight's module, within its block or the trunk -> GGUF's name
    # further keys of this architecture; a list has a number for each layer
    numbers: dict[str, int | float | list[int]] = field(default_factory=dict)
    unrounded: tuple[str, ...] = ()  # GGUF's names of the matrices that are kept in fp32
    interleaved: tuple[str, ...] = ()  # GGUF's names of the weights whose heads RoPE turns there as pairs 2i, 2i + 1
    biases: bool = False  # every Linear and norm must have a bias there: zeros where there is none here


@dataclass(frozen=True)
class HuggingFace:
    """How a shape is described in Hugging Face's transformers, where weights have the same names except those in `names`."""

    architecture: str  # the class that loads it
    config: dict[str, Any]  # config.json, without the keys that every model has
    names: dict[str, str] = field(default_factory=dict)  # of weights that have another name there
    transposed: tuple[str, ...] = ()  # ends of the names of matrices that are kept as [in, out] there
    biases: bool = False  # every Linear and norm must have a bias there: zeros where there is none here


class Block(nn.Module, ABC):
    """A layer: a part that mixes positions, and a part that works on each position by itself."""

    @abstractmethod
    def forward(self, x: Tensor, step: Pass, state: LayerState | None) -> Tensor:
        """x (B, T, D) -> (B, T, D), or (N, D) with only the positions that `step.wanted` names; extends `state`.

        A sequence begins where `step.positions` is 0, and sees nothing before that; `step.spans` says what a segment goes on from.
        """

    @abstractmethod
    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> LayerState:
        """An empty state for `rows` texts of at most `slots` tokens each."""

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """The parts of the layer besides its norms, by a name for people to read."""

    @classmethod
    @abstractmethod
    def saved_bytes(cls, config: ModelConfig, load: Load) -> dict[str, int]:
        """What autograd keeps of one block, term -> bytes."""

    @classmethod
    @abstractmethod
    def operations(cls, config: ModelConfig) -> float:
        """Operations of forward and backward, per token, besides the products with its matrices (6 for each weight)."""


class Trunk(nn.Module, ABC):
    """The embedding, the blocks and the last norm of a shape."""

    prefix: ClassVar[str]  # the prefix of its weights' names in a checkpoint
    block: ClassVar[type[Block]]
    norm_type: ClassVar[type[RMSNorm] | type[LayerNorm]]
    residual: ClassVar[tuple[str, ...]]  # ends of the names of the matrices that write to the residual stream
    # ends of the names of the matrices whose rows belong to heads, one head after the other
    heads: ClassVar[tuple[str, ...]] = ()
    position_table: ClassVar[str] = ""  # the name of learned positions, looked up and never multiplied by; empty: none
    grows: ClassVar[bool] = True  # whether its state grows with the text; it can then hold at most model.context tokens

    @abstractmethod
    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()

    @abstractmethod
    def forward(self, ids: Tensor, step: Pass) -> Tensor:
        """ids (B, T) -> hidden states after the last norm (B, T, D), or (N, D) with only the positions in `step.wanted`."""

    @classmethod
    def block_types(cls, config: ModelConfig) -> list[type[Block]]:
        """The class of each layer, first to last."""
        return [cls.block] * config.n_layers

    @classmethod
    def saved_bytes(cls, config: ModelConfig, load: Load) -> dict[str, int]:
        """What autograd keeps once for all blocks together, term -> bytes."""
        return {}

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList: ...

    @property
    @abstractmethod
    def embedding(self) -> Tensor:
        """The embedding matrix (V, D), also the head's unless that is untied."""

    def gguf(self) -> Gguf | None:
        """The shape's description in GGUF, or None if llama.cpp has no such model."""
        return None

    def hugging_face(self) -> HuggingFace | None:
        """The shape's description in transformers, or None if transformers has no such model."""
        return None

    def queries_and_keys(self) -> list[tuple[Tensor, Tensor]]:
        """For each layer with queries and keys, views of the weights that make its queries (H h, D) and its keys (K h, D)."""
        return []

    def matrices(self) -> list[list[nn.Parameter]]:
        """The trained matrices of each block, for optimizers that treat matrices differently."""
        return [[w for w in block.parameters() if w.ndim == 2 and w.requires_grad] for block in self.blocks]

    def per_head(self) -> list[nn.Parameter]:
        """The weights in which the `head_size` rows of each head are a matrix of their own."""
        return [weight for name, weight in self.named_parameters() if name.endswith(self.heads)] if self.heads else []

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Every weight once, grouped by the part of the model that it belongs to."""
        norms = [w for m in self.modules() if isinstance(m, RMSNorm | LayerNorm) for w in m.parameters()]
        of_norms = {id(w) for w in norms}
        found = {
            "embedding": [w for w in self.parameters() if w is self.embedding],
            "positions": [w for name, w in self.named_parameters() if name == self.position_table],
            "norms": norms,
        }
        for block in self.blocks:
            assert isinstance(block, Block)
            for part, module in block.parts().items():
                found.setdefault(part, []).extend(w for w in module.parameters() if id(w) not in of_norms)
        return found
