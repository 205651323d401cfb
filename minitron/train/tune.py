"""Trains a model that was rounded to q4, with the rounding in the loop, so that its outputs come near those before rounding.

    matrices = tuned(model, matrices, rows, seed=1)     # codes, scales and vectors change; how many there are does not

Weights are rounded in every step, and gradients pass as if they were not (straight-through: Bengio et al., arXiv 1308.3432, section 4).
The rounded model learns mostly from the outputs of the unrounded one (Hinton et al., arXiv 1503.02531), so that what kto taught stays,
and a little from the text, which takes back what rounding costs on it. Gradients do not depend on which thread was faster: the same rows
give the same matrices.

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
from torch.nn import functional as F

from minitron.core.console import progress, say
from minitron.core.parallel import parallel_map
from minitron.data.packing import Batch, PackedRows
from minitron.model.language_model import LanguageModel
from minitron.quant import arithmetic, panels
from minitron.quant.panels import Matrix
from minitron.train.passes import accumulate, reading

STEP_TOKENS, PARTS = 2048, 2  # tokens of a step; parts that it is computed in, side by side on the cores of a CPU
MOST_STEPS, EPOCHS = 300, 4
MOST_WORK = 1e12  # tokens times parameters: about two minutes on two cores, however large the model
ASIDE_TOKENS = 8192  # of training rows set aside, which decide whether the tuned model is better than the rounded one
MATRIX_RATE, VECTOR_RATE = 1e-3, 3e-4  # Adam's peak learning rates, as shares of the weights' root mean square
WARMUP = 0.05  # share of all steps
TEMPERATURE = 2.0  # of both models' distributions: at 1 most tokens are nearly certain, and teach little
HIDDEN_WEIGHT = 0.3  # weight of the hidden states' error in the loss, beside the divergence
TEXT_WEIGHT = 0.25  # weight of the cross-entropy of the text; at 1 tuning hardly came nearer to what the demo said


class Latent:
    """A matrix while it is tuned: `values` (R, C) and `scales` (R, G) in fp32. `weight`, the model's parameter, holds them rounded."""

    def __init__(self, weight: nn.Parameter, stored: Matrix):
        """Begins with the stored values; but a weight whose nearest code is the stored one begins with its exact, unrounded value."""
        assert stored.scales is not None
        exact = weight.detach().cpu().numpy()
        same = panels.rounded(exact, stored.scales).codes == stored.codes
        self.weight = weight
        self.values = torch.from_numpy(np.where(same, exact, stored.values()))
        self.scales = torch.from_numpy(stored.scales.astype(np.float32))
        self.round()

    @torch.no_grad()
    def round(self) -> None:
        """Rounds values and scales, and sets `stored` and the weight to the result."""
        self.stored = panels.rounded(self.values.numpy(), self.scales.numpy().astype(np.float16))
        self.weight.copy_(torch.from_numpy(self.stored.values()))

    def pass_on(self) -> None:
        """Makes the weight's gradient that of the values, straight through the rounding, and derives that of the scales from it: a stored
        weight is its scale times a number of the codebook."""
        assert self.weight.grad is not None
        gradient = self.weight.grad.cpu()
        self.values.grad = gradient
        by_scale = panels.grouped(gradient.numpy() * panels.CODEBOOK[self.stored.codes]).sum(-1)
        self.scales.grad = torch.from_numpy(by_scale)


def tuned(model: LanguageModel, matrices: Mapping[str, Matrix], rows: PackedRows, *, seed: int) -> Mapping[str, Matrix]:
    """Tunes `matrices`, the model's in q4, on rows and returns them. They are returned as they came if tuning makes them no better on
    rows set aside, if there are too few rows or if the model is too large. `model`, which still has its unrounded weights, gets the values
    of the returned matrices, and the vectors that were tuned with them."""
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
    """The batches of each step, and those set aside. There is no step if there are too few rows, or if the model is too
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
    """Makes a step of Adam for each list of batches; the learning rates warm up, and follow a cosine down to 0."""
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
    """The batch's part of the loss of a step with `targets` targets, in nats per target: T² KL(teacher || student), plus TEXT_WEIGHT
    times the student's cross-entropy, plus HIDDEN_WEIGHT times the relative squared error of the last hidden states at all positions.
    Returned as a tensor, and as a number."""
    want, got, target, logits = compared(teacher, student, batch)
    text = F.cross_entropy(logits, batch.targets[: batch.count], reduction="sum")
    from_teacher = TEMPERATURE**2 * divergence(target / TEMPERATURE, logits / TEMPERATURE)
    hidden = (got - want).square().mean() / want.square().mean()
    found = (from_teacher + TEXT_WEIGHT * text) / targets + batch.count / targets * HIDDEN_WEIGHT * hidden
    return found, found.item()


def compared(teacher: LanguageModel, student: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The last hidden states (B * T, D) of teacher and student, and the logits (N, V) of both at the batch's targets."""
    ids, how = reading(teacher, batch)
    wanted = batch.select[: batch.count]
    with torch.no_grad():
        want = teacher.hidden(ids, **how).flatten(0, 1)
        target = teacher.head(want[wanted])
    got = student.hidden(ids, **how).flatten(0, 1)
    return want, got, target, student.head(got[wanted])


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """Σ KL(softmax(target) || softmax(logits)) in nats over the rows of both (N, V)."""
    return F.kl_div(logits.log_softmax(-1), target.log_softmax(-1), reduction="sum", log_target=True)


def mean_divergence(teacher: LanguageModel, student: LanguageModel, batches: list[Batch]) -> float:
    """KL(teacher || student) in nats per target over all batches."""
    targets = max(1, sum(batch.count for batch in batches))

    def part(batch: Batch) -> float:
        with torch.no_grad():
            _, _, target, logits = compared(teacher, student, batch)
            return divergence(target, logits).item() / targets

    return sum(parallel_map(part, batches, device=student.device))
