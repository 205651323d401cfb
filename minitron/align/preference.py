"""Labelled completions, scored by the policy against a frozen reference whose log-probabilities are kept.

    pairs = Scored(reference_model, examples)              # once
    ratios = pairs.ratios(token_log_probs(policy, pairs.pick(numbers)), numbers, ...)

Every token's reference log-probability is computed once and found by the example's number, so batches may be drawn in any
order. Knows nothing about where the pairs come from.
"""

from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from minitron.align import losses
from minitron.core import parallel
from minitron.model.language_model import LanguageModel
from minitron.model.state import Span
from minitron.train.order import rows_of_step

AT_ONCE = 1024  # tokens of a part that needs no gradients: its activations fit into a core's cache
AT_ONCE_ON_A_GPU = 16384


@dataclass
class Example:
    """A prompt with a completion. Its tokens from `start` on count in the loss: all, or in a loop those from the first repeat."""

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


def by_prompt(examples: list[Example]) -> list[list[int]]:
    """The numbers of the examples, grouped by prompt."""
    found: dict[tuple[int, ...], list[int]] = {}
    for number, example in enumerate(examples):
        found.setdefault(tuple(example.ids[: example.prompt]), []).append(number)
    return list(found.values())


def deal(examples: list[Example], numbers: list[int], parts: int) -> list[list[int]]:
    """Divides examples into parts of about equal work; completions of a prompt stay together."""

    def width(group: list[int]) -> int:
        """Tokens that the model reads; the last one of each completion is only a target."""
        prompt = examples[group[0]].prompt
        return prompt + sum(len(examples[i].ids) - prompt - 1 for i in group)

    groups = [[numbers[i] for i in group] for group in by_prompt([examples[i] for i in numbers])]
    found: list[list[int]] = [[] for _ in range(parts)]
    work = [0] * parts
    for group in sorted(groups, key=width, reverse=True):
        least = work.index(min(work))
        found[least] += group
        work[least] += width(group)
    return [part for part in found if part]


def token_log_probs(model: LanguageModel, examples: list[Example]) -> Tensor:
    """log π(token | all before) of the tokens that count, one example after the other, (T,)."""
    logits, targets = token_logits(model, examples)
    return -F.cross_entropy(logits, targets, reduction="none")


def token_logits(model: LanguageModel, examples: list[Example]) -> tuple[Tensor, Tensor]:
    """The logits (T, V), in fp32, that predict the tokens that count, one example after the other, and these tokens (T,). All
    examples are computed as one flat row, in which completions of the same prompt share one copy of it."""
    ids: list[int] = []
    positions: list[int] = []
    spans: list[Span] = []
    select: list[list[int]] = [[] for _ in examples]
    for group in by_prompt(examples):
        at, prompt, parent = len(ids), examples[group[0]].prompt, len(spans)
        ids += examples[group[0]].ids[:prompt]
        positions += range(prompt)
        spans.append(Span(prompt))
        for number in group:
            example, begins = examples[number], len(ids)
            read = example.ids[prompt:-1]  # the last token is only ever a target
            ids += read
            positions += range(prompt, prompt + len(read))
            if number == group[0]:
                spans[parent].length += len(read)
            elif read:
                spans.append(Span(len(read), parent=parent, prefix_len=prompt))
            # a token is predicted at the one before it: the first of a completion at the end of the prompt
            where = [at + prompt - 1, *range(begins, begins + len(read))]
            select[number] = where[example.start - prompt :]
    row = partial(torch.tensor, device=model.device)
    hidden = model.hidden(row([ids]), positions=row([positions]), spans=spans, wanted=row(list(chain(*select))))
    targets = row([i for e in examples for i in e.ids[e.start :]])
    return model.head(hidden).float(), targets


