"""The training loop of pretrain and sft: next-token loss on packed rows, with checkpoints that resume exactly.

Which rows a step reads depends only on the seed and the step, what dropout drops only on the seed, the step and the
micro-batch, and a checkpoint is a whole folder or none: a run that was stopped at any moment and started again ends with
the same numbers (fp32 on a CPU, to the last bit). Under torchrun the micro-batches of a step are divided among the
processes (`distributed`); the sums, and so the numbers but for their rounding, are those of one process.
"""

import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from minitron import checkpoint, distributed, parallel
from minitron.config import OptimConfig, TrainConfig
from minitron.console import progress, say
from minitron.errors import MinitronError
from minitron.metrics import MetricsLog
from minitron.model import LanguageModel
from minitron.optim import autocast, choose_precision, cosine_lr, make_optimizer
from minitron.packing import Batch, PackedRows


def summed_loss(model: LanguageModel, batch: Batch) -> Tensor:
    """Σ cross-entropy in nats over the batch's targets; the vocabulary is projected to only where there is one."""
    hidden = model.hidden(batch.ids, positions=batch.positions, mask=batch.mask)
    logits = model.head(hidden.flatten(0, 1)[batch.select])  # (targets, V)
    return F.cross_entropy(logits.float(), batch.targets, reduction="sum")


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
    starts = distributed.share(range(0, count, batch_rows))
    in_turn = distributed.sharded(model)  # all processes must put its blocks together in the same order
    parts = list(map(part, starts)) if in_turn else parallel.each(part, starts, device=model.device)
    model.train(training)
    loss, targets = distributed.total(sum(loss for loss, _ in parts), sum(targets for _, targets in parts))
    return loss / max(1, targets)


def accumulate(model: LanguageModel, parts: list[Callable[[], tuple[Tensor, Any]]]) -> list[tuple[float, Any]]:
    """Adds the gradients of all parts to `.grad`. A part gives its loss and whatever else; returns both, in order.

    On a CPU the parts are computed side by side, but their gradients are added in order, so that the sum does not depend
    on which thread was faster. With dropout the parts go one after the other: they share one random state. So they do in
    a sharded model, whose backward pass adds up the gradients of all processes by itself.
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
    if model.training and model.config.dropout:
        results = map(work, parts)
    else:
        results = parallel.each(work, parts, device=model.device)
    values = []
    for gradients, value in results:
        values.append(value)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
    return values


def row_order(rows: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order of the rows in an epoch; the same for the same seed and epoch."""
    return np.random.default_rng((seed, epoch)).permutation(rows)


