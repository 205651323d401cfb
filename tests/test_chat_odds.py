"""/probs, /branch and /tokens of the terminal chat: against probabilities computed by hand, and in a real terminal."""

import copy
import re
from pathlib import Path

import pytest
import torch
from test_chat import COMMAND, ask, ignore, leave, make_model, make_session, place, spawn, tokenizer  # noqa: F401

from minitron.chat import odds, session
from minitron.chat.session import TextSession
from minitron.program import go
from minitron.recipe.alignment import Sampling
from minitron.recipe.training import ModelConfig

LINE = re.compile(r"^ +(\d+) +([\d.]+)%  (\S+)   \(1: (\S+) ([\d.]+)%, 2: (\S+) ([\d.]+)%, 3: (\S+) ([\d.]+)%\)$", re.M)


@torch.inference_mode()
def by_hand(session, ids: list[int], at: int) -> torch.Tensor:
    """The probabilities (V,) for position `at` of the ids, from one forward pass over all ids before it."""
    return torch.softmax(session.model(torch.tensor([ids[:at]]))[0, -1].double(), -1)


def test_odds_are_the_model_s(tokenizer):  # noqa: F811
    talk = make_session(tokenizer, max_tokens=6)
    reply = talk.ask("hello there", ignore)
    ids, never = talk.asked + talk.written, tokenizer.never_sampled
    assert reply.ids == talk.written
    found = list(odds.look(talk.model, ids, len(talk.asked), never=never))
    assert [one.chosen.id for one in found] == reply.ids
    for at, one in enumerate(found, len(talk.asked)):
        wanted = by_hand(talk, ids, at)
        wanted_others = [i for i in wanted.argsort(descending=True).tolist() if i != ids[at] and i not in never][:3]
        assert [other.id for other in one.others] == wanted_others
        for choice in (one.chosen, *one.others):
            assert choice.probability == pytest.approx(float(wanted[choice.id]), rel=1e-4)
    listed = LINE.findall(talk.command("/probs"))
    assert [line[0] for line in listed] == [str(n) for n in range(1, 7)]
    assert listed[0][1] == f"{100 * found[0].chosen.probability:.1f}"
    assert [line[2] for line in listed] == [odds.spelt(i, tokenizer) for i in reply.ids]


def test_a_branch_goes_on_as_the_model_does_behind_it(tokenizer):  # noqa: F811
    talk = make_session(tokenizer, max_tokens=6)
    talk.ask("one", ignore)
    first = talk.ask("hello there", ignore).ids
    found = list(odds.look(talk.model, talk.asked + first, len(talk.asked), never=tokenizer.never_sampled))
    heard: list[str] = []
    reply = talk.branch("3 2", heard.append)
    assert reply.ids[:3] == [*first[:2], found[2].others[1].id]
    assert (len(reply.ids), reply.answer_tokens, len(talk.turns)) == (9, 6, 4)
    assert "".join(heard) == reply.text == talk.turns[-1]["content"] == tokenizer.decode(reply.ids)
    ids = talk.asked + reply.ids
    for at in range(len(talk.asked) + 3, len(ids)):  # greedy from there on
        wanted = by_hand(talk, ids, at).clone()
        wanted[tokenizer.never_sampled] = 0
        assert ids[at] == int(wanted.argmax())
    assert talk.branch("3", ignore).ids[:6] == first  # the likeliest alternative is the original token
    assert talk.ask("again", ignore).ids == talk.written  # the conversation goes on


def test_places_that_are_not_there_change_nothing(tokenizer):  # noqa: F811
    talk = make_session(tokenizer, max_tokens=4)
    assert talk.branch("1", ignore) == talk.command("/probs") == talk.command("/tokens") == "Nothing was said yet."
    talk.ask("hello", ignore)
    before = [dict(turn) for turn in talk.turns]
    for where in ("", "0", "5", "x", "1 2 3", "-1"):
        assert talk.branch(where, ignore) == "/branch needs a number from 1 to 4."
    for where in ("1 4", "1 x"):
        assert talk.branch(where, ignore) == "This token has no alternative with that number; /probs lists them."
    assert talk.turns == before
    talk.command("/reset")
    assert talk.branch("1", ignore) == "Nothing was said yet."


