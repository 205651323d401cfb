"""The learning rate of each step. Knows nothing about optimizers."""

import math

from minitron.recipe.training import OptimConfig


def learning_rate(step: int, *, steps: int, config: OptimConfig) -> float:
    """Linear warm-up to `lr`, then down to `end_lr` at the last step, as `schedule` says.

    `cosine`: along a cosine that begins after the warm-up. `wsd` (Hägele et al., arXiv 2405.18392): constant, then linearly
    down in the last `decay_share` of the steps.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    begin = config.warmup_steps
    if config.schedule == "wsd":
        begin = max(begin, round(steps * (1 - config.decay_share)) - 1)
    done = min(1.0, max(0, step - begin) / max(1, steps - 1 - begin))
    share = 1 - done if config.schedule == "wsd" else 0.5 * (1 + math.cos(math.pi * done))
    return config.end_lr + (config.lr - config.end_lr) * share
