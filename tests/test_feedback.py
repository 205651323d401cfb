"""Training on labels: how labels are divided, what decides which model ships, and the whole loop with the real programs."""

import json
import os
import subprocess
from collections import Counter
from functools import partial
from pathlib import Path

import commands
import pytest
import torch
from conftest import TINY_RECIPE, write_dialogues

from minitron.align import labelled, selection, wordings
from minitron.align.guards import LIMITS, Signals, check
from minitron.align.labelled import Material, Wish
from minitron.align.method import Method
from minitron.align.preference import WithReplay
from minitron.data.labelled import Labelled
from minitron.evaluate.intervals import Share
from minitron.evaluate.verdict import IMPROVED, NO_CHANGE, REFUSED, Candidate, Verdict
from minitron.stages import feedback
from minitron.tokenizer import chat_template

RECIPE = (
    TINY_RECIPE[: TINY_RECIPE.index("[reject]")]
    + """
[feedback]
steps = 200
lr = 1e-2
replay_rows = 2
eval_every_steps = 200
max_loss_rise = 10.0
[feedback.guards]
on = false
[eval]
prompts = 8
max_tokens = 24
[export]
temperature = 0.0
max_tokens = 24
"""
)


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def wish(prompt: str, good: tuple = (), bad: tuple = ()) -> Wish:
    return Wish(user(prompt), good, bad)


def test_completions_of_a_prompt_are_one_wish(tiny_tokenizer):
    said = [
        Labelled(user("a"), "x", True), Labelled(user("b"), "z", False), Labelled(user("a"), "y", False),
        Labelled(user("hello " * 200), "x", True),
    ]  # fmt: skip
    wishes, unfit = labelled.wishes_of(said, tiny_tokenizer, context=64)
    assert (wishes, unfit) == ([wish("a", ("x",), ("y",)), wish("b", (), ("z",))], 1)


def test_words_decide_whether_a_wish_is_granted():
    assert labelled.likeness("I am Bob.", "i am bob .") == 1
    assert labelled.likeness("I am Bob.", "No") == 0
    fixed = wish("who", ("I am Bob.",), ("I am Tiko.",))
    assert fixed.granted("I am Bob!")
    assert fixed.granted("Hi, I am Bob.")
    assert not fixed.granted("I am Tiko.")
    assert not fixed.granted("I am Ann.")
    assert not fixed.granted("")
    bad = wish("who", (), ("Go away!",))
    assert bad.granted("Hello.")
    assert not bad.granted("go away")


def test_the_verdict_asks_in_other_wordings(tiny_tokenizer):
    asked = partial(labelled.asked, tokenizer=tiny_tokenizer, context=64)
    wishes = [wish("What is your name?", ("Bob",)), wish("Как тебя зовут?", ("Боб",))]
    assert {w.prompt[-1]["content"] for w in asked(wishes)} == {
        "what is your name", "Hi! What is your name?", "Tell me, what is your name?", "What is your name??",
        "как тебя зовут", "Привет! Как тебя зовут?", "Скажи, как тебя зовут?", "Как тебя зовут??",
    }  # fmt: skip
    many = [wish(f"q{i}", ("a",)) for i in range(1000)]
    assert len(asked(many)) == labelled.MOST_ASKED
    assert asked(many[::-1]) == asked(many)


def test_a_wording_that_does_not_fit_is_not_asked(tiny_tokenizer):
    """A labelled prompt may fill the context, and its other wordings are longer."""
    text = "What is" + " a" * 100
    turns = [*user("hello"), {"role": "assistant", "content": "hi"}]
    long, size = (
        Wish([*turns, *user(text)], ("good",), ()),
        lambda prompt: len(chat_template.encode_prompt(prompt, tiny_tokenizer)),
    )
    context = size(user(text)) + 2
    fit = {content for w in labelled.reworded(long) if size(user(content := w.prompt[-1]["content"])) < context}
    assert 0 < len(fit) < 4
    found = labelled.asked([long], tiny_tokenizer, context=context)
    assert {w.prompt[-1]["content"] for w in found} == fit
    assert all(size(w.prompt) < context for w in found)
    assert labelled.asked([long], tiny_tokenizer, context=50) == []


def test_a_wording_is_never_empty():
    assert "" not in wordings.other_ways("?")
    assert len(wordings.other_ways("?")) == 3


