"""The audit finds what tells chosen from rejected, and nothing where nothing does."""

import random

import pytest

from minitron.align.leakage import Seen, audit, findings


def completions(count: int, **tell: bool) -> list[Seen]:
    """Completions at random, but for what `tell` says."""
    chance, made = random.Random(7), []
    for i in range(count):
        label = i % 2 == 0
        length = chance.randrange(20, 30) + (0 if label or not tell.get("length") else 40)
        ids = [chance.randrange(50) for _ in range(length)]
        if tell.get("first"):
            ids[0] = 60 if label else 61
        ended = label if tell.get("ending") else chance.random() < 0.5
        made.append(Seen(ids, ended, label))
    return made


def test_random_completions_are_not_told_apart():
    accuracies = audit(completions(600), seed=1)
    assert all(0.4 < accuracy < 0.6 for accuracy in accuracies.values())
    assert findings(accuracies) == []


@pytest.mark.parametrize(("tell", "name"), [("length", "length"), ("ending", "ending"), ("first", "first tokens")])
def test_what_tells_is_named_with_a_remedy(tell, name):
    accuracies = audit(completions(400, **{tell: True}), seed=1)
    assert accuracies[name] > 0.99
    assert accuracies["all"] > 0.95
    assert all(0.35 < accuracies[other] < 0.65 for other in {"length", "ending", "first tokens"} - {name})
    (said,) = findings(accuracies)
    assert said.startswith(f"{name} alone tells chosen from rejected in")
    assert "reject.chosen" in said


def test_unbalanced_classes_do_not_flatter():
    many = completions(400)
    few = [s for i, s in enumerate(many) if s.label or i % 20 == 1]
    assert 0.35 < audit(few, seed=1)["all"] < 0.65
