"""Open questions of the built-in dialogues: honest answers, and topics and wordings that only the probes ask."""

import re
from random import Random

import pytest

from minitron.evaluate.checks import passes
from minitron.synth import border, scene, topics
from minitron.synth.scene import is_held

LANGUAGES = ("en", "ru")
WORDINGS = (border._ABOUT, border._HOW, border._WHO, border._WHY, border._WRITE, border._WORK, border._TASK)


def questions(language: str, held: bool, count: int = 3000) -> list[str]:
    rng = Random(f"{language} {held}")
    return [border.question(rng, language, held) for _ in range(count)]


def held_wordings(language: str) -> list[re.Pattern[str]]:
    wordings = [w[1].upper() + w[2:] for table in WORDINGS for w in table[language] if w[0] == "~"]
    return [re.compile(re.sub(r"\\\{\w\\\}", ".+", re.escape(w))) for w in wordings]


@pytest.mark.parametrize("language", LANGUAGES)
def test_training_never_asks_a_held_out_topic_or_wording(language):
    asked = questions(language, held=False)
    held = {t for pair in topics.TOPICS[language] for t in pair if is_held("open", pair[0])}
    assert len(held) > 20
    assert not any(re.search(r"[{}~]", text) for text in asked)
    about = re.compile(
        {"en": r"(?:Tell me about|Describe|Explain) (.*)\.", "ru": r"(?:Расскажи|Посоветуй книгу) о (.*)\."}[language]
    )
    found = [m[1] for text in asked if (m := about.fullmatch(text))]
    assert len(found) > 40
    assert not held & set(found)
    assert not any(pattern.fullmatch(text) for pattern in held_wordings(language) for text in asked)


@pytest.mark.parametrize("language", LANGUAGES)
def test_probes_ask_both(language):
    """Every held-out question has a held-out wording; if it is about a topic or a deed, that is held out, too."""
    asked = set(questions(language, held=True))
    assert len(asked) > 500
    assert all(any(p.fullmatch(text) for p in held_wordings(language)) for text in asked)
    known = [t for pair in topics.TOPICS[language] for t in pair if not is_held("open", pair[0])]
    about = re.compile(
        {"en": r"Do you know anything about (.*)\?", "ru": r"Знаешь ли ты что-нибудь о (.*)\?"}[language]
    )
    found = [m[1] for text in asked if (m := about.fullmatch(text))]
    assert len(found) > 10
    assert not set(found) & set(known)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_is_honest_in_its_language(language):
    other = {"en": "ru", "ru": "en"}[language]
    rng = Random(4)
    said = {border.answer(rng, language, hard) for hard in (True, False) for _ in range(200)}
    assert len(said) == len(border._ANSWERS[language]) + len(border._TOO_HARD[language])
    for text in said:
        assert passes(text, {"any": border.HONEST[language], "none": border.HONEST[other]})


@pytest.mark.parametrize("text", ["What is 7 + 5?", "Привет!", "?"])
def test_what_decorates_a_text_leaves_its_letters_and_numbers(text):
    rng = Random(5)
    seen = {scene.decorated(rng, text) for _ in range(2000)}
    assert len(seen) > 300
    for each in seen:
        assert re.sub(r"[\W_]|[DPX]", "", each) == re.sub(r"[\W_]|[DPX]", "", text), each
        assert not any(mark in each for mark in scene.HELD_EMOJI)
