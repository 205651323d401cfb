"""Muon against torch's and against the singular value decomposition; its coefficients against the rule that they come from."""

import math

import numpy as np
import pytest
import torch
from conftest import tiny_shape

from minitron.model.language_model import LanguageModel
from minitron.recipe.training import OptimConfig
from minitron.train import muon
from minitron.train.optimizer import make_optimizer


def matrices() -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(3)
    return [
        torch.randn(shape, generator=chance) for shape in ((8, 8), (24, 8), (8, 24), (8, 8), (5, 9), (24, 8), (24, 8))
    ]


def iterated(matrix: torch.Tensor, coefficients: muon.Coefficients) -> np.ndarray:
    """What the iterations make of a matrix, computed from its singular values in fp64."""
    u, s, v = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    s /= np.linalg.norm(s) * muon.SAFETY
    for a, b, c in coefficients:
        s = a * s + b * s**3 + c * s**5
    return u * s @ v


def best_quintic(low: float, high: float) -> tuple[float, float, float]:
    """The odd polynomial of degree 5 nearest to 1 on [low, high], by Remez' exchange (arXiv 2505.16932, appendix)."""
    inner = (3 * low + high) / 4, (low + 3 * high) / 4
    for _ in range(100):
        at = np.array([low, *inner, high])
        equations = np.stack([at, at**3, at**5, [1, -1, 1, -1]], 1)
        a, b, c, _ = np.linalg.solve(equations, np.ones(4))
        root = math.sqrt(9 * b * b - 20 * a * c)
        inner = math.sqrt((-3 * b - root) / (10 * c)), math.sqrt((-3 * b + root) / (10 * c))
    return a, b, c


def test_the_coefficients_are_the_best_polynomials():
    low, high, cushion = 1e-3, 1.0, 0.02407327424182761
    for shipped in muon.BEST:
        polynomial = np.array(best_quintic(max(low, cushion * high), high))
        at_low, at_high = (polynomial @ (x, x**3, x**5) for x in (low, high))
        if cushion * high > low:  # a cushioned polynomial is scaled, so that both ends are equally far from 1
            scale = 2 / (at_low + at_high)
            polynomial, at_low = polynomial * scale, at_low * scale
        np.testing.assert_allclose(shipped, polynomial, rtol=1e-9)
        low, high = at_low, 2 - at_low


@pytest.mark.parametrize("coefficients", [muon.JORDAN, muon.POLAR_EXPRESS])
def test_the_iterations_act_on_singular_values_alone(coefficients):
    for matrix in matrices():
        wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        found = muon.orthogonal(wide[None], coefficients)[0]
        torch.testing.assert_close(found.double(), torch.from_numpy(iterated(wide, coefficients)), rtol=1e-4, atol=1e-4)


def test_it_is_nearly_orthogonal():
    """Polar Express comes nearer than Jordan's five iterations, whose singular values end between 0.68 and 1.13."""
    for matrix in muon.orthogonal_all(matrices()):
        values = torch.linalg.svdvals(matrix)
        assert values.min() > 0.85
        assert values.max() < 1.15


@pytest.mark.parametrize("products", ["fp32", "bf16"])
def test_it_never_blows_up(products):
    """Matrices with one large singular value and small ones, as momentum often has: if a rounding error passes a polynomial's bound, the
    next polynomial turns it into hundreds."""
    chance = torch.Generator().manual_seed(0)
    for scale in (1.0, 0.1, 1e-2, 1e-3, 1e-4, 0.0):
        parts = [torch.randn(64, 1, generator=chance) @ torch.randn(1, 128, generator=chance) for _ in range(40)]
        noise = [scale * torch.randn(64, 128, generator=chance) for _ in parts]
        for matrix in muon.orthogonal_all([p + n for p, n in zip(parts, noise, strict=True)], products):
            assert torch.linalg.matrix_norm(matrix, 2) < 1.35


def test_stacks_do_not_mix():
    together, alone = muon.orthogonal_all(matrices()), [muon.orthogonal_all([m])[0] for m in matrices()]
    for one, other, given in zip(together, alone, matrices(), strict=True):
        assert one.shape == given.shape
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_matrix_of_zeros_stays():
    assert not muon.orthogonal_all([torch.zeros(4, 6)])[0].any()


@pytest.mark.parametrize("products", ["fp32", "bf16"])
def test_the_same_steps_as_torchs(monkeypatch, products):
    """torch.optim.Muon computes in bf16: with its coefficients ours takes the same steps, within that rounding."""
    monkeypatch.setattr(muon.orthogonal, "__defaults__", (muon.JORDAN,))
    monkeypatch.setattr(muon, "SAFETY", 1.0)
    ours, theirs = ([torch.nn.Parameter(m.clone()) for m in matrices()] for _ in "12")
    optimizer = muon.MatrixOptimizer([{"params": ours}], weight_decay=0.1)
    optimizer.products = products
    other = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=muon.MOMENTUM, adjust_lr_fn="match_rms_adamw")
    for group in optimizer.param_groups:
        group["lr"] = 0.02
    chance = torch.Generator().manual_seed(4)
    for _ in range(5):
        for one, two in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=chance)
            two.grad = one.grad.clone()
        optimizer.step()
        other.step()
    moved = [torch.linalg.norm(one - start) for one, start in zip(ours, matrices(), strict=True)]
    for one, two, far in zip(ours, theirs, moved, strict=True):
        assert torch.linalg.norm(one - two) < 0.03 * far


def test_what_it_keeps_is_its_state():
    model = LanguageModel(tiny_shape("llama"), 50)
    optimizer = make_optimizer(model, OptimConfig(name="muon"))
    assert optimizer.products == "fp32"
    optimizer.products = "bf16"
    again = make_optimizer(model, OptimConfig(name="muon"))
    again.load_state_dict(optimizer.state_dict())
    assert again.products == "bf16"
    before = [w.clone() for w in model.parameters()]
    optimizer.trial("fp32")
    assert all(torch.equal(w, old) for w, old in zip(model.parameters(), before, strict=True))
    assert optimizer.products == "bf16"
    assert make_optimizer(model, OptimConfig(name="adamw")).products == ""


@pytest.mark.parametrize("arch", ["llama", "nanogpt"])
def test_each_head_is_a_matrix_by_itself(arch):
    """Heads do not mix: a gradient in one of them moves its rows only, and by an orthogonal matrix."""
    torch.manual_seed(0)
    shape = tiny_shape(arch)
    model = LanguageModel(shape, 50)
    optimizer = make_optimizer(model, OptimConfig(name="muon", weight_decay=0.0))
    size = shape.d_model // shape.n_heads
    assert {len(w) % size for w in model.trunk.per_head()} == {0}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    first = model.trunk.per_head()[0]
    first.grad[size : 2 * size] = torch.randn(size, shape.d_model)
    before = first.detach().clone()
    optimizer.step(0.1)
    moved = (first.detach() - before) / (0.1 * 0.2 * math.sqrt(shape.d_model))
    assert not moved[:size].any()
    assert not moved[2 * size :].any()
    assert torch.linalg.svdvals(moved[size : 2 * size]) == pytest.approx([1.0] * size, abs=0.15)
