"""The training loop of pretrain and sft: next-token loss on packed rows, with checkpoints that resume exactly.

Which rows a step reads depends only on the seed and the step. What dropout drops depends only on the seed, the step and the
micro-batch. A checkpoint is written whole or not at all. So a run that was stopped at any moment and started again ends with
the same numbers (fp32 on a CPU, to the last bit). Under torchrun the micro-batches of a step are divided among the
processes (`distributed`); but for rounding the sums, and so the results, are those of one process.
"""

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minitron.core import distributed, parallel
from minitron.core.console import progress, say, warn
from minitron.core.errors import MinitronError
from minitron.core.interrupt import Interrupt
from minitron.data.packing import Batch, PackedRows
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.layout import pointed
from minitron.recipe.training import TrainConfig
from minitron.train import checkpoint
from minitron.train.choices import Choices, choose
from minitron.train.compile import compile_blocks
from minitron.train.metrics import MetricsLog
from minitron.train.optimizer import make_optimizer
from minitron.train.order import rows_of_step
from minitron.train.passes import accumulate, mean_loss, summed_loss
from minitron.train.precision import LossScale, autocast
from minitron.train.schedule import learning_rate


def seed_dropout(*numbers: int) -> None:
    """Seeds torch by these numbers, so that they alone decide what dropout drops: no random state has to be saved, of a CPU or of
    CUDA, and it does not matter which process computes a micro-batch."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))


SAMPLE_TOKENS = 100  # longest sample at a validation: enough to judge it by, and quickly generated


@dataclass(frozen=True)
class Fit:
    """The settings of `fit`: the stage's options, the folder of its checkpoints, and how to get sample answers at validations."""

    stage: str
    stage_dir: Path
    train: TrainConfig
    seed: int
    shard: bool = False
    # gives a prompt and the model's text for each of `train.samples`
    sample: Callable[[LanguageModel], list[tuple[str, str]]] = lambda model: []


def fit(model: LanguageModel, rows: PackedRows, valid: PackedRows, *, run: Fit) -> dict:
    """Trains to step `run.train.steps`, from the newest undamaged checkpoint if there is one. Returns the final figures.

    Raises Stopped, a KeyboardInterrupt, when a signal asks for it, after saving; MinitronError when the loss is no longer a number.
    """
    return Training(model, rows, valid, run).train()


@dataclass
class State:
    """What a checkpoint holds beside weights and optimizer."""

    step: int = 0
    best: float = math.inf  # validation loss
    stale: int = 0  # validations since the best one
    loss: float = math.nan  # of the last step
    valid_loss: float = math.inf  # at the last validation
    seconds: float = 0.0  # spent in steps
    precision: str = ""
    scale: dict = field(default_factory=dict)  # the state of `LossScale`, in fp16


