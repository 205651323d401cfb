"""Packed matrices against a slow and plainly right reading of docs/formats.md, and the rounding's error bounds."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minitron.quant import panels
from minitron.quant.panels import GROUP, PANEL, Q4_CODEBOOK

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 100))


def matrix_of(rows: int, cols: int, seed: int, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(rows, cols)) * scale).astype(np.float32)


def read_one(data: bytes, dtype: str, shape: tuple[int, int], row: int, col: int) -> float:
    """One weight, found by its address as docs/formats.md gives it."""
    panel, lane = divmod(row, PANEL)
    if dtype == "f16":
        at = 32 * panel * shape[1] + 32 * col + 2 * lane
        return float(np.frombuffer(data[at : at + 2], "<f2")[0])
    size = {"q8": 544, "q4": 288}[dtype]
    group, within = divmod(col, GROUP)
    start = (panel * -(-shape[1] // GROUP) + group) * size
    scale = np.frombuffer(data[start + 2 * lane : start + 2 * lane + 2], "<f2")[0].astype(np.float32)
    quad, byte = divmod(within, 4)
    if dtype == "q8":
        value = data[start + 32 + 64 * quad + 4 * lane + byte] - 128
    else:
        code = data[start + 32 + 64 * (quad % 4) + 4 * lane + byte]
        value = Q4_CODEBOOK[code >> 4 if quad >= 4 else code & 15]
    return float(scale * np.float32(value))


def packed_bytes(dtype: str, shape: tuple[int, int]) -> int:
    """Bytes of a packed matrix (R, C), by the format's description."""
    blocks, groups = -(-shape[0] // 16), -(-shape[1] // 32)
    return {"f16": 32 * blocks * shape[1], "q8": 544 * blocks * groups, "q4": 288 * blocks * groups}[dtype]


@pytest.mark.parametrize("dtype", panels.DTYPES)
@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 999))
def test_every_weight_is_where_the_format_says(dtype, shape, seed):
    matrix = panels.nearest(matrix_of(*shape, seed), dtype)
    data = matrix.pack().tobytes()
    assert len(data) == packed_bytes(dtype, shape)
    values = matrix.values()
    for row, col in {(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 3), (seed % shape[0], 0)}:
        assert read_one(data, dtype, shape, row, col) == values[row, col]
    assert np.array_equal(panels.unpack(data, dtype, shape).values(), values)


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 999), power=st.integers(-1, 3))
@example(shape=(28, 1), seed=161, power=-1)  # a row whose scale is hardly above fp16's smallest numbers
def test_q8_is_within_half_a_step(shape, seed, power):
    values = matrix_of(*shape, seed, 10.0**power)
    stored = panels.nearest(values, "q8")
    steps = np.repeat(stored.scales.astype(np.float32), GROUP, axis=1)[:, : shape[1]]
    # A scale that rounds down in fp16 leaves the largest weights up to 1/2048 of themselves short; one below fp16's normal
    # numbers is a multiple of 2^-24, and so up to 2^-25 off.
    assert (np.abs(stored.values() - values) <= 0.5001 * steps + np.abs(values) / 2000 + 127 * 2.0**-25).all()


@settings(max_examples=25, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 999))
def test_q4_takes_the_nearest_code_and_a_good_scale(shape, seed):
    values = matrix_of(*shape, seed)
    stored = panels.nearest(values, "q4")
    steps = np.repeat(stored.scales.astype(np.float32), GROUP, axis=1)[:, : shape[1], None]
    nearest = np.abs(np.array(Q4_CODEBOOK, np.float32) * steps - values[..., None]).min(-1)
    assert np.array_equal(np.abs(stored.values() - values), nearest)
    peak = np.abs(values).max(1, keepdims=True)
    assert (np.abs(stored.values() - values) <= 0.2 * peak).all()


def test_q4_error_of_a_bell_curve():
    values = matrix_of(256, 512, 1)
    error = panels.nearest(values, "q4").values() - values
    assert np.sqrt((error**2).mean()) < 0.078  # plain scales of the largest weight over 127 give 0.087


def test_zeros_stay_zeros():
    for dtype in panels.DTYPES:
        assert not panels.nearest(np.zeros((17, 33), np.float32), dtype).values().any()
