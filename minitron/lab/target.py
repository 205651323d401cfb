"""What a command of the laboratory is asked about: a recipe, a run's folder, or a tokenizer's file."""

from pathlib import Path

from minitron.recipe.schema import Config
from minitron.recipe.target import load_target
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer


def find(name: str, *, command: str) -> tuple[Tokenizer, Config | None]:
    """The tokenizer, and the recipe of its run where `name` is one (recipes/demo.toml) or its folder (runs/demo).

    Raises MinitronError for what is neither, nor a tokenizer's file.
    """
    path = Path(name)
    if path.is_file() and path.suffix != ".toml":
        return kinds.load(path), None
    config = load_target(name, [], command=command)
    return kinds.load(config.layout.tokenizer), config
