"""`metrics.jsonl`: one JSON object per line, appended while a stage runs, read by the report; TensorBoard's files if wanted."""

import json
from pathlib import Path

from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write


class MetricsLog:
    """Appends to `path`. A resumed stage first cuts off what came after its checkpoint.

    With `tensorboard` every number goes into `path`'s folder too, for `tensorboard --logdir runs`. Raises MinitronError
    where that package is missing.
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
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: dict) -> None:
        self._file.write(line(row))
        self._file.flush()
        for name, value in row.items() if self._board else ():
            if isinstance(value, int | float) and name != "step":
                self._board.add_scalar(name, value, row["step"])

    def close(self) -> None:
        self._file.close()
        if self._board:
            self._board.close()


def line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def read(path: Path) -> list[dict]:
    """All whole lines; a line that a crash cut off is left out."""
    rows = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return rows
