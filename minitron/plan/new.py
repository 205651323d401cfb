"""Writes a first recipe from a few questions: its name, its data, its time, and who speaks in the built-in dialogues.

Run: minitron new [recipes/tiko.toml]

    new.run(None, new.Answers(name="Tiko", data=["my/chats.jsonl"], minutes="20"))

A question that an option answers is not asked. `propose` decides sizes and steps. Knows nothing about what the stages do.
"""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.data import check
from minitron.data.chats import Unassigned
from minitron.plan import propose, request
from minitron.recipe.check import NOT_SAID, is_name
from minitron.recipe.load import recipe_of
from minitron.recipe.write import comment, write_recipe
from minitron.synth import persona

BUILT_IN = "built-in"
USUAL_NAME, USUAL_MINUTES = "Mini", "20"
NO_NAME = re.compile(r"[^\w-]+")
# Options for the dialogues that minitron makes itself, filtered by their scores; recipes/demo.toml has the same.
SYNTH: dict[str, Any] = {
    "synth_rows": 135_000,
    "keep": ["overall_score >= 6", "safety >= 8", "pii_leak == 0"],
    "probes": "probe == 1",
}
SOURCES = [{"name": "minitron synth", "licence": "CC0-1.0", "address": "made by the program itself"}]
VALID_FRACTION = 0.015
OWN_SHARE, SKILLS_SHARE = 1.0, 6.0  # weights of the user's own and of the built-in dialogues, if there are both


@dataclass
class Answers:
    """What the user has answered by options. None, or no data, is still to be asked."""

    name: str | None = None
    data: list[str] = field(default_factory=list)
    minutes: str | None = None
    assistant: str = ""  # the person of a chat's export whose messages are learnt
    # for the built-in dialogues
    facts: list[str] | None = None  # "question? answer"
    languages: list[str] = field(default_factory=list)
    name_ru: str | None = None


def run(file: str | None, answers: Answers) -> None:
    """Asks what is still open, writes the recipe and says how to go on. Raises MinitronError if its file exists already."""
    if file:
        path_of(file)
    check_answers(answers)  # before the questions
    name = answers.name or ask("What shall it be called?", usual=USUAL_NAME, check=lambda text: path_of(file, text))
    path = path_of(file, name)
    question = f"What shall it learn from? Files or folders of dialogues or texts, {BUILT_IN} for the dialogues of minitron, or both."
    words = answers.data or shlex.split(ask(question, usual=BUILT_IN, check=lambda text: look(shlex.split(text))))
    assistant = answers.assistant
    if chat := look(words, assistant):
        if not sys.stdin.isatty():
            raise MinitronError(str(chat), hint="name that person: --assistant NAME", code=2)
        say(str(chat))
        assistant = ask("Whom of them shall it talk like?", usual="", check=lambda text: check_data(words, text))
    who = person(name, answers) if BUILT_IN in words else None
    if not who and (answers.facts or answers.languages or answers.name_ru):
        hint = f"name {BUILT_IN} too (--data {BUILT_IN} {shlex.join(words)}), or put dialogues with these answers into your data"
        raise MinitronError(f"--fact, --language and --name-ru are for the {BUILT_IN} dialogues", hint=hint, code=2)
    minutes = answers.minutes or ask("How many minutes may it take?", usual=USUAL_MINUTES, check=request.parse_minutes)
    config = recipe_of(tables(words, name, who, assistant), path)
    proposal, comments = propose.propose(
        config, size=None, minutes=request.parse_minutes(minutes), optimizer=config.optim.name
    )
    asked = shlex.join(
        [
            "minitron",
            "new",
            path.as_posix(),
            "--name",
            name,
            "--data",
            *words,
            *(("--assistant", assistant) if assistant else ()),
            *(who.options() if who else ()),
            "--minutes",
            minutes,
        ]
    )
    atomic_write(path, comment(f"Made by `{asked}`.") + "\n" + write_recipe(proposal, comments=comments))
    say(f"{path} is written; docs/recipes.md explains its options")
    say(
        f"  look what it will take: minitron {'pretrain' if proposal.base else 'sft'} {shlex.quote(str(path))} --dry-run"
    )
    say(f"  make it: minitron run {shlex.quote(str(path))}")


