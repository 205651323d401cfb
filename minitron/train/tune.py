"""A model that was rounded to q4 learns to say what it said before: training with the rounding in the loop.

    matrices = tuned(model, matrices, rows, seed=1)     # codes, scales and vectors move; how many numbers there are does not

Weights are rounded in every step, and gradients pass as if they were not (straight-through: Bengio et al., arXiv 1308.3432, section 4).
What is learnt from is the model itself, not the text (Hinton et al., arXiv 1503.02531), so that what kto taught it stays. Gradients
do not depend on which thread was faster: the same rows give the same matrices.

Letters in shapes: R rows, C columns, G groups of 32 columns, N targets, V vocabulary.
"""

import copy
import itertools
import math
import random
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from minitron.core.console import progress, say
from minitron.core.parallel import parallel_map
from minitron.data.packing import Batch, PackedRows
from minitron.model.language_model import LanguageModel
from minitron.quant import arithmetic, panels
from minitron.quant.panels import Matrix
from minitron.train.loop import accumulate, reading

STEP_TOKENS, PARTS = 2048, 2  # of a step, and in how many parts it is computed, side by side where there are cores
MOST_STEPS, EPOCHS = 300, 4
MOST_WORK = 1e12  # tokens times parameters: about two minutes on two cores, however large the model
ASIDE_TOKENS = 8192  # of rows that are not trained on, by which is decided whether the tuned model is the better one
MATRIX_RATE, VECTOR_RATE = 1e-3, 3e-4  # of Adam at its peak, as a share of how large the weights are (root mean square)
WARMUP = 0.05  # of all steps
TEMPERATURE = 2.0  # of both models' distributions: most tokens are nearly certain, and say little more at 1
HIDDEN_WEIGHT = 0.3  # of the error of the hidden states beside the divergence


class Latent:
    """A matrix while it is tuned: `values` (R, C) and `scales` (R, G) in fp32, of which `weight`, the model's, is what they are rounded to."""

    def __init__(self, weight: nn.Parameter, stored: Matrix):
        """Begins as what is stored. A weight whose nearest code is the stored one keeps leaning to where it leant."""
        assert stored.scales is not None
        exact = weight.detach().cpu().numpy()
        same = panels.rounded(exact, stored.scales).codes == stored.codes
        self.weight = weight
        self.values = torch.from_numpy(np.where(same, exact, stored.values()))
        self.scales = torch.from_numpy(stored.scales.astype(np.float32))
        self.round()

    @torch.no_grad()
    def round(self) -> None:
        """Sets the weight, and `stored`, to what the values are rounded to."""
        self.stored = panels.rounded(self.values.numpy(), self.scales.numpy().astype(np.float16))
        self.weight.copy_(torch.from_numpy(self.stored.values()))

    def pass_on(self) -> None:
        """The weight's gradient becomes that of the values, straight through the rounding, and of the scales: a stored weight is its scale times
        a number."""
        assert self.weight.grad is not None
        gradient = self.weight.grad.cpu()
        self.values.grad = gradient
        by_scale = panels.grouped(gradient.numpy() * panels.CODEBOOK[self.stored.codes]).sum(-1)
        self.scales.grad = torch.from_numpy(by_scale)


def tuned(model: LanguageModel, matrices: Mapping[str, Matrix], rows: PackedRows, *, seed: int) -> Mapping[str, Matrix]:
    """The matrices, q4 of this model, tuned on rows; as they came where that makes them no better on rows set aside, or where there are
    too few rows. The model, which is as it was before it was rounded, gets their weights, and vectors that were tuned with them."""
    teacher, student = (copy.deepcopy(model).float().eval() for _ in range(2))
    latents = {n: Latent(student.get_parameter(n), m) for n, m in matrices.items() if m.dtype == "q4"}
    for name in matrices.keys() - latents.keys():  # learned positions
        stored = torch.from_numpy(matrices[name].values())
        student.get_parameter(name).requires_grad_(False).copy_(stored)
    arithmetic.round_activations(student, "q4")
    best, found = copy.deepcopy(student.state_dict()), matrices
    steps, aside = drawn(rows, params=model.count_params(), seed=seed)
    if steps:
        before = mean_divergence(teacher, student, aside)
        train(teacher, student, latents, steps)
        after = mean_divergence(teacher, student, aside)
        kept = "" if after < before else ", which is not kept"
        say(
            f"q4: {len(steps)} steps of tuning: {before:.5f} -> {after:.5f} nats per token from what the model said{kept}"
        )
        if after < before:
            best, found = student.state_dict(), dict(matrices) | {name: each.stored for name, each in latents.items()}
    else:
        say("q4: not tuned: there are too few training rows, or the model is too large for two minutes")
    model.load_state_dict(best)
    return found


