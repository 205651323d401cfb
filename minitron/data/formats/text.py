"""Plain text: a file is one row with one column, `text`; or, if dialogues are wanted and it holds a chat, a row per dialogue."""

from collections.abc import Iterator

from minitron.data.chats import export_kinds
from minitron.data.formats.encodings import unicode_kind
from minitron.data.formats.source import Source, reading

HEAD = 1 << 16  # bytes by which a chat is recognised in a folder


class Text(Source):
    """A file as one document; its line ends become \\n."""

    only_column = "text"

    def rows(self) -> Iterator[dict]:
        text = self.text().replace("\r\n", "\n").replace("\r", "\n")
        if self.chat and (export := self.chat.export_of("text", text)):
            yield from self.chat.rows(export, text)
        else:
            yield {"text": text}

    def begins_as_chat(self) -> bool:
        """Whether the beginning of the file reads as a chat."""
        with reading(self.where), self.open() as file:
            head = file.read(HEAD)
        text = head.decode(unicode_kind(head), errors="ignore").replace("\r\n", "\n")
        return any(kind.holds == "text" and kind.recognises(text) for kind in export_kinds())

    def count(self) -> int | None:
        return None if self.chat else 1
