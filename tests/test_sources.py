"""Files, formats and shapes: what is read, and the errors for what cannot be."""

import csv
import gzip
import io
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import minitron
from dialogues import TURNS, A, S, U, dialogue, everything, numbered, part, refused, run, save, write
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.data.formats import open_source
from minitron.data.formats.trees import Trees
from minitron.data.messages import EMPTY, NOT_UNICODE, UNKNOWN_ROLE
from minitron.data.sources import Reader, sources
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.stages import declared

pytestmark = pytest.mark.usefixtures("in_tmp_path")


WANT = [dialogue("hello", "hi"), dialogue("1 + 1?", "2", "2 + 2?", "4")]
SHAREGPT = [
    [{"from": "human" if turn["role"] == "user" else "gpt", "value": turn["content"]} for turn in turns]
    for turns in WANT
]
FORMATS = {
    "messages": ([{"messages": turns} for turns in WANT], {}),
    "reference": ([{"conversation": turns, "question": "?"} for turns in WANT], {}),
    "sharegpt": ([{"conversations": turns} for turns in SHAREGPT], {}),
    "named column": ([{"messages": None, "chat": turns} for turns in WANT], {"column": "chat"}),
    "json text": ([{"dialogue": json.dumps(turns)} for turns in WANT], {}),
    "renamed roles": (
        [
            {"messages": [{**t, "role": {"user": "Kid", "assistant": "Mum"}[t["role"]]} for t in turns]}
            for turns in WANT
        ],
        {"roles": {"kid": "user", "mum": "assistant"}},
    ),
}


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "json"])
@pytest.mark.parametrize("name", FORMATS)
def test_formats(name, ending):
    rows, options = FORMATS[name]
    save(f"x.{ending}", rows)
    run(files=[f"x.{ending}"], valid_fraction=0.0, **options)
    assert [row["messages"] for row in part("train")] == WANT


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "json"])
def test_alpaca(ending):
    rows = [
        {"instruction": "Add.", "input": "1 + 1", "output": "2"},
        {"instruction": "Greet.", "input": "", "output": "hi"},
        {"instruction": "Nothing.", "input": None, "output": " "},
    ]
    save(f"x.{ending}", rows)
    report = run(files=[f"x.{ending}"], valid_fraction=0.0)
    assert [row["messages"] for row in part("train")] == [dialogue("Add.\n\n1 + 1", "2"), dialogue("Greet.", "hi")]
    assert report["dropped"] == {EMPTY: 1}


def test_files_are_read_in_order_and_once():
    write("b.parquet", numbered(3))
    write("a.parquet", numbered(4)[3:])
    save("c.jsonl", [{"conversations": SHAREGPT[0]}])
    report = run(files=["b.parquet", "*.parquet", "c.jsonl"], valid_fraction=0.0)
    assert report["files"] == [
        {"path": "b.parquet", "rows": 3},
        {"path": "a.parquet", "rows": 1},
        {"path": "c.jsonl", "rows": 1},
    ]
    assert [row["source"] for row in part("train")] == ["b", "b", "b", "a", "c"]
    assert report["chars"]["train"] == sum(len(m["content"]) for row in part("train") for m in row["messages"])


def test_text_that_is_not_unicode():
    rows = [
        {"messages": dialogue("\ud800", "x"), "skill": "\udfff"},
        {"messages": dialogue("q", "a"), "skill": "\udfff"},
    ]
    save("x.jsonl", rows)
    assert run(files=["x.jsonl"])["dropped"] == {NOT_UNICODE: 1}
    assert part("train")[0]["skill"] == "\ufffd"


def test_unknown_roles_are_named():
    save("x.jsonl", [{"messages": [U, {**A, "role": "tool"}]}, {"messages": [U, A]}])
    report = run(files=["x.jsonl"])
    assert (report["dropped"], report["unknown_roles"]) == ({UNKNOWN_ROLE: 1}, ["tool"])
    Path("runs/t/data/report.json").unlink()


