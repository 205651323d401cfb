"""The alignment loop: a policy learns beside a frozen reference, watched by guards that can send training back. What it learns is
up to a subclass (`kto.Kto`, `teaching.Teaching`).

    alignment.run(material, batches)            # goes on from where a run was stopped
    trained = alignment.trained()               # the weights that passed the guards last

Which examples a step reads depends only on the seed and the step, and a checkpoint folder is written whole or not at all. So a
run that is stopped at any moment and started again ends with the same numbers. Knows nothing about files of pairs, or about
what ships.
"""

import copy
import math
import statistics
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from minitron.align.guards import Signals, check
from minitron.align.look import Look
from minitron.align.method import Method
from minitron.align.preference import Batches, WithReplay
from minitron.core.console import progress, say, warn
from minitron.core.interrupt import Interrupt
from minitron.evaluate.examiner import Examiner
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import AlignConfig
from minitron.recipe.schema import Config
from minitron.recipe.training import OptimConfig
from minitron.train import checkpoint
from minitron.train.metrics import MetricsLog
from minitron.train.optimizer import make_optimizer

MICRO_ROWS = 8  # completions in a micro-batch
FIRST_STEPS = 5  # the gradient norms of later steps are compared with those of so many first ones


@dataclass
class RunningMean:
    """Exponential moving average, divided by the sum of its weights so that it is not biased towards 0 at first (Adam's bias
    correction, arXiv 1412.6980, section 3)."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float, *, decay: float) -> None:
        self.total = decay * self.total + (1 - decay) * value
        self.weight = decay * self.weight + 1 - decay

    @property
    def value(self) -> float:
        """0 before anything was added."""
        return self.total / self.weight if self.weight else 0.0


@dataclass
class State:
    """What a checkpoint holds besides the weights and the optimizer's state. Some of it only kto fills."""

    step: int = 0
    raw_z: RunningMean = field(default_factory=RunningMean)  # of mismatched log-ratios, in the unit of `Method.ratio`
    raw_z_per_token: RunningMean = field(default_factory=RunningMean)  # the same in nats per token, for the guards
    matched_z: RunningMean = field(default_factory=RunningMean)  # of (chosen + rejected) / 2
    passed: int = 0  # the last step that passed the guards
    breaches: int = 0
    lr_scale: float = 1.0
    first_norms: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)  # gradient norms since the last look
    chosen: list[float] = field(default_factory=list)  # log-ratios of chosen in nats per token, since the last look
    accuracy: list[float] = field(default_factory=list)  # of the first tenth of the steps
    why: str = ""  # the last breach, in words


M = TypeVar("M")  # what a policy learns from


