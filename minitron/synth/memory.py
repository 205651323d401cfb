"""Skills that look back: the user's name, favourite things, facts about the user, facts in the system message.

Held out are whole names, which are in no trained dialogue, and for other facts the combination of a kind and its value.
"""

from functools import cache
from random import Random

from minitron.synth import lexicon
from minitron.synth.scene import Scene, invented_word, is_held, typed

# Names that mean nothing else, so that no trained dialogue has them.
HELD_NAMES = {
    "en": (
        "Olivia",
        "Clara",
        "Nathan",
        "Simon",
        "Karen",
        "Stella",
        "Edgar",
        "Oscar",
        "Dylan",
        "Naomi",
        "Martin",
        "Hannah",
    ),
    "ru": (
        "Полина",
        "Тамара",
        "Никита",
        "Кристина",
        "Глеб",
        "Карина",
        "Степан",
        "Арина",
        "Борис",
        "Захар",
        "Татьяна",
        "Фёдор",
    ),
}
_TRAINED_NAMES = {lang: [n for n in names if n not in HELD_NAMES[lang]] for lang, names in lexicon.NAMES.items()}

_TELL = {
    "en": ("My name is {n}.", "I'm {n}.", "I am {n}.", "Call me {n}.", "Hi, I'm {n}.", "Hello, my name is {n}.",
           "My name's {n}.",
           "You can call me {n}.", "Hi! My name is {n}.", "Please call me {n}.", "Hello! I am {n}.",
           "Remember: my name is {n}."),
    "ru": ("Меня зовут {n}.", "Я {n}.", "Моё имя {n}.", "Привет, я {n}.", "Привет! Меня зовут {n}.",
           "Зови меня {n}.", "Меня звать {n}.",
           "Можешь звать меня {n}.", "Здравствуй, меня зовут {n}.", "Привет! Я {n}.", "Запомни: меня зовут {n}.",
           "А меня зовут {n}."),
}  # fmt: skip
_RENAME = {
    "en": ("No, my name is {n}.", "Sorry, I meant {n}.", "Actually, call me {n}."),
    "ru": ("Нет, меня зовут {n}.", "Ошибся, я {n}.", "Лучше зови меня {n}."),
}
_ASK_NAME = {
    "en": ("What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "What am I called?",
           "Do you know my name?",
           "Say my name.", "And what is my name?", "Tell me my name.", "So what's my name?", "My name?"),
    "ru": ("Как меня зовут?", "Ты помнишь, как меня зовут?", "Какое у меня имя?", "Кто я?", "Помнишь моё имя?",
           "Назови моё имя.",
           "А как меня зовут?", "Скажи, как меня зовут.", "Ты знаешь моё имя?", "Так как меня зовут?", "Моё имя?"),
}  # fmt: skip
_MET = {"en": "Nice to meet you, {n}!", "ru": "Приятно познакомиться, {n}!"}
_NAMED = {"en": "Your name is {n}.", "ru": "Тебя зовут {n}."}
_NO_NAME = {"en": "I don't know your name yet. What is it?", "ru": "Я пока не знаю твоего имени. Как тебя зовут?"}


def some_name(rng: Random, language: str, held: bool) -> str:
    if held:
        return rng.choice(HELD_NAMES[language])
    if rng.random() < 0.4:
        return rng.choice(_TRAINED_NAMES[language])
    return _invented_name(rng, language)


def _invented_name(rng: Random, language: str) -> str:
    while (name := invented_word(rng, language).capitalize()) in HELD_NAMES[language]:
        pass
    return name


def _tell_name(rng: Random, language: str, name: str, held: bool, phrasings: tuple = ()) -> tuple[str, str]:
    text = typed(rng, rng.choice(phrasings or _TELL[language]), language, held=held, level=1)
    shown = name.lower() if name in _TRAINED_NAMES[language] and rng.random() < 0.15 else name
    return text.format(n=shown), _MET[language].format(n=name)


