"""Can something trivial tell chosen from rejected completions? Then kto learns that, and nothing else.

A logistic regression sees only the lengths, endings or first tokens of completions, and is tested on completions that it was
not fitted to. If it is nearly always right, the policy soon will be too, for the wrong reason: accuracy 1.0 while answers
get worse. Knows nothing about models and files.
"""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from minitron.align.preference import Example
from minitron.core.console import say, warn

FOLDS = 5
FIRST_TOKENS, COMMON = 3, 64  # how many first tokens are features, and how many values of each, the most common
SUSPECT = 0.9  # balanced accuracy from which a feature is reported as giving the labels away
FEWEST = 20  # with fewer completions of a class there is no audit
# Remedies where reject sampled the rejected ones. kto already cuts them to the chosen one's length, and that they begin unlike the
# chosen ones is no fault: canned answers are known by their first words, and those are what kto shall unlearn.
SAMPLED = {
    "length": 'choose answers of like length: reject.chosen = "model"',
    "ending": 'choose answers that end alike: reject.chosen = "model"; or lower reject.max_tokens',
}
RECORDED = {  # remedies where people or judges labelled both (reject.files)
    "length": "label answers of like length as good and as bad",
    "ending": "label answers that end alike as good and as bad, or correct the endings in the file",
    "first tokens": "label answers that begin alike as good and as bad",
}


def audit_label_leakage(examples: list[Example], end: int, *, recorded: bool, seed: int) -> dict[str, float]:
    """Warns if something trivial tells chosen from rejected. Returns the balanced accuracies; none if there are too few examples.

    `end` is the id of the end marker; `recorded` says that the labels come from `reject.files`, where other remedies help.
    """
    seen = [Seen(e.ids[e.prompt :], e.ids[-1] == end, e.label) for e in examples]
    if min(sum(s.label for s in seen), sum(not s.label for s in seen)) < FEWEST:
        return {}
    accuracies = audit(seen, seed=seed)
    shown = ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in accuracies.items())
    say(f"kto: how often each of these tells chosen from rejected (chance: 50%): {shown}")
    for text in findings(accuracies, recorded=recorded):
        warn(f"kto: {text}")
    return accuracies


@dataclass(frozen=True)
class Seen:
    """What the classifier may see of a completion."""

    ids: list[int]
    ended: bool
    label: bool


def audit(seen: list[Seen], *, seed: int) -> dict[str, float]:
    """Balanced accuracy (chance: 0.5) on held-out completions, for each kind of feature alone and for `all` together."""
    lengths = torch.tensor([[float(len(s.ids))] for s in seen]).log1p()
    features = {
        "length": torch.cat([lengths, lengths**2], 1),
        "ending": torch.tensor([[float(s.ended)] for s in seen]),
        "first tokens": _first_tokens(seen),
    }
    labels = torch.tensor([s.label for s in seen])
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))
    features["all"] = torch.cat(list(features.values()), 1)
    return {name: _accuracy(values[order], labels[order]) for name, values in features.items()}


def findings(accuracies: dict[str, float], *, recorded: bool) -> list[str]:
    """A sentence with a remedy for each kind of feature that gives the labels away."""
    return [
        f"{name} alone tells chosen from rejected in {accuracies[name]:.0%} of the cases; {remedy}"
        for name, remedy in (RECORDED if recorded else SAMPLED).items()
        if accuracies[name] >= SUSPECT
    ]


def _first_tokens(seen: list[Seen]) -> Tensor:
    """One-hot of the most common tokens at each of the first places, (N, places * at most COMMON)."""
    columns = []
    for place in range(FIRST_TOKENS):
        tokens = [s.ids[place] if place < len(s.ids) else -1 for s in seen]
        common = [token for token, _ in Counter(tokens).most_common(COMMON)]
        columns.append(torch.tensor(tokens)[:, None] == torch.tensor(common)[None, :])
    return torch.cat(columns, 1).float()


def _accuracy(features: Tensor, labels: Tensor) -> float:
    """The mean of both classes' accuracies on held-out completions, by cross-validation."""
    right = torch.zeros(len(labels), dtype=torch.bool)
    for fold in range(FOLDS):
        held_out = torch.arange(len(labels)) % FOLDS == fold
        weights = _fit(features[~held_out], labels[~held_out])
        right[held_out] = (_with_bias(features[held_out]) @ weights > 0) == labels[held_out]
    classes = [right[labels], right[~labels]]
    return sum(part.float().mean().item() for part in classes if len(part)) / 2


def _fit(features: Tensor, labels: Tensor) -> Tensor:
    """Logistic regression with both classes weighing the same and a little weight decay."""
    inputs, targets = _with_bias(features), labels.float()
    balance = torch.where(labels, 0.5 / targets.mean().clamp(min=1e-6), 0.5 / (1 - targets.mean()).clamp(min=1e-6))
    weights = torch.zeros(inputs.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (
            F.binary_cross_entropy_with_logits(inputs @ weights, targets, weight=balance)
            + 1e-3 * weights.square().sum()
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()


def _with_bias(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones(len(features), 1)], 1)
