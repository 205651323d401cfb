"""From scenes to rows: chains scenes into dialogues, mostly of one to five user turns, and mixes in bad rows and probes.

A skill's weight follows from how hard it is to learn: sums need many examples, greetings few.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random

from minitron.evaluate.checks import passes
from minitron.synth import border, chatter, flaws, knowledge, memory, numbers, persona, words
from minitron.synth.scene import Scene

# skill -> (function, weight: how many of the dialogues are about it, relative to the others)
SKILLS: dict[str, tuple[Callable[[Random, str, bool], Scene], float]] = {
    "add": (numbers.add, 12),
    "subtract": (numbers.subtract, 14),
    "compare": (numbers.compare, 8),
    "count": (numbers.count, 7),
    "neighbour": (numbers.neighbour, 3),
    "parity": (numbers.parity, 1.8),
    "opposite": (knowledge.opposite, 4),
    "colour": (knowledge.colour, 3.6),
    "sound": (knowledge.sound, 2.6),
    "capital": (knowledge.capital, 3.5),
    "country": (knowledge.country, 3),
    "translate": (knowledge.translate, 8),
    "category": (knowledge.category, 2.5),
    "amount": (knowledge.amount, 1.8),
    "day": (knowledge.day, 2),
    "month": (knowledge.month, 2),
    "season": (knowledge.season, 3.4),
    "number_word": (knowledge.number_word, 3.5),
    "name_three": (knowledge.name_three, 2.5),
    "calendar_list": (knowledge.whole, 2.4),
    "spell": (words.spell, 3.2),
    "letter": (words.letter, 3),
    "length": (words.length, 2),
    "repeat": (words.repeat, 6.5),
    "name": (memory.name, 7.5),
    "favourite": (memory.favourite, 7),
    "about_me": (memory.about_me, 5),
    "told_by_system": (memory.told_by_system, 4),
    "greeting": (chatter.small_talk("greeting"), 1.5),
    "thanks": (chatter.small_talk("thanks"), 1),
    "goodbye": (chatter.small_talk("goodbye"), 1),
    "identity": (chatter.small_talk("identity"), 4),
    "abilities": (chatter.small_talk("abilities"), 3),
    "smalltalk": (chatter.small_talk("smalltalk"), 5),
    "joke": (chatter.joke, 1.2),
    "riddle": (chatter.riddle, 4),
    "unknown": (chatter.unknown, 3),
    "open": (border.open_question, 9),
}
NOT_PROBED = ("smalltalk", "joke")  # no single answer is the right one
NOT_SPOILT = ("joke", "greeting", "thanks", "goodbye", "smalltalk", "repeat")  # their answers can hardly be wrong
# Skills whose scenes are not mixed into the dialogues of others: they have several turns, tell something about the user, or
# belong at the beginning or the end.
_ALONE = ("name", "favourite", "about_me", "told_by_system", "joke", "riddle", "greeting", "goodbye")

SYSTEM = {
    "en": (
        "You are Tiko, a small friendly assistant.", "You are Tiko, a tiny helper.", "Answer briefly.",
        "Be kind and brief.",
        "You are a helpful assistant.", "You are Tiko. Answer in short sentences.", "Help the user.",
        "Answer in English.",
    ),
    "ru": (
        "Ты — Тико, маленький дружелюбный помощник.", "Ты Тико, крошечный помощник.", "Отвечай коротко.",
        "Будь добрым и кратким.",
        "Ты полезный помощник.", "Ты Тико. Отвечай короткими фразами.", "Помогай пользователю.", "Отвечай по-русски.",
    ),
}  # fmt: skip

# Shares of the rows; the rest are good.
PROBES, BAD, UNJUDGED, REPEATED, HABITS = 0.016, 0.118, 0.003, 0.01, 0.08
MARATHONS = 0.03  # share of the good rows that are dialogues of many short turns
MOST_TURNS, MARATHON_LETTERS = 14, 500  # turns at most; letters to reach: a context of 256 tokens holds about 600
LONG = 0.12  # share of the good rows that are long dialogues, where they are wanted
RECALLED = ("name", "favourite", "about_me")  # skills whose scenes tell something first and ask for it later
TOLD = 0.15  # share of a long dialogue's turns that tell something new
SYSTEM_SHARE = 0.2  # of the dialogues whose scene has no system message of its own


def as_messages(turns: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Turns of (user, assistant) as messages."""
    return [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


def _extra_turns(rng: Random, scene: Scene) -> int:
    """How many user turns to add to the scene's own: about half of all dialogues have one turn, none has more than five."""
    wanted = rng.choices((1, 2, 3, 4, 5), (52, 20, 14, 8, 6))[0]
    if scene.gap and rng.random() < 0.4:
        wanted += 2
    return max(0, min(wanted, 5) - len(scene.turns))


def _row(messages: list[dict], scene: Scene, marks: dict, *, flaw: str = "", check: str = "") -> dict:
    asked = next(m["content"] for m in messages if m["role"] == "user")
    return {
        "conversation": messages,
        "question": asked,
        "source": "minitron-synth",
        "topic": scene.topic,
        "classified_topic": scene.topic,
        **marks,
        "language": scene.language,
        "skill": scene.skill,
        "flaw": flaw,
        "probe": int(bool(check)),
        "check": check,
    }


def _fresh(rng: Random, seen: set[int], make: Callable[[], dict]) -> dict:
    """A row whose dialogue is not in `seen`, to which it is added; after twenty tries, one that may be a repetition."""
    for _ in range(20):
        row = make()
        key = hash(tuple((m["role"], m["content"]) for m in row["conversation"]))
        if key not in seen:
            break
    seen.add(key)
    return row


class Composer:
    """Makes dialogues from these skills: name -> (function, weight)."""

    def __init__(self, skills: persona.Skills, long: int = 0) -> None:
        """`long`: letters of the longest dialogues that recall what was told long ago (0: none)."""
        self.skills, self.long = skills, long
        self.names, self.weights = list(skills), [weight for _, weight in skills.values()]
        self.free = [name for name in skills if name not in _ALONE]
        self.free_weights = [skills[name][1] for name in self.free]

    def scene(self, skill: str, rng: Random, language: str, *, held: bool = False) -> Scene:
        return self.skills[skill][0](rng, language, held)

    def _compose(self, rng: Random, main: Scene, *, last: bool, extra: int) -> list[dict[str, str]]:
        """The messages of a dialogue about `main` with `extra` further user turns. `last`: the main scene ends the dialogue."""
        language = main.language
        inside = rng.randint(0, min(extra, 3)) if main.gap and len(main.turns) > 1 else 0
        before = list(main.turns[:-1] if inside else [])
        after = [main.turns[-1]] if inside else list(main.turns)
        for _ in range(inside):
            before += self.other_talk(rng, main)
        head = rng.randint(0, extra - inside) if not last else extra - inside
        tail = extra - inside - head
        opening, closing = [], []
        for i in range(head):
            first = i == 0 and rng.random() < 0.5
            opening += self.scene("greeting", rng, language).turns if first else self.other_talk(rng, main)
        for i in range(tail):
            if i == tail - 1 and rng.random() < 0.5:
                closing += self.scene(rng.choice(("thanks", "goodbye", "goodbye")), rng, language).turns
            else:
                closing += self.other_talk(rng, main)
        if main.name and closing:  # the assistant says goodbye by name to a user whose name it knows
            ask, said = closing[-1]
            for word in ("Goodbye!", "Good night!", "До свидания!", "Спокойной ночи!"):
                said = said.replace(word, f"{word[:-1]}, {main.name}!")
            closing[-1] = (ask, said)
        messages = []
        if main.system:
            messages.append({"role": "system", "content": main.system})
        elif rng.random() < SYSTEM_SHARE:
            messages.append({"role": "system", "content": rng.choice(SYSTEM[language])})
        return messages + as_messages([*opening, *before, *after, *closing])

    def other_talk(self, rng: Random, main: Scene) -> list[tuple[str, str]]:
        """The single turn of another scene: often of the same skill, rarely in the other language."""
        language = main.language
        if rng.random() < 0.03:
            language = "ru" if language == "en" else "en"
        same = main.skill in self.free and rng.random() < 0.3
        skill = main.skill if same else rng.choices(self.free, self.free_weights)[0]
        return self.scene(skill, rng, language).turns

    def _spoilt(self, rng: Random, language: str, kind: str) -> dict:
        """A row with a bad last answer."""
        while True:
            skill = rng.choices(self.names, self.weights)[0]
            if skill in NOT_SPOILT:
                continue
            scene = self.scene(skill, rng, language)
            messages = self._compose(rng, scene, last=True, extra=_extra_turns(rng, scene))
            user, answer = scene.turns[-1]
            wrong = unrelated = ""
            if kind == "wrong":
                wrong = self.scene(skill, rng, language).turns[-1][1]
                if not scene.check or passes(wrong, scene.check):
                    continue
            if kind == "off_topic":
                other = rng.choice([s for s in self.free if s not in (skill, "unknown")])
                unrelated = self.scene(other, rng, language).turns[-1][1]
            bad = flaws.spoil(kind, rng, language, user=user, answer=answer, wrong=wrong, unrelated=unrelated)
            if bad == answer or (
                kind in ("wrong", "off_topic", "copied_context", "cut_off") and passes(bad, scene.check)
            ):
                continue
            messages[-1] = {"role": "assistant", "content": bad}
            return _row(messages, scene, flaws.scores(kind, rng), flaw=kind)

    def _good(self, rng: Random, language: str) -> dict:
        if self.long and rng.random() < LONG:
            return self._long(rng, language)
        if rng.random() < MARATHONS:
            return self._marathon(rng, language)
        skill = rng.choices(self.names, self.weights)[0]
        scene = self.scene(skill, rng, language)
        return _row(self._compose(rng, scene, last=False, extra=_extra_turns(rng, scene)), scene, flaws.scores("", rng))

    def _marathon(self, rng: Random, language: str) -> dict:
        """A row of many short turns, so that a model learns to answer late in a dialogue as well as at its beginning."""
        pool = rng.choices(self.free, self.free_weights, k=rng.choice((1, 1, 2, 4)))
        turns, letters = [], 0
        while letters < MARATHON_LETTERS:
            scene = self.scene(rng.choice(pool), rng, language)
            turns += scene.turns
            letters += sum(len(user) + len(said) + 12 for user, said in scene.turns)
        return _row(as_messages(turns[:MOST_TURNS]), scene, flaws.scores("", rng))

    def _long(self, rng: Random, language: str) -> dict:
        """A row of up to `long` letters and the questions that are left then: facts are told, other talk follows, and each fact is
        asked for once, soon after it was told or at any later place."""
        letters = MARATHON_LETTERS * (self.long / MARATHON_LETTERS) ** rng.random()
        told: set[str] = set()
        waiting: list[tuple[float, Scene]] = []  # facts that were told, each with the length at which it is asked for
        turns, length = [], 0
        while length < letters or waiting:
            due = [fact for fact in waiting if fact[0] <= length or length >= letters]
            if due:
                waiting.remove(fact := rng.choice(due))
                new = fact[1].turns[1:]
            elif not told or rng.random() < TOLD:
                scene = self.recollection(rng, language)
                new = scene.turns[:1] if scene.about not in told else []
                later = letters * rng.random() ** 2
                waiting += [(length + later, scene)] * len(new)
                told.add(scene.about)
            else:
                new = self.other_talk(rng, scene)
            turns += new
            length += sum(len(user) + len(said) + 12 for user, said in new)
        return _row(as_messages(turns), scene, flaws.scores("", rng))

    def recollection(self, rng: Random, language: str, *, held: bool = False, about: str = "") -> Scene:
        """A scene of two turns: the user tells a fact (about what `Scene.about` says; empty: about anything), and asks for it."""
        while True:
            scene = self.scene(rng.choice(RECALLED), rng, language, held=held)
            if scene.gap and len(scene.turns) == 2 and about in ("", scene.about):
                return scene

    def _indulgent(self, rng: Random, language: str) -> dict:
        """A row whose last answer shows a bad habit that the judge let pass."""
        skill = rng.choice(self.free)
        scene = self.scene(skill, rng, language)
        messages = self._compose(rng, scene, last=True, extra=_extra_turns(rng, scene))
        habit = rng.choices(list(flaws.HABITS), flaws.HABITS.values())[0]
        messages[-1] = {"role": "assistant", "content": flaws.indulge(habit, rng, language, answer=scene.turns[-1][1])}
        return _row(messages, scene, flaws.scores(habit, rng), flaw=habit)

    def _probe(self, rng: Random, skill: str, language: str) -> dict:
        scene = self.scene(skill, rng, language, held=True)
        messages = self._compose(rng, scene, last=True, extra=_extra_turns(rng, scene))
        return _row(messages, scene, flaws.scores("", rng), check=json.dumps(scene.check, ensure_ascii=False))

    def rows(self, count: int, seed: int, languages: Sequence[str]) -> Iterator[dict]:
        """`count` rows, good and bad ones and held-out probes, in an order that the seed fixes."""
        rng = Random(seed)
        seen: set[int] = set()  # hashes of all dialogues so far, which keep new ones distinct as long as possible
        recent: list[dict] = []
        probed = [(skill, language) for skill in self.skills if skill not in NOT_PROBED for language in languages]
        probes = bad = 0
        for _ in range(count):
            roll = rng.random()
            language = languages[0] if rng.random() < 0.5 else languages[-1]
            if roll < PROBES:
                skill, language = probed[probes % len(probed)]
                probes += 1
                yield _fresh(rng, seen, lambda s=skill, lang=language: self._probe(rng, s, lang))
            elif roll < PROBES + BAD:
                kind = flaws.KINDS[bad % len(flaws.KINDS)]
                bad += 1
                yield _fresh(rng, seen, lambda lang=language, k=kind: self._spoilt(rng, lang, k))
            elif roll > 1 - HABITS:
                yield _fresh(rng, seen, lambda lang=language: self._indulgent(rng, lang))
            elif roll < PROBES + BAD + REPEATED and recent:
                row = min((rng.choice(recent) for _ in range(3)), key=lambda r: len(r["conversation"]))
                yield row
            else:
                row = _fresh(rng, seen, lambda lang=language: self._good(rng, lang))
                if roll > 1 - HABITS - UNJUDGED:  # the judge failed: no score, or -1
                    yield row | {"overall_score": rng.choice((-1.0, None))}
                    continue
                if len(recent) < 500:
                    recent.append(row)
                else:
                    recent[rng.randrange(500)] = row
                yield row


def dialogues(rows: int, seed: int, who: persona.Persona | None = None, *, long: int = 0) -> Iterator[dict]:
    """`rows` rows, good and bad ones and held-out probes, in an order that the seed fixes. The columns are those of `synth.SCHEMA`.

    `who`: another person in place of Tiko. `long`: letters of the longest dialogues that recall what was told long ago (0: none).
    """
    if not who:
        yield from Composer(SKILLS, long).rows(rows, seed, ("ru", "en"))
        return
    languages = [language for language in ("ru", "en") if language in who.languages]
    yield from map(who.renamed, Composer(who.skills(SKILLS), long).rows(rows, seed, languages))
