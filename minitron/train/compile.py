"""torch.compile of a model's blocks, where a short measurement says that it pays."""

import copy
from collections.abc import Callable

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.train.precision import warm_seconds


def choose_compile(wanted: str, model: LanguageModel, trial: Callable[[LanguageModel], None]) -> str:
    """Compiles the blocks where the recipe says so, or where a measurement on this GPU does; returns what to tell.

    `trial(model)` runs a forward and a backward pass. On a CPU it gains nothing (docs/performance.md), so there and
    on MPS it is not tried.
    """
    if wanted == "off" or (wanted == "auto" and model.device.type != "cuda"):
        return "off"
    other = copy.deepcopy(model)
    compile_blocks(other)
    try:
        compiled = warm_seconds(trial, other)
    except Exception as error:  # no compiler here, or one that fails: whatever the reason, the model trains without
        reason = str(error).strip().splitlines()[0]
        if wanted == "on":
            raise MinitronError(f"torch.compile does not work here: {reason}", hint="set optim.compile=off") from error
        return f"off ({reason})"
    plain = warm_seconds(trial, model)
    told = f"({1000 * plain:.0f} ms a micro-batch without, {1000 * compiled:.0f} with)"
    if wanted == "auto" and compiled >= plain:
        return f"off {told}"
    compile_blocks(model)
    return f"on {told}"


def compile_blocks(model: LanguageModel) -> None:
    """In place; the names of the weights stay."""
    for block in model.blocks:
        block.compile(dynamic=False)
