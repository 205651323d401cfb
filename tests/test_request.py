"""What `minitron plan` is asked for: sizes, times, recipes, and data in place of a recipe."""

import pytest
from conftest import write_dialogues

from minitron import synth
from minitron.core.errors import MinitronError
from minitron.plan import corpus_stats, request
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.recipe.write import write_recipe


@pytest.mark.parametrize(
    ("text", "size"),
    [("10M", 10**7), ("500k", 5 * 10**5), ("1.5m", 1_500_000), ("2e6", 2 * 10**6), ("0.1M", 10**5), ("1000M", 10**9)],
)
def test_sizes(text, size):
    assert request.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "ten", "10MB", "-5M", "1e99", "10 million", "nan", "inf", "0", "99k", "1001M", "1.2.3M"]
)
def test_no_sizes(text):
    with pytest.raises(MinitronError) as failure:
        request.parse_size(text)
    assert failure.value.code == 2
    assert failure.value.hint


@pytest.mark.parametrize("text", ["", "soon", "0", "-5", "nan", "inf", "1e9"])
def test_no_minutes(text):
    with pytest.raises(MinitronError) as failure:
        request.parse_minutes(text)
    assert failure.value.code == 2


def read(*words: str) -> request.Request:
    return request.read(list(words), params="1M", minutes=None)


def test_a_file_of_dialogues_stands_for_a_recipe(in_tmp_path):
    write_dialogues(in_tmp_path / "chats.jsonl")
    asked = read("chats.jsonl", "export.title=Mine")
    assert asked.config.data.files == ["chats.jsonl"]
    assert asked.config.name == "chats"
    assert asked.config.export.title == "Mine"
    assert asked.config.pretrain is None
    assert (asked.config.reject, asked.config.kto) == (None, None)
    assert asked.optimizer == "muon"
    assert asked.command == "minitron plan chats.jsonl export.title=Mine --params 1M"
    by_hand = in_tmp_path / "chats.toml"
    by_hand.write_text("[data]\nfiles = ['chats.jsonl']\n[optim]\nname = 'muon'\n[export]\ntitle = 'Mine'\n")
    assert write_recipe(asked.config, comments={}) == write_recipe(load_recipe(by_hand), comments={})


def test_a_chat_is_no_plain_text_whatever_its_ending(in_tmp_path):
    lines = [f"31.12.23, 21:{i:02} - {name}: hello" for i in range(40) for name in ("Nadia", "Max")]
    (in_tmp_path / "chats").mkdir()
    for name in ("wa.txt", "chats/wa.txt"):
        (in_tmp_path / name).write_text("\n".join(lines))
    for name in ("wa.txt", "chats", "chats/*.txt"):
        asked = read(name, "data.assistant=Nadia", "data.keep=['a b > 1']")
        assert files_of(asked.config) == ([name], [])
    assert (
        asked.command
        == """minitron plan 'chats/*.txt' data.assistant=Nadia 'data.keep=['"'"'a b > 1'"'"']' --params 1M"""
    )
    (in_tmp_path / "chats" / "book.txt").write_text("Call me Ishmael.\n")
    assert files_of(read("chats/book.txt").config) == ([], ["chats/book.txt"])


def files_of(config: Config) -> tuple[list[str], list[str]]:
    return config.data.files, config.pretrain.files if config.pretrain else []


def test_text_is_for_pretrain(in_tmp_path):
    (in_tmp_path / "books").mkdir()
    for name in ("books/one.txt", "books/two.md", "a=1.txt", "notes.log"):
        (in_tmp_path / name).write_text("Once upon a time.")
    write_dialogues(in_tmp_path / "chats.jsonl")
    assert files_of(read("books").config) == ([], ["books"])
    assert files_of(read("books/*.txt").config) == ([], ["books/*.txt"])
    assert files_of(read("books/one.txt", "a=1.txt").config) == ([], ["books/one.txt", "a=1.txt"])
    assert files_of(read("chats.jsonl", "books").config) == (["chats.jsonl"], ["books"])
    assert files_of(read("books", "notes.log", "chats.jsonl").config) == (["chats.jsonl"], ["books", "notes.log"])
    assert files_of(read(".").config) == (["."], [])
    stories = read("chats.jsonl", "pretrain.column=story").config
    assert files_of(stories) == ([], ["chats.jsonl"])
    assert stories.pretrain.column == "story"


@pytest.mark.parametrize(
    ("words", "saying"),
    [
        (["nothing.parquet"], "nothing matches nothing.parquet"),
        (["nothing*"], r"nothing matches nothing\*"),
        (["nothing.toml"], "there is no recipe nothing.toml"),
        (["notes.log"], "notes.log is not valid TOML"),
        (["chats.jsonl", "optim.nmae=adamw"], "unknown key 'optim.nmae'"),
    ],
)
def test_what_is_neither_data_nor_a_recipe(in_tmp_path, words, saying):
    write_dialogues(in_tmp_path / "chats.jsonl")
    (in_tmp_path / "notes.log").write_text("Once upon a time.")
    with pytest.raises(MinitronError, match=saying):
        read(*words)


def test_a_recipe_keeps_its_optimizer(tiny_run):
    assert read(str(tiny_run)).optimizer == "muon"
    assert read(str(tiny_run), "optim.name=adamw").optimizer == "adamw"
    text = tiny_run.read_text()
    assert "[optim]" in text
    tiny_run.write_text(text.replace("[optim]", "[optim]\nname = 'adamw'"), encoding="utf-16")  # as PowerShell writes
    asked = read(str(tiny_run))
    assert asked.optimizer == "adamw"
    assert asked.config.reject is not None


def test_the_mixture_of_the_docs(in_tmp_path):
    """docs/plan.md: one's own dialogues are kept without scores; of the built-in ones the bad are dropped."""
    write_dialogues(in_tmp_path / "chats.jsonl", 50)
    synth.write(in_tmp_path / "more.parquet", rows=400, seed=1)
    mixed = read("chats.jsonl", "more.parquet", 'data.keep=["overall_score >= 6"]', "data.missing_scores=keep").config
    count = {name: corpus_stats.look(config).dialogues for name, config in (("mixed", mixed), *(
        (name, read(name).config) for name in ("chats.jsonl", "more.parquet")))}  # fmt: skip
    assert 40 <= count["chats.jsonl"] <= 50
    assert 0.8 * count["more.parquet"] < count["mixed"] - count["chats.jsonl"] < count["more.parquet"]
