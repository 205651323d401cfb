"""AdamW and Muon, the learning-rate schedule, and the choice of precision by a short measurement."""

import math
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from minitron import distributed, parallel
from minitron.config import OptimConfig


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
            part.zero_grad(set_to_none=True)

        parallel.each(work, self.parts, device=self.device)

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


def cosine_lr(step: int, *, steps: int, config: OptimConfig) -> float:
    """Linear warm-up to `lr`, then a cosine down to `min_lr` at the last step."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - 1 - config.warmup_steps)
    return config.min_lr + (config.lr - config.min_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Where forward passes run: bf16 autocast, or nothing for fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def choose_precision(wanted: str, device: torch.device, trial: Callable[[str], None]) -> tuple[str, str]:
    """Returns the precision and why. `trial(precision)` runs one forward and backward pass.

    On CUDA bf16 wherever the chip has it; on a CPU bf16 may be emulated and slow, so both are measured.
    """
    if wanted != "auto":
        return wanted, "as the recipe says"
    if device.type == "cuda":
        return ("bf16", "this GPU has it") if torch.cuda.is_bf16_supported(False) else ("fp32", "this GPU has no bf16")
    if device.type != "cpu":
        return "fp32", f"the default on {device.type}"
    seconds = {}
    for precision in ("fp32", "bf16"):
        trial(precision)  # warm-up
        start = time.perf_counter()
        trial(precision)
        seconds[precision] = time.perf_counter() - start
    best = min(seconds, key=seconds.get)
    return best, "measured here: " + ", ".join(f"{k} {1000 * v:.0f} ms a micro-batch" for k, v in seconds.items())
