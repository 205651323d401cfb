"""torch.compile of a model's blocks, on a GPU, where a short measurement says that it pays.

Not on a CPU: it gains nothing there (docs/performance.md), and compiled blocks now and then crash the process (torch 2.13).
"""

import copy
from collections.abc import Callable
from functools import partial

import torch

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.train.precision import Choice, fastest


def check(wanted: str, device: torch.device) -> None:
    """Raises MinitronError if the recipe asks for compiled blocks on a CPU."""
    if wanted == "on" and device.type == "cpu":
        raise MinitronError(
            "torch.compile is not for a CPU: it gains nothing there, and compiled code may crash",
            hint="set optim.compile=auto",
        )


def choose_compile(wanted: str, model: LanguageModel, trial: Callable[[LanguageModel], None]) -> Choice:
    """Whether to compile the blocks, "on" or "off": as the recipe says, or with "auto" whichever is faster on this GPU.

    `trial(model)` runs a forward and a backward pass. Raises MinitronError if the recipe says "on" and compiling fails.
    """
    check(wanted, model.device)
    if wanted == "off":
        return Choice("off", "as the recipe says")
    if wanted == "auto" and model.device.type != "cuda":
        return Choice("off", f"the default on {model.device.type}")
    other = copy.deepcopy(model)
    compile_blocks(other)
    try:
        trial(other)
    except Exception as error:  # no compiler here, or one that fails: whatever the reason, the model trains without
        reason = str(error).strip().splitlines()[0]
        if wanted == "on":
            raise MinitronError(f"torch.compile does not work here: {reason}", hint="set optim.compile=off") from error
        return Choice("off", reason)
    if wanted == "on":
        return Choice("on", "as the recipe says")
    return fastest({"off": partial(trial, model), "on": partial(trial, other)}, what="a micro-batch")


def compile_blocks(model: LanguageModel, backend: str = "inductor") -> None:
    """Compiles the blocks in place; the weights keep their names. Shapes are not made symbolic: each new length compiles once."""
    for block in model.blocks:
        block.compile(dynamic=False, backend=backend)
