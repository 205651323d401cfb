"""LoRA (Hu et al., arXiv 2106.09685): W x + (alpha / rank) * B A x instead of W x, where only A and B are trained.

    attach(model, config.sft, seed=1)  # B is 0 at first: the model computes the same as before
    state(model)                       # A and B: the trained weights, which an adapter holds
    weights(model)                     # names without LoRA -> W + (alpha / rank) * B A, for other programs

Knows nothing about what the model is trained for.

Letters in shapes: r rank, V vocabulary, D d_model, M rows of the vocabulary that are trained.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import LoraConfig

TRAINED = (".lora_a", ".lora_b", ".rows")  # ends of the names of what is trained


class LowRankLinear(nn.Linear):
    """A Linear whose weight and bias stay as they are, with a trained change beside them."""

    def __init__(self, linear: nn.Linear, *, rank: int, alpha: float, generator: torch.Generator):
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.rank, self.alpha = rank, alpha
        device = linear.weight.device
        a = torch.empty(rank, self.in_features).uniform_(-1, 1, generator=generator) / math.sqrt(self.in_features)
        self.lora_a = nn.Parameter(a.to(device))  # (r, in)
        self.lora_b = nn.Parameter(torch.zeros(self.out_features, rank, device=device))  # (out, r)

    def forward(self, x: Tensor) -> Tensor:
        change = F.linear(F.linear(x, self.lora_a), self.lora_b)
        return F.linear(x, self.weight, self.bias) + self.alpha / self.rank * change

    def merged(self) -> Tensor:
        """The weight with the change added to it, (out, in)."""
        return self.weight + self.alpha / self.rank * (self.lora_b @ self.lora_a)


class TrainedRows(nn.Module):
    """The matrix of a vocabulary (V, D) in which only some rows are trained: those of tokens that no training text held so far."""

    ids: Tensor  # (M,)

    def __init__(self, weight: nn.Parameter, ids: Sequence[int]):
        super().__init__()
        self.fixed = weight
        self.register_buffer("ids", torch.tensor(ids, device=weight.device), persistent=False)
        self.rows = nn.Parameter(weight.detach()[self.ids].clone())  # (M, D)

    @property
    def weight(self) -> Tensor:
        """(V, D), with the rows as they are now."""
        return self.fixed.index_copy(0, self.ids, self.rows)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> their rows (B, T, D), without a copy of the whole matrix."""
        found = ids[..., None] == self.ids  # (B, T, M)
        return torch.where(found.any(-1, keepdim=True), self.rows[found.int().argmax(-1)], F.embedding(ids, self.fixed))


def attach(model: LanguageModel, lora: LoraConfig, *, seed: int, tokens: Sequence[int] = ()) -> None:
    """Freezes the model and puts a low-rank change beside its blocks' matrices: all of them, or those that `lora.lora_targets`
    names. The vocabulary's rows of `tokens` are trained in full. Raises MinitronError for a name that no matrix has."""
    generator = torch.Generator().manual_seed(seed)
    wanted = check(model, lora.lora_targets)
    model.requires_grad_(False)
    for parent, name, child in list(_linears(model)):
        if name in wanted:
            how: dict[str, Any] = {"rank": lora.lora_rank, "alpha": lora.lora_alpha, "generator": generator}
            setattr(parent, name, LowRankLinear(child, **how))
    if tokens:
        ends = [(*_owner(model, model.embedding), model.embedding)]
        if model.config.untied_head:
            ends.append((*_owner(model, model.output), model.output))
        for owner, name, weight in ends:
            assert isinstance(weight, nn.Parameter)
            setattr(owner, name, TrainedRows(weight, tokens))


def check(model: LanguageModel, names: list[str]) -> set[str]:
    """The names of the matrices to change: `names`, or all if there are none. Raises MinitronError for a name that no matrix has."""
    there = {name for _, name, _ in _linears(model)}
    for name in names:
        if name not in there:
            hint = f"there are {', '.join(sorted(there))}"
            raise MinitronError(f"lora_targets names {name!r}, which no matrix is called", hint=hint, code=2)
    return set(names) or there


def _linears(model: LanguageModel) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Every Linear of the blocks: the module that holds it, its name there, and the Linear."""
    for parent in model.blocks.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                yield parent, name, child


def _owner(model: LanguageModel, weight: Tensor) -> tuple[nn.Module, str]:
    """The module whose child holds this weight, and the child's name."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if getattr(child, "weight", None) is weight:
                return parent, name
    raise AssertionError("a weight of another model")


def attached(model: nn.Module) -> bool:
    """Whether low-rank changes are attached to the model."""
    return any(isinstance(module, LowRankLinear) for module in model.modules())


def weights(model: LanguageModel) -> dict[str, Tensor]:
    """The weights that the model computes with, under the names that they have without LoRA."""
    plain: dict[str, Tensor] = {
        name.removesuffix("fixed") + "weight" if name.endswith(".fixed") else name: parameter
        for name, parameter in model.named_parameters()
        if not name.endswith(TRAINED)
    }
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            plain[f"{name}.weight"] = module.merged()
        elif isinstance(module, TrainedRows):
            plain[f"{name}.weight"] = module.weight
    return plain


def state(model: LanguageModel) -> dict[str, Tensor]:
    """The trained weights: A and B of every changed matrix, and the trained rows of the vocabulary."""
    return {name: p.detach() for name, p in model.named_parameters() if name.endswith(TRAINED)}


def about(model: LanguageModel) -> dict[str, Any]:
    """What an adapter holds besides `state`: `alpha`, and the `tokens` whose rows are trained."""
    changed = next(module for module in model.modules() if isinstance(module, LowRankLinear))
    rows = next((module.ids.tolist() for module in model.modules() if isinstance(module, TrainedRows)), [])
    return {"alpha": changed.alpha, "tokens": rows}