def test_hub_streams_through_datasets():
    Path("hub/corpus").mkdir(parents=True)
    write("hub/corpus/train-0.parquet", numbered(2500), safety=[i % 10 for i in range(2500)], text=["8"] * 2500)
    report = run(hub="hub/corpus", keep=["safety >= 8", "text == 8"])
    assert (report["rows_in"], report["kept"], report["dropped"]) == (2500, 500, {"safety >= 8": 2000})
    assert part("train")[0]["source"] == "hub/corpus"
    assert report["files"] == [{"path": "hub/corpus", "rows": 2500}]
    run(files=["hub/corpus/*.parquet"], keep=["safety >= 8"])
    before = everything()
    run(hub="hub/corpus", keep=["safety >= 8"])
    assert everything() == before


def test_hub_errors_are_one_sentence():
    Path("hub/corpus").mkdir(parents=True)
    write("hub/corpus/train-0.parquet", numbered(5))
    Path("hub/broken").mkdir(parents=True)
    Path("hub/broken/train.parquet").write_bytes(b"PAR1 not really PAR1")
    assert "the dataset hub/corpus cannot be read" in refused(hub="hub/corpus", hub_split="nope")
    assert "the dataset hub/broken cannot be read" in refused(hub="hub/broken")
    assert "has no column 'safty'" in refused(hub="hub/corpus", keep=["safty > 1"])


def test_errors_of_files():
    assert "nothing matches no*.parquet" in refused(files=["no*.parquet"])
    Path("x.doc").write_text("a,b")
    assert "x.doc has no known ending" in refused(files=["x.doc"])
    Path("notes.txt").write_text("hello")
    assert "raw text belongs into pretrain.files" in refused(files=["notes.txt"])
    Path("folder").mkdir()
    Path("folder/notes.txt").write_text("hello")
    assert "data.files: folder has no file that can be read | files may be .parquet" in refused(files=["folder"])
    Path("x.parquet").write_text("this is no parquet file at all")
    assert "x.parquet cannot be read" in refused(files=["x.parquet"])
    Path("x.parquet").write_bytes(b"")
    assert "x.parquet cannot be read" in refused(files=["x.parquet"])
    write("x.parquet", [])
    assert "there are no rows in x.parquet" in refused(files=["x.parquet"])
    Path("x.jsonl").write_text("\n")
    assert "there are no rows in x.jsonl" in refused(files=["x.jsonl"])


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (b'{"messages": []}\n{"messages": [}\n', "x.jsonl, line 2, cannot be read"),
        (b'{"messages": []}\n\n\xff\n', "x.jsonl, line 3, is not UTF-8 text"),
        (b"[1, 2]\n", "x.jsonl, line 1, is not a JSON object"),
        (b"[" * 100_000, "x.jsonl, line 1, cannot be read"),
        (b'{"text": "x"}\n', "x.jsonl has no column with turns"),
    ],
)
def test_errors_of_json_lines(content, want):
    Path("x.jsonl").write_bytes(content)
    assert want in refused(files=["x.jsonl"])


def test_errors_of_json():
    Path("x.json").write_text('{"messages": []}\n{"messages": []}')
    assert ".jsonl" in refused(files=["x.json"])
    Path("x.json").write_text('{"rows": []}')
    assert "not a JSON array of objects" in refused(files=["x.json"])


def test_errors_of_columns():
    write("x.parquet", numbered(5), safety=[9] * 5, topic=["sun"] * 5, tags=[[1]] * 5)
    text = refused(files=["x.parquet"], keep=["saftey >= 8"])
    assert text == "x.parquet has no column 'saftey' | did you mean 'safety'? it has messages, safety, topic, tags"
    assert "has no column 'mesages' | did you mean 'messages'?" in refused(files=["x.parquet"], column="mesages")
    assert "it has messages, safety" in refused(files=["x.parquet"], format="alpaca")
    assert "'topic' with a number, but it holds text" in refused(files=["x.parquet"], keep=["topic >= 3"])
    assert "holds text" in refused(files=["x.parquet"], keep=["topic >= 3"], missing_scores="keep")
    assert "'tags' with a number, but it holds list" in refused(files=["x.parquet"], keep=["tags >= 3"])
    save("x.jsonl", [{"messages": turns, "safety": 9} for turns in numbered(5)])
    assert "did you mean 'safety'?" in refused(files=["x.jsonl"], keep=["saftey >= 8"])
    assert "did you mean 'safety'?" in refused(files=["x.jsonl"], keep=["saftey >= 8"], missing_scores="keep")


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_folder_stands_for_the_files_in_it():
    """As Spark and pandas leave a folder: shards (some empty), partly in subfolders, with marker and checksum files beside them."""
    Path("d.parquet/lang=ru").mkdir(parents=True)
    write("d.parquet/part-0.parquet", numbered(3), score=[9] * 3)
    write("d.parquet/part-1.parquet", [], score=pa.array([], pa.int64()))
    write("d.parquet/lang=ru/part-2.parquet", numbered(6)[3:], score=[9] * 3)
    for name in ("_SUCCESS", ".part-0.parquet.crc", "README.md", "_metadata.parquet"):
        Path("d.parquet", name).write_text("no dialogues")
    report = run(files=["d.parquet"], keep=["score >= 1"])
    assert report["kept"] == 6
    assert [file["path"] for file in report["files"]] == [
        f"d.parquet/{name}" for name in ("lang=ru/part-2.parquet", "part-0.parquet", "part-1.parquet")
    ]
    Path("other").mkdir()
    write("other/x.parquet", numbered(1), score=[9])
    assert run(files=["*"])["kept"] == 6  # not the folders `other` and `runs`


