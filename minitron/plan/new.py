"""A first recipe by three questions: its name, its data, its time. Run: minitron new [recipes/tiko.toml]

    new.run(None, new.Answers(name="Tiko", data=["my/chats.jsonl"], minutes="20"))

What an option answers is not asked. Sizes and steps are those of `propose`. Knows nothing about what the stages do.
"""

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitron.core.console import say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.data import check
from minitron.plan import propose, request
from minitron.recipe.load import recipe_of
from minitron.recipe.schema import Config
from minitron.recipe.write import write_recipe

BUILT_IN = "built-in"
USUAL_NAME, USUAL_MINUTES = "Mini", "20"
NO_NAME = re.compile(r"[^\w-]+")
# The dialogues that minitron makes itself, kept by their scores; recipes/demo.toml has them too.
SYNTH: dict[str, Any] = {
    "synth_rows": 135_000,
    "keep": ["overall_score >= 6", "safety >= 8", "pii_leak == 0"],
    "probes": "probe == 1",
    "valid_fraction": 0.015,
    "sources": [{"name": "minitron synth", "licence": "CC0-1.0", "address": "made by the program itself"}],
}


@dataclass
class Answers:
    """What the person said, or is still to be asked: None."""

    name: str | None = None
    data: list[str] = field(default_factory=list)
    minutes: str | None = None
    facts: list[str] | None = None  # "question? answer", for the built-in dialogues


def run(file: str | None, answers: Answers) -> None:
    """Asks what is open, writes the recipe and says how to go on. Raises MinitronError where there is such a file already."""
    if file:
        path_of(file)  # its mistake comes before the questions
    name = answers.name or ask("What shall it be called?", usual=USUAL_NAME, check=lambda text: path_of(file, text))
    path = path_of(file, name)
    question = f"What shall it learn from? A file or folder of dialogues or texts, or {BUILT_IN} for those of minitron."
    words = answers.data or shlex.split(ask(question, usual=BUILT_IN, check=lambda text: look(shlex.split(text))))
    look(words)
    facts = answers.facts
    if facts is None:
        facts = list(ask_facts()) if words == [BUILT_IN] and sys.stdin.isatty() else []
    if facts and words != [BUILT_IN]:
        hint = "put the dialogues with these answers into your own data"
        raise MinitronError(f"--fact is for the {BUILT_IN} dialogues", hint=hint, code=2)
    minutes = answers.minutes or ask("How many minutes may it take?", usual=USUAL_MINUTES, check=request.parse_minutes)
    config = recipe_of(tables(words, name, facts), path)
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
            *(f"--fact={fact}" for fact in facts),
            "--minutes",
            minutes,
        ]
    )
    atomic_write(path, f"# Made by `{asked}`.\n" + write_recipe(proposal, comments=comments))
    say(f"{path} is written; docs/recipes.md explains its options")
    say(
        f"  look what it will take: minitron {'pretrain' if proposal.base else 'sft'} {shlex.quote(str(path))} --dry-run"
    )
    say(f"  make it: minitron run {shlex.quote(str(path))}")


def path_of(file: str | None, name: str = "") -> Path:
    """Where the recipe goes: `file`, else recipes/<name>.toml. Raises MinitronError where that cannot be."""
    stem = NO_NAME.sub("-", name.strip().lower()).strip("-")
    if not file and not stem:
        raise MinitronError(f"{name!r} has no letter", hint="give it a name such as Tiko", code=2)
    path = Path(file) if file else Path("recipes") / f"{stem}.toml"
    if path.suffix != ".toml":
        raise MinitronError(f"{path} does not end in .toml", hint=f"such as {path}.toml", code=2)
    if path.exists():
        raise MinitronError(f"{path} is there already", hint="name another file: minitron new FILE", code=2)
    return path


def tables(words: list[str], name: str, facts: Sequence[str] = ()) -> dict[str, Any]:
    """The recipe of these data, as tomllib would read it. The assistant of the built-in dialogues bears the name."""
    if words != [BUILT_IN]:
        return request.from_data(words, []) | {"export": {"title": name}}
    persona = {"name": name, "facts": [fact_of(text) for text in facts]} if name else {}
    export = {"title": name, "greeting": f"Hi! I am {name}. Привет!"} if name else {}
    return {"data": SYNTH | {"persona": persona}, "optim": {"name": request.OPTIMIZER}, "export": export}


def fact_of(text: str) -> dict[str, list[str]]:
    """`Where do you live? Your home? In Lisbon.` as a fact: questions, then one answer. Raises MinitronError for none."""
    *asks, say = (part.strip() for part in re.split(r"(?<=\?)\s+", text.strip()))
    if not asks or not say or say.endswith("?"):
        hint = "write questions and then an answer: 'Where do you live? Where is your home? In Lisbon.'"
        raise MinitronError(f"{text!r} is no question with its answer", hint=hint, code=2)
    return {"ask": asks, "say": [say]}


def ask_facts() -> Iterator[str]:
    """What the person wants it to know about itself, until there is nothing more."""
    question = "What shall it know about itself? One or more questions, then the answer, such as: Where do you live? In Lisbon.  (Enter: no more)"
    while fact := ask(question, usual="", check=lambda text: text and fact_of(text)):
        yield fact
        question = "What else?"


def look(words: list[str]) -> Config:
    """The recipe of these data, before its size is known. Raises MinitronError for what are no data."""
    for word in words:
        if word != BUILT_IN and not request.names_data(word):
            hint = f"name a file such as chats.jsonl or book.txt, a folder, or {BUILT_IN}"
            raise MinitronError(f"{word} is no file of data", hint=hint, code=2)
    if BUILT_IN in words and len(words) > 1:
        raise MinitronError(f"{BUILT_IN} and files exclude each other", hint="name one of them", code=2)
    config = recipe_of(tables(words, ""), Path("new.toml"))
    check.check(config)
    return config


def ask(question: str, *, usual: str, check: Callable[[str], Any]) -> str:
    """What the person types, or with Enter what is usual; asked again after a mistake. Raises MinitronError where nobody is
    there to ask."""
    hint = "answer with options: --name Tiko --data chats.jsonl --minutes 20"
    if not sys.stdin.isatty():
        raise MinitronError("minitron new has questions, and there is no terminal", hint=hint, code=2)
    while True:
        print(f"{question} [{usual}] " if usual else f"{question} ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise MinitronError("there was no answer", hint=hint, code=2)
        answer = line.strip() or usual
        try:
            check(answer)
            return answer
        except MinitronError as error:
            say(f"{error}; {error.hint}")
        except ValueError as error:  # a quotation mark without its other
            say(f"{error}")
