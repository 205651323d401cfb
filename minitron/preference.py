"""Completions with a label, scored by the policy against a frozen reference whose log-probabilities are kept.

    pairs = Scored(reference_model, examples)              # once
    ratios = pairs.ratios(token_log_probs(policy, pairs.pick(numbers)), numbers, ...)

Every token's reference log-probability is computed once and found by the example's number, so batches may be drawn in any
order. Knows nothing about losses and where the pairs come from.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from minitron import losses, parallel
from minitron.model import LanguageModel
from minitron.trainer import rows_of_step

SHARE = 2  # completions of a prompt that are computed together


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


@dataclass
class Row:
    """Completions of one prompt: the prompt is computed once, and each completion sees it and itself."""

    numbers: list[int]  # which examples
    width: int  # tokens the model reads


def rows_of(examples: list[Example]) -> list[Row]:
    """The examples as rows, `SHARE` completions of a prompt in each at most."""
    rows, open_rows = [], {}
    for number, example in enumerate(examples):
        prompt = tuple(example.ids[: example.prompt])
        row = open_rows.get(prompt)
        if row is None or len(row.numbers) == SHARE:
            row = open_rows[prompt] = Row([], example.prompt)
            rows.append(row)
        row.numbers.append(number)
        row.width += len(example.ids) - example.prompt - 1  # the last token is only ever a target
    return rows


def bunches(rows: list[Row], *, most: int, fixed: int) -> list[list[Row]]:
    """Rows of like width together, so that the least is computed: all tokens with their padding, and `fixed` more per bunch.

    A bunch has at most `most` tokens, or one row. Found by dynamic programming over the rows in order of width.
    """
    rows = sorted(rows, key=lambda row: row.width)
    least, cut = [0], [0]
    for end in range(1, len(rows) + 1):
        width = rows[end - 1].width
        first = max(0, min(end - 1, end - most // max(1, width)))
        start = min(range(first, end), key=lambda i: least[i] + (end - i) * width)
        least.append(least[start] + (end - start) * width + fixed)
        cut.append(start)
    found, end = [], len(rows)
    while end:
        found.append(rows[cut[end] : end])
        end = cut[end]
    return found  # the widest first


def deal(examples: list[Example], numbers: list[int], parts: int) -> list[list[int]]:
    """Divides examples into parts of about equal work; completions of a prompt stay together."""
    rows = sorted(rows_of([examples[i] for i in numbers]), key=lambda row: -row.width)
    found, work = [[] for _ in range(parts)], [0] * parts
    for row in rows:
        least = work.index(min(work))
        found[least] += [numbers[i] for i in row.numbers]
        work[least] += row.width
    return [part for part in found if part]


def token_log_probs(model: LanguageModel, examples: list[Example]) -> Tensor:
    """log π(token | all before) of the tokens that count, one example after the other, (T,)."""
    some = bunches(rows_of(examples), **limits(model))
    return in_order(examples, some, [bunch_log_probs(model, examples, bunch) for bunch in some])


def scored(model: LanguageModel, examples: list[Example]) -> Tensor:
    """`token_log_probs` of any number of examples, without gradients, (T,). Of equal ones a single one is computed:
    both completions of a prompt have the same mismatched pair."""
    keys = [(e.prompt, e.start, *e.ids) for e in examples]
    different = dict(zip(keys, examples, strict=True))
    once = list(different.values())

    def part(bunch: list[Row]) -> Tensor:
        with torch.no_grad():
            return bunch_log_probs(model, once, bunch)

    some = bunches(rows_of(once), **limits(model))
    found = in_order(once, some, parallel.each(part, some, device=model.device)).split([e.length for e in once])
    of = dict(zip(different, found, strict=True))
    return torch.cat([of[key] for key in keys])


def limits(model: LanguageModel) -> dict[str, int]:
    """How to divide work on the model's device."""
    return {"most": 512, "fixed": 32} if model.device.type == "cpu" else {"most": 16384, "fixed": 4096}


def in_order(examples: list[Example], some: list[list[Row]], values: list[Tensor]) -> Tensor:
    """What `bunch_log_probs` found for each of these bunches, in the order of the examples."""
    numbers = [number for bunch in some for row in bunch for number in row.numbers]
    found = torch.cat(values).split([examples[i].length for i in numbers])
    return torch.cat([found[place] for place in invert(numbers)])


def bunch_log_probs(model: LanguageModel, examples: list[Example], bunch: list[Row]) -> Tensor:
    """`token_log_probs` of the examples in these rows, row by row."""
    width = max(row.width for row in bunch)
    shape = (len(bunch), width)
    ids, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    owner = np.zeros(
        shape, np.int64
    )  # whose token: of the prompt (0), or of which completion; padding belongs to the last
    select, targets = [], []
    for r, row in enumerate(bunch):
        first = examples[row.numbers[0]]
        at = first.prompt
        ids[r, :at], positions[r, :at] = first.ids[:at], np.arange(at)
        for k, number in enumerate(row.numbers, 1):
            example = examples[number]
            n = len(example.ids) - example.prompt - 1
            ids[r, at : at + n] = example.ids[example.prompt : -1]
            positions[r, at : at + n] = np.arange(example.prompt, example.prompt + n)
            owner[r, at:] = k
            skip = example.start - example.prompt
            if not skip:
                select.append(r * width + example.prompt - 1)
            select += range(r * width + at + max(0, skip - 1), r * width + at + n)
            targets += example.ids[example.start :]
            at += n
    device, mask = model.device, None
    if owner.max() > 1:  # else plain causal attention is right: nothing sees the padding after it
        whose = torch.from_numpy(owner)
        mask = (whose[:, :, None] == whose[:, None, :]) | (whose[:, None, :] == 0)
        mask = (mask & torch.ones(width, width, dtype=torch.bool).tril()).unsqueeze(1).to(device)
    ids, positions = torch.from_numpy(ids).to(device), torch.from_numpy(positions).to(device)
    hidden = model.hidden(ids, positions=positions, mask=mask).flatten(0, 1)[torch.tensor(select, device=device)]
    return -F.cross_entropy(model.head(hidden).float(), torch.tensor(targets, device=device), reduction="none")


class Scored:
    """Examples with what the frozen reference gave each of their tokens."""

    def __init__(self, model: LanguageModel, examples: list[Example]):
        self.examples = examples
        found = scored(model, examples)
        self.reference = found.split([e.length for e in examples])  # of each example (length,)
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
    can be kept (z0 of KTO, arXiv 2402.01306, section 4.1). In the order of reject's pairs that is a chosen one, so that raw z
    says what becomes of good answers under other prompts: the drift that kto's guards watch. `prompts` says which examples share a prompt, (N,)."""
    mixed, count = [], len(examples)
    for i, example in enumerate(examples):
        ahead = next((k for k in range(1, count) if prompts[(i + k) % count] != prompts[i]), 0)
        other = examples[(i + ahead) % count]
        ids = (example.ids[: example.prompt] + other.ids[other.prompt :])[: context + 1]
        mixed.append(Example(ids, example.prompt, example.label))
    return mixed
