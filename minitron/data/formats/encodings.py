"""Decodes bytes of unknown encoding. They are UTF-8 unless a byte-order mark or the bytes themselves say otherwise; then a
message tells the user.

    text = decoded(data, where="book.txt")
    for line in decoded_lines(file, where="x.csv"): ...

No character is ever replaced: a file that cannot be decoded as a whole is an error. Knows nothing about formats.
"""

import codecs
import functools
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO

from minitron.core.console import say
from minitron.core.errors import MinitronError

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like UTF-16's mark
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
ALPHABETS = frozenset(range(16))  # high bytes of UTF-16 from Latin to Lao
HEAD = 4096  # bytes by which UTF-16 and UTF-32 without a mark are recognised
SAMPLE = 1 << 18  # bytes by which an encoding of one byte per character is recognised
FEWEST = 24  # with fewer bytes beyond ASCII it cannot be recognised
CENTRAL = "ąćęłńóśźż áčďéěíňóřšťúůýž áäčďéíĺľňóôŕšťúýž áéíóöőúüű čćđšž ăâîşţ"
LETTERS = {  # the letters beyond ASCII of languages that are written with a code page: French, German, Spanish, ...
    "cp1252": "àâæçèéêëîïôœùûüÿ äöüß áéíñóúü àáâãçéêíóôõúü àèéìíîòóùú àçèéíïòóúü áéèêëïíóöúü äåöé æåøéóòôü áðéíóúýþæö",
    "cp1254": "âçğıîöşüû\u0307",  # the last one is left of a small İ
    "cp1250": CENTRAL,
    "iso8859_2": CENTRAL,
    "cp1257": "ąčęėįšųūž āčēģīķļņšūž äõöüšž",
}
MARKS = set("\u00a0\u00ad¡¿«»‹›„“”‘’–—…•·°§€£©®™№ªº")  # that texts in all of them have
LEAST_COVERED = 0.95  # share of a text's letters beyond ASCII that are of one language


def decoded(data: bytes, *, where: str) -> str:
    """A whole file's text, without a byte-order mark. Raises MinitronError if no encoding is likely."""
    encoding = unicode_kind(data[:HEAD])
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise MinitronError(f"{where} is damaged {encoding.upper()} text: {error.reason}", hint=_HINT) from error
        encoding = legacy([data], error, where=where)
        text = data.decode(encoding)
    tell(where, encoding)
    return text.removeprefix("\ufeff")


def decoded_lines(file: BinaryIO, *, where: str) -> Iterator[str]:
    """The lines, with their line ends, while they are read. Raises the errors of `decoded`, with the line's number where it is known."""
    head = file.read(HEAD)
    encoding = unicode_kind(head)
    found = _with_head(head, file)
    if encoding not in ("utf-8", "utf-8-sig"):
        tell(where, encoding)
        try:
            for number, line in enumerate(io.TextIOWrapper(found, encoding=encoding, newline="\n"), 1):
                yield line if number > 1 else line.removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise MinitronError(f"{where} is damaged {encoding.upper()} text: {error.reason}", hint=_HINT) from error
        return
    ascii_so_far = True
    lines: Iterable[bytes] = found
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            ascii_so_far = ascii_so_far and text.isascii()
        except UnicodeDecodeError as error:
            place = f"{where}, line {number},"
            if not ascii_so_far:
                raise _not_utf8(place, error) from error
            ahead = found.readlines(SAMPLE)
            encoding = legacy([line, *ahead], error, where=place)
            tell(where, encoding)
            for rest in itertools.chain([line], ahead, found):
                yield _by_table(rest, encoding, where=where)
            return
        yield text


def _with_head(head: bytes, file: BinaryIO) -> io.BufferedReader:
    """The file with the bytes that were read already put back in front."""
    return io.BufferedReader(_Joined(head, file), 1 << 20)


