"""Finds what a command of the laboratory is about: a recipe, a run's folder, or a tokenizer's file."""

from pathlib import Path

from minitron.recipe.schema import Config
from minitron.recipe.target import load_target
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer


def find(name: str, *, command: str) -> tuple[Tokenizer, Config | None]:
    """The tokenizer that `name` leads to, and the recipe of its run.

    `name` is a recipe (recipes/demo.toml), a run's folder (runs/demo), or a tokenizer's file, which has no recipe (None). Raises
    MinitronError for anything else.
    """
    path = Path(name)
    if path.is_file() and path.suffix != ".toml":
        return kinds.load(path), None
    config = load_target(name, [], command=command)
    return kinds.load(config.layout.tokenizer), config
