"""Which blend of two models ships, and what the verdict says of it."""

import json
from dataclasses import replace

import pytest
import torch

from minitron.align.method import Method
from minitron.align.selection import blended, decide, objection
from minitron.evaluate.failures import FailureRates
from minitron.evaluate.intervals import Share
from minitron.evaluate.verdict import Candidate, Verdict
from minitron.recipe.alignment import KtoConfig


def test_blends_lie_between_the_models(tiny_model):
    model = tiny_model
    trained = {name: w + 1 for name, w in model.state_dict().items()}
    half = blended(model, trained, 0.25)
    for name, weight in half.named_parameters():
        torch.testing.assert_close(weight, model.state_dict()[name] + 0.25)


def candidate(blend: float = 0.0, *, failing: int = 50, loss=1.0, probes=900, distinct_2=0.5, why="") -> Candidate:
    """Figures of 1,000 answers, of which `failing` fail, and of 1,000 probes, of which `probes` are right."""
    share = Share.of(failing, 1000)
    rates = FailureRates(share, share, share, share, share)
    return Candidate(blend, loss, Share.of(probes, 1000), rates, distinct_2, why)


@pytest.mark.parametrize(
    ("now", "want"),
    [
        ({}, ""),
        ({"loss": 1.0101}, "held-out loss"),
        ({"loss": float("nan")}, "held-out loss"),
        ({"probes": 889}, "probe accuracy"),
        ({"distinct_2": 0.48}, "distinct-2"),
        ({"loss": 1.009, "probes": 891, "distinct_2": 0.495}, ""),
    ],
)
def test_what_may_not_ship(now, want):
    said = objection(candidate(1.0, **now), candidate(), settings=KtoConfig(), method=Method())
    assert said.startswith(want)
    assert bool(said) == bool(want)


BAD = "held-out loss 2.0000, before 1.0000"


@pytest.mark.parametrize(
    ("blends", "force", "outcome", "ships", "why"),
    [
        ([], False, "refused", 0, "raw z fell"),
        ([candidate(1.0, failing=20)], False, "improved", 1.0, "failing answers 5.0% -> 2.0% (95%: -4.7 to -1.4 points)"),
        ([candidate(1.0, failing=40)], False, "no change", 0, "failing answers 5.0% -> 4.0% (95%: -2.9 to +0.8 points)"),
        ([candidate(1.0, failing=80)], False, "no change", 0, "failing answers 5.0% -> 8.0%"),
        ([candidate(1.0, why=BAD), candidate(0.5, failing=20)], False, "improved", 0.5, "failing answers 5.0% -> 2.0%"),
        ([candidate(1.0, why=BAD), candidate(0.5, why="x")], False, "refused", 0, f"blend 1: {BAD}; blend 0.5: x"),
        ([], True, "refused", 0, "raw z fell"),  # there is no blend that could be forced
        ([candidate(1.0, failing=40)], True, "no change", 1.0, "forced; failing answers"),
        ([candidate(1.0, why=BAD), candidate(0.5, why="x")], True, "refused", 1.0, "forced; blend 1: "),
        ([candidate(1.0, failing=20)], True, "improved", 1.0, "failing answers 5.0% -> 2.0%"),
    ],
)  # fmt: skip
def test_every_outcome_and_what_ships_then(blends, force, outcome, ships, why):
    verdict = decide([candidate(), *blends], why="raw z fell", force=force)
    assert (verdict.outcome, verdict.shipped.blend) == (outcome, ships)
    assert verdict.why.startswith(why)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_without_prompts_nothing_is_an_improvement():
    bare = Candidate(0.0, 1.0, None, None, None)
    verdict = decide([bare, replace(bare, blend=1.0)], why="", force=False)
    assert (verdict.outcome, verdict.why) == ("no change", "there is no prompt to compare answers on")
    assert Verdict.from_json(verdict.to_json()) == verdict
