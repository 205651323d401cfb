"""Forward and backward passes over batches: losses of packed rows, and gradients of parts that are computed side by side.

    accumulate(model, [partial(part, batch) for batch in batches])     # adds to .grad; a part returns its loss
    mean_loss(model, rows, limit=256, batch_rows=4)                    # nats per target, without gradients

Knows nothing about optimizers and steps.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minitron.core import distributed, parallel
from minitron.data.packing import Batch, PackedRows
from minitron.model.language_model import LanguageModel
from minitron.model.state import Span
from minitron.train.cross_entropy import linear_cross_entropy
from minitron.train.precision import autocast


def summed_loss(model: LanguageModel, batch: Batch, *, z_loss: float = 0.0) -> Tensor:
    """Σ cross-entropy in nats over the batch's targets; logits are computed only at positions that have a target."""
    ids, how = reading(model, batch)
    return linear_cross_entropy(
        model.hidden(ids, wanted=batch.select, **how),
        model.output,
        batch.targets,
        z_loss=z_loss,
        cap=model.config.logit_cap,
    )


def reading(model: LanguageModel, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
    """The arguments with which `LanguageModel.hidden` reads a batch: the ids, and the others by name.

    On a CPU rows of several sequences are read as one flat row, and attention is computed sequence by sequence. Elsewhere
    a mask keeps the shapes of all steps the same, as compiled kernels want them.
    """
    ids, positions = batch.ids, batch.positions
    if batch.lengths is not None and model.device.type == "cpu":
        return ids.view(1, -1), {"positions": positions.view(1, -1), "spans": [Span(n) for n in batch.lengths]}
    return ids, {"positions": positions} | ({"mask": batch.mask} if batch.lengths is not None else {})


def mean_loss(model: LanguageModel, rows: PackedRows, *, limit: int, batch_rows: int, precision: str = "fp32") -> float:
    """Mean cross-entropy in nats per target over the first `limit` rows (0: all)."""
    count = min(limit or len(rows), len(rows))

    def part(start: int | None) -> tuple[float, int]:
        batch = rows.batch(range(start or 0, min((start or 0) + batch_rows, count))).to(model.device)
        with torch.inference_mode(), autocast(model.device, precision):
            loss = summed_loss(model, batch).item()
        return (loss, batch.count) if start is not None else (0.0, 0)

    training = model.training
    model.eval()
    starts = distributed.shard(range(0, count, batch_rows))
    in_turn = distributed.sharded(model)  # all processes must gather its blocks in the same order
    parts = list(map(part, starts)) if in_turn else parallel.parallel_map(part, starts, device=model.device)
    model.train(training)
    loss, targets = distributed.all_reduce_sum(sum(loss for loss, _ in parts), sum(targets for _, targets in parts))
    return loss / max(1, targets)


def accumulate(model: LanguageModel, parts: list[Callable[[], tuple[Tensor, Any]]]) -> list[tuple[float, Any]]:
    """Adds the gradients of all parts to `.grad`. A part returns its loss and any other value; returns both of each, in order.

    On a CPU the parts are computed side by side, but their gradients are added in order, so that the sum does not depend
    on which thread was faster. With dropout the parts go one after the other, since they share one random state. With a
    sharded model they do so, too; its backward pass adds up the gradients of all processes by itself.
    """
    weights = [p for p in model.parameters() if p.requires_grad]

    def backward(part: Callable[[], tuple[Tensor, Any]]) -> tuple[Tensor, Any]:
        loss, more = part()
        loss.backward()
        return loss.detach(), more

    def work(part: Callable[[], tuple[Tensor, Any]]) -> tuple[tuple[Tensor, ...], tuple[float, Any]]:
        loss, more = part()
        return torch.autograd.grad(loss, weights), (loss.item(), more)

    if distributed.sharded(model):
        return [(loss.item(), more) for loss, more in map(backward, parts)]
    # As many at once as there are cores, since each holds a set of gradients until it is added.
    alone = model.device.type != "cpu" or (model.training and model.config.dropout)
    together = 1 if alone else parallel.cores()
    values = []
    for at in range(0, len(parts), together):
        for gradients, value in parallel.parallel_map(work, parts[at : at + together], device=model.device):
            values.append(value)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
    return values