def name(rng: Random, language: str, held: bool) -> Scene:
    scene = Scene("name", "memory", language, [], gap=True, about="name")
    roll = rng.random()
    if roll < 0.1 and not held:  # asked, never told
        scene.turns = [(typed(rng, rng.choice(_ASK_NAME[language]), language), _NO_NAME[language])]
        scene.check, scene.gap = {"equals": _NO_NAME[language]}, False
        return scene
    n = some_name(rng, language, held)
    scene.check, scene.name = {"all": [n]}, n
    scene.turns = [_tell_name(rng, language, n, held)]
    if roll < 0.3:  # told, not asked
        return scene
    ask, said = typed(rng, rng.choice(_ASK_NAME[language]), language, held=held), _NAMED[language].format(n=n)
    if roll < 0.38:  # told and asked in one breath
        scene.turns, scene.gap = [(f"{scene.turns[0][0].rstrip('.!? ')}. {ask}", said)], False
        return scene
    if roll < 0.46:  # told twice: the later name counts
        other = some_name(rng, language, False)
        if other != n:
            scene.turns = [
                _tell_name(rng, language, other, False),
                _tell_name(rng, language, n, held, _RENAME[language]),
            ]
            scene.check = {"all": [n], "none": [other]}
    scene.turns.append((ask, said))
    return scene


_TELL_FAVOURITE = {
    "en": ("My favourite {k} is {v}.", "My favorite {k} is {v}.", "{v} is my favourite {k}.",
           "Remember: my favourite {k} is {v}.",
           "Know what? My favourite {k} is {v}.", "{v} is my favorite {k}."),
    "ru": ("{my} {k} — {v}.", "{my} {k} это {v}.", "{v} — {my} {k}.", "Запомни: {my} {k} — {v}.",
           "Знаешь, {my} {k} — {v}.", "{my} {k}: {v}."),
}  # fmt: skip
_ASK_FAVOURITE = {
    "en": ("What is my favourite {k}?", "What's my favorite {k}?", "Do you remember my favourite {k}?",
           "Which {k} is my favourite?",
           "My favourite {k}?", "And what is my favorite {k}?", "Do you know my favourite {k}?",
           "Tell me my favorite {k}."),
    "ru": ("{which} {my} {k}?", "{which} у меня {fav} {k}?", "Помнишь, {which} {my} {k}?", "{my} {k}?",
           "Так {which} {my} {k}?",
           "А {which} {my} {k}?", "Скажи, {which} {my} {k}?", "Ты знаешь, {which} {my} {k}?"),
}  # fmt: skip
_GOT_FAVOURITE = {"en": "Got it: your favourite {k} is {v}.", "ru": "Запомнил: {your} {k} — {v}."}
_FAVOURITE_IS = {"en": "Your favourite {k} is {v}.", "ru": "{your} {k} — {v}."}
_NOT_TOLD = {"en": "I don't know that yet. Tell me!", "ru": "Этого я пока не знаю. Расскажи!"}