def scored(model: LanguageModel, examples: list[Example]) -> Tensor:
    """`token_log_probs` of any number of examples, without gradients, (T,). Equal examples are computed once: both completions
    of a prompt have the same mismatched pair."""
    keys = [(e.prompt, e.start, *e.ids) for e in examples]
    different = dict(zip(keys, examples, strict=True))
    once = list(different.values())

    def work(part: list[int]) -> list[Tensor]:
        some = [once[i] for i in part]
        with torch.no_grad():
            return list(torch.split(token_log_probs(model, some), [e.length for e in some]))

    on_cpu, tokens = model.device.type == "cpu", sum(len(e.ids) for e in once)
    count = max(parallel.cores(), -(-tokens // AT_ONCE)) if on_cpu else -(-tokens // AT_ONCE_ON_A_GPU)
    parts = deal(once, list(range(len(once))), count)
    found = parallel.parallel_map(work, parts, device=model.device)
    of = {i: tokens for part, some in zip(parts, found, strict=True) for i, tokens in zip(part, some, strict=True)}
    places = {key: i for i, key in enumerate(different)}
    return torch.cat([of[places[key]] for key in keys])


class Scored:
    """Examples with the log-probability that the frozen reference gives each of their tokens."""

    def __init__(self, model: LanguageModel, examples: list[Example]):
        self.examples = examples
        found = scored(model, examples)
        self.reference = torch.split(found, [e.length for e in examples])  # for each example (length,)
        self.lengths = torch.tensor([e.length for e in examples], device=model.device)  # (N,) tokens
        self.labels = torch.tensor([e.label for e in examples], device=model.device)  # (N,) bool

    def pick(self, numbers: list[int]) -> list[Example]:
        return [self.examples[i] for i in numbers]

    def owners(self, numbers: list[int]) -> Tensor:
        """For each token of these examples, the place of its example in `numbers`, (T,)."""
        lengths = self.lengths[numbers]
        return torch.arange(len(numbers), device=lengths.device).repeat_interleave(lengths)

    def ratios(
        self, log_probs: Tensor, numbers: list[int], *, mean: bool, clamp: tuple[float, float] | None = None
    ) -> Tensor:
        """log π - log π_ref of these examples, (len(numbers),). `log_probs` (T,) are the policy's `token_log_probs`."""
        tokens = log_probs - torch.cat([self.reference[i] for i in numbers])
        return losses.per_completion(
            tokens, self.owners(numbers), lengths=self.lengths[numbers], mean=mean, clamp=clamp
        )


class Batches:
    """Which examples each step reads: chosen and rejected ones in proportion to their numbers, each class shuffled by itself.

    If there are as many chosen as rejected ones, in the same order (pairs), a step reads both completions of a prompt.
    """

    def __init__(self, labels: list[bool], *, rows: int, seed: int):
        self.classes = [[i for i, label in enumerate(labels) if label is wanted] for wanted in (True, False)]
        chosen = round(rows * len(self.classes[0]) / len(labels))
        self.per_step = (min(max(chosen, 1), rows - 1), rows - min(max(chosen, 1), rows - 1))
        self.seed = seed

    @classmethod
    def of(cls, examples: list[Example], *, rows: int, seed: int) -> "Batches":
        return cls([e.label for e in examples], rows=rows, seed=seed)

    def step(self, step: int) -> list[int]:
        numbers = []
        for members, count in zip(self.classes, self.per_step, strict=True):
            numbers += [members[i] for i in rows_of_step(step, rows=len(members), per_step=count, seed=self.seed)]
        return numbers


class WithReplay:
    """Which examples each step reads where a few are to be learnt and many known ones are replayed: `labelled` prompts, with all
    their completions, and `replayed` examples. The examples after the first `labels` are those to replay."""

    def __init__(self, examples: list[Example], *, labels: int, labelled: int, replayed: int, seed: int):
        self.groups, self.labels, self.seed = by_prompt(examples[:labels]), labels, seed
        self.others = len(examples) - labels
        self.labelled, self.replayed = min(labelled, len(self.groups)), min(replayed, self.others)

    def step(self, step: int) -> list[int]:
        numbers = []
        for i in rows_of_step(step, rows=len(self.groups), per_step=self.labelled, seed=self.seed):
            numbers += self.groups[i]
        if self.others:
            replay = rows_of_step(step, rows=self.others, per_step=self.replayed, seed=self.seed)
            numbers += [self.labels + i for i in replay.tolist()]
        return numbers


def mismatch(examples: list[Example], prompts: list[int], context: int) -> list[Example]:
    """Each prompt with the completion of the next example that has another prompt (z0 of KTO, arXiv 2402.01306, section 4.1). The
    rule is fixed, so that the reference's log-probabilities can be kept. In the order of reject's pairs that completion is a
    chosen one, so raw z shows what happens to good answers under other prompts, which a guard watches.
    `prompts` (N,) says which examples share a prompt."""
    count = len(examples)
    others = list(range(count))  # example -> the one whose completion it gets: its own, if all share one prompt
    if len(set(prompts)) > 1:
        for i in reversed(range(2 * count - 1)):  # twice round, as the last examples look for theirs at the beginning
            here, after = i % count, (i + 1) % count
            others[here] = after if prompts[after] != prompts[here] else others[after]
    mixed = []
    for example, other in zip(examples, (examples[n] for n in others), strict=True):
        ids = (example.ids[: example.prompt] + other.ids[other.prompt :])[: context + 1]
        mixed.append(Example(ids, example.prompt, example.label))
    return mixed