class Alignment(ABC, Generic[M]):
    """A policy on its way from the model before this stage, which stays as its frozen reference."""

    stage: str
    shown: tuple[str, ...]  # figures of a step that the progress bar shows

    def __init__(self, config: Config, model: LanguageModel, examiner: Examiner, *, method: Method) -> None:
        self.config, self.method, self.examiner = config, method, examiner
        self.settings: AlignConfig = getattr(config, self.stage)
        self.folder = config.layout.stage(self.stage)
        self.model, self.reference = model, copy.deepcopy(model).requires_grad_(False)
        if self.settings.lora_rank:
            lora.attach(model, self.settings, seed=config.seed)
        self.optimizer = make_optimizer(model, self.optim())
        self.state = State()

    def optim(self) -> OptimConfig:
        """The settings that kto takes from [optim]; it has a learning rate of its own."""
        o = self.config.optim
        return OptimConfig(
            name=self.method.optimizer or o.name,
            weight_decay=o.weight_decay,
            beta1=o.beta1,
            beta2=o.beta2,
            eps=o.eps,
            grad_clip=o.grad_clip,
        )

    @cached_property
    def before(self) -> Look:
        """The look at the reference, which the guards compare all later looks with."""
        return self.look(self.reference)

    def look(self, model: LanguageModel) -> Look:
        return Look.at(model, self.reference, examiner=self.examiner, method=self.method)

    # ---- checkpoints

    def save(self, valid_loss: float | None) -> Path:
        trainer = {"optimizer": self.optimizer.state_dict(), "state": asdict(self.state)}
        info = {"stage": self.stage, "valid_loss": valid_loss}
        return checkpoint.save(self.folder, self.model, step=self.state.step, info=info, trainer=trainer)

    def load(self, folder: Path) -> None:
        """Loads the weights, optimizer and state of a checkpoint."""
        trainer = checkpoint.load_trainer(folder, state=State)
        checkpoint.load_weights(self.model, folder)
        checkpoint.load_optimizer(self.optimizer, trainer, folder)
        self.state = trainer["state"]

    @property
    def passed(self) -> Path:
        """The last checkpoint that passed the guards."""
        return self.config.layout.checkpoint(self.stage, f"step-{self.state.passed:06d}")

    def go_back(self, why: str) -> None:
        """Returns to the last checkpoint that passed the guards, with half the learning rate; the step count, and so the data, goes on."""
        step, breaches, scale = self.state.step, self.state.breaches + 1, self.state.lr_scale / 2
        self.load(self.passed)
        self.state.step, self.state.breaches, self.state.lr_scale, self.state.why = step, breaches, scale, why
        self.save(None)

    def trained(self) -> dict[str, Tensor] | None:
        """The last weights that passed the guards, or None if only the reference did."""
        if not self.state.passed:
            return None
        if self.state.passed != self.state.step:  # the state stays: it tells how often training went back
            checkpoint.load_weights(self.model, self.passed)
        return lora.weights(self.model)

    # ---- training

    def run(self, material: M, batches: Batches | WithReplay) -> None:
        """Trains for all steps, or goes on from the newest checkpoint if there is one."""
        if newest := checkpoint.newest_whole(self.folder, state=State):
            self.load(newest)
            # with LoRA the merged weights were written when they passed
            if self.passed == newest or not self.settings.lora_rank:
                checkpoint.choose(self.folder, self.model, self.passed)
            say(f"going on from {newest} (step {self.state.step} of {self.settings.steps})")
        else:
            checkpoint.choose(self.folder, self.model, self.save(self.before.loss))
        self.train(material, batches)

    def train(self, material: M, batches: Batches | WithReplay) -> None:
        """Trains to the last step, or to the breach that ends training. On an interrupt it saves and raises Stopped."""
        settings, method = self.settings, self.method
        with (
            MetricsLog(self.config.layout.metrics(self.stage), from_step=self.state.step) as log,
            Interrupt() as interrupt,
            progress(self.stage, settings.steps, done=self.state.step) as bar,
        ):
            while self.state.step < settings.steps and self.state.breaches <= method.retries:
                row = self.step(batches.step(self.state.step), material)
                bar.update(self.state.step, "  ".join(f"{name} {row[name]:.3f}" for name in self.shown))
                last = self.state.step == settings.steps
                signals = None
                if last or self.state.step % settings.eval_every_steps == 0:
                    signals, row["valid_loss"] = self.signals()
                    row["guards"] = signals.readings()
                log.write(row)  # before the checkpoint: a run that goes on from it must find this line
                if signals:
                    self.judge(signals, row["valid_loss"])
                if interrupt.wanted and not last:
                    self.save(None)
                    interrupt.leave()
            if interrupt.wanted:  # during the last step or look, which `judge` has saved
                interrupt.leave()

    def signals(self) -> tuple[Signals, float | None]:
        """Compares the policy with the reference; returns that and the held-out loss. Clears the figures gathered since the last look."""
        state = self.state
        chosen = statistics.fmean(state.chosen) if state.chosen else None
        raw_z = state.raw_z_per_token.value if state.raw_z_per_token.weight else None
        gradient = statistics.median(state.norms) / max(statistics.median(state.first_norms), 1e-30)
        state.chosen, state.norms = [], []
        now = self.look(self.model)
        return now.signals(self.before, raw_z=raw_z, chosen=chosen, gradient=gradient), now.loss

    def judge(self, signals: Signals, valid_loss: float | None) -> None:
        """Keeps this state if it passes the guards; otherwise goes back."""
        warnings, breaches = check(signals, self.method.limits)
        if not self.settings.guards.on:
            warnings, breaches = warnings + breaches, []
        for text in warnings:
            warn(f"{self.stage}, step {self.state.step}: {text}")
        if breaches:
            step, passed = self.state.step, self.state.passed
            self.go_back("; ".join(breaches))
            ends = f"Stopped; the model of step {passed} is kept"
            again = f"Back to step {passed}, with half the learning rate"
            warn(
                f"{self.stage}, step {step}: {self.state.why}. {ends if self.state.breaches > self.method.retries else again}"
            )
            return
        self.state.passed = self.state.step
        checkpoint.choose(self.folder, self.model, self.save(valid_loss))
        checkpoint.prune(self.folder, keep=2)

    def step(self, numbers: list[int], material: M) -> dict[str, Any]:
        """Takes one optimizer step on these examples; returns a row of metrics.jsonl."""
        settings, state = self.settings, self.state
        row = self.gradients(numbers, material)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.grad_clip or math.inf).item()
        lr = settings.lr * state.lr_scale * min(1.0, (state.step + 1) / max(1, settings.warmup_steps))
        if self.method.decay:
            lr *= 1 - state.step / settings.steps
        self.optimizer.step(lr)
        state.norms.append(norm)
        if len(state.first_norms) < FIRST_STEPS:
            state.first_norms.append(norm)
        state.step += 1
        return {"step": state.step, **row, "grad_norm": norm, "lr": lr}

    @abstractmethod
    def gradients(self, numbers: list[int], material: M) -> dict[str, float]:
        """Adds the gradient of the loss on these examples to `.grad`, and figures to the state; returns the figures for
        metrics.jsonl."""