def test_a_name_with_brackets_is_a_name_first():
    save("chats[v2].jsonl", [{"messages": [U, A]}])
    save("chatsv.jsonl", [{"messages": [U, A]}])
    assert [file["path"] for file in run(files=["chats[v2].jsonl"])["files"]] == ["chats[v2].jsonl"]
    assert [file["path"] for file in run(files=["chats[v].jsonl"])["files"]] == ["chatsv.jsonl"]
    recipe = Config(name="t", recipe=Path("t.toml"), data=DataConfig(files=["chats[v2].jsonl"]))
    assert declared.named("data").reads(recipe) == [Path("chats[v2].jsonl")]  # the files in the stage's fingerprint


@pytest.mark.parametrize(
    "name", ["x.JSONL", "x.ndjson", "x.Json", "x.jsonl.gz", "x.jsonl.zst", "x.json.gz", "x.JSONL.GZ"]
)
def test_endings_and_compressions(name):
    rows = [{"messages": dialogue(f"q{i}", "a")} for i in range(3)]
    text = (
        json.dumps(rows)
        if ".json" in name.lower() and "jsonl" not in name.lower()
        else "\n".join(map(json.dumps, rows))
    )
    if name.lower().endswith(".gz"):
        half = len(text) // 2  # two members, as `cat a.gz b.gz` makes
        Path(name).write_bytes(gzip.compress(text[:half].encode()) + gzip.compress(text[half:].encode()))
    elif name.endswith(".zst"):
        with pa.CompressedOutputStream(name, "zstd") as file:
            file.write(text.encode())
    else:
        Path(name).write_text(text)
    assert run(files=[name])["kept"] == 3
    assert part("train")[0]["source"] == "x"


def test_a_compressed_file_that_is_cut_off_is_named():
    whole = gzip.compress("\n".join(json.dumps({"messages": dialogue(f"q{i}", "a")}) for i in range(5000)).encode())
    Path("x.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "x.jsonl.gz" in refused(files=["x.jsonl.gz"])


# --- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "json"])
@pytest.mark.parametrize(
    ("question", "answer"),
    [("prompt", "response"), ("question", "answer"), ("prompt", "completion"), ("instruction", "response"),
     ("query", "response"), ("input", "output")],
)  # fmt: skip
def test_a_question_and_its_answer_in_two_columns(question, answer, ending):
    save(f"x.{ending}", [{question: "hello", answer: "hi", "score": 9}])
    run(files=[f"x.{ending}"])
    assert part("train")[0]["messages"] == dialogue("hello", "hi")


def test_prompt_and_completion_as_messages():
    save("x.jsonl", [{"prompt": [S, U], "completion": [A]}])
    run(files=["x.jsonl"])
    assert part("train")[0]["messages"] == [S, U, A]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "completion": "bad", "label": False},
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
    ],
)
def test_labelled_answers_are_not_learned_as_dialogues(row):
    save("x.jsonl", [row])
    assert "x.jsonl holds labelled answers | name the file in reject.files" in refused(files=["x.jsonl"])


