"""Rounds to q4 with regard to a matrix's inputs: GPTQ (Frantar et al., arXiv 2210.17323), then sweeps. NumPy alone.

    matrix = compensated(weights, moments)      # moments (C, C): the sum of x xᵀ over the inputs x of the matrix

Plain rounding changes each weight as little as possible; this changes the matrix's outputs as little as possible: it lowers
Σ |(W - Ŵ) x|², the trace of (W - Ŵ) H (W - Ŵ)ᵀ, where H are the moments. Knows nothing about models.

Letters in shapes: R rows, C columns, G groups of 32 columns. Arrays are kept as (C, R), so that a column of weights is contiguous.
"""

import numpy as np

from minitron.quant import panels
from minitron.quant.panels import CODEBOOK, GROUP, Matrix

# This share of the diagonal's mean is added to the diagonal, so that rare inputs count too (the paper's section 3.3).
DAMPING = 0.01
SWEEPS = 3  # benchmarks/quantize.py measures what they gain


def compensated(values: np.ndarray, moments: np.ndarray, *, sweeps: int = SWEEPS) -> Matrix:
    """The q4 matrix for `values` (R, C) whose outputs change little on inputs with these moments. First the scales are searched,
    weighted by the moments' diagonal; then the columns are rounded with them; then codes and scales are improved in turn."""
    hessian = damped(moments)
    scales = panels.nearest(values, "q4", np.diag(hessian).astype(np.float32)).scales
    assert scales is not None
    wanted, scales = values.T.astype(np.float64), scales.T.copy()
    codes = column_by_column(wanted, hessian, scales)
    for _ in range(sweeps):
        sweep(codes, scales, wanted, hessian)
    return Matrix("q4", np.ascontiguousarray(codes.T), np.ascontiguousarray(scales.T))


def damped(moments: np.ndarray) -> np.ndarray:
    """The moments (C, C) in fp64 with a larger diagonal, so that they have an inverse; if all are 0, the identity matrix."""
    found = moments.astype(np.float64)
    mean = np.diag(found).mean()
    return found + np.eye(len(found)) * (DAMPING * mean if mean > 0 else 1.0)


def column_by_column(wanted: np.ndarray, hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """GPTQ: the codes (C, R) for weights (C, R) with scales (G, R). Columns are rounded one after the other, those with large
    moments first; after each, the columns that are not rounded yet are changed to make up for its error."""
    order = np.argsort(-np.diag(hessian), kind="stable")
    # H⁻¹ = UᵀU: row i of U says how the later columns make up for column i's error, once those before it are fixed
    upper = np.linalg.cholesky(np.linalg.inv(hessian[order][:, order])).T
    left = wanted[order]  # what each column should be, with the errors so far made up for
    codes = np.empty(wanted.shape, np.uint8)
    # the columns after a block of GROUP are updated once per block (the paper's step 2)
    for begin in range(0, len(order), GROUP):
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
    """Goes once through all groups, in place: each code (C, R), then the group's scale (G, R), is set to the best value while all
    others stay. The error never grows."""
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
        gain = (numbers[here] * local).sum(0)  # a change d of the scale lowers the error by 2 d gain - d² curve
        curve = (numbers[here] * (block @ numbers[here])).sum(0)
        moved = (sizes + gain / np.where(curve > 0, curve, np.inf)).astype(np.float16)  # rounding to fp16 may overshoot
        change = moved.astype(np.float64) - sizes
        scales[group] = np.where(change * (2 * gain - change * curve) > 0, moved, scales[group])
        pull -= hessian[:, here] @ (numbers[here] * scales[group].astype(np.float64) - before)


def divisor(scales: np.ndarray) -> np.ndarray:
    """The scales as divisors in fp64: 1 in place of 0, since a group with the scale 0 has weights of 0."""
    wide = scales.astype(np.float64)
    return np.where(wide == 0, 1.0, wide)
