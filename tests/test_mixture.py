"""Mixtures of sources, and an order that does not depend on how the input came."""

import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialogues import TURNS, dialogue, everything, numbered, part, save, write

from minitron.core.errors import MinitronError
from minitron.curate.traced import trace
from minitron.data import buckets, store
from minitron.data.shuffled import scrambled
from minitron.plan import corpus_stats
from minitron.recipe.load import recipe_of
from minitron.recipe.write import dump_recipe
from minitron.stages import data as stage
from minitron.stages.declared import STAGES

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def recipe(seed: int = 1, **data):
    return recipe_of({"seed": seed, "data": data}, Path("t.toml"))


def mixed(*sources: dict, seed: int = 1, **data) -> dict:
    """Runs the stage on a mixture; returns its report after checking that the counts add up."""
    return run(seed=seed, source=list(sources), **data)


def run(seed: int = 1, **data) -> dict:
    Path("runs/t/data").mkdir(parents=True, exist_ok=True)
    stage.run(recipe(seed, **data))
    report = json.loads(Path("runs/t/data/report.json").read_text())
    assert report["rows_in"] == report["kept"] + sum(report["dropped"].values())
    assert [len(part(name)) for name in store.PARTS] == [report[name] for name in store.PARTS]
    assert report["train"] == sum(one["written"] for one in report["sources"])
    assert report["kept"] == sum(one[name] for one in report["sources"] for name in store.PARTS)
    assert not list(Path("runs/t/data").glob(".*"))
    return report


def hashes() -> list[str]:
    paths = [Path(f"runs/t/data/{name}.parquet") for name in store.PARTS]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def texts(name: str) -> list[str]:
    return [row["messages"][0]["content"] for row in part(name)]


def about(report: dict, name: str) -> dict:
    return next(one for one in report["sources"] if one["name"] == name)


# --- the order -------------------------------------------------------------------------------------------------------


def rows_to_shuffle() -> dict[str, list]:
    """Dialogues, some of them equal but with different values in the columns that are kept beside them."""
    choose = random.Random(3)
    turns = numbered(700) + [turn for turn in numbered(90) for _ in range(2)]
    return {
        "messages": turns,
        "source": [choose.choice("abc") for _ in turns],
        "skill": [choose.choice(["", "sum", None]) for _ in turns],
        "s": [choose.choice([6.0, 7.0, 9.0, None, -1.0]) for _ in turns],
        "p": [int(choose.random() < 0.05) for _ in turns],
    }