def test_rows_of_two_shapes_in_one_file():
    rows = [
        {"messages": [U, A]},
        {"conversations": [{"from": "human", "value": "v"}, {"from": "gpt", "value": "w"}]},
        {"messages": [], "dialogue": dialogue("x", "y")},
        {"prompt": "p", "response": "r"},
    ]
    save("x.jsonl", [*rows, *([{"other": 1}] * 2000), {"conversation": dialogue("late", "l")}])
    report = run(files=["x.jsonl"], valid_fraction=0.0)
    assert [row["messages"][0]["content"] for row in part("train")] == ["u", "v", "x", "p", "late"]
    assert report["rows_in"] == 2005


def test_a_row_whose_parts_are_odd_is_one_malformed_row():
    odd = [{"instruction": "u", "output": "a", "history": past} for past in ([None], [5], ["x", None], [[]], [[None]])]
    save("x.jsonl", [{"instruction": "q", "output": "a", "history": [["u", "v"]]}, *odd])
    report = run(files=["x.jsonl"], valid_fraction=0.0)
    assert report["kept"] + sum(report["dropped"].values()) == 6
    assert dialogue("u", "v", "q", "a") in [row["messages"] for row in part("train")]
    source = {"a": "\ud800"}  # half a character
    save("x.jsonl", [{"messages": [U, A], "source": source, "skill": [source], "check": ""}])
    run(files=["x.jsonl"], valid_fraction=0.0)
    assert part("train")[0]["source"] == '{"a": "\ufffd"}'


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are Unicode")
def test_a_file_whose_name_is_not_utf8():
    Path(os.fsdecode(b"caf\xe9.jsonl")).write_text(json.dumps({"messages": [U, A]}))
    Path("t.toml").write_text('[data]\nfiles = ["*.jsonl"]\n')
    done = minitron("data", "t.toml")
    assert done.returncode == 0, done.stderr
    assert part("train")[0]["source"] == "caf\ufffd"


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_system_and_history_columns_are_part_of_the_dialogue(ending):
    before = [["earlier", "yes"], ["later", "no"]]
    save(f"x.{ending}", [{"system": "Be kind.", "instruction": "u", "input": "", "output": "a", "history": before}])
    run(files=[f"x.{ending}"])
    kind = {"role": "system", "content": "Be kind."}
    assert part("train")[0]["messages"] == [kind, *dialogue("earlier", "yes", "later", "no"), U, A]
    save(f"x.{ending}", [{"system": "Be kind.", "messages": [U, A]}])
    run(files=[f"x.{ending}"])
    assert part("train")[0]["messages"] == [kind, U, A]
    save(f"x.{ending}", [{"system": "Be kind.", "messages": [S, U, A]}])
    run(files=[f"x.{ending}"])
    assert part("train")[0]["messages"] == [S, U, A]


# --- csv -------------------------------------------------------------------------------------------------------------

ROWS = [["hello, you", 'he said "hi"\nand left', "8"], ["a;b|c", "d", ""], ["tab\there", "'quoted'", "5"]]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "separator"), [("x.csv", ","), ("x.csv", ";"), ("x.csv", "\t"), ("x.tsv", "\t"), ("x.TSV.gz", "\t")]
)
def test_csv(name, separator, line_end):
    made = io.StringIO(newline="")
    csv.writer(made, delimiter=separator, lineterminator=line_end).writerows([["question", "answer", "score"], *ROWS])
    text = made.getvalue().encode("utf-8-sig")
    Path(name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    run(files=[name], valid_fraction=0.0)
    assert [row["messages"] for row in part("train")] == [dialogue(*row[:2]) for row in ROWS]
    report = run(files=[name], keep=["score >= 6"])
    assert (report["kept"], report["dropped"]) == (1, {"no score: score": 1, "score >= 6": 1})


def test_csv_with_dialogues_as_json_and_excels_first_line():
    cell = json.dumps([U, A]).replace('"', '""')
    Path("x.csv").write_text(f'sep=;\nmessages;score\n"{cell}";9\n\n')
    assert run(files=["x.csv"], keep=["score > 8"])["kept"] == 1
    assert part("train")[0]["messages"] == [U, A]


def test_csv_with_columns_that_excel_wrote_without_a_name():
    Path("x.csv").write_text("question,answer,,\na,b,,\nc,d,,note\n")
    assert list(open_source(Path("x.csv")).rows()) == [
        {"question": "a", "answer": "b"},
        {"question": "c", "answer": "d"},
    ]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("question,answer\na,b\nc,d,e\n", "x.csv, line 3, has 3 cells, but the first line names 2 columns"),
        ('question,answer\n"a,b\n', "x.csv, line 2, cannot be read: unexpected end of data"),
        ('question,answer\n"a" b,c\n', "x.csv, line 2, cannot be read: "),
        ("question,answer,question\na,b,c\n", "x.csv has the column 'question' twice"),
        ("question,answer\n", "there are no rows in x.csv"),
        ("", "there are no rows in x.csv"),
        (
            "a,b\n1,2\n",
            "x.csv has no column with turns (messages, conversation, conversations, dialogue) | it has a, b; name",
        ),
    ],
)
def test_errors_of_csv(text, want):
    Path("x.csv").write_text(text)
    assert want in refused(files=["x.csv"])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.text(st.sampled_from('ab,;"\n\r\t| \0é'), max_size=80).map(str.encode))
