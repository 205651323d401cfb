"""A person's labels of the answers in a chat, kept in one file: /good, /bad, /fix and /labels.

    book = Book(Path("runs/demo/labels.json"), Model("Tiko", sha256))
    book.add(messages, answer, kind="fix", fix="I am Tiko.")

The file has the format in which labels are sent (docs/loop.md), and is created when the first answer is labelled. Knows nothing
about models and terminals.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from minitron.data import labels
from minitron.data.labels import FIX, KINDS, Label, Model
from minitron.tokenizer.chat_template import Message


class Book:
    """The labels of one model's answers."""

    def __init__(self, path: Path, model: Model):
        self.path, self.model = path, model

    def labels(self) -> list[Label]:
        """All labels, oldest first. Raises MinitronError if the file holds something else."""
        hint = "move it away, or restore an earlier copy"  # nobody sent this file: it is the person's own
        return labels.read(self.path, hint=hint)[1] if self.path.exists() else []

    def add(self, messages: Sequence[Message], answer: str, *, kind: str, why: str = "", fix: str = "") -> str:
        """Keeps a label, which replaces an earlier one of the same answer, and returns what to tell the person."""
        time = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        row = {"messages": messages, "answer": answer, "kind": kind, "why": why, "fix": fix, "time": time}
        label = labels.parse_label(row)
        if isinstance(label, str):
            return f"Nothing is noted: {label}."
        kept = [k for k in self.labels() if (k.messages, k.answer) != (label.messages, label.answer)]
        labels.write(self.path, self.model, [*kept, label])
        noted = "Noted what it should have said" if kind == FIX else f"Noted as {kind}"
        told = f"{noted}; labels: {len(kept) + 1}."
        return told if kept else f"{told}\n(They are kept in {self.path} alone. /labels FILE writes them to a file.)"

    def command(self, file: str) -> str:
        """Carries out /labels and returns what to tell: counts the labels, or writes them to `file` if it does not exist yet."""
        kept = self.labels()
        if not kept:
            return "No answer is labelled yet: /good, /bad [why] and /fix [text] label the last one."
        if not file:
            count = Counter(label.kind for label in kept)
            return (
                ", ".join(f"{kind}: {count[kind]}" for kind in KINDS) + f"; in {self.path}. To send them: /labels FILE"
            )
        path = Path(file).expanduser()
        if path.exists():
            return f"{file} is there already: name another file."
        labels.write(path, self.model, kept)
        return f"Written to {file}; labels: {len(kept)}. To learn from them: minitron labels add RECIPE {file}"
