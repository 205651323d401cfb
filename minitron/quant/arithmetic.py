"""A model in fewer bits: rounds its matrices to what weights.bin holds, and makes torch compute as the chat program does.

    matrices = shrink(model, "q4", moments)     # name -> panels.Matrix; the model gets their rounded values
    model = as_program(model, "q4", moments)    # computes what the program does, for measuring and for reference outputs

Knows nothing about files.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.language_model import LanguageModel
from minitron.quant import gptq, panels

Moments = Mapping[str, npt.NDArray[Any]]  # a matrix's name -> the sum of x xᵀ (C, C) over its inputs x


@torch.no_grad()
def shrink(model: LanguageModel, dtype: str, moments: Moments | None = None) -> dict[str, panels.Matrix]:
    """Rounds the model's matrices in place; returns them as they are stored, by name. In q4, matrices that have moments
    (`train.calibrate`) are rounded with them, by GPTQ; all others are rounded to the nearest values."""
    matrices = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            values = parameter.detach().cpu().float().numpy()
            if dtype == "q4" and moments and name in moments:
                matrices[name] = gptq.compensated(values, moments[name])
            else:  # learned positions are looked up, not multiplied, so they are always fp16
                matrices[name] = panels.nearest(values, "f16" if name == model.position_table else dtype)
            parameter.copy_(torch.from_numpy(matrices[name].values()))
    return matrices


def as_program(model: LanguageModel, dtype: str, moments: Moments | None = None) -> LanguageModel:
    """A copy in fp32 with the weights of `shrink`; for q8 and q4, inputs of matrix products are also rounded to 8 bits."""
    model = copy.deepcopy(model).float().eval()
    shrink(model, dtype, moments)
    round_activations(model, dtype)
    return model


def round_activations(model: LanguageModel, dtype: str) -> None:
    """Makes the model round every input of a matrix product first, if the dtype's arithmetic does that (q8, q4). The head's input
    is rounded as the trunk's output, since either `LanguageModel.head` or `cross_entropy.linear_cross_entropy` multiplies it."""
    if dtype == "f16":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda _, inputs: (rounded(inputs[0]),))
    model.trunk.register_forward_hook(lambda _, inputs, hidden: rounded(hidden))


def rounded(x: Tensor) -> Tensor:
    """Activations (..., C) as the program rounds them: to 8 bits in groups of 32 (docs/formats.md). Gradients pass through as if
    nothing were rounded."""
    size = x.shape[-1]
    groups = F.pad(x, (0, -size % panels.GROUP)).unflatten(-1, (-1, panels.GROUP))
    top = groups.abs().amax(-1, keepdim=True)
    steps = torch.where(top < 2.0**-100, 0.0, 127 / top)
    found = ((groups * steps).round() * (top / 127)).flatten(-2)[..., :size]
    return x + (found - x).detach() if x.requires_grad else found
