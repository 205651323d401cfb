"""`metrics.jsonl`: one JSON object per line, appended while a stage runs, read by the report."""

import json
from pathlib import Path

from minitron.files import atomic_write


class MetricsLog:
    """Appends to `path`. A resumed stage first cuts off what came after its checkpoint."""

    def __init__(self, path: Path, *, from_step: int = 0):
        kept = [row for row in read(path) if row["step"] <= from_step]
        if kept or path.is_file():
            atomic_write(path, "".join(json.dumps(row) + "\n" for row in kept))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: dict) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[dict]:
    """All whole lines; a line that a crash cut off is left out."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows
