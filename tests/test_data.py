"""The data stage: every row is counted once, and what is kept is what the rules say."""

import json
import math
import os
import random
import re
import subprocess
import sys
import types
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.data import store
from minitron.data.messages import (
    EMPTY,
    LATE_SYSTEM,
    NO_ALTERNATION,
    NO_ANSWER,
    NO_MESSAGES,
    NO_TEXT,
    NO_TURN,
    NOT_UNICODE,
    NOT_USER_FIRST,
    UNKNOWN_ROLE,
    digest_of,
    role_map,
    to_messages,
)
from minitron.data.rules import Rule
from minitron.recipe.schema import Config, DataConfig
from minitron.stages import data as stage

SHARED = Path(__file__).parents[2] / "shared" / "data"
TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(**options) -> dict:
    """Runs the stage in the current folder; returns its report after checking that the counts add up."""
    stage.run(Config(name="t", recipe=Path("t.toml"), data=DataConfig(**options)))
    report = json.loads(Path("runs/t/data/report.json").read_text())
    assert report["rows_in"] == report["kept"] + sum(report["dropped"].values())
    assert report["kept"] == report["train"] + report["valid"] + report["probes"]
    for name in store.PARTS:
        assert len(part(name)) == report[name]
    assert not list(Path("runs/t/data").glob(".*"))
    return report


def part(name: str) -> list[dict]:
    table = pq.read_table(f"runs/t/data/{name}.parquet")
    assert table.schema.equals(store.SCHEMA)
    return table.to_pylist()


def everything() -> dict[str, str]:
    """The dialogue as text -> the file it is in."""
    return {json.dumps(row["messages"]): name for name in store.PARTS for row in part(name)}


def refused(code: int = 1, **options) -> str:
    """The error's text and hint; nothing may be left behind."""
    with pytest.raises(MinitronError) as raised:
        run(**options)
    assert raised.value.code == code
    assert raised.value.hint
    folder = Path("runs/t/data")
    assert [p for p in folder.glob("*") if p.name != "synth.parquet"] == [] if folder.exists() else True
    return f"{raised.value} | {raised.value.hint}"


def dialogue(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]


def write(path: str, turns: list, *, row_group_size: int | None = None, **columns) -> str:
    table = pa.table({"messages": pa.array(turns, TURNS), **columns})
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def numbered(count: int) -> list:
    return [dialogue(f"question {i}", f"answer {i}") for i in range(count)]


# --- rules against DuckDB --------------------------------------------------------------------------------------------


def scored(path: str, *, rows: int = 5000) -> str:
    choose = random.Random(7)
    pick = lambda *values: [choose.choice(values) for _ in range(rows)]  # noqa: E731
    return write(
        path,
        numbered(rows),
        row_group_size=300,
        overall_score=pa.array(pick(None, -1.0, math.nan, 5.5, 6.0, 7.25, 9.0), pa.float64()),
        safety=pa.array(pick(None, -1, 3, 8, 9, 10), pa.int8()),
        pii_leak=pa.array(pick(0, 0, 0, 1), pa.uint8()),
        text=pa.array(pick(None, "7", " 8.5 ", "-1", "n/a", "", "9"), pa.string()),
        flag=pa.array(pick(True, False, None), pa.bool_()),
        f32=pa.array(pick(7.1, 7.2, None), pa.float32()),
        big=pa.array(pick(2**60, 5, None), pa.int64()),
    )


def sql_counts(path: str, rules: list[str], *, keep_missing: bool) -> tuple[int, dict[str, int]]:
    """Kept rows and the first reason of each dropped row, by DuckDB: the independent truth."""
    kept, dropped, alive = 0, {}, "true"
    count = lambda where: duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE {where}").fetchall()[0][0]  # noqa: E731
    for rule in rules:
        column, op, number = rule.split()
        cast = "FLOAT" if column == "f32" else "DOUBLE"
        value = f"try_cast(trim({column}::VARCHAR) AS {cast})"
        if column == "flag":
            value = f"{column}::INT::DOUBLE"
        missing = f"({value} IS NULL OR isnan({value}) OR {value} = -1)"
        holds = f"({value} {op.replace('==', '=')} {number}::{cast})"
        if keep_missing:
            bad = {rule: f"NOT {missing} AND NOT {holds}"}
        else:
            bad = {f"no score: {column}": missing, rule: f"NOT {missing} AND NOT {holds}"}
        for reason, condition in bad.items():
            if n := count(f"{alive} AND {condition}"):
                dropped[reason] = dropped.get(reason, 0) + n
        alive += f" AND ({missing} OR {holds})" if keep_missing else f" AND NOT {missing} AND {holds}"
        kept = count(alive)
    return kept, dropped


