"""The data stage: every row is counted once, and what is kept is what the rules say."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialogues import SHARED, TURNS, A, U, dialogue, everything, numbered, part, refused, run, save, write
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron import synth
from minitron.core.errors import MinitronError
from minitron.data.messages import EMPTY, NO_ANSWER, WEIGHT_0, digest_of
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.stages import data as stage

pytestmark = pytest.mark.usefixtures("in_tmp_path")


small_rows = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([None, -1, 5, 9]), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(small_rows, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.3, 0.9]))
def test_every_row_is_counted_once_and_order_does_not_matter(rows, shuffler, fraction):
    """Each row is (which dialogue, its score, whether it is a probe, whether it is malformed)."""
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
    assert {text: after[text] for text in before} == before  # more data moves no dialogue to another part


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


def test_synth_rows_are_made_in_the_stage_folder():
    Path("runs/t/data").mkdir(parents=True)  # as the pipeline does
    assert run(synth_rows=300, probes="probe == 1")["rows_in"] == 300
    synth.write(Path("want.parquet"), rows=300, seed=1)
    assert Path("runs/t/data/synth.parquet").read_bytes() == Path("want.parquet").read_bytes()


def test_errors_of_the_recipe():
    assert "names no data" in refused(2)
    assert "mapped to 'boss'" in refused(2, files=["x.parquet"], roles={"kid": "boss"})


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
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
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
        r"runs/t/data\S* cannot be written: the file is larger than allowed",
        child("x.parquet", max_file_bytes=limit),
    )
    assert os.listdir("runs/t/data") == []


@pytest.mark.slow  # two processes, one of which reads 300,000 rows
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_does_not_grow_with_the_input():
    megabytes = {}
    for rows in (30_000, 300_000):
        columns = {"s": [1] * rows, "unused": ["u" * 200] * rows}
        write("x.parquet", numbered(rows), row_group_size=rows, **columns)  # one row group: the worst case
        megabytes[rows] = float(child("x.parquet"))
    # 120 bytes for each dialogue are 32 MB; the rest is row groups on their way, which 30,000 rows do not fill
    assert megabytes[300_000] - megabytes[30_000] < 80, megabytes


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


# --- small data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "fraction", "valid"), [(283, 0.02, 20), (100, 0.02, 10), (30, 0.02, 3), (5, 0.2, 1)])
def test_held_out_are_twenty_or_a_tenth_at_least(rows, fraction, valid, capfd):
    write("x.parquet", numbered(rows))
    report = run(files=["x.parquet"], valid_fraction=fraction)
    assert report["valid"] >= valid
    digests = [digest_of(row["messages"]) for row in part("valid")]
    assert max(digests) < min(digest_of(row["messages"]) for row in part("train"))  # the next by digest
    by_share = sum(int.from_bytes(d[:8], "big") / 2**64 < fraction for d in digests)
    said = capfd.readouterr().err
    assert ("dialogues held out: " in said) == (by_share < report["valid"])
    assert [row["messages"] for row in part("train")] == [m for m in numbered(rows) if digest_of(m) not in digests]


def test_what_is_not_judged_well_enough_is_not_held_out_however_small_the_data():
    write("x.parquet", numbered(50), score=[9, *[5] * 49])
    assert "judged well enough to be held out | make data.valid_keep less strict" in (
        refused(files=["x.parquet"], valid_keep=["score >= 10"])
    )
    report = run(files=["x.parquet"], valid_keep=["score >= 9"])
    assert (report["train"], report["valid"]) == (49, 1)


# --- what would only show later, or never ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "want"),
    [
        ([{**U, "content": [{"type": "image"}]}, A], "parts of text"),
        ([A, U, A], "a dialogue begins with the user"),
        ([U, A, A], "take turns"),
        ([U, {**A, "content": ""}], "empty texts"),
        ([U, {**A, "weight": 0}], "weight 0"),
    ],
)
def test_where_nothing_is_left_the_hint_is_about_the_reason(turns, want):
    save("x.jsonl", [{"messages": turns}] * 3)
    hint = refused(files=["x.jsonl"]).split(" | ")[1]
    assert re.search(want, hint)
    assert "data.keep" not in hint


def test_answers_with_weight_0_are_left_out_and_counted():
    save("x.jsonl", [{"messages": [U, {**A, "weight": 0}]}, {"messages": dialogue("q", "a")}])
    assert run(files=["x.jsonl"])["dropped"] == {WEIGHT_0: 1}


def test_a_probe_s_check_is_tried_before_training():
    save("x.jsonl", [{"messages": [U, A], "p": 1, "check": "fine"}, {"messages": dialogue("q", "a"), "p": 0}])
    assert "the check 'fine' is not JSON" in refused(files=["x.jsonl"], probes="p == 1")
    assert run(files=["x.jsonl"])["kept"] == 2  # without probes, checks are not read


def test_a_probe_without_an_answer_is_called_so():
    save("x.jsonl", [{"messages": [U], "p": 1}, {"messages": [U], "p": 0}, {"messages": [U, A], "p": 0}])
    assert run(files=["x.jsonl"], probes="p == 1")["dropped"] == {stage.UNANSWERED: 1, NO_ANSWER: 1}


def test_line_ends_of_windows_are_no_text():
    save("x.jsonl", [{"messages": dialogue("list\r\nit", "one\r\ntwo")}])
    run(files=["x.jsonl"])
    assert part("train")[0]["messages"] == dialogue("list\nit", "one\ntwo")


def test_a_source_of_which_nothing_is_kept_is_named(capfd):
    """For example one's own dialogues, which nobody judged, among judged ones."""
    write("judged.parquet", numbered(50), score=[9] * 50)
    save("mine.jsonl", [{"messages": turns} for turns in numbered(30)])
    save("bad.jsonl", [{"messages": [A], "score": 9}])
    report = run(files=["judged.parquet", "mine.jsonl", "bad.jsonl"], keep=["score >= 5"])
    assert report["all_dropped"] == [
        {"path": "mine.jsonl", "rows": 30, "reason": "no score: score"},
        {"path": "bad.jsonl", "rows": 1, "reason": "malformed: the user does not begin"},
    ]
    assert "not one of the 30 rows of mine.jsonl is kept; mostly: no score: score" in capfd.readouterr().err
    assert run(files=["judged.parquet", "judged.parquet"])["all_dropped"] == []
