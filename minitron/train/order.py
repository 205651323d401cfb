"""Which rows each step reads: it depends on the seed and the step alone, so that a run that was stopped goes on with the same ones.

Knows nothing about what is in the rows.
"""

import functools

import numpy as np


@functools.lru_cache(maxsize=2)  # a step reads from one or two epochs, and so does the next
def row_order(rows: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of the rows in an epoch; the same for the same seed and epoch."""
    order = np.random.default_rng((seed, epoch)).permutation(rows)
    order.setflags(write=False)
    return order


def rows_of_step(step: int, *, rows: int, per_step: int, seed: int) -> np.ndarray:
    """The numbers of the rows that a step reads (per_step,): epochs follow one another, each in its own order."""
    first = step * per_step
    epochs = range(first // rows, (first + per_step - 1) // rows + 1)
    order = np.concatenate([row_order(rows, seed=seed, epoch=e) for e in epochs])
    at = first - epochs[0] * rows
    return order[at : at + per_step]