RULES = [
    ["overall_score >= 6", "safety >= 8", "pii_leak == 0"],
    ["pii_leak == 0", "overall_score > 6", "overall_score < 9"],
    ["safety != 9", "text >= 8"],
    ["text < 9", "flag == 1", "safety <= 9.5"],
    ["f32 >= 7.1", "f32 != 7.2"],
    ["big >= 5.5"],
    ["safety < 1000", "pii_leak > -5"],
]


@pytest.mark.parametrize("missing_scores", ["drop", "keep"])
@pytest.mark.parametrize("rules", RULES, ids=" & ".join)
def test_counts_are_those_of_duckdb(rules, missing_scores):
    path = scored("x.parquet")
    kept, dropped = sql_counts(path, rules, keep_missing=missing_scores == "keep")
    report = run(files=[path], keep=rules, missing_scores=missing_scores)
    assert (report["kept"], report["dropped"]) == (kept, dropped)
    assert 0 < kept < 5000 or rules == RULES[-1]
    assert bool(report["kept_without_score"]) == (missing_scores == "keep")


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_json_counts_as_parquet_does(ending):
    rows = pq.read_table(scored("x.parquet", rows=3000)).to_pylist()
    texts = [json.dumps(row) for row in rows]
    Path(f"x.{ending}").write_text("\n".join(texts) if ending == "jsonl" else f"[{','.join(texts)}]")
    keep = ["overall_score >= 6", "safety >= 8", "text >= 8", "flag == 1"]
    expected = run(files=["x.parquet"], keep=keep)
    where = everything()
    report = run(files=[f"x.{ending}"], keep=keep)
    assert {**report, "files": 0} == {**expected, "files": 0}
    assert everything() == where


def test_scores_are_written_and_missing_ones_are_null():
    write("x.parquet", numbered(3), safety=[9, -1, None], text=["8", "?", "7.5"], source=["a", None, ""])
    run(files=["x.parquet"], keep=["safety >= 1", "text >= 1"], missing_scores="keep", valid_fraction=0.0)
    assert [dict(row["scores"]) for row in part("train")] == [
        {"safety": 9.0, "text": 8.0},
        {"safety": None, "text": None},
        {"safety": None, "text": 7.5},
    ]
    assert [row["source"] for row in part("train")] == ["a", "x", "x"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("safety >= 8", ("safety", ">=", 8.0)),
        (" overall score<=-.5 ", ("overall score", "<=", -0.5)),
        ("a.b != 1e3", ("a.b", "!=", 1000.0)),
        ("оценка == 7", ("оценка", "==", 7.0)),
    ],
)
def test_rule_forms(text, want):
    rule = Rule.parse(text)
    assert (rule.column, rule.op, rule.number) == want


@pytest.mark.parametrize(
    "text", ["", "safety", "safety = 8", "safety => 8", "8 <= safety", "a >= b", ">= 8", "a >= 8 9", "a > nan"]
)
def test_malformed_rules(text):
    assert text.strip() in refused(2, files=["x.parquet"], keep=[text])
    assert "data.probes" in refused(2, files=["x.parquet"], probes=text or " ")


