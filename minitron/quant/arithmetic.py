"""A model in fewer bits: its matrices rounded as weights.bin holds them, and torch computing as the chat program does.

    matrices = shrink(model, "q4", moments)     # name -> panels.Matrix; the model's weights become theirs
    model = as_program(model, "q4", moments)    # what the program computes, for measuring and for reference outputs

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

Moments = Mapping[str, npt.NDArray[Any]]  # a matrix's name -> the sum of x xᵀ (C, C) over what it multiplies


@torch.no_grad()
def shrink(model: LanguageModel, dtype: str, moments: Moments | None = None) -> dict[str, panels.Matrix]:
    """Rounds the model's matrices in place; returns them as they are stored, by name. In q4 those of which there are moments
    (`train.calibrate`) are rounded by them, the others to what is nearest."""
    matrices = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            values = parameter.detach().cpu().float().numpy()
            if dtype == "q4" and moments and name in moments:
                matrices[name] = gptq.compensated(values, moments[name])
            else:  # learned positions are looked up and never multiplied by: always fp16
                matrices[name] = panels.nearest(values, "f16" if name == model.position_table else dtype)
            parameter.copy_(torch.from_numpy(matrices[name].values()))
    return matrices


def as_program(model: LanguageModel, dtype: str, moments: Moments | None = None) -> LanguageModel:
    """A copy in fp32 with the weights of `shrink` and, for q8 and q4, the products' activations rounded to 8 bits."""
    model = copy.deepcopy(model).float().eval()
    shrink(model, dtype, moments)
    round_activations(model, dtype)
    return model


def round_activations(model: LanguageModel, dtype: str) -> None:
    """From now on all that a matrix multiplies is rounded first, if the dtype's arithmetic does that. What the trunk gives is
    what the head multiplies, whoever does that: `LanguageModel.head` or `cross_entropy.linear_cross_entropy`."""
    if dtype == "f16":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda _, inputs: (rounded(inputs[0]),))
    model.trunk.register_forward_hook(lambda _, inputs, hidden: rounded(hidden))


def rounded(x: Tensor) -> Tensor:
    """Activations (..., C) as the program rounds them: to 8 bits in groups of 32 (docs/formats.md). Gradients pass as if they
    were not."""
    size = x.shape[-1]
    groups = F.pad(x, (0, -size % panels.GROUP)).unflatten(-1, (-1, panels.GROUP))
    top = groups.abs().amax(-1, keepdim=True)
    steps = torch.where(top < 2.0**-100, 0.0, 127 / top)
    found = ((groups * steps).round() * (top / 127)).flatten(-2)[..., :size]
    return x + (found - x).detach() if x.requires_grad else found