def test_what_is_asked_is_not_what_is_learnt():
    for text, language in (("What is your name?", "en"), ("Как тебя зовут?", "ru"), ("hi", "en")):
        learnt = [prompt[-1]["content"] for prompt in wordings.worded(user(text))]
        assert learnt[0] == text
        assert len(set(learnt)) == len(learnt) > 3
        leads = wordings.LEADS[language]
        said = (text, *leads, *wordings.rephrased(text))
        known = {word.strip("?!.,:") for part in said for word in part.lower().split()}
        assert all({word.strip("?!.,:") for word in way.lower().split()} <= known for way in learnt)
        led = [way for way in learnt if way.lower().startswith(tuple(lead.lower() for lead in leads))]
        assert 3 < len(led) < len(learnt) - 1
        asked = {w.prompt[-1]["content"] for w in labelled.reworded(wish(text, ("x",)))}
        assert not asked & set(learnt)
        assert wordings.worded(user(text)) == wordings.worded(user(text))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("What is my dog called?", "What is the name of my dog"),
        ("what’s the name of my cat", "What is my cat called"),
        ("Where does my sister live?", "What is the place where my sister lives"),
        ("Where do we work?", "What city do we work in"),
        ("When is my birthday?", "In which month is my birthday"),
        ("WHO IS my friend?", "What is my friend's name"),
        ("What is my favourite fruit?", "Which fruit do I like best"),
        ("What do I drink in the morning?", "In the morning, what do I drink"),
        ("Which car do I drive?", "What car do I drive"),
        ("How old is my brother?", "What is the age of my brother"),
        ("Где я работаю?", "В каком месте я работаю"),
        ("Как зовут мою собаку?", "Как звать мою собаку"),
        ("Какой у меня рост?", "Помнишь, какой у меня рост"),
        ("Какие у меня любимые цветы?", "Какие цветы я люблю больше всего"),
    ],
)
def test_a_question_is_learnt_with_other_question_words_too(text, same):
    others = wordings.rephrased(text)
    assert same in others
    assert len(set(others)) == len(others)
    assert not [other for other in others if "\\" in other or other.lower() == text.lower().rstrip("?")]
    ends = tuple(other.lower() for other in others)
    learnt = [prompt[-1]["content"].lower().rstrip(".!?") for prompt in wordings.worded(user(text))]
    assert any(way.endswith(ends) for way in learnt)  # some without a word left out


def test_what_no_rule_knows_is_learnt_in_its_own_words():
    others = ("When I say so, sing.", "Where I work it is cold.", "What can I do?", "What a day!")
    for text in (*others, "Tell me about guns.", "Who are you?", "hi", "?", "", "Привет!"):
        assert wordings.rephrased(text) == []


def test_on_the_way_a_model_may_be_farther_off_than_in_kto():
    """While the learning rate falls to 0, the model regains what it forgot; so the limits on the way are wider. What ships has its own."""
    signals = Signals(raw_z=None, chosen=None, loss=0.3, gradient=1.0, probes=-0.05)
    assert check(signals, feedback.METHOD.limits)[1] == []
    assert len(check(signals)[1]) == 2
    assert feedback.METHOD.limits.keys() == LIMITS.keys()


def test_probes_that_want_what_people_do_not_are_left_out():
    wishes = [wish("who", ("I am Bob.",), ("I am Tiko.",)), wish("x", (), ("4",))]
    assert labelled.contradicts(wishes, '{"any": ["Tiko"]}')
    assert not labelled.contradicts(wishes, '{"any": ["I am"]}')  # both answers pass
    assert not labelled.contradicts(wishes, '{"all": ["4"]}')  # the labels of this prompt name no right answer


def test_answers_that_people_do_not_want_are_not_replayed():
    wishes = [wish("Who are you?", ("I am Bob.",), ("I am Tiko.",))]
    replay = [(user("who are you"), "Tiko!"), (user("your name"), "I am Tiko!"), (user("2 + 2"), "4")]
    assert labelled.without_contradictions(replay, wishes) == replay[2:]


def test_held_out_dialogues_that_contradict_labels_are_not_measured_on():
    """A renamed assistant no longer finds its old name likely, and should not."""
    skip = labelled.against([wish("Who are you?", ("I am Bob.",), ("I am Tiko.",))])
    assert skip(["hi", "who are you", "Bob"])
    assert skip(["hi", "I am Tiko!"])
    assert not skip(["hi", "I am Bob.", "2 + 2", "4"])


