"""`muon`: the blocks' matrices by Muon (Jordan et al. 2024), the rest by AdamW.

Muon's steps are scaled to be as large as AdamW's (Liu et al., arXiv 2502.16982, section 2.2), so that learning rates carry over.

Letters in shapes: K matrices of one shape, m rows, n columns.
"""

import math
from collections import defaultdict
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from minitron.core import distributed, parallel
from minitron.recipe.training import OptimConfig
from minitron.train.adamw import adamw
from minitron.train.optimizer import FP32, Method, MultiplyingOptimizer

MOMENTUM = 0.95
# (a, b, c) of each iteration X <- a X + b (X Xᵀ) X + c (X Xᵀ)² X.
Coefficients = tuple[tuple[float, float, float], ...]
JORDAN: Coefficients = ((3.4445, -4.7750, 2.0315),) * 5  # Jordan et al. 2024, as torch.optim.Muon has them
# Polar Express (Amsel et al., arXiv 2505.16932, algorithm 1 and its listing): the first five of its polynomials, each the best
# after those before it, for singular values from 0.001 to 1.
BEST: Coefficients = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
# Each polynomial is meant for singular values up to a bound and grows fast beyond it, and a rounding error in bf16 can lead beyond
# it. So all but the last are applied to X / SAFETY, as in that listing; without this the demo diverged in bf16, at step 440.
SAFETY = 1.01
POLAR_EXPRESS: Coefficients = (*((a / SAFETY, b / SAFETY**3, c / SAFETY**5) for a, b, c in BEST[:-1]), BEST[-1])


def orthogonal(matrices: Tensor, coefficients: Coefficients = POLAR_EXPRESS) -> Tensor:
    """The orthogonal matrix nearest to each of `matrices` (K, m, n), m <= n: for U S Vᵀ about U Vᵀ. Computes in their dtype."""
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) * SAFETY + 1e-7)
    rows, columns = x.shape[-2:]
    if columns >= 2 * rows and x.dtype == torch.float32:
        return _by_gram(x, coefficients)
    for a, b, c in coefficients:
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def _by_gram(x: Tensor, coefficients: Coefficients) -> Tensor:
    """The same iterations, computed on X Xᵀ (K, m, m), which is smaller than a wide X: each iteration multiplies X from the left by a
    polynomial of X Xᵀ. Not for bf16, where the squares of small singular values are lost in rounding errors."""
    gram, whole = x @ x.mT, torch.empty(0)
    for number, (a, b, c) in enumerate(coefficients):
        step = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal(dim1=-2, dim2=-1).add_(a)
        whole = step @ whole if number else step
        if number + 1 < len(coefficients):
            gram = step @ gram @ step
    return whole @ x


class Muon(Method):
    @staticmethod
    def build(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
        matrices = [weight for block in model.trunk.matrices() for weight in block]
        taken = {id(weight) for weight in matrices}
        rest = [w for w in model.parameters() if w.requires_grad and id(w) not in taken]
        per_head = {id(weight) for weight in model.trunk.per_head()}
        size = model.config.head_size
        groups = [
            {"params": [w for w in matrices if id(w) not in per_head], "rows": 0},
            {"params": [w for w in matrices if id(w) in per_head], "rows": size},
        ]
        groups = [group for group in groups if group["params"]]
        return [adamw(rest, config), *([MatrixOptimizer(groups, config.weight_decay)] if groups else [])]

    @staticmethod
    def state_bytes(weights: int, block_matrices: int) -> int:
        """One moment of each weight in the blocks' matrices, two of every other weight."""
        return FP32 * (block_matrices + 2 * (weights - block_matrices))

    @staticmethod
    def learning_rate(d_model: int) -> float:
        """This project's 3e-3 at a width of 192, in inverse proportion to the width, at most 4e-3. It is higher than AdamW's, since
        steps are as large but better conditioned."""
        return min(4e-3, 3e-3 * 192 / d_model)


class MatrixOptimizer(MultiplyingOptimizer):
    """Muon: an update is the Nesterov momentum, made orthogonal. Matrices of one shape are multiplied as one stack, which on a CPU is
    divided among the cores.

    `rows` of a parameter group: every so many rows of its matrices, those of one head, are made orthogonal by themselves, which
    is both better and less work than all heads together (docs/training-notes.md). 0: all rows together.
    With a sharded model each process gathers all matrices, and applies its own part of the step.
    """

    def __init__(self, groups: list[dict[str, Any]], weight_decay: float):
        defaults = {"lr": 0.0, "weight_decay": weight_decay, "momentum": MOMENTUM, "products": "fp32", "rows": 0}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        trained = [(w, group) for group in self.param_groups for w in group["params"] if w.grad is not None]
        averages = [distributed.full(self._nesterov(weight, group["momentum"])) for weight, group in trained]
        parts = [x.split(group["rows"] or len(x)) for x, (_, group) in zip(averages, trained, strict=True)]
        made = iter(orthogonal_all(list(chain(*parts)), self.products))
        for (weight, group), pieces in zip(trained, parts, strict=True):
            update = torch.cat([next(made) for _ in pieces])
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            step = group["lr"] * 0.2 * math.sqrt(max(pieces[0].shape))
            weight.sub_(distributed.part_of(update, weight), alpha=step)

    def trial(self, precision: str) -> None:
        pieces = [
            torch.ones(group["rows"] or weight.shape[0], weight.shape[1], device=weight.device)
            for group in self.param_groups
            for weight in group["params"]
            for _ in range(weight.shape[0] // (group["rows"] or weight.shape[0]))
        ]
        orthogonal_all(pieces, precision)
        if pieces[0].device.type == "cuda":
            torch.cuda.synchronize()

    def _nesterov(self, weight: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov momentum: the gradient mixed with the running mean of gradients (Jordan et al. 2024)."""
        state, gradient = self.state[weight], weight.grad
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        average: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(average, momentum)


def orthogonal_all(matrices: list[Tensor], products: str = "fp32") -> list[Tensor]:
    """`orthogonal` for matrices of any shapes, given and returned in fp32; `products` is the precision of the products between."""
    dtype = torch.bfloat16 if products == "bf16" else torch.float32
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, matrix in enumerate(matrices):
        by_shape[tuple(sorted(matrix.shape))].append(number)
    device = matrices[0].device if matrices else torch.device("cpu")
    parts = parallel.cores() if device.type == "cpu" else 1
    stacks = [numbers[first::parts] for numbers in by_shape.values() for first in range(min(parts, len(numbers)))]

    def work(numbers: list[int]) -> list[Tensor]:
        stack = torch.stack([_wide(matrices[n]) for n in numbers])
        return list(orthogonal(stack.to(dtype)).float())

    found = parallel.parallel_map(torch.no_grad()(work), stacks, device=device)  # each thread has its own grad mode
    made = {n: x for numbers, xs in zip(stacks, found, strict=True) for n, x in zip(numbers, xs, strict=True)}
    return [made[n] if _is_wide(matrix) else made[n].mT for n, matrix in enumerate(matrices)]


def _is_wide(matrix: Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]


def _wide(matrix: Tensor) -> Tensor:
    return matrix if _is_wide(matrix) else matrix.mT
