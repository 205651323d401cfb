"""The recipe of a command that takes a recipe or a run's folder, such as `minitron chat runs/demo`.

Knows nothing about what is in the run.
"""

import difflib
import os
from pathlib import Path

from minitron.core.errors import MinitronError
from minitron.recipe.layout import STAGES
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config


def load_target(text: str, overrides: list[str], *, command: str = "chat") -> Config:
    """The configuration of a recipe (recipes/demo.toml) or of a run's folder (runs/demo).

    Raises MinitronError if `text` names neither, and for a run's folder that is not under ./runs.
    """
    path = Path(text)
    if not path.is_dir():
        if not path.exists() and path.suffix != ".toml":
            folders = [p.name for p in path.parent.glob("*") if p.is_dir()]
            near = difflib.get_close_matches(path.name, folders, n=1)
            hint = f"did you mean {path.parent / near[0]}?" if near else "such as recipes/demo.toml or runs/demo"
            raise MinitronError(f"there is no recipe and no run {path}", hint=hint, code=2)
        return load_recipe(path, overrides)
    path = Path(os.path.abspath(path))
    saved = [path / stage / "config.toml" for stage in reversed(STAGES)]
    newest = next((file for file in saved if file.exists()), None)  # of the last stage that has run
    if newest is None:
        hint = "name a run's folder, such as runs/demo, or a recipe"
        raise MinitronError(f"{text} holds no run: none of its folders has a config.toml", hint=hint, code=2)
    if not (Path("runs").exists() and path.parent.samefile("runs")):
        hint = f"go to {path.parent.parent} and run: minitron {command} runs/{path.name}"
        if path.parent.name != "runs":
            hint = f"move it to runs/{path.name} and run: minitron {command} runs/{path.name}"
        raise MinitronError(f"{text} is not in the folder runs of {Path.cwd()}", hint=hint, code=2)
    return load_recipe(newest, overrides, name=path.name)
