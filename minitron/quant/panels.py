"""Matrices as weights.bin holds them: fp16, 8 bits or 4 bits, in panels (docs/formats.md). NumPy alone.

    matrix = nearest(weights, "q4")         # codes and scales, or fp16 values
    data = matrix.pack()                    # bytes of weights.bin
    unpack(data, "q4", shape).values()      # fp32, what the program multiplies by

Knows nothing about models (`lowbit` does).

Letters in shapes: R rows, C columns, P panels of 16 rows, G groups of 32 columns.
"""

from dataclasses import dataclass

import numpy as np

DTYPES = ("f16", "q8", "q4")
PANEL, GROUP = 16, 32  # rows of a panel, columns of a group
Q8_ZERO = 128  # a q8 value is stored with this added

# The values of IQ4_NL in llama.cpp (ggml-common.h); ones fitted to our models lower the error by one percent only.
Q4_CODEBOOK = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
Q4_ZERO = min(range(16), key=lambda code: abs(Q4_CODEBOOK[code]))  # what fills up a q4 matrix
_CODEBOOK = np.array(Q4_CODEBOOK, np.float32)
# Code of a value v: _NEAREST[floor(2v) + 256]. Values and so twice the borders between them are whole numbers.
_BORDERS = _CODEBOOK[1:] + _CODEBOOK[:-1]  # doubled
_NEAREST = np.searchsorted(_BORDERS, np.arange(-256, 257), side="right").astype(np.uint8)


@dataclass
class Matrix:
    """A matrix as it is stored. f16: `codes` are the values, fp16 (R, C), and there are no `scales`. q8, q4: `codes` are
    whole numbers -127 ... 127 (int8) or codes 0 ... 15 (uint8), (R, C); `scales` are fp16 (R, G)."""

    dtype: str
    codes: np.ndarray
    scales: np.ndarray | None = None

    def values(self) -> np.ndarray:
        """fp32 (R, C), exactly what the stored numbers mean."""
        if self.dtype == "f16":
            return self.codes.astype(np.float32)
        numbers = _CODEBOOK[self.codes] if self.dtype == "q4" else self.codes.astype(np.float32)
        rows, cols = numbers.shape
        whole = _fill(numbers, cols=GROUP).reshape(rows, -1, GROUP) * self.scales[:, :, None].astype(np.float32)
        return whole.reshape(rows, -1)[:, :cols]

    def pack(self) -> np.ndarray:
        """The bytes (uint8) of weights.bin."""
        if self.dtype == "f16":
            panels = _fill(self.codes, rows=PANEL).reshape(-1, PANEL, self.codes.shape[1])
            return np.ascontiguousarray(panels.transpose(0, 2, 1)).view(np.uint8).reshape(-1)
        zero = 0 if self.dtype == "q8" else Q4_ZERO
        codes = _fill(self.codes, rows=PANEL, cols=GROUP, value=zero)
        quads = codes.reshape(-1, PANEL, codes.shape[1] // GROUP, 8, 4).transpose(0, 2, 3, 1, 4)  # (P, G, 8, 16, 4)
        if self.dtype == "q8":
            body = quads.view(np.uint8) + np.uint8(Q8_ZERO)  # wraps round: -127 ... 127 become 1 ... 255
        else:
            body = quads[:, :, :4] | quads[:, :, 4:] << 4
        scales = _fill(self.scales, rows=PANEL)
        heads = np.ascontiguousarray(scales.reshape(-1, PANEL, scales.shape[1]).transpose(0, 2, 1)).view(np.uint8)
        return np.concatenate([heads, body.reshape(*heads.shape[:2], -1)], axis=2).reshape(-1)


def packed_bytes(dtype: str, shape: tuple[int, int]) -> int:
    """Size of a packed matrix (R, C)."""
    panels, groups = -(-shape[0] // PANEL), -(-shape[1] // GROUP)
    return {"f16": 32 * panels * shape[1], "q8": 544 * panels * groups, "q4": 288 * panels * groups}[dtype]


def unpack(data: bytes, dtype: str, shape: tuple[int, int]) -> Matrix:
    """The matrix (R, C) that these bytes hold."""
    rows, cols = shape
    raw, panels, groups = np.frombuffer(data, np.uint8), -(-rows // PANEL), -(-cols // GROUP)
    if dtype == "f16":
        values = raw.view(np.float16).reshape(panels, cols, PANEL).transpose(0, 2, 1)
        return Matrix(dtype, np.ascontiguousarray(values.reshape(-1, cols)[:rows]))
    raw = raw.reshape(panels, groups, -1)
    scales = np.ascontiguousarray(raw[:, :, : 2 * PANEL]).view(np.float16)  # (P, G, 16)
    body = raw[:, :, 2 * PANEL :].reshape(panels, groups, -1, PANEL, 4)
    codes = (
        (body - np.uint8(Q8_ZERO)).view(np.int8) if dtype == "q8" else np.concatenate([body & 15, body >> 4], axis=2)
    )
    codes = codes.transpose(0, 3, 1, 2, 4).reshape(panels * PANEL, groups * GROUP)
    return Matrix(
        dtype,
        np.ascontiguousarray(codes[:rows, :cols]),
        np.ascontiguousarray(scales.transpose(0, 2, 1).reshape(panels * PANEL, groups)[:rows]),
    )


def _fill(array: np.ndarray, *, rows: int = 1, cols: int = 1, value: float = 0) -> np.ndarray:
    """Filled up to whole multiples."""
    missing = -array.shape[0] % rows, -array.shape[1] % cols
    if missing == (0, 0):
        return array
    return np.pad(array, ((0, missing[0]), (0, missing[1])), constant_values=value)


def nearest(values: np.ndarray, dtype: str) -> Matrix:
    """The stored matrix nearest to `values`, fp32 (R, C): for q4 also over the scale, of either sign, of each group."""
    if dtype == "f16":
        return Matrix(dtype, values.astype(np.float16))
    rows, cols = values.shape
    groups = _fill(values, cols=GROUP).reshape(rows, -1, GROUP)
    if dtype == "q8":
        scales = (np.abs(groups).max(-1) / 127).astype(np.float16)
        codes = np.rint(groups / _divisor(scales)).clip(-127, 127).astype(np.int8)
    else:
        scales, codes = _search_q4(groups)
    return Matrix(dtype, codes.reshape(rows, -1)[:, :cols], scales)


def _divisor(scales: np.ndarray) -> np.ndarray:
    wide = scales.astype(np.float32)
    return np.where(wide == 0, 1, wide)[..., None]


# What the largest weight of a group may become: the ends of the codebook, and somewhat beyond or short of them.
_TRIES = [sign * end for end in range(96, 153, 6) for sign in (1, -1)]


def _search_q4(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales (R, G) and codes (R, G, 32) with the least squared error."""
    peaks = np.take_along_axis(groups, np.abs(groups).argmax(-1)[..., None], -1)[..., 0]
    best = np.full(peaks.shape, np.inf, np.float32)
    scales, codes = np.zeros(peaks.shape, np.float16), np.full(groups.shape, Q4_ZERO, np.uint8)
    for peak in _TRIES:
        tried = (peaks / peak).astype(np.float16)
        divisor = _divisor(tried)
        found = _NEAREST[(2 * groups / divisor).clip(-256, 255).astype(np.int16) + 256 - (groups / divisor < 0)]
        error = ((_CODEBOOK[found] * tried[..., None].astype(np.float32) - groups) ** 2).sum(-1)
        better = error < best
        best = np.where(better, error, best)
        scales, codes = np.where(better, tried, scales), np.where(better[..., None], found, codes)
    return scales, codes
