"""The precision that a model is trained in: autocast, fp16's scaling of the loss, and the choice by a short measurement."""

import functools
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import nn

from minitron.core import distributed


class LossScale:
    """A factor that keeps small gradients from becoming 0 in fp16 (Micikevicius et al., arXiv 1710.03740, section 3.2): the loss is
    multiplied by it, gradients are divided by it. It is halved when a gradient overflows and doubled after 1,000 steps without an
    overflow. In other precisions it is 1."""

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
    """The context that forward passes run in: bf16 or fp16 autocast, or for fp32 one that changes nothing."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype=dtype) if dtype else nullcontext()


@dataclass(frozen=True)
class Choice:
    """Which of several ways was taken, and why."""

    name: str
    why: str
    seconds: dict[str, float] = field(default_factory=dict)  # by name, of all that were measured

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


ROUNDS = 5  # at least; the fastest round of a trial counts
LEAST_SECONDS, MOST_SECONDS = 0.2, 8.0  # of measuring: short trials run more rounds, long ones fewer, but at least two
HOPELESS = 2.5  # if bf16 takes this many times longer than fp32 in a first product, it is not measured further


def fastest(trials: Mapping[str, Callable[[], object]], *, what: str) -> Choice:
    """The one of `trials` that takes the least time; the first of them if several take the same.

    They run in turns, after one round that compiles, allocates and fills caches. Another program on the machine makes a
    round longer and never shorter, so the shortest round is the machine's own time. All processes of a run must call this:
    they make the same rounds, and the first one's clock decides.
    """
    for trial in trials.values():
        trial()
    best = dict.fromkeys(trials, math.inf)
    begun, rounds, spent = time.perf_counter(), 0, 0.0
    while rounds < 2 or (spent < MOST_SECONDS and (rounds < ROUNDS or spent < LEAST_SECONDS)):
        for name, trial in trials.items():
            start = time.perf_counter()
            trial()
            best[name] = min(best[name], time.perf_counter() - start)
        rounds, spent = rounds + 1, distributed.broadcast(time.perf_counter() - begun)
    best = distributed.broadcast(best)
    told = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in best.items())
    return Choice(min(best, key=best.__getitem__), f"measured here: {told} {what}", best)


def choose_precision(
    wanted: str, device: torch.device, trial: Callable[[str], object], *, what: str, width: int = 256
) -> Choice:
    """The precision for work that `trial(precision)` does once, and why; `width` is that of the model.

    On CUDA it is bf16 if the chip has it, fp16 on older chips. On a CPU it is measured: a CPU without bf16 instructions
    emulates them, at a thirtieth of the speed. One matrix product shows that before the whole trial is run.
    """
    if wanted != "auto":
        return Choice(wanted, "as the recipe says")
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        return Choice("bf16", "this GPU has it") if has else Choice("fp16", "this GPU has no bf16")
    if device.type != "cpu":
        return Choice("fp32", f"the default on {device.type}")
    product = fastest({name: _product(dtype, width) for name, dtype in _DTYPES.items()}, what="a product of matrices")
    if product.seconds["bf16"] > HOPELESS * product.seconds["fp32"]:
        return product
    return fastest({name: functools.partial(trial, name) for name in _DTYPES}, what=what)


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def _product(dtype: torch.dtype, width: int) -> Callable[[], object]:
    """A matrix product of the kind that training does most."""
    chance = torch.Generator().manual_seed(0)
    tokens, weight = (torch.randn(rows, width, generator=chance).to(dtype) for rows in (256, 2 * width))
    return lambda: tokens @ weight.T
