"""`metrics.jsonl`: one JSON object per line, appended while a stage runs, read by the report; TensorBoard's files if wanted."""

import json
import os
from pathlib import Path

from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, write_error


class MetricsLog:
    """Appends to `path` within a `with` block. Rows after `from_step`, the checkpoint that a stage resumes from, are removed first.

    With `tensorboard` every number is also written into the folder tensorboard beside `path`, for `tensorboard --logdir runs`.
    Raises MinitronError if that package is missing.
    """

    def __init__(self, path: Path, *, from_step: int = 0, tensorboard: bool = False):
        self._board = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                hint = "pip install 'minitron[tensorboard]', or leave that option out"
                raise MinitronError("tensorboard = true needs TensorBoard", hint=hint) from None
            self._board = SummaryWriter(path.parent / "tensorboard", purge_step=from_step + 1)
        kept = [row for row in read(path) if row["step"] <= from_step]
        if kept or path.is_file():
            atomic_write(path, "".join(line(row) for row in kept))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(str(path), "a", encoding="utf-8")  # noqa: SIM115 (closed by the with block)

    def write(self, row: dict) -> None:
        try:
            self._file.write(line(row))
            self._file.flush()
        except OSError as error:
            raise write_error(error, path=self._file.name) from error
        for name, value in row.items() if self._board else ():
            if isinstance(value, int | float) and name != "step":
                self._board.add_scalar(name, value, row["step"])

    def sync(self) -> None:
        """Waits until all rows are on the disk. Called before a checkpoint, whose row must still be there after a power cut."""
        if self._file.name != os.devnull:
            os.fsync(self._file.fileno())

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._board:
            self._board.close()


def line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def read(path: Path) -> list[dict]:
    """All whole rows; none if there is no file. Reading ends at the first line that a crash cut off or garbled."""
    rows = []
    # Not splitlines: a sample's text may hold U+2028 or U+0085, which JSON leaves as they are.
    for text in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
        try:
            row = json.loads(text)
        except ValueError:
            break
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            break
        rows.append(row)
    return rows
