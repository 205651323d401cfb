"""The alignment loop: KTO against a frozen reference, watched by guards that can send training back.

    alignment = Alignment(config, model, examiner, method=Method())
    alignment.align(examples, prompts)          # goes on from where a run was stopped
    trained = alignment.trained()               # the weights that passed the guards last

Which examples a step reads depends only on the seed and the step, and a checkpoint folder is written whole or not at all. So a
run that is stopped at any moment and started again ends with the same numbers. Knows nothing about files of pairs, or about
what ships.
"""

import copy
import math
import statistics
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minitron.align import losses
from minitron.align.guards import Signals, check
from minitron.align.look import Look
from minitron.align.method import Method
from minitron.align.preference import Batches, Example, Scored, WithReplay, deal, mismatch, scored, token_log_probs
from minitron.core.console import progress, say, warn
from minitron.core.interrupt import Interrupt
from minitron.evaluate.examiner import Examiner
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import AlignConfig, KtoConfig
from minitron.recipe.schema import Config
from minitron.recipe.training import OptimConfig
from minitron.train import checkpoint
from minitron.train.loop import accumulate
from minitron.train.metrics import MetricsLog
from minitron.train.optimizer import make_optimizer

MICRO_ROWS = 8  # completions in a micro-batch
FIRST_STEPS = 5  # the gradient norms of later steps are compared with those of so many first ones
TOO_GOOD = 0.99  # mean accuracy over the first tenth of the steps from which kto warns


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
    """What a checkpoint holds besides the weights and the optimizer's state."""

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


def mean_of(values: Tensor) -> float:
    """The mean, or 0 if there are no values, as in a step without rejected completions."""
    return values.mean().item() if values.numel() else 0.0


@dataclass(frozen=True)
class TrainingSet:
    """Completions, the same prompts each with another prompt's completion, and the weights of chosen and rejected completions."""

    pairs: Scored
    mismatched: Scored
    weights: tuple[float, float]


