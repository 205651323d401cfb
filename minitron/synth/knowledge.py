"""Skills that recall a fact: opposites, colours, sounds, capitals, words of the other language, days, months and more.

All have one form (`ask_item`): they ask for an item in a phrasing. Combinations of an item and a phrasing are held out; training
has the same item in other phrasings. Only probes use phrasings marked with `~`.
"""

from random import Random

from minitron.synth import lexicon
from minitron.synth.scene import Scene, canonical, is_held, typed


def ask_item(rng: Random, skill: str, topic: str, language: str, held: bool, *, draw) -> Scene:
    """A scene of one question. `draw(rng)` gives (phrasings, slots of the question, answer, check); it is called until the question is
    held out, or not, as `held` says."""
    while True:
        phrasings, slots, answer, check = draw(rng)
        phrasing = rng.choice(phrasings)
        question = phrasing.lstrip("~").format(**slots)
        if (phrasing[0] == "~" or is_held(skill, canonical(question, language))) == held:
            break
    question = question[0].upper() + question[1:]
    return Scene(skill, topic, language, [(typed(rng, question, language, held=held), answer)], check)


_OPPOSITE = {
    "en": ("What is the opposite of {x}?", "Opposite of {x}?", "Give me the opposite of {x}.",
           "What's the opposite of {x}?",
           "Say the opposite of {x}.", "{x}, and the opposite?", "What word is the opposite of {x}?",
           "The opposite of {x}?",
           "~What might be the opposite of {x}?", "Find the opposite of {x}.", "Antonym of {x}?"),
    "ru": ("Какое слово противоположно слову {x}?", "Антоним к слову {x}?", "Назови антоним слова {x}.",
           "{x}, а наоборот?",
           "Какой антоним у слова {x}?", "Подбери антоним: {x}.", "Что противоположно слову {x}?", "Наоборот: {x}?",
           "~Назови антоним к слову {x}.", "Антоним слова {x}?", "Противоположность слова {x}?"),
}  # fmt: skip


