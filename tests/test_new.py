"""`minitron new`: what it asks, what it writes, and that the recipe is sound and trains."""

import shlex
import sys
from pathlib import Path

import pexpect
import pytest
from commands import minitron, refused
from conftest import tiny_texts, write_dialogues
from test_plan import dry

from minitron import cli
from minitron.core.errors import MinitronError
from minitron.data import check
from minitron.plan import new, propose
from minitron.recipe.load import load_recipe


@pytest.fixture
def data(in_tmp_path) -> Path:
    write_dialogues(Path("chats.jsonl"), 300)
    Path("book.txt").write_text("\n".join(tiny_texts(3000)))
    return in_tmp_path


@pytest.mark.slow  # measures the machine for its proposal
def test_options_answer_all_questions(data):
    done = minitron("new", "--name", "Тико 2", "--data", "chats.jsonl", "--minutes", "1")
    assert done.returncode == 0, done.stderr
    assert not done.stdout
    path = Path("recipes/тико-2.toml")
    assert f"make it: minitron run {path}" in done.stderr.replace("'", "")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(
        "# Made by `minitron new 'recipes/тико-2.toml' --name 'Тико 2' --data chats.jsonl --minutes 1`.\n"
    )
    recipe = load_recipe(path)
    assert recipe.export.title == "Тико 2"
    assert recipe.data.files == ["chats.jsonl"]
    assert (recipe.base, recipe.reject, recipe.kto) == (False, None, None)
    check.check(recipe)
    assert "time about" in dry("sft", str(path))
    assert "is there already" in refused(
        "new", "--name", "Тико 2", "--data", "chats.jsonl", "--minutes", "1", code=2, saying="тико-2.toml"
    )
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.slow  # measures the machine for its proposal
def test_a_text_makes_a_base_model_and_a_file_may_be_named(data):
    assert minitron("new", "my/book.toml", "--name", "Book", "--data", "book.txt", "--minutes", "1").returncode == 0
    recipe = load_recipe("my/book.toml")
    assert recipe.base
    assert recipe.pretrain.files == ["book.txt"]
    assert "time about" in dry("pretrain", "my/book.toml")


def test_without_a_terminal_what_is_open_is_told(data):
    refused("new", code=2, saying="there is no terminal")
    said = refused("new", "--name", "x", "--data", "chats.jsonl", code=2, saying="there is no terminal")
    assert "--minutes 20" in said
    refused("new", "--name", "x", "--data", "chats.jsnl", "--minutes", "1", code=2, saying="no file of data")
    refused("new", "--name", "x", "--data", "nothing.jsonl", "--minutes", "1", saying="nothing.jsonl")
    refused("new", "--name", "x", "--data", "chats.jsonl", "--minutes", "soon", code=2, saying="'soon' is not a time")
    refused(
        "new", "--name", "!", "--data", "chats.jsonl", "--minutes", "1", code=2, saying="the name '!' has no letter"
    )
    refused("new", "x.tml", code=2, saying="does not end in .toml")
    assert not Path("recipes").exists()


@pytest.mark.slow  # measures the machine for its proposal
def test_in_a_terminal_it_asks_again_after_a_mistake(data):
    child = pexpect.spawn(sys.executable, ["-m", "minitron", "new"], encoding="utf-8", timeout=100)
    child.expect(r"What shall it be called\? \[Mini\] ")
    child.sendline("Tiko")
    child.expect(r"What shall it learn from\?.*\[built-in\] ")
    child.sendline("chats.jsnl")
    child.expect("chats.jsnl is no file of data; name a file")
    child.expect(r"What shall it learn from\?.*\[built-in\] ")
    child.sendline("chats.jsonl book.txt")
    child.expect(r"How many minutes may it take\? \[20\] ")
    child.sendline("1")
    child.expect("make it: minitron run recipes/tiko.toml")
    child.expect(pexpect.EOF)
    recipe = load_recipe("recipes/tiko.toml")
    assert (recipe.data.files, recipe.pretrain.files) == (["chats.jsonl"], ["book.txt"])


