"""KTO (Ethayarajh et al., arXiv 2402.01306): good completions become more likely than under the reference, bad ones less.

    alignment = Kto(config, model, examiner, method=Method())
    alignment.align(examples, prompts)          # goes on from where a run was stopped

Knows nothing about files of pairs, or about what ships.
"""

import statistics
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from minitron.align import losses
from minitron.align.loop import MICRO_ROWS, Alignment
from minitron.align.preference import Batches, Example, Scored, deal, mismatch, scored, token_log_probs
from minitron.core.console import say, warn
from minitron.recipe.alignment import KtoConfig
from minitron.train.passes import accumulate

TOO_GOOD = 0.99  # mean accuracy over the first tenth of the steps from which kto warns


def mean_of(values: Tensor) -> float:
    """The mean, or 0 if there are no values, as in a step without rejected completions."""
    return values.mean().item() if values.numel() else 0.0


@dataclass(frozen=True)
class TrainingSet:
    """Completions, the same prompts each with another prompt's completion, and the weights of chosen and rejected completions."""

    pairs: Scored
    mismatched: Scored
    weights: tuple[float, float]


class Kto(Alignment[TrainingSet]):
    """A policy on its way from the SFT model."""

    stage, shown = "kto", ("loss", "raw_z")

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

    def gradients(self, numbers: list[int], material: TrainingSet) -> dict[str, float]:
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
        self.watch(accuracy)
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

    def watch(self, accuracy: float) -> None:
        """Warns after a tenth of the steps if the model made no mistake in them."""
        state, early = self.state, max(1, self.settings.steps // 10)
        if state.step < early:
            state.accuracy.append(accuracy)
        if state.step == early - 1 and statistics.fmean(state.accuracy) >= TOO_GOOD:
            warn(
                "kto: after a tenth of the steps the model tells chosen from rejected without an error; something trivial, "
                "such as length, may give them away: see the percentages printed at the start, and docs/kto.md"
            )

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
