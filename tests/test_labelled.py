"""Labels that people or judges gave: every common format is read as it is meant, and nothing else is taken for a label."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialogues import dialogue, save

from minitron.core.errors import MinitronError
from minitron.data import labelled
from minitron.data.labelled import BOTH, NO_LABEL, NO_PROMPT, SAME
from minitron.data.messages import NO_ANSWER, NOT_UNICODE
from minitron.recipe.alignment import RejectConfig
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def read(path: str, data: DataConfig | None = None, **settings) -> tuple[list[tuple], Counter]:
    """The labels as (prompt, completion, label), a prompt as its roles' initials and its last text; and what was dropped."""
    dropped = Counter()
    reject = RejectConfig(files=[path], **settings)
    config = Config(name="t", recipe=Path("t.toml"), data=data or DataConfig(), reject=reject)
    found = list(labelled.read(config, dropped))
    asked = ["".join(m["role"][0] for m in one.prompt) + " " + one.prompt[-1]["content"] for one in found]
    return [(text, one.completion, one.label) for text, one in zip(asked, found, strict=True)], dropped


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def bot(text: str) -> dict:
    return {"role": "assistant", "content": text}


PAIR = [("u q", "good", True), ("u q", "bad", False)]
SHAREGPT = {"chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}}
SHAPES = {
    "texts": ({"prompt": "q", "chosen": "good", "rejected": "bad"}, PAIR),
    "alpaca": (
        {"instruction": "Repeat.", "input": "this", "chosen": "good", "rejected": "bad"},
        [("u Repeat.\n\nthis", "good", True), ("u Repeat.\n\nthis", "bad", False)],
    ),
    "question": ({"question": "q", "chosen": "good", "rejected": "bad"}, PAIR),
    "implicit prompt": ({"chosen": [user("q"), bot("good")], "rejected": [user("q"), bot("bad")]}, PAIR),
    "messages": ({"prompt": [user("q")], "chosen": [bot("good")], "rejected": [bot("bad")]}, PAIR),
    "one message": ({"prompt": [user("q")], "chosen": bot("good"), "rejected": bot("bad")}, PAIR),
    "ultrafeedback": ({"prompt": "q", "chosen": [user("q"), bot("good")], "rejected": [user("q"), bot("bad")]}, PAIR),
    "ultrafeedback with messages": (
        {"messages": [user("q"), bot("good")], "chosen": [user("q"), bot("good")], "rejected": [user("q"), bot("bad")]},
        PAIR,
    ),
    "several turns": (
        {"prompt": "q", "chosen": [user("q"), bot("a"), user("more"), bot("good")],
         "rejected": [user("q"), bot("a"), user("more"), bot("bad")]},
        [("uau more", "good", True), ("uau more", "bad", False)],
    ),
    "a history that goes on": (
        {"prompt": [user("q"), bot("a")], "chosen": [user("more"), bot("good")], "rejected": [user("more"), bot("bad")]},
        [("uau more", "good", True), ("uau more", "bad", False)],
    ),
    "sharegpt": (SHAREGPT | {"conversations": [{"from": "human", "value": "q"}]}, PAIR),
    "hh-rlhf": ({"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"}, PAIR),
    "hh-rlhf, split": (
        {"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: q\n\nAssistant:", "chosen": " good", "rejected": " bad"},
        [("uau q", "good", True), ("uau q", "bad", False)],
    ),
    "system column": (
        {"system": "be kind", "prompt": "q", "chosen": "good", "rejected": "bad"},
        [("su q", "good", True), ("su q", "bad", False)],
    ),
    "system message": (
        {"prompt": [{"role": "system", "content": "be kind"}, user("q")], "chosen": [user("q"), bot("good")],
         "rejected": [user("q"), bot("bad")]},
        [("su q", "good", True), ("su q", "bad", False)],
    ),
    "unpaired": ({"prompt": "q", "completion": "good", "label": True}, PAIR[:1]),
    "unpaired messages": ({"prompt": [user("q")], "completion": [bot("bad")], "label": False}, PAIR[1:]),
    "unpaired response": ({"prompt": "q", "response": "bad", "label": "bad"}, PAIR[1:]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name, kind):
    row, want = SHAPES[name]
    save(f"x.{kind}", [row])
    assert read(f"x.{kind}") == (want, {})


LABELS = {
    True: [True, 1, 1.0, "true", "True", "1", "yes", "good", "desirable", "chosen", "thumbs up", "👍", "1.0"],
    False: [False, 0, -1, -1.0, "false", "FALSE", "0", "-1", "no", "bad", "undesirable", "rejected", "👎", " No "],
    None: [None, float("nan"), ""],
}


@pytest.mark.parametrize("label", LABELS)
def test_words_and_numbers_that_are_labels(label):
    for value in LABELS[label]:
        assert labelled.to_label(value, where="x") is label, value


@pytest.mark.parametrize("value", [2, 0.5, -2, "maybe", "great answer", [True], float("inf")])
def test_anything_else_is_no_label(value):
    save("x.jsonl", [{"prompt": "q", "completion": "a", "label": value}])
    with pytest.raises(MinitronError, match="x.jsonl: the label .* is neither good nor bad") as failure:
        read("x.jsonl")
    assert "reject.chosen_if" in failure.value.hint


def test_rows_that_nobody_judged_are_left_out_and_counted():
    rows = [
        {"prompt": f"q{i}", "completion": "a", "label": label} for i, label in enumerate([True, None, float("nan")])
    ]
    save("x.jsonl", rows)
    assert read("x.jsonl") == ([("u q0", "a", True)], {NO_LABEL: 2})
    pq.write_table(pa.table({"prompt": ["q", "p"], "completion": ["a", "b"], "label": [None, False]}), "x.parquet")
    assert read("x.parquet") == ([("u p", "b", False)], {NO_LABEL: 1})


def test_rows_of_no_use_are_counted():
    good = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    rows = {
        SAME: {"prompt": "q", "chosen": "this", "rejected": " this"},
        NO_PROMPT: {"prompt": "", "chosen": "a", "rejected": "b"},
        NO_ANSWER: {"chosen": [user("q")], "rejected": [user("q")]},
        NOT_UNICODE: {"prompt": "\ud83d", "chosen": "a", "rejected": "b"},
    }
    save("x.jsonl", [good, *rows.values()])
    assert read("x.jsonl") == (PAIR, Counter(rows.keys()))


def test_files_without_a_use_are_an_error_with_the_reason():
    save("x.jsonl", [{"prompt": "", "chosen": "a", "rejected": "b"}] * 3)
    with pytest.raises(MinitronError, match=r"reject.files: no completion is of use \(malformed: no prompt: 3\)"):
        read("x.jsonl")


def test_roles_of_the_recipe():
    save("x.jsonl", [{"chosen": [{"role": "kid", "content": "q"}, bot("good")], "rejected": [user("q"), bot("bad")]}])
    assert read("x.jsonl", DataConfig(roles={"kid": "user"})) == (PAIR, {})


# --- scores ----------------------------------------------------------------------------------------------------------


def judged(path: str, scores: list, *, column: str = "messages") -> str:
    save(path, [{column: dialogue(f"q{i}", f"a{i}"), "score": score} for i, score in enumerate(scores)])
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_scores_make_labels(kind):
    found, _ = read(judged(f"x.{kind}", list(range(10))), chosen_if=["score >= 8"], rejected_if=["score <= 1"])
    assert found == [("u q8", "a8", True), ("u q9", "a9", True), ("u q0", "a0", False), ("u q1", "a1", False)]


def test_votes_of_minus_one_are_votes():
    judged("x.jsonl", [1, -1, None, 1])
    found, _ = read("x.jsonl", chosen_if=["score == 1"], rejected_if=["score == -1"])
    assert found == [("u q0", "a0", True), ("u q3", "a3", True), ("u q1", "a1", False)]
    found, _ = read("x.jsonl", chosen_if=["score > 0"], rejected_if=["score < 0"])
    assert [label for *_, label in found] == [True, True, False]


def test_a_score_of_minus_one_is_none_where_no_rule_names_it():
    found, _ = read(judged("x.jsonl", [9, -1, 2]), chosen_if=["score >= 8"], rejected_if=["score <= 3"])
    assert found == [("u q0", "a0", True), ("u q2", "a2", False)]


def test_the_columns_shapes_and_roles_are_those_of_data():
    judged("x.jsonl", [9, 1], column="chat")
    rules = {"chosen_if": ["score >= 8"], "rejected_if": ["score <= 3"]}
    want = [("u q0", "a0", True), ("u q1", "a1", False)]
    assert read("x.jsonl", DataConfig(column="chat"), **rules) == (want, {})
    rows = [
        {"messages": [{"role": "client", "content": f"q{i}"}, {"role": "helper", "content": f"a{i}"}], "score": s}
        for i, s in enumerate([9, 1])
    ]
    save("y.jsonl", rows)
    assert read("y.jsonl", DataConfig(roles={"client": "user", "helper": "assistant"}), **rules) == (want, {})


def test_unjudged_rows_are_neither_even_where_they_may_be_trained_on():
    judged("x.jsonl", [9, None, 1])
    found, _ = read("x.jsonl", DataConfig(missing_scores="keep"), chosen_if=["score >= 8"], rejected_if=["score <= 3"])
    assert [label for *_, label in found] == [True, False]


def test_what_passes_both_rules_is_neither():
    found, dropped = read(judged("x.jsonl", [9, 5, 1]), chosen_if=["score >= 5"], rejected_if=["score <= 5"])
    assert ([text for text, *_ in found], dropped) == (["u q0", "u q2"], {BOTH: 1})
    found, dropped = read("x.jsonl", chosen_if=["score >= 5"])
    assert ([text for text, *_ in found], dropped) == (["u q0", "u q1"], {})


def test_rules_are_called_by_their_own_name():
    judged("x.jsonl", [1])
    for option in ("chosen_if", "rejected_if"):
        with pytest.raises(MinitronError, match=f"reject.{option}: 'score is high' is not a rule"):
            read("x.jsonl", **{option: ["score is high"]})


def test_scores_of_which_no_row_passes_are_an_error():
    with pytest.raises(MinitronError, match="no row is labelled"):
        read(judged("x.jsonl", [5, 5]), chosen_if=["score >= 8"])


# --- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"question": 1}]', "has neither chosen and rejected nor prompt, completion and label, but question"),
        (b"[1]", "is not a JSON array of objects"),
        (b"{", "cannot be read"),
        ('[{"prompt": "\u043f"}]'.encode("cp1251"), "is not UTF-8 text"),
    ],
)
def test_labels_that_cannot_be_read(content, message):
    Path("data.json").write_bytes(content)
    with pytest.raises(MinitronError, match=message):
        read("data.json")
    with pytest.raises(MinitronError, match="reject.files: nothing matches"):
        read("none.json")


def test_parquet_that_is_no_utf_8_is_named():
    text = pa.array(["\u043f\u0440".encode("cp1251")] * 2, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": text, "completion": ["a", "b"], "label": [True, False]}), "x.parquet")
    with pytest.raises(MinitronError, match="x.parquet is not UTF-8 text"):
        read("x.parquet")


def test_rows_beyond_one_chunk_are_read():
    lines = (json.dumps({"prompt": f"q{i}", "completion": "a", "label": i % 2}) for i in range(3000))
    Path("x.jsonl").write_text("\n".join(lines))
    found, _ = read("x.jsonl")
    assert Counter(label for *_, label in found) == {True: 1500, False: 1500}
