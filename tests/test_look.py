"""`minitron look`: what is kept and dropped, shown as text, on a page, and in a terminal."""

import json
import math
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import minitron
from dialogues import A, U, dialogue, save
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.curate import look
from minitron.curate.figures import BINS, covered, histogram, quantiles, script_of
from minitron.curate.traced import DUPLICATE, trace
from minitron.recipe.load import recipe_of
from minitron.recipe.schema import Config, TokenizerConfig
from minitron.recipe.write import dump_recipe
from minitron.stages import data as stage
from minitron.tokenizer import chat_template, kinds

pytestmark = pytest.mark.usefixtures("in_tmp_path")

ROWS = [{"messages": dialogue(f"question {i}", f"answer {i}"), "s": i % 10} for i in range(50)]
ODD = [
    {"messages": dialogue("question 9", "answer 9"), "s": 9},
    {"messages": dialogue("no score", "x"), "s": None},
    {"messages": [{**U, "role": "kid"}, A], "s": 9},
    {"messages": dialogue("steer \x1b[31m", "привет"), "s": 9},
]


def config(**data):
    return recipe_of({"data": {"files": ["x.jsonl"], "keep": ["s >= 5"], **data}}, Path("t.toml"))


def shown(capsys, recipe=None, **options) -> str:
    look.run(recipe or config(), rows=1000, **options)
    return capsys.readouterr().out


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_each_row_has_the_reason_that_the_data_stage_counts(ending):
    save(f"x.{ending}", [*ROWS, *ODD])
    recipe = config(files=[f"x.{ending}"])
    stage.run(recipe)
    report = json.loads(Path("runs/t/data/report.json").read_text())
    found = list(trace(recipe, rows=1000))
    reasons = [row.reason for row in found]
    assert {reason: reasons.count(reason) for reason in set(reasons)} == report["dropped"] | {"": report["kept"]}
    row = next(row for row in found if row.messages == dialogue("no score", "x"))
    assert (row.reason, row.scores, row.source) == ("no score: s", {"s": None}, "x")
    (copy,) = [row for row in found if row.reason == DUPLICATE]
    assert copy.messages == dialogue("question 9", "answer 9")
    (odd,) = [row for row in found if row.messages is None]
    assert "kid" in odd.raw


def test_a_row_is_judged_as_the_data_stage_judges_it():
    """0.1 in 32 bits is another number than 0.1, and a map is not an object."""
    rows = [dialogue(f"q{i}", f"a{i}") for i in range(30)]
    scores = pa.array([{"tone": i % 3} for i in range(30)], pa.map_(pa.string(), pa.int8()))
    pq.write_table(pa.table({"messages": rows, "s": pa.array([7.1] * 30, pa.float32()), "m": scores}), "x.parquet")
    recipe = config(files=["x.parquet"], keep=["s >= 7.1", "m.tone >= 1"])
    stage.run(recipe)
    report = json.loads(Path("runs/t/data/report.json").read_text())
    assert report["kept"] == 20
    reasons = [row.reason for row in trace(recipe, rows=1000)]
    assert {reason: reasons.count(reason) for reason in set(reasons)} == report["dropped"] | {"": 20}


def test_rows_of_all_sources_are_looked_at():
    save("x.jsonl", ROWS)
    save("y.jsonl", [{"messages": dialogue(f"other {i}", "x"), "s": 9} for i in range(50)])
    found = list(trace(config(files=["x.jsonl", "y.jsonl"]), rows=20))
    assert [row.source for row in found].count("x") == [row.source for row in found].count("y") == 10


