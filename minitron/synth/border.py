"""The border of what the assistant knows: open questions of every kind get an honest answer, such as "I don't know".

Topics and activities are held out by a hash of their text, wordings by the mark `~`. So a probe asks about something that
training never asked about, in a wording that it never used. Some topics are invented words, and some are words of other
skills, so that a model learns to decide by the question and not by the noun.
"""

from collections.abc import Callable
from operator import itemgetter
from random import Random
from typing import Any

from minitron.synth import lexicon, topics
from minitron.synth.scene import Scene, invented_word, pick_held, typed

# {x}: a topic, {o}: the same in the prepositional case, {y}: another topic, {p}: a kind of text
_ABOUT = {
    "en": (
        "Tell me about {x}.", "What do you know about {x}?", "Explain {x}.", "Can you explain {x}?", "Talk about {x}.",
        "What do you think about {x}?", "Tell me more about {x}.", "I want to know more about {x}.", "Teach me about {x}.",
        "What are your thoughts on {x}?", "Tell me a fact about {x}.", "Tell me something interesting about {x}.",
        "Explain {x} to me like I'm five.", "What is the history of {x}?", "What is the difference between {x} and {y}?",
        "Compare {x} and {y}.", "How do {x} work?", "How does {x} work?", "Why are {x} important?", "Why is {x} important?",
        "What causes {x}?", "Is there a connection between {x} and {y}?", "How are {x} related to {y}?",
        "Describe {x}.", "Describe {x} in one sentence.", "Define {x}.", "Give me an example of {x}.", "Summarize {x}.",
        "What are the pros and cons of {x}?", "List some facts about {x}.", "Where do {x} come from?",
        "Who knows about {x}?", "What is new in {x}?", "Let's talk about {x}.",
        "I have a question about {x}.", "I love {x}. And you?", "What should I know about {x}?",
        "How has {x} changed over time?", "What would happen without {x}?", "What is the future of {x}?",
        "What is the best book about {x}?", "Recommend a film about {x}.", "How many {x} are there in the world?",
        "How can {x} affect our lives?", "Discuss the role of {x} in society.", "What are the main types of {x}?",
        "When was {x} invented?", "What does {x} mean?", "Is it true that {x} can be dangerous?", "{x}?",
        "Which is better, {x} or {y}?", "What is the most important thing about {x}?",
        "~Could you tell me about {x}?", "~What can you tell me about {x}?", "~Give me some information about {x}.",
        "~I'd like to learn about {x}.", "~What is your opinion on {x}?", "~Please explain how {x} came to be.",
        "~Why do people like {x}?", "~What is so special about {x}?", "~Do you know anything about {x}?",
    ),
    "ru": (
        "Расскажи о {o}.", "Что ты знаешь о {o}?", "Объясни, что такое {x}.", "Что такое {x}?", "Поговорим о {o}?",
        "Что ты думаешь о {o}?", "Расскажи подробнее о {o}.", "Хочу узнать больше о {o}.", "Научи меня всему о {o}.",
        "Расскажи факт о {o}.", "Расскажи что-нибудь интересное о {o}.", "Объясни простыми словами: {x}.",
        "Какова история: {x}?", "Чем {x} отличаются от {y}?", "Сравни: {x} и {y}.", "Как это работает: {x}?",
        "Почему важно знать о {o}?", "Как связаны {x} и {y}?", "Опиши {x} одним предложением.",
        "Дай определение: {x}.", "Приведи пример на тему {x}.", "Какие плюсы и минусы у темы {x}?", "Откуда взялись {x}?",
        "Откуда взялась {x}?", "Что нового на тему {x}?", "Нужны ли людям {x}?",
        "У меня вопрос о {o}.", "Я люблю {x}. А ты?", "Что надо знать о {o}?", "Какое будущее ждёт {x}?",
        "Посоветуй книгу о {o}.", "Посоветуй фильм о {o}.", "Сколько в мире тем важнее, чем {x}?",
        "Как {x} влияет на нашу жизнь?", "Как {x} влияют на человека?", "Какие бывают {x}?", "Когда появились {x}?",
        "Когда появилась {x}?", "Что значит {x}?", "Правда ли, что {x} опасны?", "{x}?", "Что лучше, {x} или {y}?",
        "Что самое главное о {o}?", "Кто придумал {x}?", "Зачем нужны {x}?", "Зачем нужна {x}?",
        "~Можешь рассказать о {o}?", "~Что ты можешь сказать о {o}?", "~Мне интересно узнать о {o}.",
        "~Какое у тебя мнение о {o}?", "~Почему люди говорят о {o}?", "~Что особенного в этой теме: {x}?",
        "~Знаешь ли ты что-нибудь о {o}?", "~Поясни тему: {x}.",
    ),
}  # fmt: skip
_HOW = {
    "en": (
        "How do I {x}?", "How can I {x}?", "How to {x}?", "What is the best way to {x}?", "Teach me to {x}.", "Help me {x}.",
        "Can you help me {x}?", "I want to {x}. Where do I start?", "Is it hard to {x}?", "How long does it take to {x}?",
        "What do I need to {x}?", "Give me tips to {x}.", "Why should I {x}?", "Can you {x}?", "Please {x} for me.",
        "What are some ways to {x}?", "Should I {x}?", "When is the best time to {x}?", "Explain how to {x}.",
        "~How does one {x}?", "~Could you teach me how to {x}?", "~What is the easiest way to {x}?", "~I need to {x}, any ideas?",
    ),
    "ru": (
        "Как {x}?", "Как мне {x}?", "Как лучше {x}?", "Научи меня {x}.", "Помоги мне {x}.", "Можешь помочь {x}?",
        "Хочу {x}. С чего начать?", "Трудно ли {x}?", "Что нужно, чтобы {x}?", "Дай совет, как {x}.", "Зачем {x}?",
        "Ты можешь {x}?", "Объясни, как {x}.", "Сколько времени надо, чтобы {x}?", "Стоит ли {x}?", "Когда лучше {x}?",
        "~Подскажи, как мне {x}?", "~Какой самый простой способ {x}?", "~Мне надо {x}, есть идеи?",
        "~Каким образом можно {x}?",
    ),
}  # fmt: skip
_WHO = {
    "en": ("Who {x}?", "Do you know who {x}?", "Tell me who {x}.", "Who was it that {x}?", "~Can you tell me who {x}?", "~I wonder who {x}."),
    "ru": ("Кто {x}?", "Ты знаешь, кто {x}?", "Скажи, кто {x}.", "А кто {x}?", "~Можешь сказать, кто {x}?", "~Интересно, кто {x}?"),
}  # fmt: skip
_WHY = {
    "en": ("Why {x}?", "Tell me: why {x}?", "Why {x}, do you think?", "Explain: why {x}?", "~And why {x}, I wonder?", "~Can you explain: why {x}?"),
    "ru": ("Почему {x}?", "Объясни, почему {x}.", "Отчего {x}?", "Как думаешь, почему {x}?", "~Расскажи, почему {x}?", "~Интересно, почему {x}?"),
}  # fmt: skip
_WRITE = {
    "en": (
        "Write {p} about {x}.", "Write me {p} about {x}.", "Can you write {p} about {x}?", "Compose {p} about {x}.", "I need {p} about {x}.",
        "Create {p} on {x}.", "Write {p} about {x} and {y}.", "Make {p} about {x}.", "Help me write {p} about {x}.",
        "Generate {p} about {x}.", "Write {p}: {x}.", "~Could you write {p} about {x}?", "~Please draft {p} about {x}.",
    ),
    "ru": (
        "Напиши {p} о {o}.", "Напиши мне {p} о {o}.", "Можешь написать {p} о {o}?", "Сочини {p} о {o}.", "Придумай {p} о {o}.",
        "Мне нужно {p} о {o}.", "Напиши {p} на тему: {x}.", "Сделай {p} о {o}.", "Помоги написать {p} о {o}.",
        "~Составь {p} о {o}.", "~Напиши, пожалуйста, {p}, тема: {x}.",
    ),
}  # fmt: skip
# {s}: a text to work on, in ways that only larger models can
_WORK = {
    "en": (
        "Rewrite this sentence: {s}", "Correct the mistakes: {s}", "Summarize this text: {s}", "Make it more formal: {s}",
        "Rewrite the following sentence in the passive voice. {s}", "Edit the sentence to make it shorter. {s}", "What does this mean: {s}",
        "Continue the story: {s}", "Translate the paragraph into German: {s}", "Find the verb in the sentence. {s}",
        "Rewrite the sentence using a metaphor. {s}", "Identify the subject of the sentence. {s}", "Is this sentence correct? {s}",
        "Classify the following text: {s}", "Turn this into a question: {s}", "Convert the text to the past tense. {s}",
        "What is the main idea here? {s}", "Write a function that does this: {s}", "Given that {s} find the answer.",
        "~Improve this sentence: {s}", "~Paraphrase the following. {s}", "~Change the tense of the sentence. {s}",
    ),
    "ru": (
        "Перепиши предложение: {s}", "Исправь ошибки: {s}", "Сократи текст: {s}", "Сделай текст официальным: {s}", "Что это значит: {s}",
        "Продолжи рассказ: {s}", "Переведи абзац на немецкий: {s}", "Найди глагол в предложении. {s}", "Перескажи: {s}",
        "Определи тему текста: {s}", "Преврати это в вопрос: {s}", "Поставь в прошедшее время: {s}", "В чём главная мысль? {s}",
        "Напиши функцию, которая делает это: {s}", "~Улучши предложение: {s}", "~Перефразируй: {s}", "~Разбери предложение: {s}",
    ),
}  # fmt: skip
# school exercises that no skill covers; {w}, {v}: words, {n}, {m}, {k}: numbers, {s}: a text
_TASK = {
    "en": (
        "What is a synonym for {w}?", "Find a synonym for the word '{w}'.", "Give me a synonym of \"{w}\".", "What rhymes with {w}?",
        "Provide a word that rhymes with '{w}'.", "What is the past tense of {w}?", "What is the plural of {w}?", "Define the term '{w}'.",
        "Define the word \"{w}\".", "Translate {w} into German.", "Translate '{w}' to French.", "How do you say {w} in Spanish?",
        "Translate the sentence into Italian: {s}", "Use the word {w} in a sentence.", "Write a sentence with {w} and {v}.",
        "Convert {n} meters to feet.", "Convert {n} kilometers to miles.", "Convert {n} grams to kilograms.", "How many seconds are in {n} hours?",
        "Sort these numbers: {n}, {m}, {k}.", "Arrange the numbers in ascending order: {n}, {m}, {k}", "What is the average of {n}, {m} and {k}?",
        "What is {n}% of {m}?", "What is the square of {n}?", "Is {n} a prime number?", "Find the area of a rectangle of {n} by {m} cm.",
        "What type of word is {w}?", "Is '{w}' a noun or a verb?", "What part of speech is {w}?", "Sort the words: {w}, {v}", "What is the prefix of {w}?",
        "What kind of animal is {w}?", "What is the chemical symbol of {w}?", "What is the formula of {w}?", "Who is the author of '{w}'?", "Name a famous {w}.",
        "Identify the verb: {s}", "Change the sentence to the future tense. {s}", "Which word does not belong: {w}, {v}?", "What does the idiom '{w} the {v}' mean?",
        "What is the boiling point of {w}?", "What is the temperature of {n} degrees Celsius in Fahrenheit?", "Reverse the array [{n}, {m}, {k}]",
        "~What is another word for {w}?", "~Give the past form of {w}.", "~Translate {w} into Japanese.", "~Convert {n} pounds to kilograms.",
        "~Order these numbers from large to small: {n}, {m}, {k}",
    ),
    "ru": (
        "Какой синоним у слова {w}?", "Подбери синоним к слову {w}.", "Что рифмуется со словом {w}?", "Придумай рифму к слову «{w}».",
        "Дай определение слова {w}.", "Переведи {w} на немецкий.", "Переведи слово {w} на французский.", "Как по-испански {w}?",
        "Составь предложение со словом {w}.", "Придумай предложение со словами {w} и {v}.", "Переведи {n} метров в сантиметры.",
        "Сколько граммов в {n} килограммах?", "Сколько секунд в {n} часах?", "Расставь числа по порядку: {n}, {m}, {k}", "Какое среднее у {n}, {m} и {k}?",
        "Сколько будет {n}% от {m}?", "Чему равен квадрат числа {n}?", "Число {n} простое?", "Найди площадь: {n} на {m} см.",
        "Какая часть речи {w}?", "Просклоняй слово {w}.", "Множественное число слова {w}?", "Разбери слово {w} по составу.", "Где корень в слове {w}?",
        "Какая формула у вещества {w}?", "Кто автор книги «{w}»?", "Какое слово лишнее: {w}, {v}?", "Что значит пословица «{w} — {v}»?",
        "~Назови другое слово для {w}.", "~Переведи {w} на японский.", "~Сколько минут в {n} сутках?", "~Поставь слово {w} в родительный падеж.",
    ),
}  # fmt: skip
_ANSWERS = {
    "en": (
        "I don't know much about that, I'm too small. But I can add, spell or tell a joke.",
        "Sorry, I don't know that. Ask me for a sum, a riddle or a word in Russian!",
        "I don't know, that is too much for a tiny model. Shall we count or do a riddle?",
        "Honestly, I don't know. I know capitals, opposites and small numbers.",
    ),
    "ru": (
        "Я мало об этом знаю и точно не знаю ответа. Зато умею считать, переводить слова и шутить.",
        "Прости, этого я не знаю. Спроси про сумму, загадку или слово по-английски!",
        "Не знаю, для крошечной модели это слишком сложно. Посчитаем или загадать загадку?",
        "Честно говоря, не знаю. Я знаю столицы, антонимы и небольшие числа.",
    ),
}  # fmt: skip
_TOO_HARD = {
    "en": ("That is too hard for a small one like me. Let's add numbers or spell a word!",),
    "ru": ("Это слишком сложно для такой крохи, как я. Давай лучше сложим числа!",),
}
# An honest answer has one of these.
HONEST = {"en": ["don't know", "too hard"], "ru": ["не знаю", "слишком сложно"]}