class _Joined(io.RawIOBase):
    def __init__(self, head: bytes, file: BinaryIO):
        self._head, self._file = io.BytesIO(head), file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._head.read(len(buffer)) or self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def unicode_kind(head: bytes) -> str:
    """The Unicode encoding of a file, by its first bytes: utf-8-sig, utf-16 or utf-32 where it has a byte-order mark; else utf-8,
    utf-16-le, utf-16-be, utf-32-le or utf-32-be.

    Without a mark, UTF-32 is recognised by its zeros, which stand at the same place in every four bytes. UTF-16 is recognised by
    every second byte: in an alphabet most high bytes are below 16, and in other scripts those of spaces and digits are 0. Chinese without a mark
    is left to `legacy`."""
    for mark, encoding in BOMS:
        if head.startswith(mark):
            return encoding
    whole = len(head) // 4
    zeros = [head[place : 4 * whole : 4].count(0) for place in range(4)]
    if whole and zeros[3] == whole and zeros[2] > 0.9 * whole:
        return "utf-32-le"
    if whole and zeros[0] == whole and zeros[1] > 0.9 * whole:
        return "utf-32-be"
    if 0 not in head:  # of spaces and line ends, at least
        return "utf-8"
    for high, share, times in ((ALPHABETS, 0.5, 4), ({0}, 0.1, 9)):
        even, odd = (sum(byte in high for byte in head[place::2]) for place in (0, 1))
        if max(even, odd) > share * len(head) / 2 and max(even, odd) > times * min(even, odd):
            return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"


def legacy(lines: list[bytes], error: UnicodeDecodeError, *, where: str) -> str:
    """The likely encoding of lines that are not UTF-8, after lines of ASCII only. Raises MinitronError if they are damaged UTF-8,
    or have too few bytes beyond ASCII to tell."""
    sample = b"\n".join(line for part in lines for line in part.splitlines() if not line.isascii())[:SAMPLE]
    beyond = sum(byte > 127 for byte in sample)
    good = len(sample.decode(errors="ignore").encode()) - (len(sample) - beyond)  # those of whole UTF-8 characters
    if beyond < FEWEST or 2 * good > beyond:
        raise _not_utf8(where, error)
    if encoding := latin(sample):
        return encoding
    from charset_normalizer import from_bytes  # takes 0.1 s

    best = from_bytes(sample, cp_exclusion=["mac_cyrillic"]).best()  # which it takes short texts in cp1251 for
    if best is None:
        raise _not_utf8(where, error)
    return best.encoding


def latin(sample: bytes) -> str:
    """The code page in which the letters beyond ASCII are those of one language: of several the first in LETTERS, empty if there is none.
    charset-normalizer goes by how frequent letters are, and takes è for č or ę, which are about as frequent."""
    best, encoding = LEAST_COVERED, ""
    ascii_letters = len(re.findall(rb"[A-Za-z]", sample))
    if sum(byte >= 128 for byte in sample) > ascii_letters:  # a few words of Russian may look like Slovak
        return ""
    for page, languages in LETTERS.items():
        with suppress(UnicodeDecodeError):
            beyond = Counter(c for c in sample.decode(page).lower() if not c.isascii() and c not in MARKS)
            for letters in languages.split():
                share = sum(beyond[c] for c in letters) / beyond.total() if beyond else 1.0
                if share > best:
                    best, encoding = share, page
    return encoding


def _by_table(line: bytes, encoding: str, *, where: str) -> str:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError as error:
        raise MinitronError(f"{where} is neither UTF-8 nor {encoding} text: {error.reason}", hint=_HINT) from error


_HINT = "save it as UTF-8 (an editor or iconv does), or leave it out"


def _not_utf8(where: str, error: UnicodeDecodeError) -> MinitronError:
    return MinitronError(f"{where} is not UTF-8 text: {error.reason} at byte {error.start}", hint=_HINT)


@functools.cache  # a file is read several times in a run
def tell(where: str, encoding: str) -> None:
    """Says that a file is not UTF-8."""
    if encoding not in ("utf-8", "utf-8-sig"):
        say(f"{where} is read as {encoding}; if that is wrong, save it as UTF-8")
