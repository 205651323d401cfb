"""JSON lines: an object per line."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minitron.core.errors import MinitronError
from minitron.data.formats.encodings import HEAD, unicode_kind
from minitron.data.formats.source import Source, unreadable

PART_BYTES = 16_000_000  # size of a part that one process reads at a time


class Span(NamedTuple):
    """Some whole lines of a file: its bytes from `begin` to `end`, and how many lines stand before."""

    begin: int
    end: int
    lines_before: int


class JsonLines(Source):
    """A file with an object per line, or some of its lines; blank ones do not count."""

    def __init__(self, path: Path, span: Span | None = None):
        super().__init__(path)
        self.span = span

    def rows(self) -> Iterator[dict]:
        objects = self._objects()
        first = next(objects, None)
        if first is None:
            return
        if self.chat and (export := self.chat.export_of("lines", [first])):
            yield from self.chat.rows(export, [first, *objects])
            return
        yield first
        yield from objects

    def _objects(self) -> Iterator[dict]:
        for number, line in enumerate(self.lines(), 1 + (self.span.lines_before if self.span else 0)):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise unreadable(f"{self.path}, line {number},", error, hint="mend or remove that line") from error
            if not isinstance(row, dict):
                hint = 'each line is a row, such as {"messages": [...]}'
                raise MinitronError(f"{self.path}, line {number}, is not a JSON object", hint=hint)
            yield row

    def lines(self) -> Iterator[str]:
        if not self.span:
            yield from super().lines()
            return
        left = self.span.end - self.span.begin
        with self.open() as file:
            file.seek(self.span.begin)
            while left > 0:
                line = file.readline()
                left -= len(line)
                yield line.decode("utf-8" if self.span.begin else "utf-8-sig")

    def parts(self) -> list[Source]:
        """The file's lines, in parts of about PART_BYTES; empty if the file is small, compressed, not UTF-8, or an export of a chat."""
        if self.compressed or self.size < 2 * PART_BYTES or self._is_export():
            return []
        names = next((chunk.names for chunk in self.chunks() if chunk.rows), [])
        found: list[Source] = []
        span = Span(0, 0, 0)
        with self.open() as file:
            while block := file.read(PART_BYTES):
                block += file.readline()
                if not self._is_utf8(block, first=not found):
                    return []
                span = Span(span.end, span.end + len(block), span.lines_before)
                part = JsonLines(self.path, span)
                part.names_before = names
                found.append(part)
                span = span._replace(lines_before=span.lines_before + block.count(b"\n"))
        return found

    @staticmethod
    def _is_utf8(block: bytes, *, first: bool) -> bool:
        if first and unicode_kind(block[:HEAD]) not in ("utf-8", "utf-8-sig"):
            return False
        try:
            block.decode()
        except UnicodeDecodeError:
            return False
        return True

    @property
    def size(self) -> int:
        return self.span.end - self.span.begin if self.span else super().size

    def _is_export(self) -> bool:
        first = [*itertools.islice(self._objects(), 1)]
        return bool(first and self.chat and self.chat.export_of("lines", first))

    def count(self) -> int | None:
        """The number of lines that are not blank, which is faster than parsing them; None for a compressed file or an export of a
        chat."""
        if self.compressed or self._is_export():
            return None
        with self.open() as file:
            return sum(1 for line in file if line.strip())
