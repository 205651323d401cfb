"""`adamw`: AdamW (Loshchilov & Hutter, arXiv 1711.05101), weight decay on matrices only."""

import torch
from torch import nn

from minitron.recipe.training import OptimConfig
from minitron.train.optimizer import FP32, Method, decay_groups


class AdamW(Method):
    @staticmethod
    def build(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
        return [adamw([w for w in model.parameters() if w.requires_grad], config)]

    @staticmethod
    def state_bytes(weights: int, block_matrices: int) -> int:
        """Two moments of every weight."""
        return 2 * FP32 * weights

    @staticmethod
    def learning_rate(d_model: int) -> float:
        """nanoGPT's 1e-3 at a width of 384, in inverse proportion to the width, at most 3e-3; nanoGPT's 6e-4 at 768 is near."""
        return min(3e-3, 1e-3 * 384 / d_model)


def adamw(weights: list[nn.Parameter], config: OptimConfig) -> torch.optim.Optimizer:
    """torch's AdamW with the recipe's settings; its learning rate is set at every step."""
    groups = decay_groups(weights, config.weight_decay)
    return torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)
