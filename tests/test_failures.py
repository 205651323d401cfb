"""Known positives and negatives of every failure."""

import random
from collections import Counter

import pytest

from minitron.evaluate.failures import FailureRates, how_often, is_loop, is_runaway, judge
from minitron.evaluate.intervals import Share, differs

LOOPS = [
    "I like cats and I like cats and I like cats and I like cats and",
    "да да да да да да да да да",
    "aaaaaaaaaaaaaaaaaaaaaa",
    "1. Do this. 1. Do this. 1. Do this.",
    "one two three " * 3,
]
NO_LOOPS = [
    "",
    "Ha ha ha!",
    "No, no, no: that is not it.",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15.",
    "Row, row, row your boat, gently down the stream.",
    "After Monday comes Tuesday. After Tuesday comes Wednesday. After Wednesday comes Thursday.",
    "В слове ветер 5 букв.",
]


@pytest.mark.parametrize("text", LOOPS)
def test_loops(text):
    assert is_loop(text)


@pytest.mark.parametrize("text", NO_LOOPS)
def test_no_loops(text):
    assert not is_loop(text)


def test_many_repeated_runs_are_a_loop_even_if_not_in_a_row():
    line = "first you take the pan and then you put it on the fire"
    assert is_loop(f"{line}, well, {line} or so, {line} indeed, {line} again, {line}")


def test_runaway():
    assert is_runaway("short", ended=False, reference="short")
    assert not is_runaway("word " * 50, ended=True, reference="short")
    assert is_runaway("word " * 70, ended=True, reference="short")
    assert not is_runaway("word " * 70, ended=True, reference="word " * 20)


def test_canned_needs_a_crowd_and_spares_the_right_answer():
    answers = ["I don't know!"] * 5 + ["Blue."] * 4 + [f"It is {i}." for i in range(11)]
    references = ["i don't know"] + [f"Something else, {i}." for i in range(19)]
    judged = judge(answers, ended=[True] * 20, references=references)
    assert [j.canned for j in judged] == [False] + [True] * 4 + [False] * 15
    rates = FailureRates.of([[j] for j in judged])
    assert rates.values() == {"loop": 0.0, "runaway": 0.0, "canned": 0.2, "ended": 1.0, "failing": 0.2}
    assert {share.count for share in rates.shares().values()} == {20}
    assert judged[1].failures == ["canned"]


def test_one_of_few_answers_to_a_common_prompt_is_not_canned():
    """To "thanks" there are two answers, three times each. The model may give one of them six times, but not to a question, too."""
    facts = [f"It is {i}." for i in range(14)]
    references = ["You're welcome!"] * 3 + ["No problem."] * 3 + facts
    polite = judge(["you're welcome"] * 6 + facts, ended=[True] * 20, references=references)
    assert not any(j.canned for j in polite)
    answers = ["you're welcome"] * 7 + facts[1:]
    assert [j.canned for j in judge(answers, ended=[True] * 20, references=references)] == [False] * 3 + [True] * 4 + [
        False
    ] * 13


@pytest.mark.slow  # a simulation
def test_models_that_are_alike_seldom_differ_beyond_chance():
    """A stock answer that about as many prompts get as make it canned: judged alone, a model has five such answers or none."""
    draw, prompts, ways = random.Random(1), 300, 4

    def answers() -> list[list[str]]:
        return [["no idea" if draw.random() < 4.5 / prompts else f"a{i}" for i in range(prompts)] for _ in range(ways)]

    def canned(model: list[list[str]], times: list[dict] | list[None]) -> Share:
        references = [f"r{i}" for i in range(prompts)]
        how = {"ended": [True] * prompts, "references": references}
        judged = [judge(texts, times=often, **how) for texts, often in zip(model, times, strict=True)]
        return FailureRates.of(list(zip(*judged, strict=True))).canned

    starred = Counter()
    for _ in range(150):
        one, two = answers(), answers()
        together = [how_often(both) for both in zip(one, two, strict=True)]
        starred["together"] += differs(canned(one, together), canned(two, together))
        starred["alone"] += differs(canned(one, [None] * ways), canned(two, [None] * ways))
    assert starred["together"] <= 0.08 * 150
    assert starred["alone"] > starred["together"]


def test_a_text_counts_as_often_as_the_model_says_it_that_says_it_most():
    assert how_often([["Yes.", "yes", "no"], ["no", "No!", "maybe"]]) == {"yes": 2, "no": 2, "maybe": 1}


def test_a_stock_answer_of_one_model_alone_is_seen():
    varied = [f"a{i}" for i in range(100)]
    stuck = ["I do not know."] * 9 + varied[9:]
    how = {"ended": [True] * 100, "references": [f"r{i}" for i in range(100)], "times": how_often([varied, stuck])}
    assert [sum(j.canned for j in judge(texts, **how)) for texts in (varied, stuck)] == [0, 9]
