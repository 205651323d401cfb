"""Sampling: batches against one by one, filters against their definitions, and what must never be drawn."""

import math
from dataclasses import replace

import pytest
import torch

from minitron.recipe.alignment import Sampling
from minitron.sample.continue_text import stream
from minitron.sample.generate import Decoding, draw, filter_logits, generate, generate_each

GREEDY = Sampling(temperature=0.0, max_tokens=12)
NO_ONE = Decoding(end=4, banned=[0, 1, 2, 3], seed=1)


@pytest.fixture
def model(tiny_model):
    """The tiny model, with weights so large that every earlier token matters to the next."""
    with torch.no_grad():
        for weight in tiny_model.parameters():
            if weight.ndim == 2:
                weight.mul_(12)
    return tiny_model


def prompts(model, count=9) -> list[list[int]]:
    chance = torch.Generator().manual_seed(3)
    return [torch.randint(5, model.vocab_size, (1 + 5 * i,), generator=chance).tolist() for i in range(count)]


def greedy_by_hand(model, ids: list[int], steps: int) -> list[int]:
    """One full forward pass per token, no cache, no batch."""
    answer = []
    while len(answer) < steps and len(ids) + len(answer) < model.config.context:
        logits = model(torch.tensor([ids + answer]))[0, -1].clone()
        logits[NO_ONE.banned] = -math.inf
        token = int(logits.argmax())
        if token == NO_ONE.end:
            break
        answer.append(token)
    return answer


def test_greedy_batches_equal_one_by_one_without_a_cache(model):
    asked = prompts(model)
    answers = generate(model, asked, sampling=GREEDY, batch_rows=4, decoding=NO_ONE)
    for ids, answer in zip(asked, answers, strict=True):
        assert answer.ids == greedy_by_hand(model, ids, 12)
        assert list(stream(model, ids, sampling=GREEDY, decoding=NO_ONE)) == answer.ids


def test_one_that_ends_is_read_on_until_more_do_but_never_past_the_context(model):
    """One of sixteen answers reaches the end of the context at once; the others go on."""
    asked = [[5] * (model.config.context - 1), *([i] for i in range(5, 20))]
    way = replace(GREEDY, max_tokens=20)
    said = [list(stream(model, ids, sampling=way, decoding=NO_ONE)) for ids in asked]
    assert [a.ids for a in generate(model, asked, sampling=way, decoding=NO_ONE)] == said


def test_several_ways_are_each_by_itself(model):
    """Checked with greedy sampling, which no random number changes."""
    asked = prompts(model)
    ways = [GREEDY, replace(GREEDY, repeat_penalty=1.5), replace(GREEDY, max_tokens=3)]
    found = generate_each(model, asked, ways=ways, decoding=NO_ONE, batch_rows=5)
    apart = [generate(model, asked, sampling=way, decoding=NO_ONE) for way in ways]
    assert found == apart
    assert apart[0] != apart[1] != apart[2] != apart[0]


def test_long_answers_go_on_with_those_of_other_batches(model, monkeypatch):
    """An answer whose ids are prefilled again goes on as before, and the repeat penalty still knows all of its ids."""
    asked = [[i] for i in range(5, 29)]
    way = replace(GREEDY, repeat_penalty=1.3, max_tokens=30)
    said = [list(stream(model, ids, sampling=way, decoding=NO_ONE)) for ids in asked]
    ends = {token: sum(token in answer[:12] for answer in said) for answer in said for token in answer[:12]}
    decoding = replace(NO_ONE, end=max(ends, key=ends.get))
    alone = [list(stream(model, ids, sampling=way, decoding=decoding)) for ids in asked]
    read = []
    monkeypatch.setattr(
        model, "prefill", lambda texts, state: read.append(texts) or type(model).prefill(model, texts, state)
    )
    answers = generate(model, asked, sampling=way, decoding=decoding, batch_rows=8)
    assert [answer.ids for answer in answers] == alone
    assert len({len(answer) for answer in alone}) > 3
    assert any(len(text) > 1 for texts in read for text in texts), "nothing was read anew"


