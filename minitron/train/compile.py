"""torch.compile of a model's blocks, where a short measurement says that it pays.

Compiled blocks must not run in two threads at once, and `parallel.in_turn` sees to that: while one thread compiles, the code of
another may crash (torch 2.13, seen with AVX2).
"""

import copy
from collections.abc import Callable
from functools import partial

from minitron.core import parallel
from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.train.precision import Choice, fastest


def choose_compile(wanted: str, model: LanguageModel, trial: Callable[[LanguageModel], None]) -> Choice:
    """Whether to compile the blocks, "on" or "off": as the recipe says, or as a measurement on this GPU does.

    `trial(model)` runs a forward and a backward pass. On a CPU it gains nothing (docs/performance.md), so there and
    on MPS it is not tried.
    """
    if wanted == "off":
        return Choice("off", "as the recipe says")
    if wanted == "auto" and model.device.type != "cuda":
        return Choice("off", f"the default on {model.device.type}")
    other = copy.deepcopy(model)
    compile_blocks(other)
    try:
        with parallel.in_turn():
            trial(other)
    except Exception as error:  # no compiler here, or one that fails: whatever the reason, the model trains without
        reason = str(error).strip().splitlines()[0]
        if wanted == "on":
            raise MinitronError(f"torch.compile does not work here: {reason}", hint="set optim.compile=off") from error
        return Choice("off", reason)
    if wanted == "on":
        return Choice("on", "as the recipe says")
    return fastest({"off": partial(trial, model), "on": partial(trial, other)}, what="a micro-batch")


def compile_blocks(model: LanguageModel) -> None:
    """In place; the names of the weights stay."""
    for block in model.blocks:
        block.compile(dynamic=False)
