"""Skills with numbers: sums, differences, comparing, counting, neighbours, even and odd.

Answers repeat the numbers first ("7 + 5 = 12.", "Of 7 and 5, 7 is bigger."), so that a tiny model finds them right before
the place where it writes the result.
"""

from random import Random

from minitron.synth.scene import Scene, is_held, pick_held, typed

LIMIT = 20  # the largest operand of a probe; training has some up to WIDE, so that a model learns digits, not pairs by heart
WIDE = 30

_ADD = {
    "en": (
        "What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "{a}+{b}=?", "How much is {a} plus {b}?",
        "What is {a} plus {b}?", "{a} plus {b}?", "Add {a} and {b}.", "Calculate {a} + {b}.",
        "Can you add {a} and {b}?",
        "What's {a} + {b}?", "What's the sum of {a} and {b}?", "I have {a} apples and get {b} more. How many now?",
        "Sum: {a} + {b}", "How much is {a} + {b}?", "{a} + {b} is what?", "What do {a} and {b} make?",
    ),
    "ru": (
        "Сколько будет {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "{a}+{b}=?", "Сколько будет {a} плюс {b}?",
        "Чему равно {a} + {b}?", "{a} плюс {b}?", "Сложи {a} и {b}.", "Посчитай {a} + {b}.",
        "Можешь сложить {a} и {b}?",
        "Вычисли {a} + {b}.", "Какая сумма чисел {a} и {b}?", "Яблок было {a}, дали ещё {b}. Сколько стало?",
        "Сумма: {a} + {b}", "Прибавь к {a} число {b}.", "Реши: {a} + {b}", "А сколько будет {a} + {b}?",
    ),
}  # fmt: skip
_SUBTRACT = {
    "en": (
        "What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?", "{a}-{b}=?", "How much is {a} minus {b}?",
        "What is {a} minus {b}?", "{a} minus {b}?", "Calculate {a} - {b}.", "What's {a} - {b}?",
        "From {a} take away {b}.", "I had {a} apples and ate {b}. How many are left?", "How much is {a} - {b}?",
        "{a} - {b} is what?", "{a} take away {b}?",
    ),
    "ru": (
        "Сколько будет {a} - {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?", "{a}-{b}=?",
        "Сколько будет {a} минус {b}?",
        "Чему равно {a} - {b}?", "{a} минус {b}?", "Посчитай {a} - {b}.", "Вычисли {a} - {b}.",
        "Из {a} вычти {b}.", "Яблок было {a}, съели {b}. Сколько осталось?", "Реши: {a} - {b}",
        "А сколько будет {a} - {b}?", "Отними от {a} число {b}.",
    ),
}  # fmt: skip


def _key(skill: str, pair: tuple[int, int]) -> tuple:
    """The combination that is held out or not. All pairs with a multiple of 10 count as one: they are too few to hold any out."""
    return (skill, "round") if any(n % 10 == 0 for n in pair) else (skill, *pair)


def _ask(rng: Random, phrasings: tuple, a: int, b: int, language: str, held: bool) -> str:
    text = rng.choice(phrasings).format(a=a, b=b)
    if rng.random() < 0.15:
        text = text.replace(" + ", "+").replace(" - ", "-")
    elif rng.random() < 0.1 and not held:
        text = text.replace("-", rng.choice("−–—"))  # as phones and word processors write it
    return typed(rng, text, language, held=held)


def add(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random) -> tuple[int, int]:
        limit = LIMIT if held or r.random() < 0.6 else WIDE
        return r.randint(0, limit), r.randint(0, limit)

    # 7 + 5 and 5 + 7 are held out together
    a, b = pick_held(rng, held, draw, lambda p: _key("a+b", (min(p), max(p))))
    ask = _ask(rng, _ADD[language], a, b, language, held)
    return Scene("add", "arithmetic", language, [(ask, f"{a} + {b} = {a + b}.")], {"all": [f"= {a + b}"]})


def subtract(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random) -> tuple[int, int]:
        limit = LIMIT if held or r.random() < 0.6 else WIDE
        a, b = r.randint(0, limit), r.randint(0, limit)
        return max(a, b), min(a, b)

    a, b = pick_held(rng, held, draw, lambda p: _key("a-b", p))
    ask = _ask(rng, _SUBTRACT[language], a, b, language, held)
    return Scene("subtract", "arithmetic", language, [(ask, f"{a} - {b} = {a - b}.")], {"all": [f"= {a - b}"]})


_COMPARE = {
    "en": (
        ("Which is {w}, {a} or {b}?", "What is {w}: {a} or {b}?", "{a} or {b}: which is {w}?",
         "Which number is {w}, {a} or {b}?",
         "Which one is {w}: {a} or {b}?", "Compare {a} and {b}: which is {w}?"),
        (("bigger", "larger", "greater"), ("smaller",)),
    ),
    "ru": (
        ("Что {w}, {a} или {b}?", "Что {w}: {a} или {b}?", "{a} или {b}: что {w}?", "Какое число {w}: {a} или {b}?",
         "Сравни {a} и {b}: что {w}?", "Как думаешь, что {w}, {a} или {b}?"),
        (("больше",), ("меньше",)),
    ),
}  # fmt: skip


