"""AdamW and Muon, the learning-rate schedules, and the choice of precision and torch.compile by a short measurement."""

import copy
import math
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from minitron.core import distributed, parallel
from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import OptimConfig


class Optimizers:
    """One or several torch optimizers under one face; the schedule sets the same learning rate for all."""

    def __init__(self, parts: list[torch.optim.Optimizer], device: torch.device):
        self.parts, self.device = parts, device

    def step(self, lr: float) -> None:
        """One update with learning rate `lr`, then gradients are cleared. Parts share nothing: they run side by side."""

        def work(part: torch.optim.Optimizer) -> None:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()

        parallel.parallel_map(work, self.parts, device=self.device)
        self.clear()

    def clear(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(distributed.parts_of(state, part))


def make_optimizer(model: nn.Module, config: OptimConfig) -> Optimizers:
    """What the recipe's optim.name says; weight decay on matrices only, as nanoGPT does.

    `adamw`: AdamW (Loshchilov & Hutter, arXiv 1711.05101). `muon`: the blocks' matrices by Muon (Jordan et al. 2024), with
    steps as large as AdamW's (Liu et al., arXiv 2502.16982, section 2.2), so that learning rates carry over; the rest by AdamW.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    muon: dict[str, list[Tensor]] = {}  # the matrices of each block
    if config.name == "muon":
        for name, weight in named:
            block = re.search(r"\.(?:layers|h)\.(\d+)\.", name)
            if block and weight.ndim == 2:
                muon.setdefault(block[1], []).append(weight)
    taken = {id(p) for weights in muon.values() for p in weights}
    rest = [p for _, p in named if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)
    parts = [
        torch.optim.Muon(weights, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
        for weights in muon.values()
    ]
    return Optimizers([adamw, *parts], next(model.parameters()).device)


def learning_rate(step: int, *, steps: int, config: OptimConfig) -> float:
    """Linear warm-up to `lr`, then by `schedule` down to `min_lr` at the last step.

    `cosine`: from the warm-up on. `wsd` (Hägele et al., arXiv 2405.18392): flat, then straight down in the last
    `decay_share` of the steps.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    begin = config.warmup_steps
    if config.schedule == "wsd":
        begin = max(begin, round(steps * (1 - config.decay_share)) - 1)
    done = min(1.0, max(0, step - begin) / max(1, steps - 1 - begin))
    share = 1 - done if config.schedule == "wsd" else 0.5 * (1 + math.cos(math.pi * done))
    return config.min_lr + (config.lr - config.min_lr) * share


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
    seconds = {precision: seconds_of(trial, precision) for precision in ("fp32", "bf16")}
    best = min(seconds, key=seconds.get)
    return best, "measured here: " + ", ".join(f"{k} {1000 * v:.0f} ms a micro-batch" for k, v in seconds.items())


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
        compiled = seconds_of(trial, other)
    except Exception as error:  # no compiler here, or one that fails: whatever the reason, the model trains without
        reason = str(error).strip().splitlines()[0]
        if wanted == "on":
            raise MinitronError(f"torch.compile does not work here: {reason}", hint="set optim.compile=off") from error
        return f"off ({reason})"
    plain = seconds_of(trial, model)
    told = f"({1000 * plain:.0f} ms a micro-batch without, {1000 * compiled:.0f} with)"
    if wanted == "auto" and compiled >= plain:
        return f"off {told}"
    compile_blocks(model)
    return f"on {told}"


def compile_blocks(model: LanguageModel) -> None:
    """In place; the names of the weights stay."""
    for block in model.blocks:
        block.compile(dynamic=False)


def seconds_of(trial: Callable[[Any], None], argument: Any) -> float:
    """Of the second of two runs."""
    trial(argument)
    start = time.perf_counter()
    trial(argument)
    return time.perf_counter() - start
