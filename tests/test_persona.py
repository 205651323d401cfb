"""Another person in the built-in dialogues: name, languages, facts; and that Tiko's rows stay as they are."""

import json
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest
from commands import refused
from conftest import run_to

from minitron.evaluate.checks import passes
from minitron.recipe.data import Fact, PersonaConfig
from minitron.recipe.load import load_recipe
from minitron.synth import compose
from minitron.synth.persona import Persona, language_of

FACTS = (
    Fact(["Where do you live?"], ["In Lisbon, by the sea."]),  # the built-in small talk has this question, too
    Fact(["What do you eat?", "Your favourite dish?"], ["Grilled sardines."]),
    Fact(["Кто твой лучший друг?", "С кем ты дружишь?"], ["Мой лучший друг — попугай Макс."]),
)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return list(compose.dialogues(12_000, 3, Persona.of(PersonaConfig("Bruno", "Бруно", facts=list(FACTS)))))


def turns(row: dict) -> list[tuple[str, str]]:
    said = [m["content"] for m in row["conversation"] if m["role"] != "system"]
    return list(zip(said[::2], said[1::2], strict=True))


def test_the_name_is_everywhere_and_tiko_nowhere(rows):
    text = json.dumps(rows, ensure_ascii=False)
    assert "Tiko" not in text
    assert "Тико" not in text
    assert "My name is Bruno." in text
    assert "Меня зовут Бруно." in text


def test_a_fact_answers_all_ways_to_ask_the_same():
    talk = Persona.of(PersonaConfig("Bruno", facts=list(FACTS))).skills(compose.SKILLS)["smalltalk"][0]
    rng = Random(1)
    said = {}
    for asked, answer in (talk(rng, "en", False).turns[0] for _ in range(8000)):
        said.setdefault(asked, set()).add(answer)
    for ask in ("Where do you live?", "Where is your home?", "What country are you from?"):
        assert said[ask] == {"In Lisbon, by the sea."}, ask
    assert said["I'm sorry."] == {"No problem at all!"}
    assert not any("one file on your computer" in answer for answers in said.values() for answer in answers)


def test_other_facts_are_a_skill_with_probes(rows):
    mine = [row for row in rows if row["skill"] == "persona"]
    assert len(mine) > 100
    assert {row["language"] for row in mine} == {"en", "ru"}
    asked = {True: set(), False: set()}
    for row in mine:
        if not row["flaw"]:
            own = [t for t in turns(row) if t[1] in ("Grilled sardines.", "Мой лучший друг — попугай Макс.")]
            assert all(language_of(question) == language_of(answer) for question, answer in own)
            asked[bool(row["probe"])].add(own[-1][0].lower().strip(" ?!."))  # a probe's question is the last one
        if row["probe"]:
            assert passes(turns(row)[-1][1], row["check"])
            assert not passes("I don't know.", row["check"])
    assert asked[True]
    assert not asked[True] & asked[False]


def test_one_language_alone():
    who = Persona.of(PersonaConfig("Ada", languages=["en"]))
    assert {row["language"] for row in compose.dialogues(600, 3, who)} == {"en"}
    assert who.name_ru == "Ada"


def test_tiko_is_nobody_else():
    assert Persona.of(PersonaConfig()) is None
    assert Persona.of(PersonaConfig(name_ru="Тико")) is None


def test_a_recipe_has_it(tiny_run):
    tiny_run.write_text(
        tiny_run.read_text().replace('files = ["dialogues.jsonl"]', "synth_rows = 400")
        + "[data.persona]\nname = 'Bruno'\n[[data.persona.facts]]\nask = ['Who made you?']\nsay = ['My mother.']\n"
    )
    assert load_recipe(tiny_run).data.persona.facts[0].say == ["My mother."]
    run_to("data")
    said = str(pq.read_table("runs/tiny/data/train.parquet").to_pylist())
    assert "Bruno" in said
    assert "Tiko" not in said
    stamp = Path("runs/tiny/data/stage.json").read_text()
    run_to("data", "data.persona.name='Ada'")
    assert Path("runs/tiny/data/stage.json").read_text() != stamp


@pytest.mark.parametrize(
    ("override", "saying"),
    [
        ("data.persona.name='{x}'", "data.persona.name must be letters"),
        ("data.persona.name=''", "data.persona.name must be letters"),
        ("data.persona.languages=['de']", "data.persona.languages must be en, ru or both"),
        ("data.persona.facts=[{ask=['Who?'], say=[]}]", "data.persona.facts[0] must have what is asked"),
        ("data.persona.facts=[{ask=['Who {n}?'], say=['I.']}]", "data.persona.facts[0] must have no {"),
        ("data.persona.name='Ada'", "data.persona is for the built-in dialogues"),
    ],
)
def test_mistakes_are_told(tiny_run, override, saying):
    refused("run", "tiny.toml", override, code=2, saying=saying)
