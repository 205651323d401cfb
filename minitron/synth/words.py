"""Skills with letters and copying: spelling, first and last letters, lengths, repeating after the user."""

from random import Random

from minitron.synth import lexicon
from minitron.synth.knowledge import ask_item
from minitron.synth.scene import Scene, invented_word, is_held, typed

_SPELL = {
    "en": ("Spell {x}.", "How do you spell {x}?", "Spell the word {x}.", "Can you spell {x}?", "Spell {x} for me.",
           "{x} letter by letter?",
           "~Can you spell the word {x}?", "Please spell {x}.", "How is {x} spelled?"),
    "ru": ("Скажи {x} по буквам.", "Как пишется {x}?", "{x} по буквам?", "Произнеси {x} по буквам.",
           "Слово {x} по буквам.",
           "Назови {x} по буквам.", "~Произнеси слово {x} по буквам.", "Как пишется слово {x}?",
           "Разбери по буквам: {x}"),
}  # fmt: skip


def spell(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x = r.choice(lexicon.SPELLING[language])
        said = "-".join(x.upper())
        return _SPELL[language], {"x": x}, said + ".", {"equals": said}

    return ask_item(rng, "spell", "words", language, held, draw=draw)


_LETTER = {
    "en": (
        ("What is the first letter of {x}?", "First letter of {x}?", "{x} starts with which letter?",
         "What letter does {x} start with?",
         "~What is the first letter in {x}?", "Which letter comes first in {x}?"),
        ("What is the last letter of {x}?", "Last letter of {x}?", "{x} ends with which letter?",
         "What letter does {x} end with?",
         "~What is the last letter in {x}?", "Which letter comes last in {x}?"),
        ("The first letter of {x} is {y}.", "The last letter of {x} is {y}."),
    ),
    "ru": (
        ("Какая первая буква в слове {x}?", "Первая буква слова {x}?", "На какую букву начинается {x}?",
         "С какой буквы начинается {x}?",
         "~На какую букву начинается слово {x}?", "{x}: первая буква?", "С какой буквы начинается слово {x}?"),
        ("Какая последняя буква в слове {x}?", "Последняя буква слова {x}?", "На какую букву кончается {x}?",
         "{x}: последняя буква?",
         "~На какую букву кончается слово {x}?", "На какую букву заканчивается {x}?",
         "На какую букву заканчивается слово {x}?"),
        ("Первая буква слова {x} — {y}.", "Последняя буква слова {x} — {y}."),
    ),
}  # fmt: skip


def letter(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x, last = r.choice(lexicon.SPELLING[language]), r.randrange(2)
        said = _LETTER[language][2][last].format(x=x, y=x[-last].upper())
        return _LETTER[language][last], {"x": x}, said, {"all": [said.rstrip(".")]}

    return ask_item(rng, "letter", "words", language, held, draw=draw)


_LENGTH = {
    "en": ("How many letters are in {x}?", "How many letters does {x} have?", "Number of letters in {x}?",
           "How long is the word {x}?",
           "~How many letters are there in {x}?", "Count the letters in {x}."),
    "ru": ("Сколько букв в слове {x}?", "Сколько в слове {x} букв?", "Посчитай буквы в слове {x}.",
           "{x}: сколько букв?",
           "~Сколько всего букв в слове {x}?", "Какая длина у слова {x}?"),
}  # fmt: skip


def length(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x = r.choice(lexicon.SPELLING[language])
        n = len(x)
        said = (
            f"The word {x} has {n} letters." if language == "en" else f"В слове {x} {n} {'буквы' if n < 5 else 'букв'}."
        )
        return _LENGTH[language], {"x": x}, said, {"all": [str(n)]}

    return ask_item(rng, "length", "words", language, held, draw=draw)


_REPEAT = {
    "en": ("Repeat after me: {x}", "Repeat: {x}", "Say after me: {x}", "Please repeat: {x}", "Say: {x}",
           "Can you repeat this: {x}",
           "Repeat these words: {x}", "Copy this: {x}"),
    "ru": ("Повтори за мной: {x}", "Повтори: {x}", "Скажи за мной: {x}", "Повтори, пожалуйста: {x}", "Скажи: {x}",
           "Можешь повторить: {x}",
           "Повтори слова: {x}", "Повторяй: {x}"),
}  # fmt: skip


def repeat(rng: Random, language: str, held: bool) -> Scene:
    while True:
        roll = rng.random()
        if roll < 0.3:
            words = [rng.choice(choice) for choice in lexicon.ECHO_SENTENCE[language]]
        elif roll < 0.7 or held:
            words = rng.sample(lexicon.ECHO[language], rng.choice((2, 3, 4) if held else (2, 3, 4, 5, 6, 7)))
        elif roll < 0.85:
            words = [invented_word(rng, language) for _ in range(rng.choice((1, 2, 3, 4)))]
        else:
            words = [str(rng.randint(0, 99)) for _ in range(rng.choice((2, 3, 4, 5, 6)))]
        if is_held("repeat", *words) == held:
            break
    said = " ".join(words)  # users do not ask for long and senseless ones, but nothing teaches copying faster
    ask = rng.choice(_REPEAT[language]).format(x="{}")
    ask = typed(rng, ask, language, held=held, level=1).format(said)
    return Scene("repeat", "words", language, [(ask, said)], {"equals": said})