def test_what_is_shown(capsys):
    save("x.jsonl", [ODD[3], *ROWS, *ODD[:3]])
    said = shown(capsys)
    assert said.startswith("t.toml: 54 rows looked at, 26 of them stay\n")
    assert "What became of these rows (the data stage has not run with these settings)" in said
    for reason, rows in (("s >= 5", 25), ("malformed: unknown role", 1), (DUPLICATE, 1), ("no score: s", 1)):
        assert any(line.split() == [*reason.split(), str(rows), f"{rows / 54:.1%}"] for line in said.splitlines()), (
            reason
        )
        assert f"\n{reason}: what goes, and what stays\n" in said
    assert "\ns, which 1 rows lack\n" in said
    assert any(line.split()[:1] == ["9"] and line.split()[-2:] == ["8", "6"] for line in said.splitlines())
    assert "- x s 0" in said
    assert "+ x s 5" in said
    assert "Latin" in said
    assert "\x1b" not in said
    assert "steer \ufffd[31m" in said
    assert "tokens" not in said  # there is no tokenizer yet


def test_with_a_tokenizer_it_shows_ids_and_what_is_learned(capsys):
    save("x.jsonl", [{"messages": dialogue("abc", "cab"), "s": 9}, {"messages": dialogue("abc" * 30, "b"), "s": 9}])
    recipe = recipe_of({"data": {"files": ["x.jsonl"]}, "model": {"context": 16}}, Path("t.toml"))
    recipe.layout.tokenizer.parent.mkdir(parents=True)
    recipe.layout.tokenizer.write_bytes(kinds.train(["abc cab"], config=TokenizerConfig(kind="char"), seed=1))
    tokenizer = kinds.load(recipe.layout.tokenizer)
    said = shown(capsys, recipe)
    ids, mask = chat_template.encode_dialogue(dialogue("abc", "cab"), tokenizer)
    assert f"A dialogue as {len(ids)} tokens, of which the {sum(mask)} in ⟦ ⟧ are learned" in said
    assert "<|user|>│a│b│c│<|end|>│<|assistant|>│⟦c│a│b│<|end|>⟧" in said
    learned = said.split("⟦")[-1].split("⟧")[0]
    assert [int(word) for word in learned.split()] == [i for i, answer in zip(ids, mask, strict=True) if answer]
    assert any(line.split() == ["16", "(model.context)", "1", "0", "1", "50.0%"] for line in said.splitlines())


def test_a_context_covers_what_sft_would_train_on():
    tokenizer_file = Path("tokenizer.model")
    tokenizer_file.write_bytes(kinds.train(["abc"], config=TokenizerConfig(kind="char"), seed=1))
    tokenizer = kinds.load(tokenizer_file)
    long = [dialogue("a", "b"), dialogue("a", "b", "c" * 20, "a"), dialogue("a" * 50, "b")]
    (found,) = covered(long, tokenizer, contexts=[16])
    assert (found.whole, found.shortened, found.left_out) == (1, 1, 1)


def test_a_judge_that_could_not_tell_gave_no_score(capsys):
    save("x.jsonl", [*ROWS[5:10], {"messages": dialogue("minus", "one"), "s": -1}])
    recipe = config()
    assert [row.scores["s"] for row in trace(recipe, rows=1000)] == [5, 6, 7, 8, 9, None]
    assert "\ns, which 1 rows lack\n" in shown(capsys, recipe)
    assert [row.scores["s"] for row in trace(config(keep=["s >= -1"]), rows=1000)] == [5, 6, 7, 8, 9, -1]


def test_the_report_of_the_data_stage_counts_all_rows(capsys):
    save("x.jsonl", [*ROWS, *ODD])
    recipe = config()
    stage.run(recipe)
    assert "has not run" in shown(capsys, recipe)  # the stage itself writes no config.toml
    Path("runs/t/data/config.toml").write_text(dump_recipe(recipe))
    assert "What became of all 54 rows (the data stage's report)" in shown(capsys, recipe)
    assert "has not run" in shown(capsys, config(keep=["s >= 6"]))


