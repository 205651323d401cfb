"""A recipe as one stage may see it. A stage can read only options that it declares, so its fingerprint has all that decides its outcome.

    view = View(config, ("model", "sft", "export.top_k"))
    view.sft.steps, view.export.top_k, view.seed        # fine
    view.export.title                                   # raises Undeclared

Knows nothing about stages.
"""

from collections.abc import Iterable
from types import FunctionType, MethodType
from typing import Any

from minitron.recipe.schema import Config

# What every stage may read: names and paths, and on which device it computes. A change of `base`, `shipped` and the like
# shows in the files that a stage reads.
GENERAL = (
    "name",
    "recipe",
    "seed",
    "device",
    "shard",
    "layout",
    "base",
    "shipped",
    "init",
    "longer",
    "finished",
    "labels_file",
    "labelled",
)


class Undeclared(RuntimeError):
    """A stage reads an option that it has not declared: a mistake in minitron, not in the recipe."""


class View:
    """`config` with only the `options`: sections (`model`) and single options (`export.top_k`). Of other sections it shows
    only whether the recipe has them."""

    def __init__(self, config: Config, options: Iterable[str]):
        self._config, self._options = config, tuple(options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._config, name)
        if name in GENERAL or name in self._options or value is None:
            return value
        if isinstance(value, MethodType):
            raise Undeclared(f"{name} sees the whole recipe")
        some = [option.split(".")[1] for option in self._options if option.startswith(f"{name}.")]
        return _Part(name, value, frozenset(some))


class _Part:
    """A section with some of its options, and its methods as far as these suffice."""

    def __init__(self, name: str, section: Any, options: frozenset[str]):
        self._name, self._section, self._options = name, section, options

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        made = getattr(type(self._section), name, None)
        if isinstance(made, FunctionType):
            return MethodType(made, self)
        if isinstance(made, property):
            return made.fget(self) if made.fget else None
        if name not in self._options:
            raise Undeclared(f"{self._name}.{name} is not among what this stage declares")
        return getattr(self._section, name)
