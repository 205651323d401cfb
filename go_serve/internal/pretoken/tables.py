"""What the `tokenizers` library takes for letters, numbers and white space, and its NFC: tables.txt, which the Go beside this reads.

Run: python go_serve/internal/pretoken/tables.py           writes it
     python go_serve/internal/pretoken/tables.py --check   whether it is what this library does

The library is asked about every character: its Unicode may be another than Go's or Python's. Knows nothing about pieces.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from textwrap import wrap
from unicodedata import combining

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = Path(__file__).with_name("tables.txt")
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
PART = 4096  # characters that the library is asked about at once
SYLLABLES = range(0xAC00, 0xD7A4)  # of Hangul, which are computed
nfc, nfd = (made.normalize_str for made in (normalizers.NFC(), normalizers.NFD()))


def matching(others: str) -> list[int]:
    """The characters that the opposite of a pattern does not match."""
    cut = pre_tokenizers.Split(Regex(f"{others}+"), "removed").pre_tokenize_str
    parts = ("".join(CHARACTERS[at : at + PART]) for at in range(0, len(CHARACTERS), PART))
    return [ord(c) for part in parts for found, _ in cut(part) for c in found]


def digits() -> list[int]:
    """The characters that are taken one by one."""
    cut = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str
    between = (CHARACTERS[at : at + PART] for at in range(0, len(CHARACTERS), PART))
    return [ord(part) for part_of in between for part, _ in cut("aa" + "aa".join(part_of)) if len(part) == 1]


def batched(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    listed = iter(texts)
    while part := list(islice(listed, size)):
        yield part


def each(change: Callable[[str], str], texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What becomes of texts, none of which has a line end: pairs of a text and what it becomes."""
    for part in batched(texts, PART):
        yield from zip(part, change("\n".join(part)).split("\n"), strict=True)


def decomposed() -> tuple[dict[int, tuple[int, int]], dict[int, list[int]]]:
    """Characters that are composed of two, and those that become others for good."""
    pairs, others = {}, {}
    for c, parts in each(nfd, (c for c in CHARACTERS if c != "\n")):
        if parts == c or ord(c) in SYLLABLES:
            continue
        if nfc(parts) != c:
            others[ord(c)] = [ord(part) for part in parts]
            continue
        first = nfc(parts[:-1])
        assert nfd(first) + parts[-1] == parts, c
        assert nfc(first + parts[-1]) == c, c
        pairs[ord(c)] = (ord(first), ord(parts[-1]))
    return pairs, others


def orders() -> dict[int, int]:
    """Combining classes: which marks stand before which. They are found by how the library orders a character beside a mark of each
    class that Python knows."""
    least, most = "\u0334", "\u0345"  # of the classes 1 and 240, since Unicode 1.1
    plain = [c for c, parts in each(nfd, (c for c in CHARACTERS if c != "\n")) if parts == c]
    moved = (
        pair for pair, parts in each(nfd, (pair for c in plain for pair in (c + least, most + c))) if parts != pair
    )
    marks = sorted({c for pair in moved for c in pair if nfd(c + least) != c + least or nfd(most + c) != most + c})
    known = {combining(c): c for c in marks if combining(c)}
    found = {}
    for c in marks:
        (found[ord(c)],) = [o for o, mark in known.items() if nfd(c + mark) == c + mark and nfd(mark + c) == mark + c]
    return found


def ranges(points: Iterable[int]) -> Iterator[str]:
    """`41-5a aa`, in hex."""
    listed = sorted(points)
    starts = [at for at in range(len(listed)) if at == 0 or listed[at] != listed[at - 1] + 1]
    for start, end in pairwise([*starts, len(listed)]):
        first, last = listed[start], listed[end - 1]
        yield f"{first:x}" if first == last else f"{first:x}-{last:x}"


def joined(points: Iterable[int]) -> str:
    return "+".join(f"{point:x}" for point in points)


def tables() -> str:
    pairs, others = decomposed()
    order = orders()
    found = {
        "letter": ranges(matching(r"\P{L}")),
        "number": ranges(matching(r"\P{N}")),
        "space": ranges(matching(r"\S")),
        "digit": ranges(digits()),
        "pair": (f"{c:x}={joined(parts)}" for c, parts in pairs.items()),
        "other": (f"{c:x}={joined(parts)}" for c, parts in others.items()),
        "order": (
            f"{run}={number}"
            for number in sorted({*order.values()})
            for run in ranges(c for c in order if order[c] == number)
        ),
    }
    lines = [f"{name} {line}" for name, values in found.items() for line in wrap(" ".join(values), 110)]
    return f"# Made by tables.py with tokenizers {tokenizers.__version__}.\n" + "\n".join(lines) + "\n"


def main() -> None:
    if sys.argv[1:] != ["--check"]:
        OUT.write_text(tables())
    elif OUT.read_text().split("\n", 1)[1] != tables().split("\n", 1)[1]:
        raise SystemExit(f"{OUT} is not what tokenizers {tokenizers.__version__} does: run tables.py")


if __name__ == "__main__":
    main()