def test_why_answers_end(model):
    asked = [[5] * 60, [5], [6]]
    answers = generate(model, asked, sampling=GREEDY, batch_rows=3, decoding=NO_ONE)
    assert answers[0].stopped in ("context", "end")
    assert len(answers[0].ids) <= 4
    first = greedy_by_hand(model, [6], 1)[0]
    ended = generate(model, [[6]], sampling=GREEDY, decoding=replace(NO_ONE, end=first))[0]
    assert (ended.ids, ended.stopped) == ([], "end")
    assert answers[1].stopped == ("max_tokens" if len(answers[1].ids) == 12 else "end")


def test_the_same_seed_gives_the_same_answers(model):
    hot = Sampling(temperature=1.0, max_tokens=8)
    asked = prompts(model)

    def drawn(seed: int) -> list[list[int]]:
        how = {"sampling": hot, "decoding": replace(NO_ONE, seed=seed), "batch_rows": 4}
        return [a.ids for a in generate(model, asked, **how)]

    once = drawn(5)
    assert once == drawn(5)
    assert once != drawn(6)


def filtered(logits: list[float], seen: tuple[int, ...] = (), **how) -> list[float]:
    """The probabilities that remain after the filters."""
    marks = torch.zeros(1, len(logits), dtype=torch.bool)
    marks[0, list(seen)] = True
    out = filter_logits(torch.tensor([logits]), Sampling(**how), seen=marks, banned=[0])
    return out.softmax(-1)[0].tolist()


def test_filters_keep_what_they_should():
    logits = [9.0, math.log(0.5), math.log(0.25), math.log(0.15), math.log(0.1)]  # id 0 is banned
    near = pytest.approx
    assert filtered(logits) == near([0, 0.5, 0.25, 0.15, 0.1])
    assert filtered(logits, top_k=2) == near([0, 2 / 3, 1 / 3, 0, 0])
    assert filtered(logits, top_p=0.74) == near([0, 2 / 3, 1 / 3, 0, 0])
    assert filtered(logits, top_p=0.76) == near([0, 0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0])
    assert filtered(logits, top_p=0.0) == near([0, 1, 0, 0, 0])
    assert filtered(logits, min_p=0.4) == near([0, 2 / 3, 1 / 3, 0, 0])
    squares = [0, 0.25, 0.0625, 0.0225, 0.01]
    assert filtered(logits, temperature=0.5) == near([s / sum(squares) for s in squares])


def test_repetition_penalty_divides_or_multiplies():
    out = filter_logits(
        torch.tensor([[0.0, 2.0, -2.0, 2.0, -2.0]]),
        Sampling(repeat_penalty=2.0),
        seen=torch.tensor([[False, True, True, False, False]]),
        banned=[0],
    )
    assert out[0].tolist() == [-math.inf, 1.0, -4.0, 2.0, -2.0]


def test_draws_follow_the_distribution():
    chance = torch.Generator().manual_seed(0)
    logits = torch.tensor([[0.0, 0.6, 0.3, 0.1]]).log().expand(20_000, 4)
    seen = torch.zeros(20_000, 4, dtype=torch.bool)
    drawn = draw(logits, Sampling(temperature=1.0), seen=seen, banned=[0], generator=chance)
    shares = torch.bincount(drawn, minlength=4) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.6, 0.3, 0.1]), atol=0.015, rtol=0)


def test_a_model_whose_weights_are_no_longer_numbers_is_no_crash(model):
    """Training goes on to the guard that finds it out."""
    with torch.no_grad():
        model.embedding.fill_(math.nan)
    for sampling in (Sampling(max_tokens=3), replace(GREEDY, max_tokens=3)):
        assert all(
            0 <= i < model.vocab_size
            for a in generate(model, prompts(model, 2), sampling=sampling, decoding=NO_ONE)
            for i in a.ids
        )