def test_row_groups_without_a_passing_row_are_never_read():
    """The text of the row groups to be skipped is overwritten with garbage; only a reader that skips them succeeds."""
    turns = [dialogue("q" * 300 + str(i), f"answer {i}") for i in range(1000)]
    write("x.parquet", turns, row_group_size=100, safety=[i // 100 for i in range(1000)], unused=["u" * 99] * 1000)
    metadata = pq.read_metadata("x.parquet")
    raw = bytearray(Path("x.parquet").read_bytes())
    for group in range(metadata.num_row_groups):
        for column in (metadata.row_group(group).column(i) for i in range(metadata.num_columns)):
            needed = column.path_in_schema == "safety" or (group >= 8 and column.path_in_schema != "unused")
            if not needed:
                begin = column.dictionary_page_offset or column.data_page_offset
                raw[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    Path("x.parquet").write_bytes(raw)
    report = run(files=["x.parquet"], keep=["safety >= 8"])
    assert (report["kept"], report["dropped"]) == (200, {"safety >= 8": 800})
    Path("runs/t/data/report.json").unlink()
    with pytest.raises(MinitronError, match="cannot be read"):
        run(files=["x.parquet"], keep=["safety >= 7"])


# --- messages --------------------------------------------------------------------------------------------------------

U, A, S = ({"role": role, "content": role[0]} for role in ("user", "assistant", "system"))
USER, EMPTY_A, EMPTY_S = {**U}, {**A, "content": " \n"}, {**S, "content": ""}


@pytest.mark.parametrize(
    ("turns", "want"),
    [
        ([U, A], [U, A]),
        ([S, U, A, U, A], [S, U, A, U, A]),
        ([EMPTY_S, U, A], [U, A]),
        ([U, A, U], [U, A]),
        ([U, A, {**U, "content": ""}], [U, A]),
        ([{"from": "human", "value": " u\n"}, {"from": "gpt", "value": "a"}], [U, A]),
        ([{"role": " USER ", "content": "u"}, {"role": "Bot", "content": "a", "extra": 1}], [U, A]),
        ([{"role": "user", "content": "u"}, {"role": "teacher", "content": "a"}], [U, A]),
        (json.dumps([U, A]), [U, A]),
        (None, NO_MESSAGES),
        ([], NO_MESSAGES),
        ("not JSON", NO_MESSAGES),
        ("7", NO_MESSAGES),
        (3.5, NO_MESSAGES),
        (["u", "a"], NO_TURN),
        ([{"content": "u"}, A], NO_TURN),
        ([{"role": 1, "content": "u"}, A], NO_TURN),
        ([{"role": "user", "content": [1]}, A], NO_TEXT),
        ([U, {"role": "tool", "content": "a"}], UNKNOWN_ROLE),
        ([A, U, A], NOT_USER_FIRST),
        ([S, A], NOT_USER_FIRST),
        ([U, U, A], NO_ALTERNATION),
        ([U, A, A], NO_ALTERNATION),
        ([U, S, A], LATE_SYSTEM),
        ([S, S, U, A], LATE_SYSTEM),
        ([U], NO_ANSWER),
        ([S], NO_ANSWER),
        ([S, U], NO_ANSWER),
        ([EMPTY_S], NO_ANSWER),
        ([U, EMPTY_A], EMPTY),
        ([{**U, "content": None}, A], EMPTY),
        ([U, {"role": "assistant"}], EMPTY),
    ],
)
def test_mapping(turns, want):
    roles = role_map(DataConfig(roles={"Teacher": "assistant"}))
    assert to_messages(turns, roles=roles, unknown=set()) == want


any_turn = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.sampled_from(["", "a", " b "])}
)


@given(st.lists(any_turn, max_size=6))
def test_messages_are_good_or_a_reason(turns):
    messages = to_messages(turns, roles=role_map(DataConfig()), unknown=set())
    if isinstance(messages, str):
        assert messages.startswith("malformed: ")
        return
    letters = "".join(message["role"][0] for message in messages)
    assert re.fullmatch(r"s?(ua)+", letters)
    assert all(message["content"] in ("a", "b") for message in messages)
    assert to_messages(messages, roles=role_map(DataConfig()), unknown=set()) == messages


@given(st.lists(st.text(max_size=3), min_size=2, max_size=2), st.lists(st.text(max_size=3), min_size=2, max_size=2))
def test_digests_tell_dialogues_apart(one, other):
    assert (digest_of(dialogue(*one)) == digest_of(dialogue(*other))) == (one == other)


def test_digest_is_pinned():
    """Changing it moves dialogues between train and valid of data that people have split already."""
    assert digest_of(dialogue("hi", "привет")).hex() == "9b29eb141aa31dd3352559f0dc999231"


# --- formats ---------------------------------------------------------------------------------------------------------

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


def save(path: str, rows: list[dict]) -> None:
    if path.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.endswith(".jsonl"):
        Path(path).write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    else:
        Path(path).write_text(json.dumps(rows), encoding="utf-8")


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
    assert part("train")[0]["skill"] == "?"


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


# --- duplicates, probes, split ---------------------------------------------------------------------------------------

small_rows = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([None, -1, 5, 9]), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(small_rows, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.3, 0.9]))
def test_every_row_is_counted_once_and_order_does_not_matter(rows, shuffler, fraction):
    """Rows: (which dialogue, its score, whether a probe, whether malformed)."""
    import tempfile

    options = {"keep": ["s >= 6"], "probes": "p == 1", "valid_fraction": fraction}
    reports = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            turns = [dialogue(f"q{which}", "" if bad else "a") for which, _, _, bad in rows]
            write(
                "x.parquet",
                turns,
                row_group_size=7,
                s=pa.array([r[1] for r in rows], pa.int64()),
                p=[int(r[2]) for r in rows],
            )
            probes = {r[0] for r in rows if r[1] == 9 and not r[3] and r[2]}
            others = {r[0] for r in rows if r[1] == 9 and not r[3]} - probes
            if not others:
                refused(files=["x.parquet"], **options)
                os.chdir("/")
                return
            report = run(files=["x.parquet"], **options)
            reports.append((report, everything()))
            os.chdir("/")
        assert report["rows_in"] == len(rows)
        assert report["dropped"].get("no score: s", 0) == sum(r[1] in (None, -1) for r in rows)
        assert report["dropped"].get("s >= 6", 0) == sum(r[1] == 5 for r in rows)
        assert report["dropped"].get(EMPTY, 0) == sum(r[1] == 9 and r[3] for r in rows)
        assert (report["probes"], report["kept"]) == (len(probes), len(probes) + len(others))
        assert report["train"] >= 1
        assert bool(report["valid"]) >= (fraction > 0 and len(others) > 1)
        shuffler.shuffle(rows)
    assert reports[0] == reports[1]