def test_a_page(capsys):
    save("x.jsonl", [{"messages": dialogue("<script>", "b"), "s": 9}, *ROWS])
    shown(capsys, html=Path("look.html"))
    page = Path("look.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_errors():
    with pytest.raises(MinitronError, match="names no dialogues"):
        look.run(recipe_of({}, Path("t.toml")), rows=10)
    Path("x.jsonl").write_text("")
    with pytest.raises(MinitronError, match="there are no rows in the data"):
        look.run(config(), rows=10)


def test_built_in_dialogues_need_no_data_stage(capsys):
    recipe = recipe_of({"data": {"synth_rows": 1000, "keep": ["overall_score >= 6"]}}, Path("t.toml"))
    look.run(recipe, rows=100)
    assert capsys.readouterr().out.startswith("t.toml: 100 rows looked at")


def test_built_in_dialogues_are_those_of_the_recipe_as_it_is_now(capsys):
    """The data stage has run, and then somebody gave the person another name."""

    def named(name: str) -> Config:
        return recipe_of({"data": {"synth_rows": 600, "persona": {"name": name, "languages": ["en"]}}}, Path("t.toml"))

    stage.run(named("Bruno"))
    Path("runs/t/data/config.toml").write_text(dump_recipe(named("Bruno")))
    for name in ("Bruno", "Carla"):
        told = {
            word
            for row in trace(named(name), rows=600)
            for message in row.messages
            for word in message["content"].split()
        }
        assert {word.strip(".,!?") for word in told} & {"Bruno", "Carla"} == {name}


def test_the_command_in_a_pipe():
    save("x.jsonl", ROWS)
    Path("t.toml").write_text('[data]\nfiles = ["x.jsonl"]\nkeep = ["s >= 5"]\n')
    done = minitron("look", "t.toml")
    assert (done.returncode, "50 rows looked at, 25 of them stay" in done.stdout) == (0, True), done.stderr
    done = minitron("look", "t.toml", "data.keep=['t > 1']")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no column 't'" in done.stderr


def test_in_a_terminal_it_has_colours_and_a_pager():
    pexpect = pytest.importorskip("pexpect")
    save("x.jsonl", ROWS)
    Path("t.toml").write_text('[data]\nfiles = ["x.jsonl"]\nkeep = ["s >= 5"]\n')
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {
        "TERM": "xterm-256color",
        "PAGER": "sed s/rows/LINES/",
    }
    env |= {"PYTHONPATH": str(Path(__file__).parents[1])}
    child = pexpect.spawn(sys.executable, ["-m", "minitron", "look", "t.toml"], env=env, encoding="utf-8", timeout=250)
    said = child.read()
    child.close()
    assert child.exitstatus == 0
    assert "50 LINES looked at" in said
    assert "\x1b[" in said


# --- figures ---------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1e9, 1e9) | st.integers(0, 12).map(float), st.booleans())))
def test_a_histogram_counts_all(scores):
    bins = histogram([*scores, (math.inf, True), (-math.inf, False)])
    assert sum(one.count for one in bins) == len(scores)
    assert sum(one.kept for one in bins) == sum(kept for _, kept in scores)
    assert len(bins) <= BINS + 1
    assert all(one.count == 0 or one.low <= one.high for one in bins)


def test_bins_begin_where_people_count():
    assert [one.count for one in histogram([(i / 10, True) for i in range(11)])] == [1] * 11  # 0.3 / 0.1 is less than 3
    bins = histogram([(i / 2, True) for i in range(1, 21)])  # 0.5 to 10
    assert [(one.low, one.count) for one in bins] == [(0, 1), *((i, 2) for i in range(1, 10)), (10, 1)]


def test_figures():
    assert [(one.low, one.count, one.kept) for one in histogram([(1.0, True), (2.0, False), (1.0, False)])] == [
        (1, 2, 1),
        (2, 1, 0),
    ]
    assert quantiles(list(range(100))) == [5, 50, 95, 99]
    assert script_of(dialogue("привет, world", "как дела")) == "Cyrillic"
    assert script_of(dialogue("12", "34")) == "no letters"