def test_csv_of_any_bytes_is_rows_or_an_error(data):
    Path("x.csv").write_bytes(data)
    with suppress(MinitronError):
        assert all(isinstance(row, dict) for row in open_source(Path("x.csv")).rows())


# --- trees -----------------------------------------------------------------------------------------------------------


def reply(key: str, parent: str | None, text: str, rank: int | None = None, **more) -> dict:
    role = "prompter" if text.isupper() else "assistant"
    return {"message_id": key, "parent_id": parent, "text": text, "role": role, "rank": rank, "deleted": False} | more


TREE = [
    reply("1", None, "Q", lang="en"),
    reply("2", "1", "worse", 1, lang="en"),
    reply("3", "1", "better", 0, lang="en"),
    reply("4", "3", "Q2", 0, lang="en"),
    reply("5", "2", "Q3", 0, lang="en"),
    reply("6", "4", "removed", 0, lang="en", deleted=True),
    reply("7", "4", "nobody ranked this", None, lang="en"),
    reply("8", "9", "lost", 0, lang="en"),
]
BEST = dialogue("Q", "better", "Q2", "nobody ranked this")


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "json"])
def test_messages_of_trees_are_joined_along_the_best_ranked_path(ending):
    save(f"x.{ending}", [*TREE[::-1], reply("10", None, "R", lang="ru"), reply("11", "10", "yes", 0, lang="ru")])
    report = run(files=[f"x.{ending}"], valid_fraction=0.0)
    assert sorted(row["messages"][0]["content"] for row in part("train")) == ["Q", "R"]
    assert BEST in [row["messages"] for row in part("train")]
    (found,) = report["messages"]
    assert found["messages"] == 10 == found["in_dialogues"] + sum(found["left_out"].values())
    assert found["left_out"] == {
        "replies that are not ranked best, and what follows them": 2,
        "deleted messages": 1,
    } | {"messages whose parent is not there": 1}


def test_whole_trees_in_rows():
    def grown(key: str) -> dict:
        node = next(row for row in TREE if row["message_id"] == key)
        return node | {"replies": [grown(row["message_id"]) for row in TREE if row["parent_id"] == key]}

    save("x.jsonl", [{"message_tree_id": "1", "tree_state": "ready", "prompt": grown("1")}])
    (found,) = run(files=["x.jsonl"], valid_fraction=0.0)["messages"]
    assert [row["messages"] for row in part("train")] == [BEST]
    assert found["messages"] == 7 == found["in_dialogues"] + sum(found["left_out"].values())
    trees = [{"message_tree_id": "1", "tree_state": state, "source": state, "prompt": grown("1")} for state in "ab"]
    save("x.jsonl", trees)
    run(files=["x.jsonl"], keep=['tree_state == "b" and lang == "en"'], valid_fraction=0.0)
    assert [row["source"] for row in part("train")] == ["b"]


