"""What `minitron plan` is asked for: a recipe or files of data, a size, a time.

    request = read(["recipes/demo.toml", "optim.name=adamw"], params="10M", minutes=None)
    request = read(["chats/*.jsonl", "book.txt"], params=None, minutes="20")

Files of data stand for a recipe with the dialogues in [data], the plain text in [pretrain], and all else at its defaults. Knows
nothing about what is proposed.
"""

import glob
import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minitron.core.errors import MinitronError
from minitron.data.formats import format_of
from minitron.data.formats.text import Text
from minitron.data.sources import find_files
from minitron.plan.rules import LARGEST, SMALLEST
from minitron.recipe.load import recipe_of, tables_of
from minitron.recipe.schema import Config

LONGEST_MINUTES = 60 * 24 * 90
OVERRIDE = re.compile(r"\w+(\.\w+)*=")
OPTIMIZER = "muon"  # if none is named: a model learns more with it in the same time (docs/architecture.md)


@dataclass(frozen=True)
class Request:
    config: Config  # what to learn from
    optimizer: str
    size: int | None  # parameters
    minutes: float | None
    command: str  # as a user types it


def read(words: list[str], *, params: str | None, minutes: str | None) -> Request:
    """`words` are a recipe or files of data, and overrides. Raises MinitronError for what cannot be understood."""
    size, time = parse_size(params) if params else None, parse_minutes(minutes) if minutes else None
    if size is None and time is None:
        raise MinitronError("plan needs a size or a time", hint="add --params 10M, --minutes 60, or both", code=2)
    asked = ["--params", params] * bool(params) + ["--minutes", minutes] * bool(minutes)
    if names_data(words[0]):
        files = [word for word in words if not OVERRIDE.match(word) or Path(word).exists()]
        overrides = [word for word in words if word not in files]
        name = Path(files[0]).name.split(".")[0]
        config = recipe_of(from_data(files, overrides), Path(files[0]), overrides, name=name)
        optimizer, asked = config.optim.name, [*files, *overrides, *asked]
    else:
        raw = tables_of(Path(words[0]))
        config = recipe_of(raw, Path(words[0]), words[1:])
        optimizer = config.optim.name if "name" in raw.get("optim", {}) else OPTIMIZER
        asked = [*words, *asked]
    return Request(config, optimizer, size, time, shlex.join(["minitron", "plan", *asked]))


# ---- data in place of a recipe


def names_data(word: str) -> bool:
    """Whether `word` names data and so no recipe: a file whose ending says so, a folder, or a glob."""
    return format_of(Path(word)) is not None or Path(word).expanduser().is_dir() or glob.has_magic(word)


def from_data(files: list[str], overrides: list[str]) -> dict[str, Any]:
    """The tables of a recipe for files of data, as tomllib would read them. If an override sets an option of [pretrain], all files
    are read as plain text."""
    all_text = any(word.startswith("pretrain.") for word in overrides)
    text = [name for name in files if all_text or _is_text(name)]
    dialogues = [name for name in files if name not in text]
    found: dict[str, Any] = {"optim": {"name": OPTIMIZER}}
    found |= {"data": {"files": dialogues}} if dialogues else {}
    return found | ({"pretrain": {"files": text}} if text else {})


def _is_text(name: str) -> bool:
    """Whether all files that `name` stands for are plain text, and none is a chat, such as WhatsApp's."""
    kinds = [(format_of(path), path) for path in find_files([name], text=True)]
    return all(kind is None or (kind is Text and not Text(path).begins_as_chat()) for kind, path in kinds)


# ---- size and time


def parse_size(text: str) -> int:
    """`10M`, `500k`, `1.5m`, `2e6` as a number of parameters. Raises MinitronError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:[._]\d+)*(?:e\d{1,2})?)\s*([kmbKMB]?)\s*", text)
    hint = "write a size such as 10M, 500k, 1.5m or 2e6"
    if not match:
        raise MinitronError(f"--params: '{text}' is not a number of parameters", hint=hint, code=2)
    try:
        size = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}[match[2].lower()]
    except ValueError:
        raise MinitronError(f"--params: '{text}' is not a number of parameters", hint=hint, code=2) from None
    if not SMALLEST <= size <= LARGEST:
        raise MinitronError(
            f"--params must be from 0.1M to 1000M, not {text}",
            hint="the demo has 1.1M, the reference 48M",
            code=2,
        )
    return round(size)


def parse_minutes(text: str) -> float:
    """Minutes, as a number. Raises MinitronError for anything else."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= LONGEST_MINUTES:
        raise MinitronError(
            f"--minutes: '{text}' is not a time from 0 to {LONGEST_MINUTES:,} minutes",
            hint="write a number such as 60",
            code=2,
        )
    return minutes
