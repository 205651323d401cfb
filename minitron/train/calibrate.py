"""Second moments of what a model's matrices multiply, measured on its own training rows, by which they are rounded (`quant.gptq`).

    matrices = round_q4(config, model)   # name -> matrix as export stores it: rounded, then tuned
    moments = of_run(config, model)      # empty where there are no rows, as with an imported model

Knows nothing about how a matrix is rounded.
"""

import copy
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from minitron.core.console import say
from minitron.data.packing import Batch, PackedRows, is_whole
from minitron.model.language_model import LanguageModel
from minitron.quant import arithmetic
from minitron.quant.panels import Matrix
from minitron.recipe.schema import Config
from minitron.train import tune
from minitron.train.passes import summed_loss

TOKENS = 16_384  # the least number of training tokens that are looked at
BATCH_ROWS = 8


def of_run(config: Config, model: LanguageModel) -> arithmetic.Moments:
    """The moments of the recipe's model on its own training rows; empty if there are no such rows. Says which it was."""
    rows = training_rows(config)
    if rows is None:
        say("q4: there are no training rows to round by: every weight becomes the nearest value")
        return {}
    say(f"q4: rounded by what the matrices meet in {sample_size(rows):,} training rows of {rows.context} tokens")
    return second_moments(model, batches(rows, seed=config.seed))


def round_q4(config: Config, model: LanguageModel) -> Mapping[str, Matrix]:
    """Rounds the model's matrices to q4 in place and returns them by name. With training rows they are rounded by their moments and then
    tuned (`tune`); without, every weight becomes the nearest value."""
    moments = of_run(config, model)
    if not moments:
        return arithmetic.shrink(model, "q4")
    rows = training_rows(config)
    assert rows is not None
    return tune.tuned(model, arithmetic.shrink(copy.deepcopy(model), "q4", moments), rows, seed=config.seed + 1)


def training_rows(config: Config) -> PackedRows | None:
    """The rows that pretrain (for a base model) or sft packed; None if there are none, as with an imported model."""
    folder = config.layout.packed("pretrain" if config.base else "sft", "train")
    return PackedRows(folder) if is_whole(folder) else None


def sample_size(rows: PackedRows) -> int:
    """How many rows are looked at: enough for TOKENS tokens, or all."""
    return min(len(rows), -(-TOKENS // rows.context))


def batches(rows: PackedRows, *, seed: int) -> Iterator[Batch]:
    """Batches of rows drawn at random from all rows; the same seed draws the same ones."""
    count = sample_size(rows)
    drawn = random.Random(seed).sample(range(len(rows)), count)
    for begin in range(0, count, BATCH_ROWS):
        yield rows.batch(drawn[begin : begin + BATCH_ROWS])


@torch.no_grad()
def second_moments(model: LanguageModel, batches: Iterable[Batch]) -> arithmetic.Moments:
    """A matrix's name -> the sum of x xᵀ (C, C), fp64, over all x that the matrix multiplies. x is rounded to 8 bits as the chat
    program does. An embedding that is also the head is left out: its rows are looked up, too, so each matters by itself."""
    model = copy.deepcopy(model).float().eval()
    found: dict[str, np.ndarray] = {}

    def add(name: str, x: Tensor) -> None:
        flat = arithmetic.rounded(x).flatten(0, -2)
        found[name] = found.get(name, 0.0) + (flat.T @ flat).cpu().double().numpy()  # MPS has no fp64

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module.weight is not model.output:
            module.register_forward_pre_hook(lambda _, inputs, name=f"{name}.weight": add(name, inputs[0]))
    if model.config.untied_head:
        model.trunk.register_forward_hook(lambda _, inputs, hidden: add("lm_head.weight", hidden))
    arithmetic.round_activations(model, "q4")
    for batch in batches:
        batch = batch.to(model.device)
        # without the padding at the end of `select` and `targets`, which would be counted as well
        summed_loss(model, replace(batch, select=batch.select[: batch.count], targets=batch.targets[: batch.count]))
    return found