# kind of question -> its share in percent
KINDS = {"about": 34, "how": 19, "who": 7, "why": 8, "write": 10, "work": 8, "task": 14}


def question(rng: Random, language: str, held: bool, kind: str = "") -> str:
    """An open question. If it is held out, training has neither its wording nor, except for the kinds `work` and `task`, its topic."""
    kind = kind or rng.choices(list(KINDS), KINDS.values())[0]
    wordings = {"about": _ABOUT, "how": _HOW, "who": _WHO, "why": _WHY, "write": _WRITE, "work": _WORK, "task": _TASK}[
        kind
    ][language]
    wording = rng.choice([w for w in wordings if (w[0] == "~") == held]).lstrip("~")
    parts = {}
    if kind in ("about", "write"):
        parts["x"], parts["o"] = _topic(rng, language, held)
        parts["y"] = _topic(rng, language, held)[0]
        parts["p"] = rng.choice(topics.PIECES[language])
    elif kind in ("work", "task"):
        parts |= {"s": _sentence(rng, language, held), "w": _word(rng, language), "v": _word(rng, language)}
        parts |= {name: str(rng.randint(2, rng.choice((9, 60, 999)))) for name in "nmk"}
    else:
        parts["x"] = _pick(rng, {"how": topics.DOINGS, "who": topics.WHO, "why": topics.WHY}[kind][language], held)
    text = wording.format(**parts)
    return text[0].upper() + text[1:]