@pytest.mark.parametrize("whole", [False, True])
def test_rows_of_another_kind_behind_a_tree_are_read_as_well(whole):
    """They are dialogues, whether they come in the same part of the file as the tree's rows or in a later one."""
    trees = [reply(f"{i}", None, f"Q{i}") for i in range(1100)]
    if whole:
        trees = [{"message_tree_id": row["message_id"], "prompt": row} for row in trees]
    for first in (trees, trees[:3]):
        save("x.jsonl", [*first, *({"messages": turns} for turns in numbered(40))])
        rows = list(Trees(open_source(Path("x.jsonl"))).rows())
        assert [row["messages"] for row in rows if len(row["messages"]) > 1] == numbered(40)
        assert len(rows) == len(first) + 40


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {name: st.none() | st.integers(0, 4) | st.sampled_from(["1", "2"]) | st.lists(st.none(), max_size=1)
             for name in ("message_id", "parent_id", "text", "role")},
            optional={"rank": st.none() | st.text(max_size=2) | st.integers(0, 2), "deleted": st.booleans()},
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_trees_of_anything_are_counted(rows):
    Path("x.json").write_text(json.dumps(rows))
    source = Trees(open_source(Path("x.json")))
    made = list(source.rows())
    other = sum(row["message_id"] is None and row["text"] is None for row in rows)
    assert source.messages == len(rows) - other == source.kept + source.left_out.total()
    assert source.kept == sum(len(row["messages"]) for row in made if row.get("messages"))


def test_a_column_that_occurs_twice_is_named():
    turns = pa.array(numbered(2), TURNS)
    pq.write_table(pa.Table.from_arrays([turns, turns], ["messages", "messages"]), "x.parquet")
    assert "x.parquet has the column 'messages' twice" in refused(files=["x.parquet"])
    scores = pa.array([1, 2])
    pq.write_table(pa.Table.from_arrays([turns, scores, scores], ["messages", "s", "s"]), "x.parquet")
    assert "x.parquet has the column 's' twice" in refused(files=["x.parquet"], keep=["s > 0"])
    assert run(files=["x.parquet"])["kept"] == 2  # no rule asks for the column


def test_an_empty_row_group_is_no_fault():
    table = pa.table({"messages": pa.array(numbered(2), TURNS), "s": [1, 2]})
    with pq.ParquetWriter("x.parquet", table.schema) as writer:
        for part_of in (table.slice(0, 0), table, table.slice(0, 0)):
            writer.write_table(part_of)
    assert run(files=["x.parquet"], keep=["s > 0"])["kept"] == 2


def test_a_rule_on_scores_that_nobody_gave_says_which_to_take_out():
    save("x.jsonl", [{"messages": [U, A]}])
    assert (
        "has no column 'overall_score' | it has messages; without such scores, take the rule 'overall_score >= 6' out"
        in (refused(files=["x.jsonl"], keep=["overall_score >= 6"]))
    )


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named():
    save("x.jsonl", [{"messages": [U, A]}])
    Path("x.jsonl").chmod(0)
    assert "x.jsonl cannot be read: Permission denied" in refused(files=["x.jsonl"])


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.parquet", "x.jsonl.gz", "x.jsonl.zst", "x.txt"])
@settings(max_examples=25, deadline=None)
@given(cut=st.floats(0, 1), changes=st.lists(st.tuples(st.floats(0, 0.999), st.binary(max_size=3)), max_size=2))
def test_a_damaged_file_is_rows_or_an_error(name, cut, changes):
    rows = [{"question": f"q{i} é", "answer": "x\ny"} for i in range(30)]
    lines = "\n".join(map(json.dumps, rows)).encode()
    made = {"x.jsonl": lines, "x.json": json.dumps(rows).encode(), "x.jsonl.gz": gzip.compress(lines)}
    made["x.csv"] = b"question,answer\n" + b"".join(b'"q, %d","x\ny"\n' % i for i in range(30))
    made["x.txt"] = b"".join(b"User: q%d\nBot: a\n\n" % i for i in range(30))
    made["x.jsonl.zst"] = pa.compress(lines, codec="zstd", asbytes=True)
    if name == "x.parquet":
        pq.write_table(pa.Table.from_pylist(rows), name)
        made[name], changes = Path(name).read_bytes(), []  # only cut: on changed bytes pyarrow itself may crash
    data = bytearray(made[name][: round(cut * len(made[name]))])
    for place, change in changes:
        at = int(place * len(data))
        data[at : at + len(change)] = change
    Path(name).write_bytes(data)
    reader, read = Reader(DataConfig(files=[name])), 0
    with suppress(MinitronError):
        for found in reader.read(sources(DataConfig(files=[name]))):
            read += len(found)
        assert read == reader.tally.rows_in
