"""JSON files that hold an array of objects, or an export of chats."""

import json
from collections.abc import Iterator

from minitron.core.errors import MinitronError
from minitron.data.formats.source import Source, unreadable


class JsonArray(Source):
    """A file with one array; all of it is in memory while it is read."""

    def rows(self) -> Iterator[dict]:
        try:
            objects = json.loads(self.text())
        except (ValueError, RecursionError) as error:
            hint = "is it one object per line? then name it .jsonl"
            raise unreadable(self.path, error, hint=hint) from error
        if self.chat and (export := self.chat.export_of("json", objects)):
            yield from self.chat.rows(export, objects)
            return
        if not isinstance(objects, list) or not all(isinstance(row, dict) for row in objects):
            hint = "write one object per row: [{...}, {...}]"
            raise MinitronError(f"{self.path} is not a JSON array of objects", hint=hint)
        yield from objects