def test_a_probe_is_never_trained_on_wherever_its_copy_stands():
    turns = [*numbered(4), *numbered(2), *numbered(1)]
    write("x.parquet", turns, probe=[0, 0, 0, 0, 1, 0, 1])
    report = run(files=["x.parquet"], probes="probe == 1", valid_fraction=0.0)
    assert [row["messages"] for row in part("probes")] == numbered(1)
    assert [row["messages"] for row in part("train")] == numbered(4)[1:]
    assert report["dropped"] == {"exact duplicate": 3}


def test_split_ignores_the_seed_and_holds_its_share():
    write("x.parquet", numbered(5000))
    report = run(files=["x.parquet"], valid_fraction=0.1)
    assert 420 < report["valid"] < 580
    before = everything()
    write("y.parquet", numbered(6000)[::-1])
    stage.run(Config(name="t", recipe=Path("t.toml"), seed=9, data=DataConfig(files=["y.parquet"], valid_fraction=0.1)))
    after = everything()
    assert {text: after[text] for text in before} == before  # more data moves nothing


@pytest.mark.parametrize(
    ("rows", "fraction", "want"),
    [(1, 0.02, (1, 0)), (2, 0.02, (1, 1)), (2, 0.0, (2, 0)), (1, 1.0, (1, 0)), (5, 1.0, (1, 4))],
)
def test_tiny_data_is_split_sensibly(rows, fraction, want):
    write("x.parquet", numbered(rows))
    report = run(files=["x.parquet"], valid_fraction=fraction)
    assert (report["train"], report["valid"]) == want


def test_output_keeps_the_order_of_the_input_across_row_groups():
    write("x.parquet", numbered(9000), row_group_size=1500)
    run(files=["x.parquet"], valid_fraction=0.0)
    assert [row["messages"] for row in part("train")] == numbered(9000)


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_max_rows_stops_and_still_counts(ending):
    save(f"x.{ending}", [{"messages": turns, "s": i % 2} for i, turns in enumerate(numbered(3000))])
    report = run(files=[f"x.{ending}"], keep=["s == 1"], max_rows=100)
    assert report["kept"] == 100
    assert report["dropped"][stage.BEYOND] > 0
    assert report["rows_in"] <= 3000


def test_skill_and_check_are_copied():
    write("x.parquet", numbered(2), skill=["sum", None], check=["equals 4", ""])
    run(files=["x.parquet"], valid_fraction=0.0)
    assert [(row["skill"], row["check"]) for row in part("train")] == [("sum", "equals 4"), ("", "")]


def test_synth_rows_are_made_in_the_stage_folder(monkeypatch):
    fake = types.ModuleType("minitron.synth")
    fake.write = lambda path, *, rows, seed: write(str(path), numbered(rows), seed=[seed] * rows)
    monkeypatch.setattr(stage, "synth", fake)
    assert run(synth_rows=30, keep=["seed == 1"])["kept"] == 30
    assert Path("runs/t/data/synth.parquet").exists()


# --- what users do wrong ---------------------------------------------------------------------------------------------


def test_errors_of_the_recipe():
    assert "names no data" in refused(2)
    assert "mapped to 'boss'" in refused(2, files=["x.parquet"], roles={"kid": "boss"})


def test_errors_of_files():
    assert "nothing matches no*.parquet" in refused(files=["no*.parquet"])
    Path("x.csv").write_text("a,b")
    assert "x.csv has no known ending" in refused(files=["x.csv"])
    Path("folder").mkdir()
    assert "folder/*.parquet" in refused(files=["folder"])
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
        (b'{"messages": []}\n\n\xff\n', "x.jsonl, line 3, cannot be read"),
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