class Alignment:
    """A policy on its way from the SFT model, which stays as its frozen reference."""

    shown: tuple[str, ...] = ("loss", "raw_z")  # figures of a step that the progress bar shows

    def __init__(
        self, config: Config, model: LanguageModel, examiner: Examiner, *, method: Method, stage: str = "kto"
    ) -> None:
        self.config, self.method, self.examiner, self.stage = config, method, examiner, stage
        self.settings: AlignConfig = getattr(config, stage)
        self.folder = config.layout.stage(stage)
        self.model, self.reference = model, copy.deepcopy(model).requires_grad_(False)
        if self.settings.lora_rank:
            lora.attach(model, self.settings, seed=config.seed)
        self.optimizer = make_optimizer(model, self.optim())
        self.state = State()
        self.early = max(1, self.settings.steps // 10)  # the steps in which accuracy should not be perfect

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
        """The look at the SFT model, which the guards compare all later looks with."""
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

    def load_passed(self) -> None:
        """Loads the last checkpoint that passed the guards."""
        self.load(self.config.layout.checkpoint(self.stage, f"step-{self.state.passed:06d}"))

    def go_back(self, why: str) -> None:
        """Returns to the last checkpoint that passed the guards, with half the learning rate; the step count, and so the data, goes on."""
        step, breaches, scale = self.state.step, self.state.breaches + 1, self.state.lr_scale / 2
        self.load_passed()
        self.state.step, self.state.breaches, self.state.lr_scale, self.state.why = step, breaches, scale, why
        self.save(None)

    def trained(self) -> dict[str, Tensor] | None:
        """The last weights that passed the guards, or None if only the SFT model did."""
        if not self.state.passed:
            return None
        if self.state.passed != self.state.step:
            self.load_passed()
        return lora.weights(self.model)

    # ---- training

    def training_set(self, examples: list[Example], prompts: list[int], per_step: tuple[int, int]) -> TrainingSet:
        """The examples with the reference's log-probabilities. `prompts` says which examples share a prompt (`examples.encode_pairs`),
        `per_step` how many chosen and rejected ones a step reads, by which the classes are weighted."""
        chosen = sum(e.label for e in examples)
        weights = self.method.weights or losses.class_weights(*per_step)
        say(
            f"{self.stage}: {chosen} chosen and {len(examples) - chosen} rejected completions, "
            f"weights {weights[0]:.2f} and {weights[1]:.2f}"
        )
        mixed = mismatch(examples, prompts, self.config.model.context)
        return TrainingSet(Scored(self.reference, examples), Scored(self.reference, mixed), weights)

    def align(self, examples: list[Example], prompts: list[int]) -> None:
        """Trains on these examples for all steps that are left, with chosen and rejected in proportion to their numbers."""
        batches = Batches.of(examples, rows=self.settings.batch_rows, seed=self.config.seed)
        self.run(self.training_set(examples, prompts, batches.per_step), batches)

    def run(self, material: Any, batches: Batches | WithReplay) -> None:
        """Trains for all steps, or goes on from the newest checkpoint if there is one."""
        if newest := checkpoint.newest_whole(self.folder, state=State):
            self.load(newest)
            passed = self.config.layout.checkpoint(self.stage, f"step-{self.state.passed:06d}")
            # with LoRA the merged weights were written when they passed
            if passed == newest or not self.settings.lora_rank:
                checkpoint.choose(self.folder, self.model, passed)
            say(f"going on from {newest} (step {self.state.step} of {self.settings.steps})")
        else:
            checkpoint.choose(self.folder, self.model, self.save(self.before.loss))
        self.train(material, batches)

    def train(self, material: Any, batches: Batches | WithReplay) -> None:
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
                told_apart = self.stage == "kto" and self.state.step == self.early
                if told_apart and statistics.fmean(self.state.accuracy) >= TOO_GOOD:
                    warn(
                        "kto: after a tenth of the steps the model tells chosen from rejected without an error; something trivial, "
                        "such as length, may give them away: see the percentages printed at the start, and docs/kto.md"
                    )
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
        """Compares the policy with the SFT model; returns that and the held-out loss. Clears the figures gathered since the last look."""
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

    def step(self, numbers: list[int], material: Any) -> dict[str, Any]:
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

    def gradients(self, numbers: list[int], material: Any) -> dict[str, float]:
        """Adds the gradient of these examples' loss to `.grad` and figures to the state; returns the figures for metrics.jsonl."""
        method, state, pairs = self.method, self.state, material.pairs
        micro = deal(pairs.examples, numbers, -(-len(numbers) // MICRO_ROWS))
        numbers = [n for some in micro for n in some]
        good = pairs.labels[numbers]
        batch_z = self.measure_z(material.mismatched, numbers)
        raw_z = {"batch": batch_z, "running": state.raw_z.value, "matched": state.matched_z.value}[method.z_ref]
        part = partial(
            self.micro_loss, material, raw_z=raw_z, rows=len(numbers), chosen=pairs.lengths[numbers][good].sum()
        )
        results = accumulate(self.model, [partial(part, some) for some in micro])
        ratios, per_token = (torch.cat([more[i] for _, more in results]) for i in (0, 1))
        chosen, rejected = mean_of(ratios[good]), mean_of(ratios[~good])
        # in what share of all (chosen, rejected) pairs of this step the chosen one has the higher log-ratio
        accuracy = mean_of((ratios[good][:, None] > ratios[~good][None, :]).float())
        state.chosen.append(mean_of(per_token[good]))
        if state.step < self.early:
            state.accuracy.append(accuracy)
        state.matched_z.add((chosen + rejected) / 2, decay=method.z_decay)
        return {
            "loss": sum(value for value, _ in results),
            "nll": sum(nll for _, (_, _, nll) in results),
            "raw_z": state.raw_z_per_token.value,
            "batch_z": batch_z,
            "chosen_log_ratio": chosen,
            "rejected_log_ratio": rejected,
            "accuracy": accuracy,
        }

    def measure_z(self, mismatched: Scored, numbers: list[int]) -> float:
        """Mean log-ratio of these mismatched pairs in the unit of `Method.ratio`; adds it to the running means.

        It is computed over the whole step, so that it does not depend on how the step is divided into micro-batches."""
        method, log_probs = self.method, scored(self.model, mismatched.pick(numbers))
        batch_z = mismatched.ratios(log_probs, numbers, mean=method.ratio == "mean").mean().item()
        per_token = mismatched.ratios(log_probs, numbers, mean=True).mean().item()
        self.state.raw_z.add(batch_z, decay=method.z_decay)
        self.state.raw_z_per_token.add(per_token, decay=method.z_decay)
        return batch_z

    def micro_loss(
        self, material: TrainingSet, some: list[int], *, raw_z: float, rows: int, chosen: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, float]]:
        """A micro-batch's share of the step's loss, and without gradients: its log-ratios (len(some),) in the unit of
        `Method.ratio` and in nats per token, and its share of the cross-entropy on chosen completions. The whole step has
        `rows` completions and `chosen` tokens of chosen ones."""
        method, pairs, settings = self.method, material.pairs, self.settings
        assert isinstance(settings, KtoConfig)
        mean, labels = method.ratio == "mean", pairs.labels[some]
        log_probs = token_log_probs(self.model, pairs.pick(some))
        ratios = pairs.ratios(log_probs, some, mean=mean, clamp=method.token_clamp)
        loss = losses.preference_loss(
            ratios, labels=labels, lengths=pairs.lengths[some], raw_z=raw_z, beta=settings.beta, method=method
        )
        loss = (torch.where(labels, *material.weights) * loss).sum() / rows
        # RPO's term (arXiv 2404.19733): plain cross-entropy per token on the chosen completions
        nll = -log_probs[labels[pairs.owners(some)]].sum() / chosen
        summed, per_token = (pairs.ratios(log_probs.detach(), some, mean=unit) for unit in (mean, True))
        return loss + method.nll_weight * nll, (summed, per_token, nll.item())