class Training:
    """One run: the model, its rows, the optimizer, and where it stands."""

    def __init__(self, model: LanguageModel, rows: PackedRows, valid: PackedRows, run: Fit):
        self.model, self.rows, self.valid, self.run = model, rows, valid, run
        self.per_step = run.train.batch_rows * run.train.accumulation
        self.state = State()
        model.recompute = run.train.recompute
        folder = distributed.on_rank0(partial(checkpoint.newest_whole, run.stage_dir, state=State))
        if folder:
            checkpoint.load_weights(model, folder)
        distributed.prepare(
            model,
            model.blocks,
            stage=run.stage,
            accumulation=run.train.accumulation,
            shard=run.shard,
        )
        self.optimizer = make_optimizer(model, run.train.optim)
        if folder:
            self.load(folder)
        chosen = self.choices()
        if not folder:
            self.state.precision, self.optimizer.products = chosen.precision.name, chosen.products.name
        self.scale = LossScale(self.state.precision, **self.state.scale)
        if chosen.compile.name == "on" and model.device.type != "cpu":  # a run may move from a GPU to a CPU
            compile_blocks(model)

    def choices(self) -> Choices:
        """What was chosen for this machine at the run's first start; a run that goes on keeps to it."""
        path = self.run.stage_dir / "report.json"
        kept = distributed.on_rank0(partial(Choices.read, path))
        if kept:
            return kept
        found = choose(self.model, self.optimizer, self.run.train.optim, self.trial)
        found.say()
        distributed.on_rank0(partial(found.write, path))
        return found

    def trial(self, model: LanguageModel, precision: str) -> None:
        """Runs forward and backward passes as a step does, to be timed."""
        train, rows = self.run.train, range(min(len(self.rows), self.run.train.batch_rows))

        def part() -> tuple[Tensor, None]:
            with autocast(model.device, precision):
                return summed_loss(model, self.rows.batch(rows).to(model.device)), None

        accumulate(model, [part] * min(train.accumulation, parallel.cores()))
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        model.zero_grad(set_to_none=True)

    # ---- checkpoints

    def save(self, valid_loss: float | None) -> Path:
        self.state.scale = self.scale.state()
        info = {"stage": self.run.stage, "valid_loss": valid_loss}
        trainer = {"optimizer": self.optimizer.state_dict(), "state": vars(self.state)}
        return checkpoint.save(self.run.stage_dir, self.model, step=self.state.step, info=info, trainer=trainer)

    def load(self, folder: Path) -> None:
        """Loads optimizer and state of a checkpoint whose weights the model has already."""
        trainer = checkpoint.load_trainer(folder, state=State)
        checkpoint.load_optimizer(self.optimizer, trainer, folder)
        self.state = trainer["state"]
        self.state.best = distributed.on_rank0(partial(self.find_best, folder))
        say(f"going on from {folder} (step {self.state.step} of {self.run.train.steps})")

    def find_best(self, folder: Path) -> float:
        """Makes sure that `best` names an undamaged checkpoint, if a validated one is left. Returns its loss, or infinity."""
        stage_dir, best = self.run.stage_dir, self.state.best
        if not self.state.stale and checkpoint.check(folder).get("valid_loss") == best:
            checkpoint.choose(stage_dir, self.model, folder)  # a kill may have come between the two renames
            return best
        if checkpoint.is_whole(pointed(stage_dir, "best")):
            return best
        if not (there := list(checkpoint.validated(stage_dir))):
            return math.inf
        best, path = min(there)
        warn(f"the best checkpoint is damaged or gone; the best of those that are left is {path}")
        if lora.attached(self.model):
            checkpoint.load_weights(self.model, path)
        checkpoint.choose(stage_dir, self.model, path)
        if lora.attached(self.model):
            checkpoint.load_weights(self.model, folder)
        return best

    # ---- training

    def train(self) -> dict:
        """Trains to the last step, or until `patience` validations in a row have brought no new best. Returns the final figures."""
        run, state, train = self.run, self.state, self.run.train
        if (warmup := train.optim.warmup_steps) >= train.steps:
            warn(
                f"optim.warmup_steps is {warmup}, so the learning rate is still rising when {run.stage} ends after {train.steps}"
            )
        path = Path(os.devnull) if distributed.rank() else run.stage_dir / "metrics.jsonl"
        board = train.tensorboard and not distributed.rank()
        first_step, first_seconds = state.step, state.seconds
        self.model.train()
        with (
            MetricsLog(path, from_step=state.step, tensorboard=board) as log,
            Interrupt() as interrupt,
            progress(run.stage, train.steps, done=state.step) as bar,
        ):
            while not self.finished():
                begun = time.perf_counter()
                row, stop = self.step(interrupt)
                state.seconds += time.perf_counter() - begun
                tokens = (state.step - first_step) * self.per_step * self.rows.context
                row |= {
                    "tokens_per_second": round(tokens / (state.seconds - first_seconds)),
                    "seconds": round(state.seconds, 3),
                    "memory_mb": memory_mb(self.model.device),
                }
                check = state.step == train.steps or state.step % train.eval_every_steps == 0
                if check:
                    row |= self.validate()
                log.write(row)  # before the checkpoint: a run that goes on from it needs this line
                if check:
                    log.sync()
                    self.keep()
                bar.update(
                    state.step,
                    f"loss {row['loss']:.3f}  "
                    + (f"valid {state.valid_loss:.3f}  " if math.isfinite(state.valid_loss) else "")
                    + f"lr {row['lr']:.1e}  {row['tokens_per_second']:,} tokens/s  {row['memory_mb']:,} MB",
                )
                if stop:
                    if not check:  # else `keep` has saved it, with its validation loss
                        log.sync()
                        self.save(None)
                    interrupt.leave()
            if interrupt.wanted:  # during the last validation
                interrupt.leave()
        if state.step < train.steps:
            say(
                f"{run.stage}: stopped at step {state.step}: no better in {state.stale} validations ({run.stage}.patience)"
            )
        figures = {"loss": state.loss, "validation": state.valid_loss, "best": state.best}
        say(f"{run.stage}: " + ", ".join(f"{k} {v:.6f}" for k, v in figures.items() if math.isfinite(v)))
        return {
            "loss": state.loss,
            "valid_loss": state.valid_loss,
            "best_valid_loss": state.best,
            "precision": state.precision,
        }

    def finished(self) -> bool:
        """Whether all steps are done, or patience has run out."""
        train, state = self.run.train, self.state
        return state.step >= train.steps or bool(train.patience and state.stale >= train.patience)

    def step(self, interrupt: Interrupt) -> tuple[dict, bool]:
        """Makes one update. Returns its figures, and whether any of the processes was asked to stop."""
        run, state, model, size = self.run, self.state, self.model, self.run.train.batch_rows
        chosen = rows_of_step(state.step, rows=len(self.rows), per_step=self.per_step, seed=run.seed)
        mine = distributed.shard(range(0, self.per_step, size))
        batches = [self.rows.batch(chosen[i : i + size]) for i in mine]
        # the loss is one mean over the targets of the whole step, however these are divided
        (targets,) = distributed.all_reduce_sum(sum(b.count for b in batches))

        def part(first: int, batch: Batch) -> tuple[Tensor, None]:
            if model.config.dropout:
                seed_dropout(run.seed, state.step, first)
            with autocast(model.device, state.precision):
                loss = summed_loss(model, batch.to(model.device), z_loss=run.train.optim.z_loss)
            return loss * (self.scale.value / targets), None

        parts = [partial(part, first, batch) for first, batch in zip(mine, batches, strict=True)]
        loss = sum(value for value, _ in accumulate(model, parts)) / self.scale.value
        distributed.sum_gradients(model)
        loss, stop = distributed.all_reduce_sum(loss, interrupt.wanted)  # all processes stop at the same step
        if not math.isfinite(loss):
            raise self.diverged(state.step + 1)
        self.scale.divide(model)
        norm = distributed.full(
            torch.nn.utils.clip_grad_norm_(model.parameters(), run.train.optim.grad_clip or math.inf)
        ).item()
        lr = learning_rate(state.step, steps=run.train.steps, config=run.train.optim)
        if self.scale.usable(norm):
            self.optimizer.step(lr)
        else:
            self.optimizer.clear()
        state.step, state.loss = state.step + 1, loss
        return {"step": state.step, "loss": loss, "lr": lr, "grad_norm": norm}, bool(stop)

    def diverged(self, step: int) -> MinitronError:
        return MinitronError(
            f"the loss is no longer a number at step {step}",
            hint=f"lower optim.lr or raise optim.warmup_steps, and add --force to begin anew; what is there is kept in "
            f"{self.run.stage_dir}.old",
        )

    def validate(self) -> dict:
        """Measures the held-out loss and has the model answer the sample prompts. Returns both for the log."""
        run, state, train, model = self.run, self.state, self.run.train, self.model
        state.valid_loss = mean_loss(
            model, self.valid, limit=train.eval_rows, batch_rows=train.batch_rows, precision=state.precision
        )
        if not math.isfinite(state.valid_loss):  # before anything is sampled or saved
            raise self.diverged(state.step)
        bytes_per_target = max(1, self.valid.target_bytes) / max(1, self.valid.targets)
        row = {"valid_loss": state.valid_loss, "valid_bits_per_byte": state.valid_loss / bytes_per_target / math.log(2)}
        if train.samples:
            model.eval()
            row["samples"] = [{"prompt": prompt, "text": text} for prompt, text in run.sample(model)]
            model.train()
            for sample in row["samples"]:
                say(f"  {sample['prompt']} -> {sample['text']}".replace("\n", " "), style="dim")
        return row

    def keep(self) -> None:
        """Saves the model that was just validated, makes `best` name it if its loss is the lowest so far, and deletes old checkpoints."""
        state, folder = self.state, self.run.stage_dir
        improved = state.valid_loss < state.best
        state.best, state.stale = min(state.best, state.valid_loss), 0 if improved else state.stale + 1
        saved = self.save(state.valid_loss)
        if improved:
            checkpoint.choose(folder, self.model, saved)
        checkpoint.prune(folder, keep=self.run.train.keep_checkpoints)


def memory_mb(device: torch.device) -> int:
    """The most memory that was in use so far, in 10^6 bytes: the GPU's, or else this process's (0 on Windows)."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)
