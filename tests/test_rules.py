"""Keep-rules: what they keep and count, against DuckDB."""

import json
import math
import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialogues import dialogue, everything, numbered, part, run, write

from minitron.core.errors import MinitronError
from minitron.data import store
from minitron.recipe.data import DataConfig

pytestmark = pytest.mark.usefixtures("in_tmp_path")


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
    """The number of kept rows, and of dropped rows by their first reason, computed independently by DuckDB."""
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


def test_minus_one_is_a_score_where_a_rule_names_a_number_below_zero():
    write("x.parquet", numbered(4), vote=[1, -1, None, 0])
    assert run(files=["x.parquet"], keep=["vote >= -1"])["dropped"] == {"no score: vote": 1}
    assert sorted(dict(row["scores"])["vote"] for row in part("train") + part("valid")) == [-1, 0, 1]
    assert run(files=["x.parquet"], keep=["vote >= 0"])["dropped"] == {"no score: vote": 2}
    assert run(files=["x.parquet"], keep=["vote < 0"])["kept"] == 1
    report = run(files=["x.parquet"], keep=["vote <= 1"], valid_keep=["vote == -1"], valid_fraction=0.5)
    assert report["dropped"] == {"no score: vote": 1}  # one rule that names -1 makes it a score in this column
    assert [dict(row["scores"])["vote"] for row in part("valid")] == [-1]


def test_a_number_of_32_bits_is_the_decimal_that_it_stands_for():
    """7.1 in 32 bits is a little less than 7.1; its mean, its difference and the score that is kept are not."""
    tenths = pa.array([7.1, 7.3, 6.9] * 40, pa.float32())
    write("x.parquet", numbered(120), a=tenths, b=tenths, c=tenths.dictionary_encode(), d=pa.array([7.1] * 120))
    rules = ["mean(a, b) >= 7.1", "c >= 7.1", "max(a, b) == c", "a in [7.1, 7.3]"]
    assert run(files=["x.parquet"], keep=rules)["kept"] == 80
    report = run(files=["x.parquet"], keep=["a >= 6", "a != d or a == 7.1"], valid_keep=["a >= 7.1"])
    well = list(store.well_judged(Path("runs/t/data/train.parquet"), DataConfig(valid_keep=["a >= 7.1"])))
    assert len(well) == 80 - report["valid"]


def test_tenths_that_differ_by_the_most_agree():
    write("x.parquet", numbered(40), a=[7.3, 0.4, 7.1, 8.0] * 10, b=[7.1, 0.1, 7.4, 8.0] * 10)
    assert run(files=["x.parquet"], keep=["agree(a, b, 0.2)"])["kept"] == 20
    assert run(files=["x.parquet"], keep=["agree(a, b, 0.3)"])["kept"] == 40
    assert run(files=["x.parquet"], keep=["agree(a, b, 0)"])["kept"] == 10