def answer(rng: Random, language: str, asked_to_write: bool) -> str:
    return rng.choice(_TOO_HARD[language] if asked_to_write and rng.random() < 0.5 else _ANSWERS[language])


def open_question(rng: Random, language: str, held: bool) -> Scene:
    """A scene of one open question and an honest answer."""
    kind = rng.choices(list(KINDS), KINDS.values())[0]
    ask = typed(rng, question(rng, language, held, kind), language, held=held, level=2 if rng.random() < 0.8 else 3)
    said = answer(rng, language, kind in ("write", "work", "task"))
    return Scene("open", "honesty", language, [(ask, said)], {"any": HONEST[language]})


def _pick(rng: Random, items: list, held: bool, name: Callable[[Any], str] = str) -> Any:
    """A random item that is held out or not, as `held` says; `name(item)` is the text whose hash decides that."""
    return pick_held(rng, held, lambda r: r.choice(items), lambda item: ("open", name(item)))


def _topic(rng: Random, language: str, held: bool) -> tuple[str, str]:
    """A topic and its prepositional case (in English the same word)."""
    roll = 0.0 if held else rng.random()
    if roll < 0.72:
        return _pick(rng, topics.TOPICS[language], held, name=itemgetter(0))
    if roll < 0.87:
        word = invented_word(rng, language)
        return word, word
    # words of other skills: what is asked about them decides
    word = _pick(rng, (lexicon.SPELLING, lexicon.ECHO)[rng.randrange(2)][language], held)
    return word, word


def _word(rng: Random, language: str) -> str:
    """A word for an exercise: one of the skills' words, or an invented one."""
    if rng.random() < 0.45:
        return invented_word(rng, language)
    return (
        rng.choice(lexicon.SPELLING[language])
        if rng.random() < 0.5
        else rng.choice(lexicon.OPPOSITES[language])[rng.randrange(2)]
    )


def _sentence(rng: Random, language: str, held: bool) -> str:
    """A sentence to work on, made of random words."""
    words = []
    for _ in range(rng.randint(4, 11)):
        roll = rng.random()
        if roll < 0.35:
            words.append(rng.choice(lexicon.ECHO[language]))
        elif roll < 0.55:
            words.append(_topic(rng, language, held)[0])
        elif roll < 0.8:
            words.append(rng.choice(topics.GLUE[language]))
        else:
            words.append(invented_word(rng, language))
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."
