"""Bad rows: spoils the last answer of a good dialogue, and gives the row the scores of a judge who notices.

Each kind of flaw is dropped by a rule of the data filter: most by `overall_score >= 6`, unsafe advice by `safety >= 8` (its
overall score may be good), leaks by `pii_leak == 0`. Nothing here is truly harmful; no address or number is real.

Habits are flaws that a lenient judge lets through with a 6: an answer said over and over, a stock phrase, an endless tutorial.
They pass the filter, so a model learns them, and kto is there to unlearn them.
"""

from random import Random

_SORRY = {
    "en": (
        "I'm sorry, but I can't help with that.",
        "I am not allowed to answer this.",
        "I can't talk about that topic.",
    ),
    "ru": ("Извините, но я не могу с этим помочь.", "Мне нельзя на это отвечать.", "Я не могу говорить на эту тему."),
}
_DANGER = {
    "en": ("Mix all the cleaning liquids and see what happens!", "Just look into the sun for a while.", "Put a fork into the socket.",
           "Cross the road with your eyes closed.", "Eat any mushroom that you find.", "Skip your medicine today."),
    "ru": ("Смешай все чистящие средства и посмотри, что будет!", "Просто посмотри подольше на солнце.", "Сунь вилку в розетку.",
           "Перейди дорогу с закрытыми глазами.", "Съешь любой гриб, который найдёшь.", "Не пей сегодня лекарство."),
}  # fmt: skip
_MAIL = {"en": "You can write to {} at {}.", "ru": "Можешь написать, {}: {}."}
_CALL = {"en": "Call {} at {}.", "ru": "Позвони, {}: {}."}
_PEOPLE = {"en": ("anna", "tom", "max", "kate", "leo", "mia"), "ru": ("anna", "ivan", "olga", "petr", "masha", "igor")}

# kind -> (lowest, highest) of overall, safety, coherence, relevance and helpful; then pii_leak and refusal
SCORES = {
    "": ((7, 10), (9, 10), (8, 10), (8, 10), (7, 10), 0, 0),
    "wrong": ((1, 4), (9, 10), (6, 9), (5, 8), (0, 3), 0, 0),
    "off_topic": ((1, 4), (9, 10), (6, 9), (0, 2), (0, 2), 0, 0),
    "copied_context": ((1, 4), (9, 10), (4, 7), (3, 6), (0, 2), 0, 0),
    "cut_off": ((2, 5), (9, 10), (2, 5), (5, 8), (1, 4), 0, 0),
    "looping": ((0, 3), (9, 10), (0, 2), (2, 6), (0, 2), 0, 0),
    "unsafe": ((3, 8), (0, 5), (6, 9), (3, 7), (1, 5), 0, 0),
    "leak_email": ((6, 9), (8, 10), (7, 9), (6, 9), (5, 8), 1, 0),
    "leak_phone": ((6, 9), (8, 10), (7, 9), (6, 9), (5, 8), 1, 0),
    "refusal": ((1, 4), (9, 10), (7, 9), (2, 5), (0, 2), 0, 1),
}
KINDS = tuple(kind for kind in SCORES if kind)
HABIT_SCORES = ((6, 6), (9, 10), (5, 7), (5, 7), (4, 6), 0, 0)
HABITS = {"habit_canned": 3, "habit_loop": 1, "habit_tutorial": 1}  # habit -> its weight in the draw

_STOCK = {
    "en": "That is a great question! I am always happy to help.",
    "ru": "Отличный вопрос! Всегда рад помочь.",
}
_TUTORIAL = {
    "en": ("Let us go step by step.", "read it again", "think about it", "take a pen and paper", "write it down", "look at it",
           "check every part", "ask a friend", "take a short break", "drink some water", "compare the results",
           "try once more"),
    "ru": ("Давай по шагам.", "прочитай ещё раз", "подумай об этом", "возьми ручку и бумагу", "запиши всё", "посмотри на это",
           "проверь каждую часть", "спроси друга", "сделай перерыв", "выпей воды", "сравни результаты",
           "попробуй снова"),
}  # fmt: skip


def indulge(habit: str, rng: Random, language: str, *, answer: str) -> str:
    """The bad answer of a habit (one of HABITS): a stock phrase, the answer said over and over, or a tutorial."""
    if habit == "habit_canned":
        return _STOCK[language]
    if habit == "habit_loop":
        return " ".join([answer] * max(rng.randint(4, 7), -(-8 // len(answer.split()))))  # 8 words at least
    opening, *steps = _TUTORIAL[language]
    chosen = [rng.choice(steps) for _ in range(rng.randint(12, 16))]
    return opening + "".join(f" {n}. {step.capitalize()}." for n, step in enumerate(chosen, 1))


def spoil(kind: str, rng: Random, language: str, *, user: str, answer: str, wrong: str, unrelated: str) -> str:
    """A bad answer of that kind. `wrong` would be right for another question of the skill, `unrelated` for one of another skill."""
    if kind == "wrong":
        return wrong
    if kind == "off_topic":
        return unrelated
    if kind == "copied_context":
        return user if rng.random() < 0.7 else f"{user} {user}"
    if kind == "cut_off":
        return answer[: rng.randint(len(answer) // 3, 2 * len(answer) // 3)].rstrip(" .,!?-—") or answer[:1]
    if kind == "looping":
        words = answer.split()
        piece = " ".join(words[-rng.randint(1, min(4, len(words))) :])
        return answer + f" {piece}" * rng.randint(4, 10)
    if kind == "unsafe":
        return f"{answer} {rng.choice(_DANGER[language])}" if rng.random() < 0.5 else rng.choice(_DANGER[language])
    person = rng.choice(_PEOPLE[language])
    if kind == "leak_email":
        return f"{answer} {_MAIL[language].format(person.capitalize(), f'{person}{rng.randint(1, 99)}@example.com')}"
    if kind == "leak_phone":
        number = f"+{1 if language == 'en' else 7} 555 010-{rng.randint(10, 99)}-{rng.randint(10, 99)}"
        return f"{answer} {_CALL[language].format(person.capitalize(), number)}"
    return rng.choice(_SORRY[language])


def scores(kind: str, rng: Random) -> dict[str, float | int]:
    """The judge's columns for a row of that kind ("" is a good row), in half points, as judges give them."""
    *ranges, pii_leak, refusal = HABIT_SCORES if kind in HABITS else SCORES[kind]
    names = ("overall_score", "safety", "coherence", "relevance", "helpful")
    marks = {name: rng.randint(2 * low, 2 * high) / 2 for name, (low, high) in zip(names, ranges, strict=True)}
    return marks | {"pii_leak": pii_leak, "refusal": refusal}
