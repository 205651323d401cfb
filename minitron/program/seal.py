"""The checksum of its own file that a finished program carries (docs/formats.md, "The seal"). The program verifies it at
every start (go_serve/internal/self). Knows nothing about how the program was built.
"""

import struct
import zlib
from pathlib import Path

from minitron.program import guard

NAME = b"\nminitron seal\n\0"  # marks the place of the seal; it is found once in a program
MAX_HOLES = 4
SUM_AT = len(NAME) + 8 + 16 * MAX_HOLES


def seal(path: Path, *, weights: bytes) -> None:
    """Fills in the seal of a Linux or Windows program. `weights` are left out of the checksum: the bundle has one of them, and
    the program would have to read them all before it starts. Raises ValueError if there is not one place for a seal."""
    program = bytearray(path.read_bytes())
    at = program.find(NAME)
    if at < 0 or program.find(NAME, at + 1) >= 0:
        raise ValueError(f"{path} has no place for a seal, or several")
    guarded = guard.add(program) if program[:4] == b"\x7fELF" else None
    start = program.find(weights) if weights else -1
    alone = start >= 0 and program.find(weights, start + 1) < 0
    left_out = (start, len(weights)) if alone else (0, 0)
    holes = [(at + SUM_AT, 4), *signature_fields(program), *([left_out] if alone else [])]
    if guarded is not None:
        holes.append((guarded + guard.SUM_AT, 8))
    holes.sort()
    values = [number for hole in holes + [(0, 0)] * (MAX_HOLES - len(holes)) for number in hole]
    struct.pack_into(f"<Q{2 * MAX_HOLES}Q", program, at + len(NAME), len(program), *values)
    if guarded is not None:
        # everything but the sum is final now; the sum is written again when the file is finished
        guard.fill(program, guarded, weights=left_out)
    struct.pack_into("<I", program, at + SUM_AT, checksum(program, holes))
    if guarded is not None:
        guard.fill(program, guarded, weights=left_out)
    path.write_bytes(program)


def signature_fields(program: bytes) -> list[tuple[int, int]]:
    """(offset, length) of what signing an .exe later changes in its header: its checksum and the place of the signature. Other
    programs have none."""
    if program[:2] != b"MZ":
        return []
    optional = struct.unpack_from("<I", program, 0x3C)[0] + 24
    return [(optional + 64, 4), (optional + 112 + 8 * 4, 8)]


def checksum(program: bytes, holes: list[tuple[int, int]]) -> int:
    """CRC-32 (IEEE) of the program without the holes, sorted (offset, length)."""
    total, at = 0, 0
    for offset, length in [*holes, (len(program), 0)]:
        total = zlib.crc32(memoryview(program)[at:offset], total)
        at = offset + length
    return total
