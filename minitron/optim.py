"""AdamW, the learning-rate schedule, and the choice of precision by a short measurement."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from minitron.config import OptimConfig


def make_adamw(model: nn.Module, config: OptimConfig, *, lr: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101); weight decay on matrices only, as nanoGPT does."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


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