def save_cut(columns: dict[str, list], order: list[int], cuts: int) -> list[str]:
    """Writes the rows in the given order, cut into so many files."""
    table = pa.table(columns | {"messages": pa.array(columns["messages"], TURNS)}).take(order)
    for old in Path().glob("part-*"):
        old.unlink()
    bounds = [len(table) * i // cuts for i in range(cuts + 1)]
    for i, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        pq.write_table(table.slice(start, end - start), f"part-{i}.parquet", row_group_size=50 + 7 * cuts)
    return [f"part-{i}.parquet" for i in range(cuts)]


@pytest.mark.parametrize("held_bytes", [buckets.HELD_BYTES, 20_000])
def test_neither_order_nor_cut_nor_workers_make_a_difference(held_bytes, monkeypatch):
    monkeypatch.setattr(buckets, "HELD_BYTES", held_bytes)
    columns, found = rows_to_shuffle(), {}
    rules = {"keep": ["s >= 6"], "probes": "p == 1", "valid_keep": ["s >= 7"], "valid_fraction": 0.1}
    order = list(range(len(columns["messages"])))
    for cuts, workers in ((1, 1), (3, 1), (4, 2)):
        if workers > 1:
            monkeypatch.setattr(stage, "LEAST_BYTES", 0)
        files = save_cut(columns, order, cuts)
        report = run(files=files[::-1], order="hash", workers=workers, **rules)
        found[cuts, workers] = (hashes(), report["dropped"], report["kept"])
        random.Random(cuts).shuffle(order)
    assert len({json.dumps(value) for value in found.values()}) == 1, found
    assert report["kept"] > 400
    assert report["probes"] > 20
    by_hash = everything()
    stage.run(recipe(files=files, **rules))
    assert everything().keys() == by_hash.keys()
    copied = {json.dumps(turns) for turns in numbered(90)}  # of these, a copy with other scores may come first
    assert {text for text, where in everything().items() if by_hash[text] != where} <= copied


def test_the_order_is_by_the_seed_and_nothing_else_is():
    write("x.parquet", numbered(400))
    run(files=["x.parquet"], order="hash")
    first, where = texts("train"), everything()
    run(files=["x.parquet"], order="hash", seed=2)
    assert texts("train") != first
    assert everything() == where
    assert first != sorted(first)
    assert set(first) | set(texts("valid")) == {f"question {i}" for i in range(400)}


def test_of_all_that_are_wanted_any_may_be_among_the_first():
    write("x.parquet", numbered(1000))
    report = run(files=["x.parquet"], order="hash", max_rows=100)
    assert (report["kept"], report["dropped"]) == (100, {stage.BEYOND: 900})
    numbers = [int(text.split()[1]) for text in texts("train")]
    assert max(numbers) > 800
    assert 350 < np.mean(numbers) < 650


def test_scrambling_is_one_to_one_and_as_published():
    """The first outputs of SplitMix64 with seed 0 (Vigna's splitmix64.c)."""
    assert [int(scrambled(0, seed=i)) for i in range(2)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert len(np.unique(scrambled(np.arange(10_000), seed=3))) == 10_000


# --- mixtures --------------------------------------------------------------------------------------------------------


def save_two() -> None:
    """200 judged dialogues, of which 160 are good, and 30 of one's own without any score."""
    write("judged.parquet", [dialogue(f"judged {i}", "a") for i in range(200)], score=[i % 5 + 5 for i in range(200)])
    save("mine.jsonl", [{"messages": dialogue(f"mine {i}", "b")} for i in range(30)])


JUDGED = {"files": ["judged.parquet"], "keep": ["score >= 6"]}
MINE = {"files": ["mine.jsonl"]}


def test_a_source_without_scores_needs_none():
    save_two()
    report = mixed(MINE, JUDGED)
    assert about(report, "mine") == {
        "rows_in": 30,
        "name": "mine",
        "train": 27,
        "valid": 3,  # a tenth of each source, however little it is beside the others
        "probes": 0,
        "written": 27,
    }
    judged = about(report, "judged")
    assert (judged["rows_in"], judged["train"] + judged["valid"], judged["valid"]) == (200, 160, 16)
    assert report["dropped"] == {"score >= 6": 40}
    assert Counter(row["source"] for row in part("train")) == {"mine": 27, "judged": 144}
    assert [dict(row["scores"]) for row in part("train") if row["source"] == "mine"] == [{}] * 27


def test_repeats_stand_among_the_others():
    save_two()
    report = mixed({**MINE, "repeats": 3.5}, JUDGED)
    counts = Counter(texts("train"))
    mine = [count for text, count in counts.items() if text.startswith("mine")]
    assert set(mine) == {3, 4}
    assert sum(mine) == about(report, "mine")["written"]
    assert 3 * 27 < sum(mine) < 4 * 27
    assert all(count == 1 for text, count in counts.items() if text.startswith("judged"))
    assert max(Counter(texts("valid")).values()) == 1
    thirds = np.array_split([text.startswith("mine") for text in texts("train")], 3)
    assert all(0.2 < third.mean() < 0.6 for third in thirds), thirds
    again = texts("train")
    mixed({**MINE, "repeats": 3.5}, JUDGED)
    assert texts("train") == again


def test_weights_are_shares_and_nothing_is_thrown_away():
    save_two()
    report = mixed({**MINE, "weight": 1.0}, {**JUDGED, "weight": 3.0})
    mine, judged = about(report, "mine"), about(report, "judged")
    assert judged["written"] == judged["train"] == 144
    assert mine["written"] / report["train"] == pytest.approx(0.25, abs=0.04)
    report = mixed({**MINE, "weight": 1.0}, {**JUDGED, "weight": 20.0})  # now mine has most rows for its weight
    mine, judged = about(report, "mine"), about(report, "judged")
    assert mine["written"] == mine["train"] == 27
    assert judged["written"] / 27 == pytest.approx(20, abs=1.5)


def test_a_cap_takes_any_of_a_source_and_leaves_its_probes():
    save("x.jsonl", [{"messages": turns, "p": int(i < 5)} for i, turns in enumerate(numbered(300))])
    report = mixed({"files": ["x.jsonl"], "cap": 60, "probes": "p == 1"}, {"files": ["x.jsonl"], "name": "again"})
    assert (about(report, "x")["train"] + about(report, "x")["valid"], about(report, "x")["probes"]) == (60, 5)
    assert report["dropped"] == {"exact duplicate": 300, "not needed: the cap of x": 235}
    assert max(int(text.split()[1]) for text in texts("train")) > 200


def test_of_equal_dialogues_the_first_named_source_keeps_its_own():
    save_two()
    save("both.jsonl", [{"messages": dialogue(f"mine {i}", "b")} for i in range(10)])
    assert about(mixed(MINE, {"files": ["both.jsonl"]}), "mine")["train"] == 27
    report = mixed({"files": ["both.jsonl"]}, MINE)
    assert about(report, "both")["train"] + about(report, "both")["valid"] == 10
    assert report["dropped"] == {"exact duplicate": 10}


def test_a_source_of_which_nothing_is_kept_is_named(capfd):
    save_two()
    save("bad.jsonl", [{"messages": dialogue(f"mine {i}", "b"), "score": 1} for i in range(3)])
    mixed(MINE, {"files": ["bad.jsonl"], "keep": ["score >= 5"]}, JUDGED)
    said = capfd.readouterr().err
    assert "nothing of the source 'bad' is kept, of 3 rows" in said
    assert "not one of the 3 rows of bad.jsonl is kept; mostly: score >= 5" in said
    assert "source 'mine': 30 of 30 rows are kept; 27 to train on, 15.8% of all; 3 held out, 0 probes" in said


def test_the_built_in_dialogues_are_a_source():
    save_two()
    builtin = {"builtin": 300, "keep": ["overall_score >= 6"], "probes": "probe == 1"}
    report = mixed({**MINE, "repeats": 4}, builtin, seed=5)
    assert about(report, "built-in")["rows_in"] == 300
    assert about(report, "built-in")["probes"] > 0
    assert about(report, "mine")["written"] == 4 * 27
    assert {row["source"] for row in part("train")} == {"mine", "built-in"}


def test_what_is_held_out_is_well_judged_by_the_rules_of_its_source():
    save_two()
    config = recipe(source=[MINE, {**JUDGED, "valid_keep": ["score >= 9"]}])
    stage.run(config)
    scores = {dict(row["scores"]).get("score") for row in part("valid")}
    assert scores == {None, 9.0}
    train = config.layout.dialogues("train")
    rows = list(store.well_judged(train, config.data))
    well = [row["messages"][0]["content"] for row in store.read(train, only=rows)]
    want = [r["messages"][0]["content"] for r in part("train") if dict(r["scores"]).get("score", 9) == 9]
    assert well == want
    assert any(text.startswith("mine") for text in well)
    assert any(text.startswith("judged") for text in well)


def test_how_sources_are_read_is_as_data_says_unless_they_say_otherwise():
    save("a.jsonl", [{"talk": [{"role": "teacher", "content": "q"}, {"role": "kid", "content": "a"}]}])
    save("b.jsonl", [{"chat": [{"role": "teacher", "content": "r"}, {"role": "kid", "content": "a"}]}])
    roles = {"teacher": "user", "kid": "assistant"}
    report = mixed({"files": ["a.jsonl"]}, {"files": ["b.jsonl"], "column": "chat"}, column="talk", roles=roles)
    assert report["kept"] == 2


def test_the_recipe_is_written_whole_and_read_back():
    save_two()
    config = recipe(source=[{**MINE, "weight": 1.0}, {**JUDGED, "weight": 2.0}], missing_scores="keep")
    Path("back.toml").write_text(dump_recipe(config))
    again = recipe_of(__import__("tomllib").loads(Path("back.toml").read_text()), Path("t.toml"))
    assert again.data == config.data
    assert again.data.source[0].missing_scores == "keep"


def test_files_of_sources_are_declared():
    save_two()
    assert STAGES[0].reads(recipe(source=[MINE, JUDGED])) == [Path("mine.jsonl"), Path("judged.parquet")]


@pytest.mark.parametrize(
    ("data", "want"),
    [
        ({"source": [MINE], "keep": ["s > 1"]}, "data.keep belongs in a [[data.source]]"),
        ({"source": [MINE], "files": ["x"]}, "data.files belongs in a [[data.source]]"),
        ({"source": [{}]}, "data.source[0] needs one of builtin, files and hub"),
        ({"source": [{**MINE, "builtin": 5}]}, "data.source[0] needs one of builtin, files and hub"),
        ({"source": [{**MINE, "weight": 1}, JUDGED]}, "all have a weight, or none"),
        ({"source": [{**MINE, "weight": 1, "repeats": 2}]}, "weight and repeats exclude each other"),
        ({"source": [MINE, MINE]}, "two are called 'mine'; say names"),
        ({"source": [{"builtin": 5}, {"builtin": 6, "name": "x"}]}, "only one can be builtin"),
        ({"source": [{"file": ["x"]}]}, "unknown key 'data.source[0].file'; did you mean 'data.source[0].files'?"),
        ({"source": MINE}, "data.source must be a list"),
    ],
)
def test_mistakes_in_a_mixture(data, want):
    with pytest.raises(MinitronError) as raised:
        recipe(**data)
    assert want in str(raised.value)
    assert raised.value.code == 2


def test_a_look_shows_sources_by_their_names_and_rules():
    save_two()
    found = list(trace(recipe(source=[MINE, JUDGED]), rows=1000))
    assert Counter((row.source, row.reason) for row in found) == {
        ("mine", ""): 30,
        ("judged", ""): 160,
        ("judged", "score >= 6"): 40,
    }


def test_a_plan_reckons_with_repeats():
    save_two()
    found = corpus_stats.look(recipe(source=[{**MINE, "repeats": 10}, JUDGED]))
    assert found.dialogues == pytest.approx(30 * 10 + 160, rel=0.05)
    mine = sum(messages[0]["content"].startswith("mine") for messages in found.sample)
    assert mine / len(found.sample) == pytest.approx(300 / 460, abs=0.05)