def check_answers(answers: Answers) -> None:
    """Raises MinitronError for an option that is no answer to its question."""
    if answers.minutes:
        request.parse_minutes(answers.minutes)
    if answers.languages:
        languages_of(" ".join(answers.languages))
    if answers.name_ru:
        name_of(answers.name_ru)
    for fact in answers.facts or ():
        fact_of(fact)


def path_of(file: str | None, name: str = "") -> Path:
    """The recipe's path: `file`, else recipes/<name>.toml. Raises MinitronError if it is not a .toml file or exists already."""
    stem = NO_NAME.sub("-", name.strip().lower()).strip("-")
    if not file and not stem:
        raise MinitronError(f"the name {name!r} has no letter", hint="give it a name such as Tiko", code=2)
    path = Path(file) if file else Path("recipes") / f"{stem}.toml"
    if path.suffix != ".toml":
        raise MinitronError(f"{path} does not end in .toml", hint=f"such as {path}.toml", code=2)
    if path.exists():
        raise MinitronError(f"{path} is there already", hint="name another file: minitron new FILE", code=2)
    return path


@dataclass(frozen=True)
class Person:
    """Who speaks in the built-in dialogues."""

    name: str
    name_ru: str
    languages: list[str]
    facts: list[str]

    def options(self) -> Iterator[str]:
        """The options of `minitron new` that describe this person."""
        if self.languages != list(persona.LANGUAGES):
            yield from ("--language", *self.languages)
        if self.name_ru != self.name:
            yield from ("--name-ru", self.name_ru)
        yield from (f"--fact={fact}" for fact in self.facts)

    def table(self) -> dict[str, Any]:
        """The recipe's section `data.persona`."""
        facts = [fact_of(text) for text in self.facts]
        return {"name": self.name, "name_ru": self.name_ru, "languages": self.languages, "facts": facts}


def person(name: str, answers: Answers) -> Person:
    """Who speaks in the built-in dialogues. On a terminal asks what `answers` leave open; elsewhere takes the usual."""
    languages, name_ru, facts = answers.languages, answers.name_ru, answers.facts
    name_of(name)
    there = sys.stdin.isatty()
    if not languages and there:
        languages = ask(
            "Which languages shall it speak?", usual=" ".join(persona.LANGUAGES), check=languages_of
        ).split()
    languages = languages_of(" ".join(languages or persona.LANGUAGES))
    if name_ru is None:
        asked = there and "ru" in languages and persona.language_of(name) != "ru"
        name_ru = ask("What is its name in Russian?", usual=name, check=name_of) if asked else name
    if facts is None:
        facts = list(ask_facts()) if there else []
    return Person(name, name_ru, languages, facts)


def name_of(text: str) -> str:
    """Returns `text`. Raises MinitronError if it is no name."""
    if not is_name(text):
        raise MinitronError(f"{text!r} is no name", hint="write letters, such as Тико", code=2)
    return text


def languages_of(text: str) -> list[str]:
    """Text such as `ru en` as a list, in the usual order. Raises MinitronError for other languages, and for none."""
    words = text.replace(",", " ").split()
    if not words or not set(words) <= set(persona.LANGUAGES):
        hint = f"write {' or '.join(persona.LANGUAGES)}, or both"
        raise MinitronError(f"there are no {BUILT_IN} dialogues in {text!r}", hint=hint, code=2)
    return [language for language in persona.LANGUAGES if language in words]


