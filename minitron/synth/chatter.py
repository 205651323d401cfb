"""Skills of conversation: small talk, jokes, riddles, and saying honestly "I don't know"."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType

from minitron.synth import lexicon, talk_en, talk_ru
from minitron.synth.scene import Scene, canonical, is_held, typed

TALK = {"en": talk_en, "ru": talk_ru}


Table = dict[tuple[str, str, bool], list[tuple]]


def by_skill(answers: Mapping[tuple[str, str], Sequence[str]] = MappingProxyType({})) -> Table:
    """(skill, language, held) -> list of (phrasing, answers, check). There is an entry for each phrasing, so that an intent with
    many phrasings is drawn often.

    `answers`: (language, intent) -> answers that replace the intent's own.
    """
    table: Table = {}
    for language, talk in TALK.items():
        for skill, name, phrasings, usual, words in talk.INTENTS:
            own = answers.get((language, name))
            entry = (own, {"any": list(own)}) if own else (usual, {"any": words})
            for phrasing in phrasings:
                table.setdefault((skill, language, phrasing[0] == "~"), []).append((phrasing.lstrip("~"), *entry))
    return table


_TABLE = by_skill()


def small_talk(skill: str, table: Table = _TABLE) -> Callable[[Random, str, bool], Scene]:
    """The function that makes scenes of the small-talk skill `skill`, from its intents in `table`."""

    def scene(rng: Random, language: str, held: bool) -> Scene:
        phrasing, answers, check = rng.choice(table[skill, language, held])
        ask = typed(rng, phrasing, language, held=held, level=3)
        return Scene(skill, "conversation", language, [(ask, rng.choice(answers))], check)

    return scene


def joke(rng: Random, language: str, held: bool) -> Scene:
    talk = TALK[language]
    count = 2 if rng.random() < 0.3 else 1
    jokes = rng.sample(talk.JOKES, count)
    asks = [talk.JOKE_ASKS[-3 + rng.randrange(2)] if i else rng.choice(talk.JOKE_ASKS) for i in range(count)]
    turns = [(typed(rng, ask, language), text) for ask, text in zip(asks, jokes, strict=True)]
    return Scene("joke", "fun", language, turns)


def riddle(rng: Random, language: str, held: bool) -> Scene:
    talk = TALK[language]
    while True:
        puzzle, answer = rng.choice(talk.RIDDLES)
        guess = rng.choice(talk.GIVE_UPS)
        if is_held("riddle", puzzle, canonical(guess, language)) == held:
            break
    said = f"It is {answer}." if language == "en" else f"Это {answer}."
    roll = rng.random()
    if roll < 0.4 and not held:
        tried = answer if roll < 0.2 else rng.choice([a for _, a in talk.RIDDLES if a != answer])
        guess = (
            rng.choice(("{}?", "Is it {}?", "It is {}."))
            if language == "en"
            else rng.choice(("{}?", "Это {}?", "Наверное, {}."))
        )
        guess = guess.format(tried)
        right, wrong = ("Right! ", "Not quite! ") if language == "en" else ("Верно! ", "Не совсем! ")
        said = (right if tried == answer else wrong) + said
    turns = [
        (typed(rng, rng.choice(talk.RIDDLE_ASKS), language, held=held), puzzle),
        (typed(rng, guess[0].upper() + guess[1:], language, held=held), said),
    ]
    others = [a for _, a in talk.RIDDLES if a != answer]
    return Scene("riddle", "fun", language, turns, {"all": [answer], "none": others})


def unknown(rng: Random, language: str, held: bool) -> Scene:
    talk = TALK[language]
    check = {"any": ["don't know" if language == "en" else "не знаю"]}
    roll = 1.0 if held else rng.random()
    if roll < 0.35:
        question, answer = rng.choice(talk.UNKNOWN_PLAIN), talk.UNKNOWN_ANSWER
    elif roll < 0.7:
        a, b, c = rng.randint(11, 999), rng.randint(2, 99), rng.randint(101, 999)
        question, answer = (
            rng.choice(talk.TOO_BIG_ASKS).format(a=a, b=b, c=c, d=rng.randint(11, 999)),
            talk.TOO_BIG_ANSWER,
        )
        check = {"any": ["too big" if language == "en" else "слишком много"]}
    else:
        while True:
            phrasing = rng.choice(talk.UNKNOWN_ASKS)
            question, answer = phrasing.lstrip("~").format(x=rng.choice(lexicon.CITIES[language])), talk.UNKNOWN_ANSWER
            if (phrasing[0] == "~" or is_held("unknown", canonical(question, language))) == held:
                break
    return Scene("unknown", "honesty", language, [(typed(rng, question, language, held=held), answer)], check)
