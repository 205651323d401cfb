"""A check of the file that runs before Go's runtime, for Linux programs (docs/formats.md, "The guard").

Go's runtime uses a good part of the program before main begins; if that part is damaged, the program crashes. So the
machine code of go_serve/internal/self/guard_linux_*.s is copied into the unused part of the file's first page and becomes
the program's entry. It reads the file, compares a checksum, and jumps to Go's entry. Format: the ELF specification (gabi);
the room is there because Go's linker reserves 4096 bytes for headers. Knows nothing about models.
"""

import array
import struct
import sys

BEGIN, END = b"\nminitron guard\n", b"\nminitron guard|"  # stand around the code, and once each in a program
FIELDS = 512  # bytes in front of the code: entry, file size, two of (offset, length), checksum, length of the message, path, message
SUM_AT = 48
PAGE = 4096
LOAD, NOTE = 1, 4  # kinds of segments
FACTOR = 0x9E3779B97F4A7C15
MESSAGE = """\
minitron-chat: error: this program's file is damaged
hint: copy it or download it again
minitron-chat: ошибка: файл этой программы повреждён
совет: скопируйте или скачайте его ещё раз
""".encode()


def add(program: bytearray) -> int:
    """Puts the guard's code into an ELF program and makes it the entry. Returns the offset of its fields, for `fill`. Raises
    ValueError if the program has no such code, or no room for it."""
    program += bytes(-len(program) % 8)
    begin = program.find(BEGIN)
    end = program.find(END, begin)
    if begin < 0 or end < 0 or program.find(BEGIN, begin + 1) >= 0:
        raise ValueError("the program has no code to guard it, or twice")
    code = program[begin:end]
    entry, segments, sections = struct.unpack_from("<QQQ", program, 24)
    _, segment_count, _, section_count = struct.unpack_from("<HHHH", program, 54)
    at = -(-max(sections + 64 * section_count, segments + 56 * segment_count) // 16) * 16
    limit, base = PAGE, None
    for n in range(segment_count):
        header = segments + 56 * n
        kind, _, offset, address, _, stored, _, align = struct.unpack_from("<IIQQQQQQ", program, header)
        if kind == LOAD and offset == 0:
            base = address
        if kind == NOTE:
            limit = min(limit, offset)
        if kind == LOAD:
            fill_last_page(program, header, offset, stored, align)
    if base is None or any(program[at:limit]) or at + FIELDS + len(code) > limit:
        raise ValueError("not a program of Go's linker: its first page has no room")
    path = b"/proc/self/exe".ljust(16, b"\0")
    struct.pack_into("<Q", program, at, entry)
    struct.pack_into("<Q", program, at + 56, len(MESSAGE))
    program[at + 64 : at + 80] = path
    program[at + 80 : at + 80 + len(MESSAGE)] = MESSAGE
    program[at + FIELDS : at + FIELDS + len(code)] = code
    struct.pack_into("<Q", program, 24, base + at + FIELDS + len(BEGIN))
    return at


def fill_last_page(program: bytearray, header: int, offset: int, stored: int, align: int) -> None:
    """Extends a segment of variables to the end of its last page in the file, where the bytes are zero anyway. Otherwise the
    system clears the rest of that page itself, and kills a program whose file lacks the page, without a message."""
    memory = struct.unpack_from("<Q", program, header + 40)[0]
    whole = -(-stored // align) * align
    if (
        memory > whole > stored
        and offset + whole <= len(program)
        and not any(program[offset + stored : offset + whole])
    ):
        struct.pack_into("<Q", program, header + 32, whole)


def fill(program: bytearray, at: int, *, weights: tuple[int, int]) -> None:
    """Writes the ranges that the code sums up, all behind the first page except the weights (offset, length), and their checksum.
    Must come last, since the checksum is of the finished program."""
    start, length = weights
    first = -(-start // 8) * 8 if length else len(program)
    second = (start + length) // 8 * 8 if length else len(program)
    ranges = [(PAGE, first - PAGE), (second, len(program) - second)]
    struct.pack_into("<5Q", program, at + 8, len(program), *(number for part in ranges for number in part))
    struct.pack_into("<Q", program, at + SUM_AT, checksum(program, ranges))


def checksum(program: bytes, ranges: list[tuple[int, int]]) -> int:
    """sum = (sum ^ word) * FACTOR modulo 2^64, over words of 8 bytes. Any single changed word changes it, and it needs no table."""
    total = 0
    for offset, length in ranges:
        words = array.array("Q", memoryview(program)[offset : offset + length].tobytes())
        if sys.byteorder == "big":
            words.byteswap()
        for word in words:
            total = (total ^ word) * FACTOR & 0xFFFFFFFFFFFFFFFF
    return total