def rows_of_step(step: int, *, rows: int, per_step: int, seed: int) -> np.ndarray:
    """Which rows a step reads: epochs one after the other, each in its own order."""
    first = step * per_step
    epochs = range(first // rows, (first + per_step - 1) // rows + 1)
    order = np.concatenate([row_order(rows, seed=seed, epoch=e) for e in epochs])
    at = first - epochs[0] * rows
    return order[at : at + per_step]


def seed_dropout(*numbers: int) -> None:
    """Makes what dropout drops a function of these numbers: nothing random has to be saved, on a CPU or on CUDA, and it
    does not matter which process computes a micro-batch."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))


class Interrupt:
    """Ctrl-C once: finish the step, save, leave. Twice: leave at once."""

    def __enter__(self) -> "Interrupt":
        self.wanted = False
        try:
            self._before = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not in the main thread: nothing to catch
            self._before = None
        return self

    def _note(self, *_: object) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
        say("stopping after this step (Ctrl-C again: at once)")

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


@dataclass
class Fit:
    """What `fit` trains: a stage's settings and where it keeps its checkpoints."""

    stage: str
    stage_dir: Path
    train: TrainConfig
    optim: OptimConfig
    seed: int
    shard: bool = False


def fit(model: LanguageModel, rows: PackedRows, valid: PackedRows, *, run: Fit) -> dict:
    """Trains to `run.train.steps`, going on from the newest whole checkpoint. Returns the final figures.

    Raises KeyboardInterrupt after saving when the user stops it, MinitronError when the loss is no longer a number.
    """
    train, device = run.train, model.device
    per_step = train.batch_rows * train.accumulation
    start, best, precision = 0, math.inf, ""
    folder = distributed.first(partial(checkpoint.newest_whole, run.stage_dir))
    if folder:
        checkpoint.load_weights(model, folder)
    distributed.prepare(
        model,
        model.blocks,
        stage=run.stage,
        accumulation=train.accumulation,
        optimizer=run.optim.name,
        shard=run.shard,
    )
    optimizer = make_optimizer(model, run.optim)
    if folder:
        state = checkpoint.load_trainer(folder)
        optimizer.load_state_dict(state["optimizer"])
        start, best, precision = state["step"], state["best"], state["precision"]
        if checkpoint.check(folder).get("valid_loss") == best:
            checkpoint.point(run.stage_dir, "best", folder.name)  # a kill may have come between the two renames
        say(f"going on from {folder} (step {start} of {train.steps})")
    else:

        def trial(name: str) -> None:
            def part() -> tuple[Tensor, None]:
                with autocast(device, name):
                    return summed_loss(model, rows.batch(range(min(len(rows), train.batch_rows))).to(device)), None

            accumulate(model, [part] * min(train.accumulation, parallel.cores()))
            model.zero_grad(set_to_none=True)

        precision, why = distributed.agree(choose_precision(run.optim.precision, device, trial))
        say(f"precision {precision} ({why})")

    def save(step: int, valid_loss: float | None) -> Path:
        info = {"stage": run.stage, "valid_loss": valid_loss}
        state = {
            "optimizer": optimizer.state_dict(),
            "step": step,
            "best": best,
            "precision": precision,
        }
        return checkpoint.save(run.stage_dir, model, step=step, info=info, trainer=state)

    log = MetricsLog(Path(os.devnull) if distributed.rank() else run.stage_dir / "metrics.jsonl", from_step=start)
    begun, tokens_seen, valid_loss, loss = time.perf_counter(), 0, best, math.nan
    bytes_per_target = max(1, valid.target_bytes) / max(1, valid.targets)
    model.train()
    with Interrupt() as interrupt, progress(run.stage, train.steps, done=start) as bar:
        for step in range(start, train.steps):
            lr = cosine_lr(step, steps=train.steps, config=run.optim)
            chosen = rows_of_step(step, rows=len(rows), per_step=per_step, seed=run.seed)
            mine = distributed.share(range(0, per_step, train.batch_rows))
            batches = [rows.batch(chosen[i : i + train.batch_rows]) for i in mine]
            # one mean over the whole step, however it is divided
            (targets,) = distributed.total(sum(b.count for b in batches))

            def part(first: int, batch: Batch, step: int = step, targets: float = targets) -> tuple[Tensor, None]:
                if model.config.dropout:
                    seed_dropout(run.seed, step, first)
                with autocast(device, precision):
                    return summed_loss(model, batch.to(device)) / targets, None

            parts = [partial(part, first, batch) for first, batch in zip(mine, batches, strict=True)]
            loss = sum(value for value, _ in accumulate(model, parts))
            distributed.sum_gradients(model)
            loss, stop = distributed.total(loss, interrupt.wanted)  # all processes stop at the same step
            if not math.isfinite(loss):
                raise MinitronError(
                    f"the loss is no longer a number at step {step + 1}",
                    hint="lower optim.lr or raise optim.warmup_steps; checkpoints so far are kept",
                )
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), run.optim.grad_clip or math.inf)
            optimizer.step(lr)
            tokens_seen += per_step * rows.context
            speed = tokens_seen / (time.perf_counter() - begun)
            bar.update(step + 1, f"loss {loss:.3f}  valid {valid_loss:.3f}  lr {lr:.1e}  {speed:,.0f} tokens/s")
            row = {
                "step": step + 1,
                "loss": loss,
                "lr": lr,
                "grad_norm": distributed.full(norm).item(),
                "tokens_per_second": round(speed),
            }
            check = (step + 1) % train.eval_every_steps == 0 or step + 1 == train.steps
            if check:
                valid_loss = mean_loss(
                    model, valid, limit=train.eval_rows, batch_rows=train.batch_rows, precision=precision
                )
                row |= {"valid_loss": valid_loss, "valid_bits_per_byte": valid_loss / bytes_per_target / math.log(2)}
            log.write(row)  # before the checkpoint: what goes on from there must find its line
            if check:
                improved, best = valid_loss < best, min(best, valid_loss)
                folder = save(step + 1, valid_loss)
                if improved:
                    checkpoint.point(run.stage_dir, "best", folder.name)
                checkpoint.prune(run.stage_dir, keep=train.keep_checkpoints)
            if stop and step + 1 < train.steps:
                save(step + 1, None)
                raise KeyboardInterrupt
    log.close()
    say(f"{run.stage}: loss {loss:.6f}, validation {valid_loss:.6f}, best {best:.6f}")
    return {"loss": loss, "valid_loss": valid_loss, "best_valid_loss": best, "precision": precision}
