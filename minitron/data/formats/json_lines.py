"""JSON lines: an object per line."""

import itertools
import json
from collections.abc import Iterator

from minitron.core.errors import MinitronError
from minitron.data.formats.source import Source, unreadable


class JsonLines(Source):
    """A file with an object per line; blank lines do not count."""

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
        for number, line in enumerate(self.lines(), 1):
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

    def count(self) -> int | None:
        """Its lines, which is faster than to parse them."""
        if self.compressed or (self.chat and self.chat.export_of("lines", [*itertools.islice(self._objects(), 1)])):
            return None
        with self.open() as file:
            return sum(1 for line in file if line.strip())
