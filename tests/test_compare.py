"""minitron compare: the table, the JSON, the section of the report, and intervals against another calculation."""

import json
import math
import random
import shutil
from pathlib import Path

import pytest

from minitron import cli
from minitron.evaluate.comparison import Comparison
from minitron.evaluate.failures import distinct_2
from minitron.evaluate.intervals import Share, change, differs, wilson
from minitron.recipe.load import load_recipe
from minitron.stages import pipeline


def minitron(*arguments: str) -> int:
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        return end.code
    return 0


# slow: a run up to kto
@pytest.mark.slow
def test_sft_and_kto_side_by_side(tiny_run, capsys):
    recipe = load_recipe("tiny.toml", ["kto.force=true"])
    for stage in pipeline.select(recipe, None, "eval"):
        pipeline.run_stage(stage, recipe)
    capsys.readouterr()
    assert minitron("compare", "runs/tiny/sft", "runs/tiny/kto", "--prompts", "10") == 0
    table = capsys.readouterr().out
    card = json.loads(Path("runs/tiny/compare.json").read_text())
    assert Comparison.from_json(card).to_json() == card
    measures = [row["measure"] for row in card["rows"]]
    assert measures[:2] == ["loss", "bits_per_byte"]
    assert {"all: loops", "chat: answers that fail", "loops: distinct-2"} <= set(measures)
    for row in card["rows"]:
        assert row["measure"] in table
        if "change" in row:
            assert row["counts"][0] in (10, 40)  # each prompt: with every preset and as the chat program samples
            assert row["change"][0] <= row["values"][1] - row["values"][0] <= row["change"][1]
    assert len(card["answers"]) == 4 * 5
    page = Path("runs/tiny/report.html").read_text()
    assert "<h2>Compared</h2>" in page
    assert "answers side by side" in page
    whole = Path("runs/tiny/report.json").read_text()
    Path("runs/tiny/report.json").write_text(whole[: len(whole) // 2])
    assert minitron("compare", "runs/tiny/sft", "runs/tiny/kto", "--prompts", "2") == 0
    assert "warning: runs/tiny/report.json is damaged" in capsys.readouterr().err
    assert Path("runs/tiny/report.html").read_text() == page
    shutil.copytree("runs/tiny", "runs/short")
    other = Path("runs/short/tokenizer/tokenizer.model")
    whole = other.read_bytes()
    other.write_bytes(whole[:-1])
    assert minitron("compare", "runs/tiny/sft", "runs/short/sft") == 1
    assert "have different tokenizers" in capsys.readouterr().err
    other.write_bytes(whole)
    settings = Path("runs/short/sft/checkpoints/step-000024/model.json")
    settings.write_text(settings.read_text().replace('"context": 64', '"context": 32'))
    assert minitron("compare", "runs/tiny/sft", str(settings.parent)) == 2
    assert "has a context of 32 tokens, runs/tiny one of 64" in capsys.readouterr().err
    # the same model on both sides does not differ
    step = Path("runs/tiny/sft/checkpoints") / Path("runs/tiny/sft/best").read_text().strip()
    assert minitron("compare", str(step), "runs/tiny/sft") == 2
    assert "are the same model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (
            ("runs/tiny/sft", "runs/tiny/kto"),
            "runs/tiny/sft is neither a checkpoint nor the folder of a finished stage",
        ),
        (("/", "."), "/ is neither a checkpoint"),
    ],
)
def test_what_cannot_be_compared(tiny_run, capsys, pair, said):
    assert minitron("compare", *pair) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("share", "count"), [(0.0, 10), (0.5, 10), (0.99, 1000), (1.0, 4)])
def test_interval_is_where_the_score_test_does_not_refuse(share, count):
    """Wilson's interval holds the p for which |share - p| <= 1.96 sqrt(p (1 - p) / n)."""
    low, high = wilson(share, count)
    inside = [
        p / 10000
        for p in range(10001)
        if abs(share - p / 10000) <= 1.96 * math.sqrt(p / 10000 * (1 - p / 10000) / count)
    ]
    assert low == pytest.approx(inside[0], abs=2e-4)
    assert high == pytest.approx(inside[-1], abs=2e-4)


def test_change_as_published():
    """Newcombe 1998, Statistics in Medicine 17, table II, case (a): 56/70 - 48/80, method 10."""
    before, after = Share.of(48, 80), Share.of(56, 70)
    low, high = change(before, after)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    assert differs(before, after)
    assert not differs(before, Share.of(50, 80))


def clusters(chance: random.Random, *, prompts: int, p: float, alike: float) -> list[list[bool]]:
    """Four answers to each prompt; with probability `alike` all four to a prompt are the same."""

    def prompt() -> list[bool]:
        if chance.random() < alike:
            return [chance.random() < p] * 4
        return [chance.random() < p for _ in range(4)]

    return [prompt() for _ in range(prompts)]


@pytest.mark.parametrize(
    ("prompts", "p", "alike"), [(50, 0.2, 0.7), (200, 0.05, 0.9), (500, 0.04, 0.5), (200, 0.05, 0)]
)
def test_four_answers_to_a_prompt_are_not_four_independent_ones(prompts, p, alike):
    """Of 95% intervals 95% must hold the true share. Of those that take the answers as independent, only 68% to 79% do."""
    chance, tries = random.Random(1), 800
    found = [clusters(chance, prompts=prompts, p=p, alike=alike) for _ in range(tries)]
    shares = [Share.clustered(hits) for hits in found]
    assert 0.925 < sum(s.low <= p <= s.high for s in shares) / tries < 0.975
    alone = [Share.of(sum(map(sum, hits)), 4 * prompts) for hits in found]
    assert [s.value for s in shares] == [s.value for s in alone]
    if alike:
        assert sum(s.low <= p <= s.high for s in alone) / tries < 0.82


def test_answers_that_are_all_alike_count_once_per_prompt():
    assert Share.clustered([[False] * 4] * 20) == Share(0.0, *wilson(0.0, 20), 80)
    assert Share.clustered([[True] * 4] * 3 + [[False] * 4] * 3) == Share(0.5, *wilson(0.5, 6), 24)
    assert Share.clustered([[True], [False], [False]]) == Share.of(1, 3)  # one answer to each
    assert Share.clustered([]) == Share(0.0, 0.0, 1.0, 0)


def test_distinct_2():
    assert distinct_2(["a b a b", "a b c"]) == pytest.approx(3 / 5)  # ab ba ab, ab bc
    assert distinct_2([]) == 0
