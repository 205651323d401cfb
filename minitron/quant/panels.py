"""Matrices as weights.bin holds them: fp16, 8 bits or 4 bits, in panels (docs/formats.md). NumPy alone.

    matrix = nearest(weights, "q4")         # a Matrix: codes and scales, or fp16 values
    data = matrix.pack()                    # bytes of weights.bin
    unpack(data, "q4", shape).values()      # fp32, the values that the program multiplies by

Knows nothing about models (`arithmetic` does).

Letters in shapes: R rows, C columns, P panels of 16 rows, G groups of 32 columns.
"""

from dataclasses import dataclass

import numpy as np

DTYPES = ("f16", "q8", "q4")
PANEL, GROUP = 16, 32  # rows of a panel, columns of a group
Q8_ZERO = 128  # a q8 value is stored with this added

# The values of IQ4_NL in llama.cpp (ggml-common.h); values fitted to our models lower the error by only one percent.
Q4_CODEBOOK = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
Q4_ZERO = min(range(16), key=lambda code: abs(Q4_CODEBOOK[code]))  # the code that pads a q4 matrix
CODEBOOK = np.array(Q4_CODEBOOK, np.float32)
# The code of a number v is _NEAREST[floor(2v) + 256]: the codebook's values are whole numbers, and so are twice the borders between them.
_BORDERS = CODEBOOK[1:] + CODEBOOK[:-1]  # twice the borders
_NEAREST = np.searchsorted(_BORDERS, np.arange(-256, 257), side="right").astype(np.uint8)


@dataclass
class Matrix:
    """A matrix as it is stored. f16: `codes` are the values, fp16 (R, C), and there are no `scales`. q8, q4: `codes` are
    whole numbers -127 ... 127 (int8) or codes 0 ... 15 (uint8), (R, C); `scales` are fp16 (R, G)."""

    dtype: str
    codes: np.ndarray
    scales: np.ndarray | None = None

    def values(self) -> np.ndarray:
        """The exact values of the stored numbers, fp32 (R, C)."""
        if self.dtype == "f16":
            return self.codes.astype(np.float32)
        numbers = CODEBOOK[self.codes] if self.dtype == "q4" else self.codes.astype(np.float32)
        rows, cols = numbers.shape
        whole = _fill(numbers, cols=GROUP).reshape(rows, -1, GROUP) * self.scales[:, :, None].astype(np.float32)
        return whole.reshape(rows, -1)[:, :cols]

    def pack(self) -> np.ndarray:
        """The matrix's bytes (uint8) in weights.bin."""
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
    """The array padded with `value` to multiples of `rows` and `cols`."""
    missing = -array.shape[0] % rows, -array.shape[1] % cols
    if missing == (0, 0):
        return array
    return np.pad(array, ((0, missing[0]), (0, missing[1])), constant_values=value)


def nearest(values: np.ndarray, dtype: str, weights: np.ndarray | None = None) -> Matrix:
    """The stored matrix nearest to `values`, fp32 (R, C). In q4 each group gets the scale with the least squared error, where
    `weights` (C,) weigh the columns (default: all alike)."""
    if dtype == "f16":
        return Matrix(dtype, values.astype(np.float16))
    groups = grouped(values)
    if dtype == "q4":
        return rounded(
            values, search_q4(groups, grouped(np.ones_like(values[:1]) if weights is None else weights[None]))
        )
    scales = (np.abs(groups).max(-1) / 127).astype(np.float16)
    codes = np.rint(groups / divisor(scales)).clip(-127, 127).astype(np.int8)
    return Matrix(dtype, codes.reshape(len(values), -1)[:, : values.shape[1]], scales)


def rounded(values: np.ndarray, scales: np.ndarray) -> Matrix:
    """The q4 matrix with these scales, fp16 (R, G), that is nearest to `values`, fp32 (R, C)."""
    codes = q4_codes(grouped(values) / divisor(scales))
    return Matrix("q4", codes.reshape(len(values), -1)[:, : values.shape[1]], scales)


def grouped(values: np.ndarray) -> np.ndarray:
    """(R, C) -> (R, G, 32), the last group padded with zeros."""
    return _fill(values, cols=GROUP).reshape(len(values), -1, GROUP)


def divisor(scales: np.ndarray) -> np.ndarray:
    """Scales (R, G) -> divisors (R, G, 1) for values (R, G, 32): 1 in place of 0, the scale of a group of zeros."""
    wide = scales.astype(np.float32)
    return np.where(wide == 0, 1, wide)[..., None]


def q4_codes(quotients: np.ndarray) -> np.ndarray:
    """The codes (uint8) of the codebook's values nearest to `quotients`, in the same shape."""
    return _NEAREST[np.floor(2 * quotients).clip(-256, 255).astype(np.int16) + 256]


# What the largest weight of a group is scaled to, for each try: values near the ends of the codebook, a little inside and outside.
_TRIES = [sign * end for end in range(96, 153, 6) for sign in (1, -1)]


def search_q4(groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The scales (R, G), of either sign, that give `groups` (R, G, 32) the least squared error found, weighted by `weights` (1, G, 32)."""
    peaks = np.take_along_axis(groups, np.abs(groups).argmax(-1)[..., None], -1)[..., 0]
    least = np.full(peaks.shape, np.inf, np.float32)
    best = np.zeros(peaks.shape, np.float16)
    for peak in _TRIES:
        tried = (peaks / peak).astype(np.float16)
        for _ in range(2):  # the tried scale, then the best scale for the codes that it gave
            numbers = CODEBOOK[q4_codes(groups / divisor(tried))]
            error = (weights * (numbers * tried[..., None].astype(np.float32) - groups) ** 2).sum(-1)
            best = np.where(error < least, tried, best)
            least = np.minimum(error, least)
            size = (weights * numbers**2).sum(-1)
            tried = np.divide((weights * numbers * groups).sum(-1), size, where=size > 0, out=np.zeros_like(size))
            tried = tried.astype(np.float16)
    return best
