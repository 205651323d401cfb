"""The audit finds the features that tell chosen from rejected completions, and finds nothing if there are none."""

import random

import pytest

from minitron.align.leakage import Seen, audit, audit_label_leakage, findings
from minitron.align.preference import Example


def completions(count: int, **tell: bool) -> list[Seen]:
    """Random completions, except that the features in `tell` depend on the label."""
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
    assert findings(accuracies, recorded=False) == []


@pytest.mark.parametrize(("tell", "name"), [("length", "length"), ("ending", "ending"), ("first", "first tokens")])
def test_what_tells_is_named_with_a_remedy(tell, name):
    accuracies = audit(completions(400, **{tell: True}), seed=1)
    assert accuracies[name] > 0.99
    assert accuracies["all"] > 0.95
    assert all(0.35 < accuracies[other] < 0.65 for other in {"length", "ending", "first tokens"} - {name})
    (said,) = findings(accuracies, recorded=True)
    assert said.startswith(f"{name} alone tells chosen from rejected in")
    assert "label answers" in said
    sampled = findings(accuracies, recorded=False)
    if tell == "first":  # as of canned answers: what kto shall unlearn
        assert not sampled
    else:
        assert ["reject.chosen" in said for said in sampled] == [True]


def test_recorded_labels_get_a_remedy_that_they_can_take(capfd):
    """reject.chosen decides where good answers come from for sampled bad ones; it has no effect on labels from reject.files."""
    seen = completions(80, length=True)
    examples = [Example([7, *s.ids, 2] if s.ended else [7, *s.ids], 1, s.label) for s in seen]
    for recorded in (False, True):
        told = audit_label_leakage(examples, 2, recorded=recorded, seed=1)
        assert told["length"] > 0.99
        said = capfd.readouterr().err
        assert ("reject.chosen" in said) is not recorded
        assert "kto.cut_rejected" not in said  # it is always on
    assert audit_label_leakage(examples[:30], 2, recorded=True, seed=1) == {}  # fifteen of each class are too few


def test_unbalanced_classes_do_not_flatter():
    many = completions(400)
    few = [s for i, s in enumerate(many) if s.label or i % 20 == 1]
    assert 0.35 < audit(few, seed=1)["all"] < 0.65
