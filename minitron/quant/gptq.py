"""Rounding to q4 that knows what a matrix is multiplied by: GPTQ (Frantar et al., arXiv 2210.17323), then sweeps. NumPy alone.

    matrix = compensated(weights, moments)      # moments (C, C): the sum of x xᵀ over the rows x that the matrix meets

Plain rounding keeps every weight near; this keeps near what the matrix gives, Σ |(W - Ŵ) x|², the trace of (W - Ŵ) H (W - Ŵ)ᵀ with
H the moments. Knows nothing about models.

Letters in shapes: R rows, C columns, G groups of 32 columns. Everything here is kept (C, R): a column of weights is one stretch.
"""

import numpy as np

from minitron.quant import panels
from minitron.quant.panels import CODEBOOK, GROUP, Matrix

DAMPING = 0.01  # of the mean moment, added to each: what was hardly met counts too (the paper's section 3.3)
SWEEPS = 3  # benchmarks/quantize.py says what they give


def compensated(values: np.ndarray, moments: np.ndarray, *, sweeps: int = SWEEPS) -> Matrix:
    """The q4 matrix for `values` (R, C) that loses little on rows with these moments. Scales are searched first, weighed by the
    moments' diagonal; columns are rounded with them; then codes and scales are bettered by turns."""
    hessian = damped(moments)
    scales = panels.nearest(values, "q4", np.diag(hessian).astype(np.float32)).scales
    assert scales is not None
    wanted, scales = values.T.astype(np.float64), scales.T.copy()
    codes = column_by_column(wanted, hessian, scales)
    for _ in range(sweeps):
        sweep(codes, scales, wanted, hessian)
    return Matrix("q4", np.ascontiguousarray(codes.T), np.ascontiguousarray(scales.T))


def damped(moments: np.ndarray) -> np.ndarray:
    """The moments (C, C) in fp64 with more on the diagonal, so that there is an inverse; where nothing was met all count alike."""
    found = moments.astype(np.float64)
    mean = np.diag(found).mean()
    return found + np.eye(len(found)) * (DAMPING * mean if mean > 0 else 1.0)


def column_by_column(wanted: np.ndarray, hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """GPTQ: the codes (C, R) for weights (C, R) with scales (G, R). Columns are rounded one after the other, those with large
    moments first, and those that are not rounded yet make up for what each one loses."""
    order = np.argsort(-np.diag(hessian), kind="stable")
    # H⁻¹ = UᵀU: row i of U is how column i's error is made up for by the later ones, once those before it are settled
    upper = np.linalg.cholesky(np.linalg.inv(hessian[order][:, order])).T
    left = wanted[order]  # what each column should be by now
    codes = np.empty(wanted.shape, np.uint8)
    for begin in range(
        0, len(order), GROUP
    ):  # the columns beyond are brought up to date once for as many (the paper's step 2)
        end = min(begin + GROUP, len(order))
        errors = np.empty((end - begin, wanted.shape[1]))
        for i in range(begin, end):
            sizes = scales[order[i] // GROUP]
            codes[order[i]] = code = panels.q4_codes(left[i] / divisor(sizes))
            errors[i - begin] = error = (left[i] - CODEBOOK[code] * sizes.astype(np.float64)) / upper[i, i]
            left[i + 1 : end] -= np.outer(upper[i, i + 1 : end], error)
        left[end:] -= upper[begin:end, end:].T @ errors
    return codes


def sweep(codes: np.ndarray, scales: np.ndarray, wanted: np.ndarray, hessian: np.ndarray) -> None:
    """Goes once through all groups: each code (C, R), then the group's scale (G, R), becomes what is best while all others stay. In
    place; what is lost never grows."""
    numbers = CODEBOOK[codes].astype(np.float64)
    pull = hessian @ (wanted - numbers * np.repeat(scales, GROUP, axis=0)[: len(codes)])  # (C, R): H (W - Ŵ)
    for group, begin in enumerate(range(0, len(codes), GROUP)):
        here = slice(begin, begin + GROUP)
        block, sizes = hessian[here, here], scales[group].astype(np.float64)
        local, before = pull[here].copy(), numbers[here] * sizes
        for i, c in enumerate(range(begin, begin + len(block))):
            best = numbers[c] * sizes + local[i] / block[i, i]
            codes[c] = panels.q4_codes(best / divisor(sizes))
            local -= np.outer(block[:, i], (CODEBOOK[codes[c]] - numbers[c]) * sizes)
            numbers[c] = CODEBOOK[codes[c]]
        gain = (numbers[here] * local).sum(0)  # half of what a unit of scale gains at first, and its curvature
        curve = (numbers[here] * (block @ numbers[here])).sum(0)
        moved = (sizes + gain / np.where(curve > 0, curve, np.inf)).astype(np.float16)  # fp16 may step over the best
        change = moved.astype(np.float64) - sizes
        scales[group] = np.where(change * (2 * gain - change * curve) > 0, moved, scales[group])
        pull -= hessian[:, here] @ (numbers[here] * scales[group].astype(np.float64) - before)


def divisor(scales: np.ndarray) -> np.ndarray:
    """What is divided by: a scale of 0 goes with weights of 0."""
    wide = scales.astype(np.float64)
    return np.where(wide == 0, 1.0, wide)