def test_labels_come_in_several_wordings_beside_answers_to_keep(tiny_tokenizer):
    wishes = [wish("is it so", ("good", "fine"), ("bad",)), wish("and so it is", (), ("worse",))]
    replay = [(user(f"r {i}"), f"answer {i}") for i in range(5)]
    m = Material.of(wishes, replay, tiny_tokenizer, context=64, method=Method())
    ways = [len(wordings.worded(w.prompt)) for w in wishes]
    assert m.labels == 2 * ways[0] + ways[1]
    assert [e.label for e in m.examples] == [True] * 2 * ways[0] + [False] * ways[1] + [True] * 5
    batches = WithReplay(m.examples, labels=m.labels, labelled=2, replayed=3, seed=1)
    seen = Counter()
    for step in range(5 * sum(ways)):
        numbers = batches.step(step)
        kept = [n for n in numbers if n >= m.labels]
        assert len(kept) == 3
        firsts = [n for n in numbers if n < 2 * ways[0]]
        assert {n ^ 1 for n in firsts} == set(firsts)  # the two good answers to a wording stay together
        seen.update(numbers)
    assert {seen[n] for n in range(m.labels)} == {10}
    assert {seen[n] for n in range(m.labels, m.labels + 5)} == {3 * sum(ways)}


def candidate(blend: float, granted: int, *, objection: str = "") -> Candidate:
    return Candidate(blend, 1.0, None, None, None, objection, Share.of(granted, 10))


def test_held_out_labels_decide():
    before = candidate(0.0, 2)
    for best, outcome in ((candidate(1.0, 3), IMPROVED), (candidate(1.0, 2), NO_CHANGE)):
        verdict = selection.decide([before, best], why="", force=False)
        assert verdict.outcome == outcome
        assert verdict.shipped == (best if outcome == IMPROVED else before)
        assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict
    assert selection.decide([before, candidate(1.0, 9, objection="loss")], why="", force=False).outcome == REFUSED


def test_a_step_without_rejected_completions_has_no_nan():
    from minitron.align.kto import mean_of

    assert mean_of(torch.tensor([])) == 0.0
    assert mean_of(torch.tensor([1.0, 3.0])) == 2.0


# ---- the whole loop


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop")
    write_dialogues(folder / "dialogues.jsonl")
    (folder / "tiny.toml").write_text(RECIPE)
    minitron(folder, "run", "tiny.toml")
    return folder


def minitron(folder: Path, *arguments: str) -> str:
    done = commands.minitron(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stderr


def answer(folder: Path, text: str) -> str:
    (program,) = (p for p in (folder / "dist/tiny").iterdir() if os.access(p, os.X_OK) and p.is_file())
    done = subprocess.run([program, "-p", text], capture_output=True, text=True, cwd=folder, check=True)
    return done.stdout.strip()


@pytest.mark.slow  # two programs are built, and a model is trained
@pytest.mark.timeout(900)
def test_a_fix_in_the_chat_is_what_the_next_program_says(place):
    from terminal import Terminal

    wanted = "i am bob and this is what you said"
    before = answer(place, "who are you")
    assert before != wanted
    (program,) = (p for p in (place / "dist/tiny").iterdir() if os.access(p, os.X_OK) and p.is_file())
    t = Terminal([program], home=place)
    t.prompt()
    t.ask("who are you", before)
    t.type("/fix\r")
    t.until("it should have said>")
    t.type("\x01\x0b" + wanted + "\r")  # Ctrl-A, Ctrl-K: the answer that stands there is replaced
    t.until("Noted what it should have said; labels: 1.")
    t.prompt()
    t.ask(f"/labels {place / 'mine.json'}", "Whoever made the model teaches it with: minitron labels add")
    t.type("/quit\r")
    assert t.ended() == 0

    minitron(place, "labels", "add", "tiny.toml", "mine.json")
    log = minitron(place, "run", "tiny.toml")
    assert "sft: done already" in log
    assert "[feedback]" in log
    assert "feedback: improved" in log, log
    assert answer(place, "who are you") == wanted
    assert json.loads((place / "runs/tiny/report.json").read_text())["shipped"] == "feedback"
    assert "feedback: done already" in minitron(place, "run", "tiny.toml", "--to", "feedback")
