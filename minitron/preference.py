"""Completions with a label, scored by the policy against a frozen reference whose log-probabilities are kept.

    pairs = Scored(reference_model, examples)              # once
    ratios = pairs.ratios(token_log_probs(policy, pairs.pick(numbers)), numbers, ...)

Every token's reference log-probability is computed once and found by the example's number, so batches may be drawn in any
order. Knows nothing about losses and where the pairs come from.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from minitron import losses, parallel
from minitron.model import LanguageModel
from minitron.trainer import rows_of_step

AT_ONCE = 32  # completions scored together without gradients


@dataclass
class Example:
    """A prompt with a completion, of which the tokens from `start` on count: all, or those from a loop's first repeat."""

    ids: list[int]
    prompt: int  # tokens of the prompt
    label: bool  # chosen, or rejected
    start: int = 0  # default: where the completion begins

    def __post_init__(self) -> None:
        self.start = self.start or self.prompt

    @property
    def length(self) -> int:
        """Tokens that count."""
        return len(self.ids) - self.start


def token_log_probs(model: LanguageModel, examples: list[Example]) -> Tensor:
    """log π(token | all before) of the tokens that count, one example after the other, (T,)."""
    width = max(len(e.ids) for e in examples) - 1
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    select, targets = [], []
    for row, example in enumerate(examples):
        n = len(example.ids) - 1
        ids[row, :n] = torch.tensor(example.ids[:-1])  # padding on the right: no earlier position sees it
        select += range(row * width + example.start - 1, row * width + n)
        targets += example.ids[example.start :]
    device = model.device
    hidden = model.hidden(ids.to(device)).flatten(0, 1)[torch.tensor(select, device=device)]
    return -F.cross_entropy(model.head(hidden).float(), torch.tensor(targets, device=device), reduction="none")


def scored(model: LanguageModel, examples: list[Example], *, at_once: int = AT_ONCE) -> Tensor:
    """`token_log_probs` of any number of examples, without gradients, (T,)."""

    def part(start: int) -> Tensor:
        with torch.no_grad():
            return token_log_probs(model, examples[start : start + at_once])

    return torch.cat(parallel.each(part, range(0, len(examples), at_once), device=model.device))


class Scored:
    """Examples with what the frozen reference gave each of their tokens."""

    def __init__(self, model: LanguageModel, examples: list[Example]):
        self.examples = examples
        # What is alike in length is scored together: little padding. The result is put back into the examples' order.
        order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
        found = scored(model, [examples[i] for i in order]).split([examples[i].length for i in order])
        self.reference = [found[place] for place in invert(order)]  # of each example (length,)
        self.lengths = torch.tensor([e.length for e in examples], device=model.device)  # (N,) tokens
        self.labels = torch.tensor([e.label for e in examples], device=model.device)  # (N,) bool

    def pick(self, numbers: list[int]) -> list[Example]:
        return [self.examples[i] for i in numbers]

    def owners(self, numbers: list[int]) -> Tensor:
        """Which of these examples each of their tokens belongs to, (T,)."""
        lengths = self.lengths[numbers]
        return torch.arange(len(numbers), device=lengths.device).repeat_interleave(lengths)

    def ratios(
        self, log_probs: Tensor, numbers: list[int], *, mean: bool, clamp: tuple[float, float] | None = None
    ) -> Tensor:
        """log π - log π_ref of these examples, (len(numbers),), from `token_log_probs` of the policy, (T,)."""
        tokens = log_probs - torch.cat([self.reference[i] for i in numbers])
        return losses.per_completion(
            tokens, self.owners(numbers), lengths=self.lengths[numbers], mean=mean, clamp=clamp
        )


class Batches:
    """Which examples each step reads: of chosen and rejected as many as their numbers say, each in an order of its own.

    Where there are as many of both, in the same order (pairs), a step reads both completions of a prompt.
    """

    def __init__(self, labels: list[bool], *, rows: int, seed: int):
        self.classes = [[i for i, label in enumerate(labels) if label is wanted] for wanted in (True, False)]
        chosen = round(rows * len(self.classes[0]) / len(labels))
        self.per_step = (min(max(chosen, 1), rows - 1), rows - min(max(chosen, 1), rows - 1))
        self.seed = seed

    def step(self, step: int) -> list[int]:
        numbers = []
        for members, count in zip(self.classes, self.per_step, strict=True):
            numbers += [members[i] for i in rows_of_step(step, rows=len(members), per_step=count, seed=self.seed)]
        return numbers


def invert(order: list[int]) -> list[int]:
    """Where each number stands in a permutation."""
    places = [0] * len(order)
    for place, number in enumerate(order):
        places[number] = place
    return places


def mismatch(examples: list[Example], prompts: list[int], context: int) -> list[Example]:
    """Each prompt with the completion of another: the next one whose prompt differs, by a fixed rule, so that the reference
    can be kept (z0 of KTO, arXiv 2402.01306, section 4.1). `prompts` says which examples share a prompt, (N,)."""
    mixed, count = [], len(examples)
    for i, example in enumerate(examples):
        ahead = next((k for k in range(1, count) if prompts[(i + k) % count] != prompts[i]), 0)
        other = examples[(i + ahead) % count]
        ids = (example.ids[: example.prompt] + other.ids[other.prompt :])[: context + 1]
        mixed.append(Example(ids, example.prompt, example.label))
    return mixed
