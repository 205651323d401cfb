"""Checking whole columns of turns gives the same as checking row by row; so does reading large files in parts."""

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialogues import TURNS, dialogue, everything, numbered, part, refused, run, write
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.data import checked, columns
from minitron.data.formats import open_source, parquet
from minitron.data.messages import digest_of, role_map, to_messages
from minitron.recipe.data import DataConfig
from minitron.stages import data as stage

pytestmark = pytest.mark.usefixtures("in_tmp_path")

ROLES = role_map(DataConfig())
BLANK = [chr(c) for c in range(0x3001) if chr(c).isspace()]
letters = st.one_of(
    st.sampled_from([*BLANK, *'"\\\0\x1b\x7f\x85\u200b\ufeffaяé日😀']),
    st.characters(exclude_categories=["Cs"]),
)
content = st.one_of(
    st.none(), st.text(letters, max_size=6), st.sampled_from(["  def f():\n    return 1\n", "a\r\nb", "x"])
)
role = st.sampled_from(["user", "assistant"] * 5 + ["system", "User", " human ", "tool", "", None])
turn = st.one_of(st.none(), st.fixed_dictionaries({"role": role, "content": content}))
good = st.lists(st.text(letters, min_size=1, max_size=8), min_size=2, max_size=6).map(lambda texts: dialogue(*texts))
tables = st.lists(st.one_of(good, good, st.none(), st.lists(turn, max_size=5)), max_size=12)


def check_like_rows(turns: pa.Array) -> int:
    """Compares a column's check with `to_messages` row by row; returns how many rows the column's check found sound."""
    sound, messages = columns.check(turns, roles=ROLES)
    whole = messages.to_pylist()
    assert [digest_of(found) for found in whole] == columns.digests_of(messages)
    at = 0
    for row, value in enumerate(turns.to_pylist()):
        if sound[row]:
            assert whole[at] == to_messages(value, roles=ROLES, unknown=set())
            at += 1
    assert at == len(whole)
    return at


@settings(max_examples=200, deadline=None)
@given(tables, st.booleans(), st.integers(0, 3))
def test_what_is_sound_at_once_is_what_rows_give(rows, large, skipped):
    kind = pa.struct([("role", pa.string()), ("content", pa.large_string() if large else pa.string())])
    turns = pa.array(rows, pa.large_list(kind) if large else pa.list_(kind))
    check_like_rows(turns)
    check_like_rows(turns.slice(skipped))


def test_ordinary_dialogues_are_sound_at_once():
    rows = numbered(500) + [dialogue(" blank ", "line\r\nends"), [{"role": "system", "content": "s"}, *numbered(1)[0]]]
    assert check_like_rows(pa.array(rows, TURNS)) == 502
    shared = [[{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]] * 3
    assert check_like_rows(pa.array(shared)) == 3


@pytest.mark.parametrize(
    "turns",
    [
        [[{"role": "user", "content": "q", "weight": 1}, {"role": "assistant", "content": "a", "weight": 0}]],
        [[{"role": "user", "content": "q", "text": "?"}]],
        [[{"role": "user", "content": ["q"]}]],
        [["q", "a"]],
        ["Human: q"],
        [1],
    ],
)
def test_other_shapes_are_left_to_the_rows(turns):
    sound, messages = columns.check(pa.array(turns), roles=ROLES)
    assert not sound.any()
    assert len(messages) == 0


def in_one_piece(*, files: list[str], **options) -> dict[str, str]:
    """Runs the stage; returns the SHA-256 of each Parquet file that it writes."""
    run(files=files, **options)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(Path("runs/t/data").glob("*.parquet"))}


