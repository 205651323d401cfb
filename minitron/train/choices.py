"""What a run finds out about its machine before the first step, and keeps beside its checkpoints.

    found = choose(model, optimizer, config.optim, trial)
    found.write(folder / "report.json")

Knows nothing about data.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minitron.core import distributed
from minitron.core.console import say
from minitron.core.device import processor
from minitron.core.files import atomic_write
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import OptimConfig
from minitron.train.compile import choose_compile
from minitron.train.optimizer import Optimizers
from minitron.train.precision import Choice, choose_precision


@dataclass(frozen=True)
class Choices:
    """The precision of forward and backward passes, the precision of the optimizer's matrix products (an empty name if it
    multiplies none), and whether blocks are compiled ("on" or "off")."""

    precision: Choice
    products: Choice
    compile: Choice

    def say(self) -> None:
        """Prints each choice on a line of its own."""
        say(f"precision {self.precision}")
        if self.products.name:
            say(f"the optimizer's products {self.products}")
        say(f"torch.compile {self.compile}")

    def write(self, path: Path) -> None:
        """Writes the choices and the processor's name to `path`, a stage's report.json."""
        atomic_write(path, json.dumps({"processor": processor(), "choices": asdict(self)}, indent=1))

    @classmethod
    def read(cls, path: Path) -> "Choices | None":
        """Reads what `write` wrote; None if the file is missing or cannot be understood."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["choices"]
            return cls(**{name: Choice(**choice) for name, choice in found.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def choose(
    model: LanguageModel, optimizer: Optimizers, config: OptimConfig, trial: Callable[[LanguageModel, str], Any]
) -> Choices:
    """Makes the recipe's choices; what the recipe leaves open is measured. `trial(model, precision)` runs forward and backward
    passes with as many threads at work as in training."""
    width = model.config.d_model
    precision = choose_precision(
        config.precision, model.device, partial(trial, model), what="a micro-batch", width=width
    )
    products = Choice("", "no matrices are multiplied")
    if optimizer.products:
        products = choose_precision(config.precision, model.device, optimizer.trial, what="an update", width=width)
    # the collectives of a sharded model are not compiled
    wanted = "off" if distributed.sharded(model) else config.compile
    compiled = choose_compile(wanted, model, lambda model: trial(model, precision.name))
    return Choices(precision, products, compiled)
