"""Plain text: a file is one row with one column, `text`."""

import io
from collections.abc import Iterator

from minitron.data.formats.source import Source


class Text(Source):
    """A UTF-8 file as one document; its line ends become \\n."""

    only_column = "text"

    def rows(self) -> Iterator[dict]:
        with io.TextIOWrapper(self.open(), encoding="utf-8-sig") as file:
            yield {"text": file.read()}

    def count(self) -> int | None:
        return 1
