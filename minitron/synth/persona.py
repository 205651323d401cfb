"""The built-in dialogues with another person as the assistant: another name, and answers of its own.

    Persona("Bruno", "Бруно", ("en",), [(["Where do you live?"], ["In Lisbon."])]).skills(SKILLS)

If a question is in the built-in small talk ("Where do you live?", "Hello!"), its answers apply to all ways to ask the same; other
questions form the skill `persona`. Knows nothing about recipes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from minitron.synth import chatter
from minitron.synth.scene import Scene, canonical, typed

NAMES = {"en": "Tiko", "ru": "Тико"}
LANGUAGES = ("en", "ru")
SHARE, LARGEST = 1.2, 16.0  # weight of the skill `persona`: for each of its facts, and at most
_FRAMES = {
    "en": ("{}", "{}", "{}", "{}", "Question: {}", "{} Tell me.", "I wonder: {}", "Can you tell me: {}", "One more thing. {}", "{} I forgot."),
    "ru": ("{}", "{}", "{}", "{}", "Вопрос: {}", "{} Скажи.", "Интересно: {}", "Можешь сказать: {}", "И ещё. {}", "{} Забыл."),
}  # fmt: skip

Skills = dict[str, tuple[Callable[[Random, str, bool], Scene], float]]


class Section(Protocol):
    """What a recipe says about a person (`recipe.data.PersonaConfig`)."""

    name: str
    name_ru: str
    languages: list[str]
    facts: list  # of objects with the lists `ask` and `say`


@dataclass(frozen=True)
class Persona:
    """Who the assistant is: its name in both languages, the languages it speaks, and its own (questions, answers)."""

    name: str
    name_ru: str
    languages: tuple[str, ...] = LANGUAGES
    facts: Sequence[tuple[Sequence[str], Sequence[str]]] = ()

    @classmethod
    def of(cls, section: "Section") -> "Persona | None":
        """The person in a recipe's section `data.persona`, or None if that is Tiko."""
        name_ru = section.name_ru or (NAMES["ru"] if section.name == NAMES["en"] else section.name)
        facts = tuple((tuple(fact.ask), tuple(fact.say)) for fact in section.facts)
        found = cls(section.name, name_ru, tuple(section.languages), facts)
        return None if found == cls(NAMES["en"], NAMES["ru"]) else found

    def skills(self, skills: Skills) -> Skills:
        """Tiko's skills, changed to this person's answers and with the skill `persona` if it has questions."""
        mine: dict[str, list[tuple[Sequence[str], Sequence[str]]]] = {language: [] for language in LANGUAGES}
        answers: dict[tuple[str, str], Sequence[str]] = {}  # (language, intent) -> answers
        known = {
            (language, canonical(phrasing.lstrip("~"), language)): name
            for language, talk in chatter.TALK.items()
            for _, name, phrasings, _, _ in talk.INTENTS
            for phrasing in phrasings
        }
        for asks, says in self.facts:
            language = language_of(*asks)
            same = {known.get((language, canonical(ask, language))) for ask in asks} - {None}
            answers |= {(language, intent): says for intent in same if intent}
            if any((language, canonical(ask, language)) not in known for ask in asks):
                mine[language].append((asks, says))
        table = chatter.by_skill(answers)
        talk = {skill: chatter.small_talk(skill, table) for skill in {key[0] for key in table}}
        changed = {name: (talk.get(name, make), weight) for name, (make, weight) in skills.items()}
        if not any(mine.values()):
            return changed
        weight = min(SHARE * max(map(len, mine.values())), LARGEST)
        return changed | {"persona": (lambda rng, language, held: self._scene(mine, rng, language, held), weight)}

    def _scene(self, mine: dict, rng: Random, language: str, held: bool) -> Scene:
        """One question about the person. Held out for the probes is one frame around each question, not the question itself."""
        asks, says = rng.choice(mine[language] or mine["ru" if language == "en" else "en"])
        language = language_of(*asks)
        frames = _FRAMES[language]
        kept_out = frames[-1 - sum(asks[0].encode()) % (len(frames) - frames.count("{}"))]
        frame = kept_out if held else rng.choice([f for f in frames if f != kept_out])
        ask = rng.choice(asks)
        text = frame.format(ask)
        return Scene(
            "persona",
            "persona",
            language,
            [(typed(rng, text, language, held=held), rng.choice(says))],
            {"any": list(says)},
        )

    def renamed(self, row: dict) -> dict:
        """The row with the person's name in place of Tiko's."""

        def own(text: str) -> str:
            return text.replace(NAMES["en"], self.name).replace(NAMES["ru"], self.name_ru)

        messages = [{**m, "content": own(m["content"])} for m in row["conversation"]]
        # a name has only letters, so the check stays valid JSON
        return {**row, "conversation": messages, "question": own(row["question"]), "check": own(row["check"])}


def language_of(*texts: str) -> str:
    """`ru` if one of the texts has Cyrillic letters, else `en`."""
    return "ru" if any(re.search("[А-яЁё]", text) for text in texts) else "en"
