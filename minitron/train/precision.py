"""In which precision a model is trained: autocast, fp16's scaling of the loss, and the choice by a short measurement."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import nn

Argument = TypeVar("Argument")


class LossScale:
    """What keeps small gradients from becoming 0 in fp16 (Micikevicius et al., arXiv 1710.03740, section 3.2): the loss is
    multiplied, gradients are divided; halved where one overflows, doubled after 1,000 steps without. 1 in other precisions."""

    def __init__(self, precision: str, *, value: float = 2.0**16, clean: int = 0):
        self.on = precision == "fp16"
        self.value, self.clean = (value, clean) if self.on else (1.0, 0)

    def state(self) -> dict:
        return {"value": self.value, "clean": self.clean}

    def divide(self, model: nn.Module) -> None:
        for weight in model.parameters() if self.on else ():
            if weight.grad is not None:
                weight.grad.div_(self.value)

    def usable(self, norm: float) -> bool:
        """Whether this step's gradients can be used; adapts the scale."""
        if not self.on:
            return True
        good = math.isfinite(norm)
        self.clean = self.clean + 1 if good else 0
        if not good:
            self.value /= 2
        elif self.clean == 1000:
            self.value, self.clean = self.value * 2, 0
        return good


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Where forward passes run: bf16 or fp16 autocast, or nothing for fp32."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype=dtype) if dtype else nullcontext()


def choose_precision(wanted: str, device: torch.device, trial: Callable[[str], None]) -> tuple[str, str]:
    """Returns the precision and why. `trial(precision)` runs one forward and backward pass.

    On CUDA bf16 wherever the chip has it, fp16 on older ones; on a CPU bf16 may be emulated and slow, so it is measured.
    """
    if wanted != "auto":
        return wanted, "as the recipe says"
    if device.type == "cuda":
        return ("bf16", "this GPU has it") if torch.cuda.is_bf16_supported(False) else ("fp16", "this GPU has no bf16")
    if device.type != "cpu":
        return "fp32", f"the default on {device.type}"
    seconds = {precision: warm_seconds(trial, precision) for precision in ("fp32", "bf16")}
    best = min(seconds, key=seconds.get)
    return best, "measured here: " + ", ".join(f"{k} {1000 * v:.0f} ms a micro-batch" for k, v in seconds.items())


def warm_seconds(trial: Callable[[Argument], None], argument: Argument) -> float:
    """Wall seconds of the second of two calls of `trial(argument)`: the first one compiles, allocates and fills caches."""
    trial(argument)
    start = time.perf_counter()
    trial(argument)
    return time.perf_counter() - start