def opposite(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        pair = r.choice(lexicon.OPPOSITES[language])
        x, y = pair if r.random() < 0.5 else pair[::-1]
        answer = f"The opposite of {x} is {y}." if language == "en" else f"Антоним слова {x} — {y}."
        return _OPPOSITE[language], {"x": x}, answer, {"all": [f"is {y}" if language == "en" else f"— {y}"]}

    return ask_item(rng, "opposite", "words", language, held, draw=draw)


_COLOUR = {
    "en": ("What colour is {x}?", "What color is {x}?", "Which colour is {x}?", "The colour of {x}?",
           "What is the colour of {x}?",
           "{x}: what colour?", "Do you know the colour of {x}?", "~Which color is {x}?", "What's the color of {x}?"),
    "ru": ("Какого цвета {x}?", "{x} какого цвета?", "Знаешь, какого цвета {x}?", "{x}: какой цвет?", "Цвет: {x}?",
           "Какого {x} цвета?", "Какой это цвет: {x}?", "~Какого же цвета {x}?", "Назови цвет: {x}."),
}  # fmt: skip


def colour(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x, y = r.choice(lexicon.COLOURS[language])
        others = sorted({c for _, c in lexicon.COLOURS[language]} - {y, "orange"})
        if language == "en":
            return _COLOUR[language], {"x": x}, f"{x[0].upper()}{x[1:]} is {y}.", {"any": [f"is {y}"], "none": others}
        stem = y[:-3]
        forms = [y] + [stem + end for end in (("ий", "яя", "ее") if stem == "син" else ("ый", "ая", "ое"))]
        return _COLOUR[language], {"x": x}, f"{x[0].upper()}{x[1:]} — {y} цвета.", {"any": forms, "none": others}

    return ask_item(rng, "colour", "world", language, held, draw=draw)


_SOUND = {
    "en": ("What does a {x} say?", "What sound does a {x} make?", "How does a {x} sound?", "What does the {x} say?",
           "{x}: what sound?",
           "What noise does a {x} make?", "Make the sound of a {x}.", "~What sound does the {x} make?",
           "Sound of a {x}?"),
    "ru": ("Как говорит {x}?", "Что говорит {x}?", "Какой звук издаёт {x}?", "{x} как говорит?", "Как кричит {x}?",
           "Какие звуки издаёт {x}?", "Изобрази: {x}.", "~Какие звуки обычно издаёт {x}?", "Звук: {x}?"),
}  # fmt: skip


def sound(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x, y = r.choice(lexicon.SOUNDS[language])
        if language == "en":
            article = "an" if x[0] in "aeiou" else "a"
            asks = tuple(a.replace("a {x}", f"{article} {{x}}") for a in _SOUND["en"])
            return asks, {"x": x}, f"The {x} says: {y}!", {"all": [y]}
        return _SOUND[language], {"x": x}, f"{x[0].upper()}{x[1:]} говорит: {y}!", {"all": [y]}

    return ask_item(rng, "sound", "world", language, held, draw=draw)


_CAPITAL = {
    "en": ("What is the capital of {x}?", "Capital of {x}?", "The capital of {x}?", "What's the capital of {x}?",
           "Name the capital of {x}.", "Which city is the capital of {x}?", "Do you know the capital of {x}?",
           "~Which is the capital of {x}?", "What city is the capital of {x}?", "Tell me the capital of {x}."),
    "ru": ("Какая столица у {x}?", "Столица {x}?", "Назови столицу {x}.", "Какой город столица {x}?",
           "Знаешь столицу {x}?",
           "Какая столица {x}?", "Скажи столицу {x}.", "~Какой же город столица {x}?", "Главный город {x}?",
           "Как называется столица {x}?"),
}  # fmt: skip
_COUNTRY = {
    "en": ("{y} is the capital of which country?", "{y} is the capital of what?", "Which country has the capital {y}?",
           "What country is {y} the capital of?", "{y}: capital of what country?",
           "~{y} is the capital of what country?"),
    "ru": ("{y} — столица чего?", "{y} — столица какой страны?", "Столица какой страны {y}?",
           "Город {y} — чья столица?",
           "Какой страны столица {y}?", "~Город {y} — столица какой страны?"),
}  # fmt: skip


def capital(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x, y = r.choice(lexicon.CAPITALS[language])
        answer = f"The capital of {x} is {y}." if language == "en" else f"Столица {x} — {y}."
        return _CAPITAL[language], {"x": x}, answer, {"all": [y]}

    return ask_item(rng, "capital", "world", language, held, draw=draw)


def country(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x, y = r.choice(lexicon.CAPITALS[language])
        answer = f"{y} is the capital of {x}." if language == "en" else f"{y} — столица {x}."
        return _COUNTRY[language], {"y": y}, answer, {"all": [x]}

    return ask_item(rng, "country", "world", language, held, draw=draw)


# (language asked in, language of the word) -> phrasings
_TRANSLATE = {
    ("en", "en"): ("How do you say {x} in Russian?", "{x} in Russian?", "Translate {x} into Russian.",
                   "What is {x} in Russian?",
                   "What is the Russian for {x}?", "Russian word for {x}?", "What's {x} in Russian?",
                   "~How does one say {x} in Russian?", "Please translate {x} to Russian.",
                   "How to say {x} in Russian?"),
    ("en", "ru"): ("What does {x} mean?", "Translate {x} into English.", "{x} in English?", "What is {x} in English?",
                   "How do you say {x} in English?", "Meaning of {x}?", "~How does one say {x} in English?",
                   "What's {x} in English?"),
    ("ru", "ru"): ("Как по-английски {x}?", "{x} по-английски?", "Переведи на английский: {x}",
                   "Как будет {x} по-английски?",
                   "Как сказать {x} по-английски?", "Переведи {x} на английский.", "Как по-английски будет {x}?",
                   "~Как по-английски сказать {x}?", "Перевод слова {x} на английский?"),
    ("ru", "en"): ("Что значит {x}?", "Как переводится {x}?", "Переведи на русский: {x}", "Как по-русски {x}?",
                   "Как будет {x} по-русски?", "{x} по-русски?", "~Как перевести {x} на русский?",
                   "Переведи {x} на русский."),
}  # fmt: skip


def translate(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        en, ru = r.choice(lexicon.TRANSLATIONS)
        of = "en" if r.random() < 0.5 else "ru"
        x, y = (en, ru) if of == "en" else (ru, en)
        into = {"en": "In {}, {} is {}.", "ru": "{} {} — {}."}[language]
        where = {"en": ("English", "Russian"), "ru": ("По-английски", "По-русски")}[language][of == "en"]
        return _TRANSLATE[language, of], {"x": x}, into.format(where, x, y), {"all": [y]}

    return ask_item(rng, "translate", "languages", language, held, draw=draw)


_CATEGORY = {
    "en": ("What is {x}?", "What kind of thing is {x}?", "What's {x}?", "{x} is what?", "Is {x} a thing? What kind?",
           "Do you know what {x} is?", "Explain what {x} is.", "~Can you explain what {x} is?", "{x}: what is that?"),
    "ru": ("Что значит слово {x}?", "Что означает слово {x}?", "Объясни слово {x}.", "{x} — это что за слово?",
           "Объясни, что такое {x}.",
           "{x}: что это?", "Поясни слово {x}.", "~Поясни, что такое {x}.", "Что такое {x}?"),
}  # fmt: skip


def category(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x, y = r.choice(lexicon.CATEGORIES[language])
        others = sorted({c for _, c in lexicon.CATEGORIES[language]} - {y})
        said = f"{x} is {y}" if language == "en" else f"{x} — это {y}"
        none = [c for c in others if c not in y and y not in c and c not in said]
        return _CATEGORY[language], {"x": x}, said[0].upper() + said[1:] + ".", {"all": [y], "none": none}

    return ask_item(rng, "category", "world", language, held, draw=draw)


_AMOUNT = {
    "en": ("How many {x}?", "Do you know how many {x}?", "Tell me, how many {x}?", "~Can you say how many {x}?",
           "I wonder how many {x}."),
    "ru": ("Сколько {x}?", "Знаешь, сколько {x}?", "Сколько всего {x}?", "~Как думаешь, сколько всего {x}?",
           "Интересно, сколько {x}?",
           "Как думаешь, сколько {x}?"),
}  # fmt: skip


def amount(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x, said, n = r.choice(lexicon.AMOUNTS[language])
        return _AMOUNT[language], {"x": x}, said + ".", {"all": [n]}

    return ask_item(rng, "amount", "world", language, held, draw=draw)


# Slots: x nominative, g genitive, i instrumental. The answer names the neighbour.
_DAY_AFTER = {
    "en": ("What day comes after {x}?", "What day is after {x}?", "Which day follows {x}?", "The day after {x}?",
           "Today is {x}. What day is tomorrow?", "If today is {x}, what is tomorrow?",
           "~Which day comes after {x}?", "What comes after {x}?"),
    "ru": ("Какой день идёт после {g}?", "Какой день после {g}?", "День после {g}?", "Что идёт после {g}?",
           "Сегодня {x}. Какой день завтра?", "Если сегодня {x}, то что завтра?", "~Какой день недели идёт после {g}?",
           "Что после {g}?"),
}  # fmt: skip
_DAY_BEFORE = {
    "en": ("What day comes before {x}?", "What day is before {x}?", "The day before {x}?", "Which day is before {x}?",
           "Today is {x}. What day was yesterday?", "If today is {x}, what was yesterday?",
           "~Which day comes before {x}?",
           "What comes before {x}?"),
    "ru": ("Какой день идёт перед {i}?", "Какой день перед {i}?", "День перед {i}?", "Что идёт перед {i}?",
           "Сегодня {x}. Какой день был вчера?", "Если сегодня {x}, то что было вчера?",
           "~Какой день недели идёт перед {i}?",
           "Что перед {i}?"),
}  # fmt: skip
_MONTH_AFTER = {
    "en": ("What month comes after {x}?", "What month is after {x}?", "Which month follows {x}?",
           "The month after {x}?",
           "~Which month comes after {x}?", "What is the next month after {x}?", "What comes after {x}?"),
    "ru": ("Какой месяц идёт после {g}?", "Какой месяц после {g}?", "Месяц после {g}?", "Что идёт после {g}?",
           "~Какой месяц года идёт после {g}?", "Следующий месяц после {g}?", "Что после {g}?"),
}  # fmt: skip
_MONTH_BEFORE = {
    "en": ("What month comes before {x}?", "What month is before {x}?", "The month before {x}?",
           "Which month is before {x}?",
           "~Which month comes before {x}?", "What comes before {x}?"),
    "ru": ("Какой месяц идёт перед {i}?", "Какой месяц перед {i}?", "Месяц перед {i}?", "Что идёт перед {i}?",
           "~Какой месяц года идёт перед {i}?", "Что перед {i}?"),
}  # fmt: skip


def _cycle(rng: Random, skill: str, language: str, held: bool, words: list, after: dict, before: dict) -> Scene:
    def draw(r: Random):
        n, step = r.randrange(len(words)), r.choice((1, -1))
        x, y = words[n], words[(n + step) % len(words)][0]
        slots = {"x": x[0], "g": x[1], "i": x[2]} if language == "ru" else {"x": x[0]}
        if language == "en":
            start = f"{'After' if step == 1 else 'Before'} {x[0]} comes"
        else:
            start = f"После {x[1]} идёт" if step == 1 else f"Перед {x[2]} идёт"
        verb = start.split()[-1]  # an answer names both neighbours: the check wants y after the verb
        return (after if step == 1 else before)[language], slots, f"{start} {y}.", {"all": [f"{verb} {y}"]}

    return ask_item(rng, skill, "calendar", language, held, draw=draw)


def day(rng: Random, language: str, held: bool) -> Scene:
    return _cycle(rng, "day", language, held, lexicon.DAYS[language], _DAY_AFTER, _DAY_BEFORE)


def month(rng: Random, language: str, held: bool) -> Scene:
    return _cycle(rng, "month", language, held, lexicon.MONTHS[language], _MONTH_AFTER, _MONTH_BEFORE)


_SEASON = {
    "en": ("What season is {x}?", "What season is {x} in?", "In which season is {x}?", "{x} is what season?",
           "Season of {x}?",
           "~What season of the year is {x}?", "Which season is {x}?"),
    "ru": ("{x} — это какое время года?", "Какое время года {x}?", "К какому времени года относится {x}?",
           "{x}: какое время года?",
           "~Какое это время года: {x}?", "Какое время года — {x}?"),
}  # fmt: skip


def season(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        n = r.randrange(12)
        x, y = lexicon.MONTHS[language][n][0], lexicon.SEASONS[language][(n + 1) % 12 // 3]
        answer = f"{x} is in {y}." if language == "en" else f"{x[0].upper()}{x[1:]} — это {y}."
        return _SEASON[language], {"x": x}, answer, {"all": [y]}

    return ask_item(rng, "season", "calendar", language, held, draw=draw)


_NUMBER_WORD = {
    "en": ("Write {n} in words.", "How do you write {n} in words?", "{n} in words?", "Say {n} in words.",
           "Spell the number {n}.",
           "~Can you write {n} in words?", "What is {n} in words?"),
    "ru": ("Напиши {n} словом.", "Как пишется {n} словом?", "{n} словом?", "Запиши {n} словом.",
           "Напиши словом число {n}.",
           "~Как написать {n} словом?", "Назови число {n} словом."),
}  # fmt: skip
_WORD_NUMBER = {
    "en": ("Write {w} as a number.", "{w} as a number?", "What number is {w}?", "Write {w} in digits.",
           "~Can you write {w} in digits?"),
    "ru": ("Напиши {w} цифрами.", "{w} цифрами?", "Какое число {w}?", "Запиши {w} цифрами.",
           "~Как написать {w} цифрами?"),
}  # fmt: skip


def number_word(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        n = r.randint(0, 20)
        word = lexicon.NUMBER_WORDS[language][n]
        is_ = "is" if language == "en" else "— это"
        if r.random() < 0.5:
            return _NUMBER_WORD[language], {"n": n}, f"{n} {is_} {word}.", {"all": [f"{is_} {word}"]}
        return _WORD_NUMBER[language], {"w": word}, f"{word[0].upper()}{word[1:]} {is_} {n}.", {"all": [f"{is_} {n}"]}

    return ask_item(rng, "number_word", "words", language, held, draw=draw)


_LIST = {
    "en": ("Name three {x}.", "Name 3 {x}.", "List three {x}.", "Tell me three {x}.", "Give me three {x}.",
           "Three {x}, please.",
           "~Could you name three {x}?", "Can you name three {x}?"),
    "ru": ("Назови три {x}.", "Назови 3 {x}.", "Перечисли три {x}.", "Какие три {x} ты знаешь?", "Приведи три {x}.",
           "Три {x}, пожалуйста.",
           "~Перечисли, пожалуйста, три {x}.", "Можешь назвать три {x}?"),
}  # fmt: skip


def name_three(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        x, said = r.choice(lexicon.LISTS[language])
        return _LIST[language], {"x": x}, said + ".", {"equals": said}

    return ask_item(rng, "name_three", "words", language, held, draw=draw)


_WHOLE = {
    ("en", "days"): ("Name the days of the week.", "What are the days of the week?", "List the days of the week.",
                     "All days of the week?",
                     "~Can you name the days of the week?", "Days of the week?"),
    ("en", "months"): ("Name the months.", "What are the months of the year?", "List all months.",
                       "All months of the year?",
                       "~List all the months.", "Months of the year?"),
    ("en", "seasons"): ("Name the seasons.", "What are the four seasons?", "List the seasons.",
                        "All seasons of the year?",
                        "~Can you name the seasons?", "Seasons of the year?"),
    ("ru", "days"): ("Назови дни недели.", "Какие есть дни недели?", "Перечисли дни недели.", "Все дни недели?",
                     "~Назови, пожалуйста, дни недели.", "Дни недели?"),
    ("ru", "months"): ("Назови месяцы.", "Какие есть месяцы?", "Перечисли все месяцы.", "Все месяцы года?",
                       "~Назови все месяцы.",
                       "Месяцы года?"),
    ("ru", "seasons"): ("Назови времена года.", "Какие есть времена года?", "Перечисли времена года.",
                        "Все времена года?",
                        "~Перечисли все времена года.", "Времена года?"),
}  # fmt: skip


def whole(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random):
        kind = r.choice(("days", "months", "seasons"))
        if kind == "seasons":
            words = list(lexicon.SEASONS[language])
        else:
            words = [row[0] for row in (lexicon.DAYS if kind == "days" else lexicon.MONTHS)[language]]
        said = ", ".join(words)
        return _WHOLE[language, kind], {}, said[0].upper() + said[1:] + ".", {"equals": said}

    return ask_item(rng, "calendar_list", "calendar", language, held, draw=draw)