def test_enter_takes_what_is_usual(data):
    child = pexpect.spawn(sys.executable, ["-m", "minitron", "new", "--minutes", "1"], encoding="utf-8", timeout=100)
    for _ in range(4):  # name, data, languages, name in Russian
        child.expect(r"\] $")
        child.sendline("")
    child.expect("What shall it know about itself")
    child.sendline("")
    child.expect("recipes/mini.toml is written")
    child.expect(pexpect.EOF)
    recipe = load_recipe("recipes/mini.toml")
    assert recipe.data.synth_rows == 135_000
    assert recipe.data.probes == "probe == 1"
    assert recipe.export.title == "Mini"


@pytest.mark.slow  # measures the machine for its proposal
def test_ones_own_dialogues_stand_beside_the_built_in_ones(data, monkeypatch):
    """A mixture: a seventh of the training data is one's own, and the assistant is the person that was named."""
    who = ("--language", "ru", "--name-ru", "Бруно", "--fact", "Привет! = Салют, матрос!")
    done = minitron("new", "--name", "Bruno", "--data", "built-in", "chats.jsonl", "book.txt", *who, "--minutes", "5")
    assert done.returncode == 0, done.stderr
    recipe = load_recipe("recipes/bruno.toml")
    own, skills = recipe.data.source
    assert (own.files, own.weight, own.keep) == (["chats.jsonl"], 1.0, [])
    assert (skills.builtin, skills.weight, skills.probes) == (135_000, 6.0, "probe == 1")
    assert recipe.pretrain.files == ["book.txt"]
    persona = recipe.data.persona
    assert (persona.name, persona.name_ru, persona.languages) == ("Bruno", "Бруно", ["ru"])
    assert [(fact.ask, fact.say) for fact in persona.facts] == [(["Привет!"], ["Салют, матрос!"])]
    assert recipe.export.greeting == "Привет! Я Бруно."
    check.check(recipe)
    command = Path("recipes/bruno.toml").read_text(encoding="utf-8").splitlines()[0]
    again = shlex.split(command.removeprefix("# Made by `").removesuffix("`."))
    Path("recipes/bruno.toml").unlink()
    # the same data; sizes depend on how fast the machine was, which need not be measured again
    monkeypatch.setattr(propose, "propose", lambda config, **asked: (config, {}))
    cli.main(again[1:])
    assert load_recipe("recipes/bruno.toml").data == recipe.data


def test_of_a_chat_one_person_answers(data):
    Path("wa.txt").write_text(
        "\n".join(f"{1 + i:02}.12.23, 21:00 - {who}: hi {i}" for i in range(20) for who in 2 * ("Bob", "Al"))
    )
    told = refused(
        "new",
        "--name",
        "Al",
        "--data",
        "wa.txt",
        "--minutes",
        "1",
        code=2,
        saying="does not say who is the assistant: ",
    )
    assert "name that person: --assistant NAME" in told
    asked = "new", "--name", "Al", "--data", "wa.txt", "--minutes", "1", "--assistant"
    refused(*asked, "Zoe", code=2, saying="nobody is called 'Zoe'")
    refused(*asked[:4], "built-in", *asked[5:], "Al", code=2, saying="no dialogues of people are among the data")
    assert minitron(*asked, "Al").returncode == 0
    assert load_recipe("recipes/al.toml").data.assistant == "Al"


