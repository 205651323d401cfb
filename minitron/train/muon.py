"""`muon`: the blocks' matrices by Muon (Jordan et al. 2024), the rest by AdamW.

Its steps are as large as AdamW's (Liu et al., arXiv 2502.16982, section 2.2), so that learning rates carry over.
"""

import torch
from torch import nn

from minitron.recipe.schema import OptimConfig
from minitron.train.adamw import adamw
from minitron.train.optimizer import FP32, Method


class Muon(Method):
    can_shard = False

    @staticmethod
    def build(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
        blocks = [matrices for matrices in model.trunk.matrices() if matrices]
        taken = {id(weight) for matrices in blocks for weight in matrices}
        rest = [w for w in model.parameters() if w.requires_grad and id(w) not in taken]
        how = {"weight_decay": config.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
        return [adamw(rest, config), *(torch.optim.Muon(matrices, **how) for matrices in blocks)]

    @staticmethod
    def state_bytes(weights: int, block_matrices: int) -> int:
        """One moment of each matrix, two of all else."""
        return FP32 * (block_matrices + 2 * (weights - block_matrices))

    @staticmethod
    def learning_rate(d_model: int) -> float:
        """From this project's 3e-3 at a width of 192: steps as large as AdamW's, but well-conditioned."""
        return min(4e-3, 3e-3 * 192 / d_model)