def test_errors_when_nothing_is_left():
    write("x.parquet", numbered(5), safety=[9, 1, 1, None, 2])
    text = refused(files=["x.parquet"], keep=["safety >= 10"])
    assert text.startswith("no dialogue is left of 5 rows (safety >= 10: 4; no score: safety: 1)")
    assert "are probes" in refused(files=["x.parquet"], probes="safety > -5", keep=["safety > 0"])
    save("x.jsonl", [{"messages": [{**U, "role": "kid"}, A]}])
    assert "map these roles in data.roles: kid" in refused(files=["x.jsonl"])


def test_a_failed_run_leaves_the_earlier_result():
    write("x.parquet", numbered(50))
    run(files=["x.parquet"])
    before = {p.name: p.read_bytes() for p in Path("runs/t/data").iterdir()}
    Path("y.jsonl").write_text("{")
    with pytest.raises(MinitronError):
        run(files=["x.parquet", "y.jsonl"])
    assert {p.name: p.read_bytes() for p in Path("runs/t/data").iterdir()} == before


CHILD = r"""
import re, resource, sys
from pathlib import Path
if limit := int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from minitron.recipe.schema import Config, DataConfig
from minitron.core.errors import MinitronError
from minitron.stages import data
try:
    data.run(Config(name="t", recipe=Path("t.toml"), data=DataConfig(files=[sys.argv[1]], keep=["s >= 1"])))
except MinitronError as error:
    print(error)
else:
    peak = Path("/proc/self/status")  # ru_maxrss would also count the parent, before exec
    print(int(re.search(r"VmHWM:\s+(\d+) kB", peak.read_text())[1]) / 1024 if peak.exists() else "done")
"""


def child(path: str, *, max_file_bytes: int = 0) -> str:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", CHILD, path, str(max_file_bytes)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")


@needs_limits
@pytest.mark.parametrize("limit", [20_000, 300_000])
def test_a_full_disk_leaves_nothing_half_written(limit):
    choose = random.Random(1)
    write("x.parquet", [dialogue(f"{choose.random()}", f"{choose.random()}") for _ in range(20_000)], s=[1] * 20_000)
    assert re.fullmatch(
        r"(the file is larger than allowed|disk I/O error) while writing runs/t/data\S*",
        child("x.parquet", max_file_bytes=limit),
    )
    assert os.listdir("runs/t/data") == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_does_not_grow_with_the_input():
    megabytes = {}
    for rows in (30_000, 300_000):
        columns = {"s": [1] * rows, "unused": ["u" * 200] * rows}
        write("x.parquet", numbered(rows), row_group_size=rows, **columns)  # one row group: the worst case
        megabytes[rows] = float(child("x.parquet"))
    assert megabytes[300_000] - megabytes[30_000] < 60, megabytes


# --- real data -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.exists(), reason="the real data are not here")
@pytest.mark.parametrize(
    ("file", "keep", "want", "dropped"),
    [
        ("qlora_vicuna_scored", ["score_mean >= 7"], 967, {"score_mean >= 7": 1830, "no score: score_mean": 3}),
        ("qlora_vicuna_scored", ["score_mean >= 8"], 432, {"score_mean >= 8": 2365, "no score: score_mean": 3}),
        ("ru_jokes_dialogues", [], 86_205, {"exact duplicate": 1515}),
    ],
)
def test_real_data(file, keep, want, dropped):
    report = run(files=[str(SHARED / f"{file}.parquet")], keep=keep)
    assert (report["kept"], report["dropped"]) == (want, dropped)
    if not keep:
        answered = "CASE WHEN messages[-1].role = 'user' THEN messages[1:len(messages) - 1] ELSE messages END"
        query = f"SELECT count(DISTINCT {answered}) FROM '{SHARED}/{file}.parquet'"
        assert duckdb.sql(query).fetchall()[0][0] == want


def test_only_the_best_judged_rows_are_held_out():
    turns = [[{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a"}] for i in range(400)]
    pq.write_table(pa.table({"messages": pa.array(turns, TURNS), "score": [i % 10 for i in range(400)]}), "r.parquet")
    report = run(files=["r.parquet"], keep=["score >= 2"], valid_fraction=0.3, valid_keep=["score >= 7"])
    scores = {name: [dict(row["scores"])["score"] for row in part(name)] for name in ("train", "valid")}
    assert set(scores["valid"]) == {7, 8, 9}
    assert set(scores["train"]) == {2, 3, 4, 5, 6, 7, 8, 9}
    assert report["kept"] == 320
    assert 20 <= report["valid"] <= 52  # about 0.3 of 120