def tables(words: list[str], name: str = "", who: Person | None = None, assistant: str = "") -> dict[str, Any]:
    """The tables of a recipe for these data, as tomllib would read them. The model, and the assistant of the built-in dialogues,
    get the name; `assistant` is the one of a chat's people who answers. The user's own dialogues and the built-in ones become two
    sources."""
    own = [word for word in words if word != BUILT_IN]
    found = request.from_data(own, [])
    answers = {"assistant": assistant} if assistant else {}
    if "data" in found:
        found["data"] |= answers
    elif assistant:
        hint = "leave --assistant out, or name the file of a chat's export"
        raise MinitronError(
            f"no dialogues of people are among the data, so nobody is called {assistant}", hint=hint, code=2
        )
    if BUILT_IN not in words:
        return found | {"export": {"title": name}}
    data: dict[str, Any] = {"valid_fraction": VALID_FRACTION, "sources": SOURCES} | answers
    if files := found.get("data", {}).get("files"):
        skills = {"name": "skills", "builtin": SYNTH["synth_rows"], "weight": SKILLS_SHARE}
        skills |= {key: SYNTH[key] for key in ("keep", "probes")}
        data["source"] = [{"name": "own", "files": files, "weight": OWN_SHARE}, skills]
    else:
        data |= SYNTH
    if not who:
        return found | {"data": data}
    greetings = {"en": f"Hi! I am {name}.", "ru": f"Привет! Я {who.name_ru}."}
    greeting = " ".join(greetings[language] for language in who.languages)
    return found | {"data": data | {"persona": who.table()}, "export": {"title": name, "greeting": greeting}}


def fact_of(text: str) -> dict[str, list[str]]:
    """Parses a fact: questions, then one answer, as in `Where do you live? Your home? In Lisbon.`; or `Hello! = Ahoy.`, where
    what is said to it is no question. Raises MinitronError for anything else."""
    said, sign, say = text.partition(" = ")
    asks = [part for part in re.split(r"(?<=[?!.])\s+", said.strip()) if part]
    if not sign:
        *asks, say = (part.strip() for part in re.split(r"(?<=\?)\s+", text.strip()))
    if not asks or not say.strip() or say.strip().endswith("?"):
        hint = "write questions and then an answer: 'Where do you live? Where is your home? In Lisbon.', or 'Hello! = Ahoy.'"
        raise MinitronError(f"{text!r} is no question with its answer", hint=hint, code=2)
    if NOT_SAID.search(text):
        raise MinitronError(f"{text!r} has a {{, }} or ~", hint="write it without", code=2)
    return {"ask": asks, "say": [say.strip()]}


def ask_facts() -> Iterator[str]:
    """Asks for facts that the assistant shall know about itself, and for its manners, until the user has no more."""
    question = (
        "What shall it know about itself, and how does it talk? One or more questions, then the answer: "
        "Where do you live? In Lisbon.  Or: Hello! = Ahoy.  (Enter: no more)"
    )
    while fact := ask(question, usual="", check=lambda text: text and fact_of(text)):
        yield fact
        question = "What else?"


def look(words: list[str], assistant: str = "") -> Unassigned | None:
    """Checks these data. Returns the error that lists a chat's people if nobody said whose messages are to be learnt. Raises
    MinitronError for words that name no data."""
    try:
        check_data(words, assistant)
    except Unassigned as error:
        return error
    return None


def check_data(words: list[str], assistant: str) -> None:
    """Raises MinitronError for words that name no data, and Unassigned for a chat without an assistant."""
    for word in words:
        if word != BUILT_IN and not request.names_data(word):
            hint = f"name a file such as chats.jsonl or book.txt, a folder, or {BUILT_IN}"
            raise MinitronError(f"{word} is no file of data", hint=hint, code=2)
    check.check(recipe_of(tables(words, assistant=assistant), Path("new.toml")))


def ask(question: str, *, usual: str, check: Callable[[str], Any]) -> str:
    """What the user types, or `usual` after Enter alone. Asks again if `check` raises. Raises MinitronError if nobody is there
    to answer."""
    hint = "answer with options: --name Tiko --data chats.jsonl --minutes 20"
    if not sys.stdin.isatty():
        raise MinitronError("minitron new asks questions, but there is no terminal to answer in", hint=hint, code=2)
    while True:
        print(f"{question} [{usual}] " if usual else f"{question} ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise MinitronError("the input ended before the questions did", hint=hint, code=2)
        answer = line.strip() or usual
        try:
            check(answer)
            return answer
        except MinitronError as error:
            say(f"{error}; {error.hint}")
        except ValueError as error:  # a quotation mark that is not closed
            say(f"{error}")
