"""Write vectors.json: small matrices as weights.bin holds them, and what comes out when the program multiplies by them.

Run: python go_serve/internal/kernel/testdata/make_vectors.py [OUT.json]

Written from docs/formats.md, one element at a time, so that it is plainly right; tests/test_quantize.py holds the fast
packing of minitron/quant/panels.py to it, the Go tests their kernels. It shares nothing with minitron but the codebook.

A case: dtype, rows, cols, packed (base64), x (fp32) and, for q8 and q4, what x becomes (`a`, `s` as the bits of an fp32)
and the product to the bit (`y`: bits of fp32); for f16, whose arithmetic is not fixed, the exact product (`y_exact`).
"""

import base64
import json
import math
import pathlib
import sys

import numpy as np

from minitron.quant.panels import Q4_CODEBOOK

PANEL, GROUP = 16, 32  # rows, columns
LEAST = np.float32(2**-100)  # a group whose activations are all below it counts as zeros


def pack(dtype, *, rows, cols, values=None, scales=None, codes=None):
    """Bytes of a matrix. f16: `values` (rows, cols); q8: `codes` are -127 ... 127, q4: 0 ... 15, `scales` (rows, groups)."""
    out = bytearray()
    for panel in range(0, rows, PANEL):
        if dtype == "f16":
            for col in range(cols):
                for row in range(panel, panel + PANEL):
                    out += np.float16(values[row][col] if row < rows else 0).tobytes()
            continue
        for group in range(math.ceil(cols / GROUP)):
            for row in range(panel, panel + PANEL):
                out += np.float16(scales[row][group] if row < rows else 0).tobytes()

            def code(quad, byte, panel=panel, group=group):
                row, col = panel + byte // 4, GROUP * group + 4 * quad + byte % 4
                inside = row < rows and col < cols
                return int(codes[row][col]) if inside else 0 if dtype == "q8" else zero_code()

            if dtype == "q8":
                out += bytes(code(quad, byte) + 128 for quad in range(8) for byte in range(64))
            else:
                out += bytes(code(quad, byte) | code(quad + 4, byte) << 4 for quad in range(4) for byte in range(64))
    return bytes(out)


def zero_code():
    """What fills up a q4 matrix: the code whose value is nearest to 0 (a reader takes any)."""
    return min(range(16), key=lambda code: abs(Q4_CODEBOOK[code]))


def quantise(x):
    """Activations (cols,) -> whole numbers (groups * 32,) and a scale per group, as the program rounds them."""
    f = np.float32
    a, s = [], []
    for start in range(0, len(x), GROUP):
        part = [f(v) for v in x[start : start + GROUP]]
        most = max(abs(v) for v in part)
        if most < LEAST:
            s.append(f(0))
            a += [0] * GROUP
            continue
        inverse = f(127) / most
        s.append(most / f(127))
        a += [int(np.rint(v * inverse)) for v in part] + [0] * (GROUP - len(part))
    return a, s


def multiply(dtype, *, rows, cols, scales, codes, x):
    """The product (rows,) fp32, in the order and with the roundings of docs/formats.md."""
    a, s = quantise(x)
    value = [int(v) for v in range(256)] if dtype == "q8" else list(Q4_CODEBOOK)
    y = []
    for row in range(rows):
        total = np.float32(0)
        for group in range(math.ceil(cols / GROUP)):
            inner = 0
            for col in range(GROUP * group, min(cols, GROUP * group + GROUP)):
                weight = int(codes[row][col]) if dtype == "q8" else value[codes[row][col]]
                inner += weight * a[col]
            total = total + np.float32(inner) * (np.float32(np.float16(scales[row][group])) * s[group])
        y.append(total)
    return y


def bits(values):
    return [int(v) for v in np.asarray(values, np.float32).view(np.uint32)]


