"""How much there is to learn from, counted on a sample with the readers that the stages use."""

import gzip
import json
from pathlib import Path

import pytest
from dialogues import A, U, dialogue, numbered, save

from minitron.core.errors import MinitronError
from minitron.plan import corpus_stats
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.recipe.training import PretrainConfig

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def look(data: dict | None = None, pretrain: dict | None = None) -> corpus_stats.Corpus:
    settings = {"data": DataConfig(**data or {}), "pretrain": PretrainConfig(**pretrain) if pretrain else None}
    return corpus_stats.look(Config(name="t", recipe=Path("t.toml"), **settings))


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl", "x.json", "x.jsonl.gz"])
def test_dialogues_are_counted_in_every_format(name):
    save(name.removesuffix(".gz"), [{"messages": turns} for turns in numbered(500)])
    if name.endswith(".gz"):
        Path(name).write_bytes(gzip.compress(Path("x.jsonl").read_bytes()))
    corpus = look({"files": [name], "valid_fraction": 0.1})
    assert corpus.sample == numbered(500)
    assert corpus.dialogues == pytest.approx(450, abs=2)


def test_halves_of_characters_are_left_out_as_in_the_data_stage():
    save("x.jsonl", [{"messages": dialogue("\ud83d", "x")}, {"messages": [U, A]}])
    assert look({"files": ["x.jsonl"]}).sample == [[U, A]]


def test_texts_are_counted_in_every_format():
    texts = [f"text {i} " * 20 for i in range(300)]
    characters = sum(map(len, texts))
    Path("book.txt").write_text("\r\n".join(texts), newline="")
    assert look(pretrain={"files": ["book.txt"], "valid_fraction": 0.0}).text_chars == characters + 299
    for ending in ("parquet", "jsonl", "json"):
        save(f"x.{ending}", [{"text": text} for text in texts])
        corpus = look(pretrain={"files": [f"x.{ending}"], "valid_fraction": 0.0})
        assert corpus.text_sample == texts
        assert corpus.text_chars == pytest.approx(characters, rel=0.01)


def test_a_few_of_many_files_stand_for_all():
    for i in range(40):
        save(f"{i:02}.jsonl", [{"messages": turns} for turns in numbered(40 * i + 10)[40 * i :]])
    corpus = look({"files": ["*.jsonl"], "valid_fraction": 0.0})
    assert (len(corpus.sample), corpus.dialogues) == (80, 400)


def test_what_cannot_be_counted_is_said():
    with pytest.raises(MinitronError, match="names no data"):
        look()
    Path("x.jsonl").write_text(json.dumps({"messages": []}) + "\n")
    with pytest.raises(MinitronError, match="no dialogue is left"):
        look({"files": ["x.jsonl"]})
    with pytest.raises(MinitronError, match="pretrain.files: nothing matches"):
        look(pretrain={"files": ["none.txt"]})
    Path("empty.txt").touch()
    with pytest.raises(MinitronError, match=r"there is no text in empty\.txt"):
        look(pretrain={"files": ["empty.txt"]})


def test_long_dialogues_count_as_a_context_cuts_them():
    counts = corpus_stats.Counts(256, sft=1700, pretrain=0, dialogue=[10, 60, 100], ends=[[10], [60], [20, 40, 100]])
    assert [counts.within(context).sft for context in (99, 98, 59, 20, 8)] == [1700, 1100, 1100, 300, 0]
    assert [counts.fitting(context) for context in (99, 98, 8)] == [1, 2 / 3, 0]
