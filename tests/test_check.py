"""Faults in the data are reported before the first long stage."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialogues import A, U, dialogue, numbered, save, write

from minitron.core.errors import MinitronError
from minitron.data.check import check
from minitron.recipe.alignment import RejectConfig
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.recipe.training import PretrainConfig

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def told(data: dict | None = None, *, pretrain: dict | None = None, reject: dict | None = None) -> str:
    """The error for a recipe with these sections, with its hint after a |; empty if there is none."""
    config = Config(
        name="t",
        recipe=Path("t.toml"),
        data=DataConfig(**data or {}),
        pretrain=PretrainConfig(**pretrain) if pretrain else None,
        reject=RejectConfig(**reject) if reject else None,
    )
    try:
        check(config)
    except MinitronError as error:
        return f"{error} | {error.hint}"
    return ""


@pytest.fixture(autouse=True)
def _good(in_tmp_path):
    write("good.parquet", numbered(5), score=[9, 9, 9, 1, 1])
    save("labels.jsonl", [{"prompt": "q", "completion": "a", "label": True}])
    save("judged.jsonl", [{"messages": [U, A], "score": 9}])
    Path("book.txt").write_text("once upon a time")
    Path("empty.jsonl").write_text("")
    write("empty.parquet", [], score=pa.array([], pa.int64()))


GOOD = {"files": ["good.parquet"]}


def test_nothing_is_said_of_what_is_sound():
    rules = {"chosen_if": ["score >= 8"], "rejected_if": ["score <= 3"]}
    assert told(GOOD, pretrain={"files": ["book.txt"]}, reject={"files": ["labels.jsonl"]}) == ""
    assert told(GOOD | {"keep": ["score >= 8"]}, reject={"files": ["good.parquet", "judged.jsonl"], **rules}) == ""
    assert told({"files": ["good.parquet", "empty.parquet", "empty.jsonl"]}) == ""
    assert told({"synth_rows": 100}, reject={"files": []}) == ""
    assert told({"hub": "owner/name"}) == ""
    assert told(pretrain={"files": ["book.txt"]}) == ""


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        ({"files": ["no.parquet"]}, "data.files: nothing matches no.parquet"),
        ({"files": ["book.txt"]}, "has no column with turns"),
        ({"files": ["empty.jsonl", "empty.parquet"]}, "data.files: there is nothing in empty.jsonl, empty.parquet"),
        ({"files": ["labels.jsonl"]}, "holds labelled answers | name the file in reject.files"),
        (GOOD | {"keep": ["score is high"]}, "data.keep: 'score is high' is not a rule"),
        (GOOD | {"keep": ["skore >= 8"]}, "did you mean 'score'?"),
        ({"files": ["judged.jsonl"], "keep": ["topic >= 8"]}, "without such scores, take the rule 'topic >= 8' out"),
        (GOOD | {"keep": ["messages >= 8"]}, "but it holds list"),
        (GOOD | {"roles": {"kid": "boss"}}, "mapped to 'boss'"),
        (GOOD | {"valid_fraction": 0.0}, "data.valid_fraction is 0 | set a share"),
    ],
)
def test_dialogues(data, saying):
    assert saying in told(data)


@pytest.mark.parametrize(
    ("pretrain", "saying"),
    [
        ({"files": ["no.txt"]}, "pretrain.files: nothing matches no.txt"),
        ({"files": ["good.parquet"]}, "has no column 'text' | it has messages, score; set pretrain.column"),
        ({"files": ["good.parquet"], "column": "score"}, "holds no text"),
        ({"files": ["latin.txt"]}, "latin.txt is not UTF-8 text"),
        ({"files": ["empty.txt"]}, "pretrain.files: there is nothing in empty.txt"),
        ({"files": ["book.txt"], "valid_fraction": 0.0}, "pretrain.valid_fraction is 0"),
    ],
)
def test_text(pretrain, saying):
    Path("latin.txt").write_bytes("é".encode("latin-1"))
    Path("empty.txt").write_text("")
    assert saying in told(GOOD, pretrain=pretrain)


@pytest.mark.parametrize(
    ("reject", "saying"),
    [
        ({"files": ["no.jsonl"]}, "reject.files: nothing matches no.jsonl"),
        ({"files": ["good.parquet"]}, "has neither chosen and rejected nor prompt, completion and label"),
        ({"files": ["broken.jsonl"]}, "broken.jsonl, line 1, cannot be read"),
        ({"files": ["words.jsonl"]}, "the label 'so so' is neither good nor bad"),
        ({"files": ["none.jsonl"]}, "no completion is of use (no label: 1)"),
        ({"files": ["empty.jsonl"]}, "reject.files: there is nothing in empty.jsonl"),
        (
            {"files": ["good.parquet"], "chosen_if": ["score is high"]},
            "reject.chosen_if: 'score is high' is not a rule",
        ),
        ({"files": ["good.parquet"], "rejected_if": ["skore < 3"]}, "did you mean 'score'?"),
        ({"files": ["judged.jsonl"], "chosen_if": ["skore > 3"]}, "did you mean 'score'?"),
        ({"files": ["labels.jsonl"], "chosen_if": ["label > 0"]}, "holds labelled answers"),
    ],
)
def test_labels(reject, saying):
    Path("broken.jsonl").write_text("{\n")
    save("words.jsonl", [{"prompt": "q", "completion": "a", "label": "so so"}])
    save("none.jsonl", [{"prompt": "q", "completion": "a", "label": None}])
    assert saying in told(GOOD, reject=reject)


def test_only_heads_are_read():
    """The end of each file is garbage, on which a reader of the whole file would fail."""
    rows = [json.dumps({"messages": dialogue(f"q{i}", "a"), "score": 9}) for i in range(3000)]
    Path("long.jsonl").write_text("\n".join(rows) + "\n{")
    assert told({"files": ["long.jsonl"], "keep": ["score >= 8"]}) == ""
    pq.write_table(pa.table({"text": ["a"] * 3000}), "long.parquet", row_group_size=100)
    raw = bytearray(Path("long.parquet").read_bytes())
    last = pq.read_metadata("long.parquet").row_group(29).column(0)
    begin = last.dictionary_page_offset or last.data_page_offset
    raw[begin : begin + last.total_compressed_size] = b"\xff" * last.total_compressed_size
    Path("long.parquet").write_bytes(raw)
    assert told(GOOD, pretrain={"files": ["long.parquet"]}) == ""
