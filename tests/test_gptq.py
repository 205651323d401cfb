"""Rounding a matrix to q4 with regard to its inputs, against a slow and plainly right version of the paper's algorithm."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.quant import gptq, panels
from minitron.quant.panels import GROUP, Q4_CODEBOOK


def problem(rows: int, cols: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (R, C), and second moments (C, C) of correlated inputs."""
    draw = np.random.default_rng(seed)
    mixing = draw.normal(size=(cols, cols)) * draw.uniform(0.05, 2, size=(cols, 1))
    x = draw.normal(size=(4 * cols, cols)) @ mixing
    return draw.normal(size=(rows, cols)).astype(np.float32), x.T @ x


def loss(matrix: panels.Matrix, values: np.ndarray, moments: np.ndarray) -> float:
    """Σ |(W - Ŵ) x|² over the inputs."""
    error = matrix.values().astype(np.float64) - values
    return float(np.einsum("rc,cd,rd->", error, moments, error))


def one_by_one(values: np.ndarray, moments: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The codes by the paper's equation 2: one column is rounded, the others take up their shares of its error by the inverse Hessian,
    and the column is removed from the inverse Hessian (equation 3)."""
    hessian = moments + 0.01 * np.diag(moments).mean() * np.eye(len(moments))
    order = sorted(range(len(moments)), key=lambda c: -hessian[c, c])
    left, inverse = values.astype(np.float64), np.linalg.inv(hessian)
    codes = np.zeros(values.shape, np.uint8)
    for at, c in enumerate(order):
        rest = order[at + 1 :]
        for row in range(len(values)):
            scale = float(scales[row, c // GROUP]) or 1.0
            quotient = left[row, c] / scale
            codes[row, c] = min(range(16), key=lambda code: abs(Q4_CODEBOOK[code] - quotient))
            error = left[row, c] - Q4_CODEBOOK[codes[row, c]] * float(scales[row, c // GROUP])
            left[row, rest] -= error / inverse[c, c] * inverse[c, rest]
        inverse -= np.outer(inverse[:, c], inverse[c]) / inverse[c, c]
    return codes


@pytest.mark.parametrize("shape", [(3, 20), (5, 64), (2, 150)])
def test_it_is_the_papers_algorithm(shape):
    values, moments = problem(*shape, seed=1)
    scales = panels.nearest(values, "q4").scales
    codes = gptq.column_by_column(values.T.astype(np.float64), gptq.damped(moments), scales.T)
    assert np.array_equal(codes.T, one_by_one(values, moments, scales))


def test_a_sweep_never_loses_more_and_ends_where_no_code_could_be_better():
    values, moments = problem(6, 70, seed=2)
    hessian, scales = gptq.damped(moments), panels.nearest(values, "q4").scales.T.copy()
    wanted = values.T.astype(np.float64)
    codes = gptq.column_by_column(wanted, hessian, scales)
    lost = [np.inf]
    while len(lost) < 3 or lost[-1] < lost[-2]:
        lost.append(loss(panels.Matrix("q4", codes.T, scales.T), values, hessian))
        gptq.sweep(codes, scales, wanted, hessian)
    assert lost[2:] == sorted(lost[2:], reverse=True)
    assert lost[2] < 0.97 * lost[1]
    for c, row, code in itertools.product(range(0, 70, 7), range(6), range(16)):
        other = codes.copy()
        other[c, row] = code
        assert loss(panels.Matrix("q4", other.T, scales.T), values, hessian) >= lost[-1] * (1 - 1e-9)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(16, 40), cols=st.integers(40, 100), seed=st.integers(0, 999))
def test_it_loses_less_than_the_nearest_values(rows, cols, seed):
    values, moments = problem(rows, cols, seed)
    assert loss(gptq.compensated(values, moments), values, moments) < 0.7 * loss(
        panels.nearest(values, "q4"), values, moments
    )


def test_inputs_that_do_not_depend_on_each_other_leave_nothing_to_make_up_for():
    values, _ = problem(8, 64, 1)
    plain = panels.nearest(values, "q4")
    codes = gptq.column_by_column(values.T.astype(np.float64), gptq.damped(np.eye(64) * 3), plain.scales.T)
    assert np.array_equal(codes.T, plain.codes)


@pytest.mark.parametrize("seen", [0, 1])
def test_inputs_that_never_were_there_are_no_trouble(seen):
    values, moments = problem(8, 64, 1)
    moments[seen:], moments[:, seen:] = 0, 0
    assert np.isfinite(gptq.compensated(values, moments).values()).all()


def test_the_bytes_are_as_many():
    values, moments = problem(17, 70, 1)
    assert len(gptq.compensated(values, moments).pack()) == len(panels.nearest(values, "q4").pack())


def test_weights_that_count_get_the_better_scale():
    values = np.random.default_rng(1).normal(size=(64, GROUP)).astype(np.float32)
    weights = np.array([100] * 4 + [1] * 28, np.float32)
    error = {
        what: (np.square(panels.nearest(values, "q4", given).values() - values) * weights).sum()
        for what, given in (("alike", None), ("weighed", weights))
    }
    assert error["weighed"] < 0.8 * error["alike"]