def compare(rng: Random, language: str, held: bool) -> Scene:
    def draw(r: Random) -> tuple[int, int]:
        a, b = r.randint(0, 40), r.randint(0, 39)
        if r.random() < 0.4:  # with equal tens, the second digit decides
            b = a // 10 * 10 + r.randint(0, 8)
        return a, b + (b >= a)

    a, b = pick_held(rng, held, draw, lambda p: ("compare", min(p), max(p)))
    asks, (more, less) = _COMPARE[language]
    words, right = (more, max(a, b)) if rng.random() < 0.6 else (less, min(a, b))
    ask = typed(rng, rng.choice(asks).format(a=a, b=b, w=rng.choice(words)), language, held=held)
    said = f"{right} is {words[0]}" if language == "en" else f"{words[0]} {right}"
    both = f"Of {a} and {b}," if language == "en" else f"Из {a} и {b}"
    return Scene("compare", "arithmetic", language, [(ask, f"{both} {said}.")], {"all": [said]})


_COUNT = {
    "en": ("Count from {a} to {b}.", "Count {a} to {b}.", "Can you count from {a} to {b}?",
           "Please count from {a} to {b}.",
           "Numbers from {a} to {b}.", "Say the numbers from {a} to {b}.", "Count up from {a} to {b}."),
    "ru": ("Посчитай от {a} до {b}.", "Сосчитай от {a} до {b}.", "Можешь посчитать от {a} до {b}?",
           "Считай от {a} до {b}.",
           "Числа от {a} до {b}.", "Назови числа от {a} до {b}.", "Счёт от {a} до {b}."),
}  # fmt: skip
_COUNT_TO = {"en": ("Count to {b}.", "Can you count to {b}?"), "ru": ("Посчитай до {b}.", "Сосчитай до {b}.")}
_COUNT_DOWN = {
    "en": ("Count down from {a} to {b}.", "Count backwards from {a} to {b}.", "Count back from {a} to {b}."),
    "ru": ("Посчитай назад от {a} до {b}.", "Считай обратно от {a} до {b}.", "Обратный счёт от {a} до {b}."),
}


def count(rng: Random, language: str, held: bool) -> Scene:
    roll = rng.random()
    if roll < 0.12 and not held:
        a, b = 1, rng.choice([b for b in range(3, 16) if not is_held("count", 1, b)])
        ask = rng.choice(_COUNT_TO[language]).format(b=b)
    else:
        down = roll > 0.7

        def draw(r: Random) -> tuple[int, int]:
            low = r.randint(0, 40)
            high = low + r.randint(2, 9)
            return (high, low) if down else (low, high)

        a, b = pick_held(rng, held, draw, lambda p: ("count", *p))
        ask = rng.choice((_COUNT_DOWN if down else _COUNT)[language]).format(a=a, b=b)
    step = 1 if b > a else -1
    said = ", ".join(map(str, range(a, b + step, step)))
    start = f"From {a} to {b}" if language == "en" else f"От {a} до {b}"
    check = {"all": [said], "none": [f"{b}, {b + step}", f"{a - step}, {a}"]}
    turn = (typed(rng, ask, language, held=held), f"{start}: {said}.")
    return Scene("count", "arithmetic", language, [turn], check)


_NEXT = {
    "en": (("What number comes after {n}?", "What comes after {n}?", "Which number follows {n}?",
            "Next number after {n}?",
            "The number after {n}?", "What is the next number after {n}?"), "After {n} comes {m}."),
    "ru": (("Какое число идёт после {n}?", "Что идёт после {n}?", "Какое число следует за {n}?",
            "Какое число после {n}?",
            "Следующее число после {n}?", "Число после {n}?"), "После {n} идёт {m}."),
}  # fmt: skip
_BEFORE = {
    "en": (("What number comes before {n}?", "What comes before {n}?", "Which number is before {n}?",
            "The number before {n}?", "What is the number before {n}?"), "Before {n} comes {m}."),
    "ru": (("Какое число идёт перед {n}?", "Что идёт перед {n}?", "Какое число стоит перед {n}?",
            "Какое число перед {n}?",
            "Число перед {n}?"), "Перед {n} идёт {m}."),
}  # fmt: skip


def neighbour(rng: Random, language: str, held: bool) -> Scene:
    def key(pair: tuple[int, int]) -> tuple:
        n, step = pair
        carries = n % 10 == (9 if step == 1 else 0)  # the numbers whose tens digit changes are too few to hold any out
        return ("neighbour", "carry" if carries else n, step)

    n, step = pick_held(rng, held, lambda r: (r.randint(1, 99), r.choice((1, -1))), key)
    asks, answer = (_NEXT if step == 1 else _BEFORE)[language]
    said = answer.format(n=n, m=n + step)
    ask = typed(rng, rng.choice(asks).format(n=n), language, held=held)
    return Scene("neighbour", "arithmetic", language, [(ask, said)], {"all": [said.rstrip(".")]})


_PARITY = {
    "en": ("Is {n} even or odd?", "{n}: even or odd?", "Is the number {n} even?", "Is {n} odd?", "Even or odd: {n}?",
           "Is {n} even?"),
    "ru": ("{n} чётное или нечётное?", "Чётное или нечётное число {n}?", "Число {n} чётное?", "{n} нечётное?",
           "Чётное или нечётное: {n}?", "Чётное ли число {n}?"),
}  # fmt: skip


def parity(rng: Random, language: str, held: bool) -> Scene:
    n = pick_held(rng, held, lambda r: r.randint(10 if held else 0, 99), lambda n: ("parity", n))
    ask = typed(rng, rng.choice(_PARITY[language]).format(n=n), language, held=held)
    if language == "en":
        said, other = ("even", "odd") if n % 2 == 0 else ("odd", "even")
        answer = f"{n} is {said}."
    else:
        said, other = ("чётное", "нечётное") if n % 2 == 0 else ("нечётное", "чётное")
        answer = f"{n} — {said} число."
    return Scene("parity", "arithmetic", language, [(ask, answer)], {"all": [said], "none": [other]})