def drawn(rows: PackedRows, *, params: int, seed: int) -> tuple[list[list[Batch]], list[Batch]]:
    """The batches of each step, and those that are set aside; no step where there are too few rows, or the model is too
    large."""
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    held = min(max(1, ASIDE_TOKENS // rows.context), len(rows) // 8)
    aside, order = order[:held], order[held:]
    size = max(1, STEP_TOKENS // PARTS // rows.context)  # rows of a part
    count = min(
        MOST_STEPS,
        EPOCHS * len(order) // (PARTS * size),
        int(MOST_WORK / (params * PARTS * size * rows.context)),
    )
    read = itertools.cycle(order)
    steps = [[rows.batch(itertools.islice(read, size)) for _ in range(PARTS)] for _ in range(count if held else 0)]
    return steps, [rows.batch(aside[at : at + size]) for at in range(0, held, size)]


def train(
    teacher: LanguageModel, student: LanguageModel, latents: Mapping[str, Latent], steps: list[list[Batch]]
) -> None:
    """A step of Adam for each list of batches; the rate follows a cosine down to 0."""
    trained = [(t, MATRIX_RATE) for latent in latents.values() for t in (latent.values, latent.scales)]
    trained += [(w, VECTOR_RATE) for n, w in student.named_parameters() if n not in latents and w.requires_grad]
    peaks = [{"params": [t], "peak": rate * t.detach().square().mean().sqrt().item()} for t, rate in trained]
    optimizer = torch.optim.Adam(peaks, lr=0.0, betas=(0.9, 0.95))
    with progress("export: tuning q4", total=len(steps)) as bar:
        for number, parts in enumerate(steps):
            share = min(1.0, (number + 1) / (WARMUP * len(steps))) * (1 + math.cos(math.pi * number / len(steps))) / 2
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share
            student.zero_grad()
            targets = sum(batch.count for batch in parts)
            found = accumulate(student, [partial(loss, teacher, student, batch, targets) for batch in parts])
            for latent in latents.values():
                latent.pass_on()
            optimizer.step()
            for latent in latents.values():
                latent.round()
            bar.update(number + 1, f"loss {sum(value for value, _ in found):.4f}")


def loss(teacher: LanguageModel, student: LanguageModel, batch: Batch, targets: int) -> tuple[Tensor, float]:
    """The batch's share of T² KL(teacher || student) in nats per target, of `targets` in all, and of the relative squared error of the last
    hidden states at all positions; as a number, too."""
    share = batch.count / targets
    want, got, divergence = compared(teacher, student, batch, TEMPERATURE)
    found = (
        TEMPERATURE**2 * divergence / targets
        + share * HIDDEN_WEIGHT * (got - want).square().mean() / want.square().mean()
    )
    return found, found.item()


def compared(
    teacher: LanguageModel, student: LanguageModel, batch: Batch, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Last hidden states (B * T, D) of both, and Σ KL(teacher || student) in nats over the batch's targets, logits divided by `temperature`."""
    ids, how = reading(teacher, batch)
    wanted = batch.select[: batch.count]
    with torch.no_grad():
        want = teacher.hidden(ids, **how).flatten(0, 1)
        target = (teacher.head(want[wanted]) / temperature).log_softmax(-1)  # (N, V)
    got = student.hidden(ids, **how).flatten(0, 1)
    log_p = (student.head(got[wanted]) / temperature).log_softmax(-1)
    return want, got, (target.exp() * (target - log_p)).sum()


def mean_divergence(teacher: LanguageModel, student: LanguageModel, batches: list[Batch]) -> float:
    """KL(teacher || student) in nats per target."""
    targets = max(1, sum(batch.count for batch in batches))

    def part(batch: Batch) -> float:
        with torch.no_grad():
            return compared(teacher, student, batch, 1.0)[2].item() / targets

    return sum(parallel_map(part, batches, device=student.device))
