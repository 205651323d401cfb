"""Completions that people or judges labelled, from the shapes such data comes in.

- `chosen` and `rejected` columns, beside a `prompt`, or Alpaca's instruction and input; each a text or a list of messages
- `prompt`, `completion`, `label` rows, as TRL's KTO reads them
- dialogues with scores: what passes `reject.chosen_if` is chosen, what passes `reject.rejected_if` is rejected

Yields one `Labelled` per completion; knows nothing about tokens.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from minitron.core.errors import MinitronError
from minitron.data.sources import ROLES, Reader, find_files, joined, json_lines, json_list, to_messages
from minitron.recipe.schema import DataConfig, RejectConfig

Message = dict[str, str]


@dataclass
class Labelled:
    """A dialogue up to the user's turn, an answer to it, and whether it is a good one."""

    prompt: list[Message]
    completion: str
    label: bool


def read(settings: RejectConfig, dropped: Counter) -> Iterator[Labelled]:
    """All labelled completions of `reject.files`; what is no use is counted in `dropped` by the reason."""
    paths = find_files(settings.files, option="reject.files")
    if settings.chosen_if or settings.rejected_if:
        for rules, label in ((settings.chosen_if, True), (settings.rejected_if, False)):
            if rules:
                yield from _judged(paths, rules, label, dropped)
        return
    for path in paths:
        for row in _rows(path):
            yield from _labelled(row, path, dropped)


def _judged(paths: list[Path], rules: list[str], label: bool, dropped: Counter) -> Iterator[Labelled]:
    for rows in Reader(DataConfig(keep=rules)).read(paths):
        for row in rows:
            messages = to_messages(row.turns, roles=ROLES, unknown=set())
            if isinstance(messages, str):
                dropped[messages] += 1
            else:
                yield Labelled(messages[:-1], messages[-1]["content"], label)


def _rows(path: Path) -> Iterator[dict]:
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1024):
                    yield from batch.to_pylist()
        elif path.suffix == ".jsonl":
            with open(path, "rb") as lines:
                yield from json_lines(lines, path)
        else:
            yield from json_list(path)
    except (OSError, pa.ArrowException) as error:
        raise MinitronError(f"{path} cannot be read: {error}", hint="check that the file is whole") from error


def _labelled(row: dict, path: Path, dropped: Counter) -> list[Labelled]:
    if "label" in row and "completion" in row:
        answers = [(row["completion"], bool(row["label"]))]
    elif "chosen" in row and "rejected" in row:
        answers = [(row["chosen"], True), (row["rejected"], False)]
    else:
        raise MinitronError(
            f"{path} has neither chosen and rejected nor prompt, completion and label, but {', '.join(row)}",
            hint="for dialogues with scores set reject.chosen_if and reject.rejected_if",
        )
    asked = row.get("prompt") or joined(row.get("instruction"), row.get("input"))
    found = [_one(asked, answer, label) for answer, label in answers]
    if None in found:
        dropped["malformed: no prompt, or no text"] += 1
        return []
    if len(found) == 2 and found[0].completion == found[1].completion:
        dropped["chosen equals rejected"] += 1
        return []
    return found


def _one(asked: Any, answer: Any, label: bool) -> Labelled | None:
    """A prompt and an answer, each a text or a list of messages; a list may hold the prompt as well."""
    prompt = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked or [])
    turns = [{"role": "assistant", "content": answer}] if isinstance(answer, str) else list(answer or [])
    messages = to_messages(prompt + turns, roles=ROLES, unknown=set())
    if isinstance(messages, str):
        return None
    return Labelled(messages[:-1], messages[-1]["content"], label)
