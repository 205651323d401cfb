"""JSON lines: an object per line."""

import json
from collections.abc import Iterator

from minitron.core.errors import MinitronError
from minitron.data.formats.source import Source, unreadable


class JsonLines(Source):
    """A file with an object per line; blank lines do not count."""

    def rows(self) -> Iterator[dict]:
        with self.open() as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
                    raise unreadable(f"{self.path}, line {number},", error, hint="mend or remove that line") from error
                if not isinstance(row, dict):
                    hint = 'each line is a row, such as {"messages": [...]}'
                    raise MinitronError(f"{self.path}, line {number}, is not a JSON object", hint=hint)
                yield row

    def count(self) -> int | None:
        """Its lines, which is faster than to parse them."""
        if self.compressed:
            return None
        with self.open() as file:
            return sum(1 for line in file if line.strip())
