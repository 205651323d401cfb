"""Makes one dialogue of each tree of messages, as OpenAssistant (oasst1, oasst2) publishes them: the path of the best-ranked
replies.

Either a row is a message with `message_id`, `parent_id`, `role` and `text`, or a row is a tree, whose `prompt` has `replies`.
Deleted messages and the replies below them are left out. Any other source passes through unchanged, and so do rows of another
kind that stand among those of a tree.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from minitron.core.errors import MinitronError
from minitron.data.chats.export import DELETED, field
from minitron.data.formats.source import CHUNK_ROWS, Chunk, Objects, Source, rows_of
from minitron.data.rules import to_number

MESSAGES = {"message_id", "parent_id", "text", "role"}
TREES = {"message_tree_id", "prompt"}
WORSE = "replies that are not ranked best, and what follows them"
LOST = "messages whose parent is not there"
MADE_OF = {"message_id", "parent_id", "text", "role", "replies", "prompt", "message_tree_id"}


class Trees(Source):
    """A source that gives a dialogue for each tree, or its rows as they are if it has no trees."""

    def __init__(self, inner: Source):
        self.inner, self.path, self.where, self.name = inner, inner.path, inner.where, inner.name
        self.only_column = inner.only_column
        self.every_row_has_all_columns = inner.every_row_has_all_columns
        self._begin()

    def _begin(self) -> None:
        self.messages, self.kept, self.dialogues = 0, 0, 0
        self.left_out: Counter[str] = Counter()

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        self._begin()
        found = self.inner.chunks(rows)
        first = next((chunk for chunk in found if chunk.rows), None)
        if first is None:
            return
        names, every = set(first.names), itertools.chain([first], found)
        if not (names >= MESSAGES or names >= TREES):
            yield from every
            return
        dialogues = (self._of_messages if names >= MESSAGES else self._of_trees)(rows_of(every))
        while objects := list(itertools.islice(dialogues, rows)):
            yield Objects(objects)

    def _of_messages(self, rows: Iterable[dict]) -> Iterator[dict]:
        """Holds all rows in memory, because a reply may stand anywhere."""
        replies: dict[Any, list[dict]] = defaultdict(list)
        found = []
        for row in rows:
            if row.get("message_id") is None and row.get("text") is None:
                yield row
            else:
                found.append(row)
        self.messages = len(found)
        known = {key(row["message_id"]) for row in found if row.get("message_id") is not None}
        for row in found:
            parent = row.get("parent_id")
            replies[None if parent in (None, "") else key(parent)].append(row)
        self.left_out[LOST] = sum(
            len(rows) for parent, rows in replies.items() if parent is not None and parent not in known
        )
        for root in replies[None]:
            yield from self._dialogue(root, lambda row: replies.get(key(row.get("message_id")), []))
        self.left_out[WORSE] += self.messages - self.kept - self.left_out.total()

    def _of_trees(self, rows: Iterable[dict]) -> Iterator[dict]:
        for row in rows:
            if row.get("message_tree_id") is None and not isinstance(row.get("prompt"), dict):
                yield row
                continue
            root = field(row, "prompt", dict)
            size = count_messages(root)
            self.messages += size
            before = self.kept + self.left_out.total()
            found = self._dialogue(
                root, lambda node: [one for one in field(node, "replies", list) if isinstance(one, dict)]
            )
            beside = {name: value for name, value in row.items() if name not in MADE_OF}
            yield from (beside | dialogue for dialogue in found)
            self.left_out[WORSE] += size - (self.kept + self.left_out.total() - before)

    def _dialogue(self, root: dict, replies_to: Any) -> Iterator[dict]:
        path, seen, following = [], set(), [root]
        while following:
            alive = [row for row in following if row.get("deleted") is not True]
            self.left_out[DELETED] += len(following) - len(alive)
            best = min(alive, key=rank, default=None)
            if best is None or id(best) in seen:  # a damaged file may have cycles
                break
            seen.add(id(best))
            path.append(best)
            following = replies_to(best)
        if path:
            self.kept += len(path)
            self.dialogues += 1
            beside = {name: value for name, value in path[-1].items() if name not in MADE_OF}
            yield beside | {"messages": [{"role": row.get("role"), "content": row.get("text")} for row in path]}

    def count(self) -> int | None:
        return None if self._has_trees() else self.inner.count()

    def parts(self) -> list[Source]:
        return [] if self._has_trees() else self.inner.parts()

    @property
    def size(self) -> int:
        return self.inner.size

    def _has_trees(self) -> bool:
        names = next((set(chunk.names) for chunk in self.inner.chunks() if chunk.rows), set())
        return names >= MESSAGES or names >= TREES

    def why_empty(self) -> MinitronError | None:
        return self.inner.why_empty()

    def about(self) -> dict | None:
        if not self.messages:
            return self.inner.about()
        left_out = {reason: count for reason, count in self.left_out.most_common() if count}
        counts = {"messages": self.messages, "in_dialogues": self.kept, "dialogues": self.dialogues}
        return {"path": self.where, "export": "trees"} | counts | {"left_out": left_out}

    def told(self) -> list[str]:
        if not self.messages:
            return self.inner.told()
        said = (
            f"{self.where}: {self.messages:,} messages in trees, {self.kept:,} of them in {self.dialogues:,} dialogues"
        )
        return [said, *(f"- {reason}: {count:,}" for reason, count in self.left_out.most_common() if count)]


def key(value: Any) -> Any:
    """An id as a value that can be looked up in a dict, whatever its type."""
    return value if isinstance(value, str | int) else repr(value)


def rank(row: dict) -> float:
    """A reply's rank: 0 is the best; a reply that nobody ranked comes last."""
    number = to_number(row.get("rank"))
    return float("inf") if number is None else number


def count_messages(node: dict) -> int:
    count, found = 0, [node]
    while found:
        one = found.pop()
        count += 1
        found += [reply for reply in field(one, "replies", list) if isinstance(reply, dict)]
    return count
