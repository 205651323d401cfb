"""What a shape of model owns: blocks and their state, parameter groups, costs, and its names in other programs' formats.

A shape is a subclass of `Trunk` in a file of its own, and a line in `recipe.kinds.SHAPES`. All that other packages need to
know of it they ask here: an optimizer which weights are matrices, the planner what a block keeps, GGUF what a weight is
called. Knows nothing about which shapes there are.

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
from minitron.recipe.schema import ModelConfig


@dataclass(frozen=True)
class Gguf:
    """A shape in GGUF's words, for llama.cpp."""

    architecture: str
    norm_eps: str  # the key of norm_eps
    names: dict[str, str]  # of a weight's module, within its block or the trunk -> GGUF's
    numbers: dict[str, int | float] = field(default_factory=dict)  # further keys of this architecture
    interleaved: tuple[str, ...] = ()  # names there of what makes heads that RoPE turns as pairs 2i, 2i + 1
    biases: bool = False  # it wants one for every Linear and norm: zeros where there is none


@dataclass(frozen=True)
class HuggingFace:
    """A shape in the words of Hugging Face's transformers, which has the same names of weights, but for `names`."""

    architecture: str  # the class that loads it
    config: dict[str, Any]  # config.json, but for what every model has
    names: dict[str, str] = field(default_factory=dict)  # of weights that have another name there
    transposed: tuple[str, ...] = ()  # ends of the names of matrices that it keeps as [in, out]
    biases: bool = False  # it wants one for every Linear and norm: zeros where there is none


class Block(nn.Module, ABC):
    """A layer: something that mixes positions, and something that works on each of them."""

    @abstractmethod
    def forward(self, x: Tensor, step: Pass, state: LayerState | None) -> Tensor:
        """x (B, T, D) -> (B, T, D), or (N, D) of what `step.wanted` names; extends `state`.

        A sequence begins where `step.positions` is 0 and sees nothing before it; `step.spans` says what a segment goes on from.
        """

    @abstractmethod
    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> LayerState:
        """An empty state for so many rows, of at most `slots` tokens each."""

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """What the layer consists of beside its norms, for people to read."""

    @classmethod
    @abstractmethod
    def saved_bytes(cls, config: ModelConfig, load: Load) -> dict[str, int]:
        """What autograd keeps of it, term -> bytes."""

    @classmethod
    @abstractmethod
    def operations(cls, config: ModelConfig) -> float:
        """Operations of forward and backward, per token, beside the products with its matrices (6 for each weight)."""


class Trunk(nn.Module, ABC):
    """Embedding, blocks and the last norm of a shape."""

    prefix: ClassVar[str]  # of its weights' names in a checkpoint
    block: ClassVar[type[Block]]
    norm_type: ClassVar[type[RMSNorm] | type[LayerNorm]]
    residual: ClassVar[tuple[str, ...]]  # ends of the names of the matrices that write to the residual stream
    heads: ClassVar[
        tuple[str, ...]
    ] = ()  # ends of the names of the matrices whose rows are those of heads, head by head
    position_table: ClassVar[str] = ""  # the name of learned positions, looked up and never multiplied by; empty: none
    grows: ClassVar[bool] = True  # its state grows with the text, so that model.context is the most it can hold

    @abstractmethod
    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()

    @abstractmethod
    def forward(self, ids: Tensor, step: Pass) -> Tensor:
        """ids (B, T) -> hidden states after the last norm (B, T, D), or (N, D) of what is wanted."""

    @classmethod
    def block_types(cls, config: ModelConfig) -> list[type[Block]]:
        """The class of each layer, first to last."""
        return [cls.block] * config.n_layers

    @classmethod
    def saved_bytes(cls, config: ModelConfig, load: Load) -> dict[str, int]:
        """What autograd keeps that all blocks share, term -> bytes."""
        return {}

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList: ...

    @property
    @abstractmethod
    def embedding(self) -> Tensor:
        """(V, D), also the head."""

    def gguf(self) -> Gguf | None:
        """The shape in GGUF's words; None where llama.cpp has nothing like it."""
        return None

    def hugging_face(self) -> HuggingFace | None:
        """The shape in transformers' words; None where that has nothing like it."""
        return None

    def queries_and_keys(self) -> list[tuple[Tensor, Tensor]]:
        """Views of the weights that make a layer's queries (H h, D) and keys (K h, D), for each layer that has such."""
        return []

    def matrices(self) -> list[list[nn.Parameter]]:
        """The weights of each block that are matrices and trained, for optimizers that treat those as such."""
        return [[w for w in block.parameters() if w.ndim == 2 and w.requires_grad] for block in self.blocks]

    def per_head(self) -> list[nn.Parameter]:
        """Those of `matrices` in which the rows of each head (`head_size`) are a matrix by itself."""
        return [weight for name, weight in self.named_parameters() if name.endswith(self.heads)] if self.heads else []

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Every weight once, by the part of the model that it belongs to."""
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