def _favourite_slots(rng: Random, language: str) -> dict[str, str]:
    kinds = lexicon.FAVOURITES[language]
    kind, values = kinds[-1] if rng.random() < 0.25 else rng.choice(kinds)  # the last is "word", with the most values
    slots = dict(zip(("k", "my", "your", "which"), kind.split("|"), strict=False), v=rng.choice(values))
    if language == "ru":
        slots["fav"] = slots["my"].split()[1]
    return slots


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def favourite(rng: Random, language: str, held: bool) -> Scene:
    scene = Scene("favourite", "memory", language, [], gap=True)

    def draw(on: bool) -> dict[str, str]:
        while True:
            slots = _favourite_slots(rng, language)
            if not on and rng.random() < 0.35:  # an invented word, so that the answer must be copied from the dialogue
                slots["v"] = invented_word(rng, language)
            if is_held("favourite", language, slots["k"], slots["v"]) == on:
                return slots

    def tell(slots: dict[str, str], on: bool) -> tuple[str, str]:
        text = _upper(rng.choice(_TELL_FAVOURITE[language]).format(**slots))
        return typed(rng, text, language, held=on, level=1), _GOT_FAVOURITE[language].format(**slots)

    slots = draw(held)
    scene.about = f"favourite {slots['k']}"
    ask = typed(rng, _upper(rng.choice(_ASK_FAVOURITE[language]).format(**slots)), language, held=held)
    if rng.random() < 0.1 and not held:
        scene.turns, scene.check, scene.gap = [(ask, _NOT_TOLD[language])], {"equals": _NOT_TOLD[language]}, False
        return scene
    scene.turns = [tell(slots, held)]
    scene.check = {"all": [slots["v"]]}
    if rng.random() < 0.25:  # two favourites are told, and one is asked for
        other = draw(False)
        if other["k"] != slots["k"] and other["v"] != slots["v"]:
            scene.turns.insert(rng.randrange(2), tell(other, False))
            scene.check["none"] = [other["v"]]
    scene.turns.append((ask, _upper(_FAVOURITE_IS[language].format(**slots))))
    return scene


# (language, fact) -> what the user tells, the reply, how it is asked, the answer, and what a system message says instead
_FACTS = {
    ("en", "city"): (("I live in {v}.", "My home is in {v}.", "I'm from {v}."), "Got it: you live in {v}.",
                     ("Where do I live?", "Which city do I live in?", "Do you remember where I live?",
                      "Where is my home?"),
                     "You live in {v}.", "The user lives in {v}."),
    ("en", "age"): (("I am {v} years old.", "I'm {v} years old.", "My age is {v}."), "Got it: you are {v} years old.",
                    ("How old am I?", "What is my age?", "Do you remember my age?", "Do you know how old I am?"),
                    "You are {v} years old.", "The user is {v} years old."),
    ("en", "word"): (("Remember the word {v}.", "The secret word is {v}.", "My secret word is {v}.",
                      "Please remember the word {v}."), "Got it: the word is {v}.",
                     ("What was the word?", "What is the secret word?", "Which word did I tell you?",
                      "Do you remember the word?", "Do you remember my secret word?"),
                     "The word is {v}.", "The secret word is {v}."),
    ("en", "cat"): (("My cat is called {v}.", "I have a cat, {v}.",
                     "My cat's name is {v}."), "Got it: your cat is called {v}.",
                    ("What is my cat called?", "What's my cat's name?", "Do you remember my cat?", "Who is my cat?"),
                    "Your cat is called {v}.", "The user's cat is called {v}."),
    ("en", "name"): ((), "", _ASK_NAME["en"], _NAMED["en"].replace("{n}", "{v}"), "The user's name is {v}."),
    ("en", "today"): ((), "", ("What day is it today?", "What day is today?", "Which day is it?", "Today is what day?"),
                      "Today is {v}.", "Today is {v}."),
    ("ru", "city"): (("Я живу в городе {v}.", "Мой дом в городе {v}.",
                      "Мой город — {v}."), "Запомнил: твой город — {v}.",
                     ("Где я живу?", "В каком городе я живу?", "Помнишь, где я живу?", "Какой мой город?"),
                     "Твой город — {v}.", "Город пользователя — {v}."),
    ("ru", "age"): (("Мне {v}.", "Мой возраст — {v}.", "Мне уже {v}."), "Запомнил: твой возраст — {v}.",
                    ("Сколько мне лет?", "Какой у меня возраст?", "Помнишь, сколько мне лет?",
                     "Ты знаешь, сколько мне лет?"),
                    "Твой возраст — {v}.", "Возраст пользователя — {v}."),
    ("ru", "word"): (("Запомни слово {v}.", "Секретное слово — {v}.", "Моё секретное слово — {v}.",
                      "Запомни, пожалуйста, слово {v}."), "Запомнил: слово — {v}.",
                     ("Какое было слово?", "Какое секретное слово?", "Какое слово нужно было запомнить?",
                      "Помнишь слово?", "Помнишь секретное слово?"),
                     "Слово — {v}.", "Секретное слово — {v}."),
    ("ru", "cat"): (("Мою кошку зовут {v}.", "У меня есть кошка {v}.",
                     "Кошку зовут {v}."), "Запомнил: твою кошку зовут {v}.",
                    ("Как зовут мою кошку?", "Как зовут кошку?", "Помнишь мою кошку?", "А как зовут мою кошку?"),
                    "Твою кошку зовут {v}.", "Кошку пользователя зовут {v}."),
    ("ru", "name"): ((), "", _ASK_NAME["ru"], _NAMED["ru"].replace("{n}", "{v}"), "Пользователя зовут {v}."),
    ("ru", "today"): ((), "", ("Какой сегодня день?", "Какой день сегодня?", "Какой сейчас день недели?",
     "Сегодня какой день?"),
                      "Сегодня {v}.", "Сегодня {v}."),
}  # fmt: skip