def test_the_person_of_a_chat_is_asked_for(data):
    Path("wa.txt").write_text(
        "\n".join(f"{1 + i:02}.12.23, 21:00 - {who}: hi {i}" for i in range(20) for who in 2 * ("Bob", "Al"))
    )
    told = ["-m", "minitron", "new", "--name", "Al", "--data", "wa.txt", "--minutes", "1"]
    child = pexpect.spawn(sys.executable, told, encoding="utf-8", timeout=100)
    child.expect(r"Bob \(40\), Al \(40\)")
    child.expect("Whom of them shall it talk like\\?")
    child.sendline("")
    child.expect("does not say who is the assistant")
    child.sendline("Zoe")
    child.expect("nobody is called 'Zoe'")
    child.expect("Whom of them shall it talk like\\?")
    child.sendline("Bob")
    child.expect(pexpect.EOF)
    assert load_recipe("recipes/al.toml").data.assistant == "Bob"


def test_languages_are_those_that_there_are():
    assert new.languages_of("ru, en") == ["en", "ru"]
    for wrong in ("", "de", "en de"):
        with pytest.raises(MinitronError, match="there are no built-in dialogues in"):
            new.languages_of(wrong)


@pytest.mark.parametrize(
    ("wrong", "saying"),
    [
        ({"minutes": "soon"}, "'soon' is not a time"),
        ({"languages": ["de"]}, "there are no built-in dialogues in 'de'"),
        ({"name_ru": "{2}"}, "'{2}' is no name"),
        ({"facts": ["Who? I.", "What is {x}? Y."]}, "'What is {x}? Y.' has a {, } or ~"),
        ({"name": "3PO", "data": ["built-in"]}, "'3PO' is no name"),
    ],
)
def test_what_options_have_wrong_is_told_before_a_question(in_tmp_path, wrong, saying):
    with pytest.raises(MinitronError) as told:  # not that there is no terminal to answer in
        new.run("x.toml", new.Answers(**wrong))
    assert saying in str(told.value)


@pytest.mark.slow  # makes all built-in dialogues
def test_the_built_in_dialogues_get_a_person(data):
    child = pexpect.spawn(sys.executable, ["-m", "minitron", "new", "--name", "Bruno"], encoding="utf-8", timeout=100)
    child.expect(r"What shall it learn from\?.*\[built-in\] ")
    child.sendline("")
    child.expect(r"Which languages shall it speak\? \[en ru\] ")
    child.sendline("de")
    child.expect("there are no built-in dialogues in 'de'; write en or ru, or both")
    child.sendline("ru en")
    child.expect(r"What is its name in Russian\? \[Bruno\] ")
    child.sendline("{2}")
    child.expect(r"'\{2\}' is no name; write letters, such as Тико")
    child.sendline("Бруно")
    child.expect("What shall it know about itself")
    child.sendline("I live in Lisbon.")
    child.expect("is no question with its answer")
    child.sendline("Where do you live? Where is your house? In Lisbon, by the sea.")
    child.expect(r"What else\? ")
    child.sendline("Кто твой друг? Попугай Макс.")
    child.expect(r"What else\? ")
    child.sendline("")
    child.expect(r"How many minutes may it take\? \[20\] ")
    child.sendline("5")
    child.expect("make it: minitron run recipes/bruno.toml")
    child.expect(pexpect.EOF)
    persona = load_recipe("recipes/bruno.toml").data.persona
    assert (persona.name, persona.name_ru, persona.languages) == ("Bruno", "Бруно", ["en", "ru"])
    assert [fact.ask for fact in persona.facts] == [["Where do you live?", "Where is your house?"], ["Кто твой друг?"]]
    assert [fact.say for fact in persona.facts] == [["In Lisbon, by the sea."], ["Попугай Макс."]]
    refused(
        *("new", "x.toml", "--name", "x", "--data", "chats.jsonl", "--minutes", "1", "--fact", "Who? I."),
        code=2,
        saying="--fact, --language and --name-ru are for the built-in dialogues",
    )
    refused(
        "new",
        "x.toml",
        "--name",
        "x",
        "--data",
        "built-in",
        "--fact",
        "I.",
        "--minutes",
        "1",
        code=2,
        saying="no question",
    )