CASES = [  # (what it is for, rows, cols, x, sizes of the scales)
    ("one panel, one group", 16, 32, "normal", "normal"),
    ("rows and columns that fill nothing", 5, 7, "normal", "normal"),
    ("rows no multiple of 16", 37, 64, "normal", "normal"),
    ("columns no multiple of 32", 32, 52, "normal", "normal"),
    ("neither", 41, 99, "normal", "normal"),
    ("one row, one column", 1, 1, "normal", "normal"),
    ("a group of zeros", 19, 96, "zero group", "normal"),
    ("all zeros", 17, 40, "zeros", "normal"),
    ("ties, which round to even", 16, 64, "ties", "normal"),
    ("large scales", 20, 64, "large", "large"),
    ("tiny scales, subnormal ones among them", 20, 64, "tiny", "tiny"),
    ("a group of activations just below 2^-100, one at it, one subnormal", 16, 96, "underflow", "normal"),
    ("the largest sums", 16, 64, "extreme", "large"),
    ("many panels and groups", 80, 256, "normal", "normal"),
]


def activations(kind, cols, chance):
    x = chance.standard_normal(cols).astype(np.float32)
    if kind == "zero group":
        x[32:64] = 0
    elif kind == "zeros":
        x[:] = 0
    elif kind == "ties":  # 127 / max is 1, or 2
        x = (chance.integers(-126, 126, cols) + 0.5).astype(np.float32)
        x[0], x[32:] = 127, x[32:] / 2
        x[40] = -63.5
    elif kind == "large":
        x *= np.float32(1e4)
    elif kind == "tiny":
        x *= np.float32(1e-20)
    elif kind == "underflow":
        x[:32] *= np.nextafter(LEAST, np.float32(0)) / np.abs(x[:32]).max()
        x[32:64] *= LEAST / np.abs(x[32:64]).max()
        x[np.abs(x[:32]).argmax()], x[32 + np.abs(x[32:64]).argmax()] = np.nextafter(LEAST, np.float32(0)), LEAST
        x[64:] *= np.float32(1e-39)
    elif kind == "extreme":
        x = np.where(x > 0, np.float32(3), np.float32(-3))
    return x


def matrix(dtype, rows, cols, sizes, chance):
    groups = math.ceil(cols / GROUP)
    low, high = {"normal": (-8, -1), "large": (5, 9), "tiny": (-24, -14)}[sizes]
    scales = 2.0 ** chance.uniform(low, high, (rows, groups)) * chance.choice([-1, 1], (rows, groups))
    scales[chance.random((rows, groups)) < 0.05] = 0
    codes = chance.integers(-127, 128, (rows, cols)) if dtype == "q8" else chance.integers(0, 16, (rows, cols))
    return scales.astype(np.float16), codes


def case(dtype, number, note, rows, cols, kind, sizes):
    chance = np.random.default_rng((number, ["f16", "q8", "q4"].index(dtype)))
    x = activations(kind, cols, chance)
    about = {"note": note, "dtype": dtype, "rows": rows, "cols": cols, "x": [float(str(v)) for v in x]}
    if dtype == "f16":
        values = (chance.standard_normal((rows, cols)) * 0.1).astype(np.float16)
        packed = pack(dtype, rows=rows, cols=cols, values=values)
        result = {"y_exact": (values.astype(np.float64) @ x.astype(np.float64)).tolist()}
    else:
        scales, codes = matrix(dtype, rows, cols, sizes, chance)
        if kind == "extreme":  # every product is 127 * 127 or (q4) the codebook's end: of one sign in the first row
            codes[0] = np.where(x > 0, 127, -127) if dtype == "q8" else np.where(x > 0, 15, 0)
        packed = pack(dtype, rows=rows, cols=cols, scales=scales, codes=codes)
        a, s = quantise(x)
        y = multiply(dtype, rows=rows, cols=cols, scales=scales, codes=codes, x=x)
        result = {"a": a, "s": bits(s), "y": bits(y)}
    return about | {"packed": base64.b64encode(packed).decode()} | result


def main(args):
    out = pathlib.Path(args[0]) if args else pathlib.Path(__file__).with_name("vectors.json")
    cases = [case(dtype, number, *about) for dtype in ("f16", "q8", "q4") for number, about in enumerate(CASES)]
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    out.write_text(f'{{"q4_codebook":{json.dumps(list(Q4_CODEBOOK))},\n"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(sys.argv[1:])