@cache
def _fact_values(language: str, kind: str, held: bool) -> list[str]:
    if kind == "today":
        return [] if held else [row[0] for row in lexicon.DAYS[language]]  # seven days: nothing to hold out
    values = {
        "city": lexicon.CITIES[language]
        + [c for _, c in lexicon.CAPITALS[language] if c not in lexicon.CITIES[language]],
        "age": [str(n) for n in range(5, 100)],
        "cat": lexicon.CATS[language],
        "word": lexicon.ECHO[language],
    }[kind]
    # every fifth is held out: of so few values a hash might hold out none, or too many
    return [v for i, v in enumerate(values) if (i % 5 == 2) == held]


def _fact(rng: Random, language: str, kinds: tuple[str, ...], held: bool) -> tuple[str, str]:
    """A kind of fact and a value of it that is held out or not, as `held` says."""
    kind = rng.choice([k for k in kinds if k == "name" or _fact_values(language, k, held)])
    if kind == "name":
        return kind, some_name(rng, language, held)
    if kind in ("cat", "word") and not held and rng.random() < 0.6:
        return kind, _invented_name(rng, language) if kind == "cat" else invented_word(rng, language)
    return kind, rng.choice(_fact_values(language, kind, held))


def about_me(rng: Random, language: str, held: bool) -> Scene:
    kind, value = _fact(rng, language, ("city", "age", "cat", "word", "word"), held)
    tells, reply, asks, said, _ = _FACTS[language, kind]
    ask = typed(rng, rng.choice(asks), language, held=held)
    if rng.random() < 0.1 and not held:
        return Scene("about_me", "memory", language, [(ask, _NOT_TOLD[language])], {"equals": _NOT_TOLD[language]})
    told = typed(rng, rng.choice(tells).format(v=value), language, held=held, level=1)
    turns = [(told, reply.format(v=value)), (ask, said.format(v=value))]
    return Scene("about_me", "memory", language, turns, {"all": [value]}, gap=True, about=kind)


_NO_CALENDAR = {"en": "I have no calendar, so I don't know.", "ru": "У меня нет календаря, поэтому не знаю."}


def told_by_system(rng: Random, language: str, held: bool) -> Scene:
    kind, value = _fact(rng, language, ("name", "name", "city", "age", "cat", "word", "today"), held)
    _, _, asks, said, system = _FACTS[language, kind]
    ask = typed(rng, rng.choice(asks), language, held=held)
    if kind == "today" and rng.random() < 0.3:
        return Scene(
            "told_by_system", "memory", language, [(ask, _NO_CALENDAR[language])], {"equals": _NO_CALENDAR[language]}
        )
    scene = Scene("told_by_system", "memory", language, [(ask, said.format(v=value))], {"all": [value]})
    scene.system = system.format(v=value)
    return scene
