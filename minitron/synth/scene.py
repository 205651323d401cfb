"""What all skills share: the scene that a skill makes, what is held out, and how people really type.

A hash decides whether a combination (a sum, a name, an item in one phrasing) is held out, not the random generator. So what
is held out for one seed is held out for all, and a model trained on one file can be asked the probes of another.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from random import Random

from minitron.synth.lexicon import SOUNDS_OF_WORDS

HELD_PERCENT = 8


@dataclass
class Scene:
    """One use of a skill: turns of (user, assistant), the last of which shows the skill."""

    skill: str
    topic: str
    language: str
    turns: list[tuple[str, str]]
    check: dict = field(default_factory=dict)  # the rules that a right last answer obeys; empty if any answer is right
    system: str = ""  # a system message that the answer depends on
    gap: bool = False  # whether other scenes may come between the earlier turns and the last
    name: str = ""  # the user's name, if this scene tells it
    about: str = ""  # which fact about the user it tells, such as "age"; empty if none


@cache
def is_held(*key: str | int) -> bool:
    """Whether the combination `key` is kept out of training, for the probes, as HELD_PERCENT per cent of all are."""
    digest = blake2b("|".join(map(str, key)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100 < HELD_PERCENT


def pick_held(rng: Random, held: bool, draw, key):
    """Draws values from `draw(rng)` until one is held out, or not, as `held` says; `key(value)` is its combination."""
    while True:
        value = draw(rng)
        if is_held(*key(value)) == held:
            return value


def invented_word(rng: Random, language: str) -> str:
    """A made-up word of two or three syllables."""
    onsets, vowels, codas = SOUNDS_OF_WORDS[language]
    word = ""
    for _ in range(rng.choice((2, 2, 3))):
        word += rng.choice(onsets) + rng.choice(vowels) + (rng.choice(codas) if rng.random() < 0.25 else "")
    return word


OPENERS = {
    "en": ("Tell me, ", "Please, ", "Tiko, ", "Hey, ", "So, ", "And ", "Say, ", "Quick: ", "Now, "),
    "ru": ("Скажи, ", "Подскажи, ", "Тико, ", "Слушай, ", "А ", "Ну, ", "Ответь, ", "А скажи, ", "Теперь: "),
}
CLOSERS = {"en": (", please", ", Tiko"), "ru": (", пожалуйста", ", Тико")}


def canonical(text: str, language: str) -> str:
    """A form that is the same for all ways to type one question: texts with the same canonical form are one combination."""
    words = _words(text)
    for opener in _EDGE_WORDS[language][0]:
        if words[: len(opener)] == opener and len(words) > len(opener):
            words = words[len(opener) :]
            break
    for closer in _EDGE_WORDS[language][1]:
        if words[-len(closer) :] == closer and len(words) > len(closer):
            words = words[: -len(closer)]
            break
    return " ".join(words)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[+-]", text.casefold().replace("ё", "е"))


_EDGE_WORDS = {
    language: [sorted((_words(t) for t in texts[language]), key=len, reverse=True) for texts in (OPENERS, CLOSERS)]
    for language in ("en", "ru")
}


def typed(rng: Random, text: str, language: str, *, held: bool = False, level: int = 2) -> str:
    """The text as people type it. Level 1 varies the punctuation at the end, the first letter's case and the letter ё; levels 2 and
    3 also vary the case of all letters and add decorations, level 2 with openers or closers, level 3 with typos.

    Probes (`held`) are always typed at level 1: they test the held-out combination, not a rare way of typing.
    """
    level = 1 if held else level
    roll = rng.random
    stem = text.rstrip("?!.")
    mark = text[len(stem) :]
    if level == 2 and stem and stem[0].isalpha() and roll() < 0.12:
        stem = rng.choice(OPENERS[language]) + stem[0].lower() + stem[1:]
    elif level == 2 and stem and roll() < 0.03:
        stem += rng.choice(CLOSERS[language])
    if level == 3 and len(stem) > 5 and roll() < 0.06:
        stem = _typo(rng, stem)
    if mark and mark != "...":
        r = roll()
        if r < 0.25:
            mark = ""
        elif r < 0.29:
            mark = rng.choice(("!", "!!", "??", " ?", ".", "?!")) if stem else mark
    if language == "ru" and roll() < 0.3:
        stem = stem.replace("ё", "е").replace("Ё", "Е")
    text = (stem or text) + mark
    if level >= 2 and roll() < DECORATED:
        text = decorated(rng, text)
    r = roll()
    if level >= 2 and r < 0.25:
        return text.lower()
    if level >= 2 and r < 0.265:
        return text.upper()
    if r < 0.30:
        return text[0].lower() + text[1:]
    return text


DECORATED = 0.1  # share of the texts typed at level 2 or 3
HELD_EMOJI = "🥳🤗🐸🍕😴"  # not in training: a model that reads emoji should read unseen ones, too
EMOJI = [chr(code) for code in (*range(0x1F300, 0x1F650), *range(0x1F900, 0x1F9FF)) if chr(code) not in HELD_EMOJI]
EMOJI += [*"😀😂🤣😊😍😎🤔😢😭👍🙏💪🎉🔥"] * 12 + ["❤️", "☀️", "✨", "⭐", "☕", "✅", "❌"] * 4
SMILEYS = (":)", ":-)", ";)", ":D", ":(", "XD", "^_^", ":P", ")", "))", ")))", "(")


def decorated(rng: Random, text: str) -> str:
    """The text with an emoji, a smiley, quotes, spaces or typographic marks, none of which changes its meaning."""
    roll = rng.random()
    if roll < 0.4:
        return f"{text} {rng.choice(EMOJI)}" if rng.random() < 0.8 else f"{rng.choice(EMOJI)} {text}"
    if roll < 0.6:
        return text.rstrip(".") + rng.choice(("", " ")) + rng.choice(SMILEYS)
    if roll < 0.7:
        return text + rng.choice(("!", "!!!", "...", "…", "?!", "??", "."))
    if roll < 0.8:
        left, right = rng.choice(("“”", "«»", '""', "„“"))
        return left + text + right
    if roll < 0.9:
        return text.replace("'", "’").replace(" - ", " — ").replace("?", " ?")
    before, after = rng.choice((("  ", ""), ("", " "), ("", "\n"), ("- ", "")))
    return before + text + after


def _typo(rng: Random, text: str) -> str:
    i = rng.randrange(1, len(text) - 1)
    if not (text[i].isalpha() and text[i + 1].isalpha()):
        return text
    kind = rng.randrange(3)
    if kind == 0:
        return text[:i] + text[i + 1 :]
    if kind == 1:
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    return text[:i] + text[i] + text[i:]