def test_threads_and_cuts_into_files_change_no_byte(monkeypatch):
    """6,000 rows with duplicates, missing scores and bad dialogues: in one file, read by this thread; in three, read by two threads."""
    turns = [dialogue(f"q {i % 5000}", "" if i % 7 == 0 else f" {i % 5000}") for i in range(6000)]
    more = {"s": [None if i % 5 == 0 else i % 10 for i in range(6000)], "p": [i % 50 == 3 for i in range(6000)]}
    write("all.parquet", turns, row_group_size=900, source=["book"] * 6000, **more)
    options = {"keep": ["s >= 2"], "probes": "p == 1", "valid_fraction": 0.1, "valid_keep": ["s >= 5"]}
    want, found = in_one_piece(files=["all.parquet"], **options), everything()
    table = pq.read_table("all.parquet")
    for i, (start, end) in enumerate([(0, 100), (100, 4000), (4000, 6000)]):
        pq.write_table(table.slice(start, end - start), f"part{i}.parquet", row_group_size=500)
    assert in_one_piece(files=["part*.parquet"], **options) == want
    monkeypatch.setattr(stage, "LEAST_BYTES", 0)
    monkeypatch.setattr(parquet, "PART_BYTES", 1)
    assert in_one_piece(files=["part*.parquet"], workers=2, **options) == want
    assert everything() == found
    assert set(found.values()) == {"train", "valid", "probes"}


def test_what_another_thread_meets_is_told_as_here(monkeypatch):
    write("x.parquet", numbered(100), row_group_size=10, s=[1] * 100)
    raw = bytearray(Path("x.parquet").read_bytes())
    column = pq.read_metadata("x.parquet").row_group(7).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    raw[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    Path("x.parquet").write_bytes(raw)
    here = refused(files=["x.parquet"], keep=["s >= 1"])
    assert "x.parquet cannot be read" in here
    monkeypatch.setattr(stage, "LEAST_BYTES", 0)
    monkeypatch.setattr(parquet, "PART_BYTES", 1)
    assert refused(files=["x.parquet"], keep=["s >= 1"], workers=2) == here
    assert not list(Path("runs/t/data").glob(".*"))


def test_what_threads_would_read_is_judged_as_here(monkeypatch):
    """A file without rows may have any columns, as empty files of pandas have; one that has a column twice is refused."""
    write("a.parquet", numbered(40))
    pq.write_table(pa.table({"other": pa.array([], pa.int64())}), "b.parquet")
    messages = pa.array(numbered(3), TURNS)
    pq.write_table(pa.Table.from_arrays([messages, messages], names=["messages", "messages"]), "twice.parquet")
    for _ in range(2):
        assert "has the column 'messages' twice" in refused(files=["twice.parquet"], workers=2)
        assert run(files=["a.parquet", "b.parquet"], workers=2)["kept"] == 40
        shutil.rmtree("runs")
        monkeypatch.setattr(stage, "LEAST_BYTES", 0)


def test_threads_leave_a_row_group_that_memory_cannot_hold_to_processes(monkeypatch):
    """What threads read stays in memory, but a file of several gigabytes may be one row group."""
    write("x.parquet", numbered(1000), row_group_size=500)
    largest = max(pq.read_metadata("x.parquet").row_group(i).total_byte_size for i in range(2))
    for most, threads in ((largest, True), (largest - 1, False)):
        monkeypatch.setattr(checked, "MOST_GATHERED", most)
        assert checked.by_columns(open_source(Path("x.parquet")), DataConfig()) is threads


def test_text_that_is_not_utf8_is_refused():
    texts = pa.array([b"q", b"\xff\xfe"], pa.binary()).view(pa.string())
    struct = pa.StructArray.from_arrays([pa.array(["user", "assistant"]), texts], ["role", "content"])
    pq.write_table(pa.table({"messages": pa.ListArray.from_arrays([0, 2], struct)}), "x.parquet")
    assert "x.parquet is not UTF-8 text" in refused(files=["x.parquet"])


def test_a_source_s_own_name_stands_where_a_row_names_none():
    write("x.parquet", numbered(3), source=["a", None, ""], skill=[1, None, 2])
    run(files=["x.parquet"], valid_fraction=0.0)
    assert [(row["source"], row["skill"]) for row in part("train")] == [("a", "1"), ("x", ""), ("x", "2")]