def test_the_end_can_be_taken(tokenizer):  # noqa: F811
    """An alternative may be the end marker. A random model hardly ever offers it, so here another id plays the end marker."""
    talk = make_session(tokenizer, max_tokens=4)
    begun = talk.ask("hello", ignore).ids
    found = list(odds.look(talk.model, talk.asked + begun, len(talk.asked), never=tokenizer.never_sampled))
    talk.tokenizer = copy.copy(tokenizer)
    talk.tokenizer.end = found[2].others[1].id
    reply = talk.branch("3 2", ignore)
    assert (reply.ids, reply.stopped, reply.answer_tokens) == (begun[:2], "end", 0)
    assert talk.turns[-1]["content"] == tokenizer.decode(begun[:2])


def test_tokens_are_what_the_model_sees(tokenizer):  # noqa: F811
    talk = make_session(tokenizer, max_tokens=2)
    assert talk.command("/tokens aя").startswith("tokens: ")
    talk.ask("hello", ignore)
    count, pieces = talk.command("/tokens").split("\n", 1)
    assert count == f"tokens: {len(talk.asked) + 2}"
    assert pieces.startswith("<|user|> | ")
    assert pieces.count("<|end|> | <|assistant|> | ") == 1


def test_tokens_are_told_while_they_are_written(tokenizer):  # noqa: F811
    talk = make_session(tokenizer, max_tokens=4)
    told: list[str] = []
    talk.watch = told.append
    talk.ask("hello", ignore)
    assert not told
    assert talk.command("/probs on").startswith("Tokens are shown with their probabilities")
    talk.ask("hello", ignore)
    assert "\n".join(told) == talk.command("/probs")
    assert talk.command("/probs off") == "Answers are shown as text."


def test_of_a_text_longer_than_the_context(tokenizer):  # noqa: F811
    shape = ModelConfig(n_layers=1, n_heads=1, n_kv_heads=1, d_model=16, d_ff=64, context=16)
    sampling = Sampling(temperature=0.0, max_tokens=40)
    talk = TextSession(tokenizer, make_model(shape, tokenizer), sampling=sampling, seed=1)
    talk.ask("hello there", ignore)
    never = tokenizer.never_sampled
    found = list(odds.look(talk.model, talk.asked + talk.written, len(talk.asked), never=never))
    assert len(found) == 40
    assert all(one.chosen.probability >= max(other.probability for other in one.others) for one in found)  # greedy


def test_both_programs_have_the_same_names_and_sentences():
    commands = (go.SOURCES / "internal/repl/commands.go").read_text(encoding="utf-8")
    words = (go.SOURCES / "internal/lang/lang.go").read_text(encoding="utf-8")
    assert all(f'{{"{name}", ' in commands for name in session.COMMANDS)
    source = Path(session.__file__).read_text(encoding="utf-8")
    for sentence in (
        "Tokens are shown with their probabilities while they are written; /probs off ends that.",
        "Answers are shown as text.",
        "This token has no alternative with that number; /probs lists them.",
        "Nothing was said yet.",
        "There is no system message.",
        "The system message is set.",
        "The system message is removed.",
        "This model continues text: it has no system message.",
        "This model continues text: there are no answers to label.",
    ):
        assert sentence in source
        assert sentence in words


def test_in_a_terminal(place):  # noqa: F811
    child = spawn(place)
    ask(child, "hello", "(The answer was cut at 8 tokens")
    ask(child, "/probs", "3: ")
    ask(child, "/branch 2", "(The answer was cut at 8 tokens")
    ask(child, "/branch 77", "/branch needs a number from 1 to 10.")
    ask(child, "/probs on", "/probs off ends that.")
    child.send("hello\r")
    child.expect(r" 8 +[\d.]+%  ")
    child.expect_exact("(The answer was cut at 8 tokens")
    ask(child, "/tokens", "<|user|> | ")
    child.send("/quit\r")
    assert leave(child) == 0
