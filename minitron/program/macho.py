"""Programs for macOS: ad-hoc signatures, and one file for both processors.

arm64 Macs run no program without a signature. Go's linker signs programs for arm64, in nobody's name ("ad hoc"), and leaves
those for amd64 unsigned. `sign` does the same for amd64, so that both slices of the universal file can be checked
(`codesign --verify`). Formats: Apple's <mach-o/loader.h>, <mach-o/fat.h> and xnu's osfmk/kern/cs_blobs.h; the choice
of fields is that of Go's cmd/internal/codesign. Knows nothing about models.
"""

import hashlib
import struct
from pathlib import Path

MAGIC_64, FAT_MAGIC = 0xFEEDFACF, 0xCAFEBABE
SEGMENT_64, CODE_SIGNATURE = 0x19, 0x1D  # load commands
SLICE_ALIGN = 14  # a slice begins at a multiple of 2^14, an arm64 page
PAGE = 4096  # bytes that one hash covers


def load_commands(program: bytes) -> list[tuple[int, int]]:
    """(command, offset in bytes) of each load command."""
    magic, _, _, _, count, _ = struct.unpack_from("<IIIIII", program)
    if magic != MAGIC_64:
        raise ValueError("not a 64-bit Mach-O program")
    found, at = [], 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", program, at)
        found.append((command, at))
        at += size
    return found


def sign(program: bytes, *, identifier: str) -> bytes:
    """The program with an ad-hoc signature at its end; unchanged if it is signed. Raises ValueError if it cannot be signed."""
    commands = load_commands(program)
    if any(command == CODE_SIGNATURE for command, _ in commands):
        return program
    segments = {
        program[at + 8 : at + 24].rstrip(b"\0"): at for command, at in commands if command == SEGMENT_64
    }  # name -> offset of its load command
    text, linkedit = segments[b"__TEXT"], segments[b"__LINKEDIT"]
    text_at, text_bytes = struct.unpack_from("<QQ", program, text + 40)
    first_section = min(
        struct.unpack_from("<I", program, text + 72 + 80 * n + 48)[0] for n in range(sections(program, text))
    )
    end = 32 + struct.unpack_from("<I", program, 20)[0]  # of the load commands
    if end + 16 > first_section:
        raise ValueError("there is no room for one more load command")
    out = bytearray(program + bytes(-len(program) % 16))
    limit = len(out)
    size = len(signature(out, identifier, text_at, text_bytes))
    # one more load command, and a __LINKEDIT that reaches to the end of the signature
    struct.pack_into("<IIII", out, end, CODE_SIGNATURE, 16, limit, size)
    struct.pack_into("<II", out, 16, len(commands) + 1, end - 32 + 16)
    start = struct.unpack_from("<Q", out, linkedit + 40)[0]
    struct.pack_into("<Q", out, linkedit + 48, limit + size - start)
    struct.pack_into("<Q", out, linkedit + 32, -(-(limit + size - start) // PAGE) * PAGE)
    return bytes(out + signature(out, identifier, text_at, text_bytes))


def sections(program: bytes, segment: int) -> int:
    return struct.unpack_from("<I", program, segment + 64)[0]


def signature(code: bytes, identifier: str, text_at: int, text_bytes: int) -> bytes:
    """A SuperBlob with one CodeDirectory, which holds the SHA-256 of every page of `code`."""
    name = identifier.encode() + b"\0"
    hashes = [hashlib.sha256(code[at : at + PAGE]).digest() for at in range(0, len(code), PAGE)]
    fields = 88  # bytes before the name
    length = fields + len(name) + 32 * len(hashes)
    adhoc_by_linker, sha256, main_program = 0x20002, 2, 1
    directory = struct.pack(
        ">9I", 0xFADE0C02, length, 0x20400, adhoc_by_linker, fields + len(name), fields, 0, len(hashes), len(code)
    )
    directory += struct.pack(">BBBBI", 32, sha256, 0, 12, 0)  # 2^12 is PAGE
    directory += struct.pack(">IIIQQQQ", 0, 0, 0, 0, text_at, text_bytes, main_program)
    directory += name + b"".join(hashes)
    return struct.pack(">IIIII", 0xFADE0CC0, 20 + length, 1, 0, 20) + directory


def universal(slices: list[Path], out: Path) -> None:
    """Writes one file with a program for each processor; macOS runs the one that fits. Raises ValueError from 4 GiB on."""
    align = 1 << SLICE_ALIGN
    programs = [path.read_bytes() for path in slices]
    header, body, at = struct.pack(">II", FAT_MAGIC, len(programs)), b"", align
    for program in programs:
        cpu, subtype = struct.unpack_from("<II", program, 4)
        header += struct.pack(">IIIII", cpu, subtype, at, len(program), SLICE_ALIGN)
        body += program + bytes(-len(program) % align)
        at += len(program) + -len(program) % align
    if at >= 1 << 32:
        raise ValueError("a universal file holds less than 4 GiB")
    out.write_bytes(header + bytes(align - len(header)) + body)
