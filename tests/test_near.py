"""Near-duplicates: found as by a comparison of all pairs, dropped by rule, in any order of the input."""

import json
import random
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialogues import TURNS, dialogue, part
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.data import near
from minitron.data.messages import digest_of
from minitron.data.near import MOST_RUNS, jaccard, near_pairs, runs
from minitron.data.shuffled import NEAR, NEAR_HELD_OUT
from minitron.recipe.load import recipe_of
from minitron.stages import data as stage

pytest.importorskip("rensa")
WORDS = [f"w{i}" for i in range(3000)]


def triples(turns: list[dict]) -> set[tuple[str, ...]]:
    """All runs of three words in a dialogue, found without any hashing."""
    words = [word for turn in turns for word in turn["content"].lower().split()]
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def similarity(one: list[dict], two: list[dict]) -> float:
    a, b = triples(one), triples(two)
    return len(a & b) / len(a | b)


def made(choose: random.Random, words: int) -> list[dict]:
    text = choose.choices(WORDS, k=words)
    at = choose.randint(1, words - 1)
    return dialogue(" ".join(text[:at]), " ".join(text[at:]))


def changed(choose: random.Random, turns: list[dict], share: float) -> list[dict]:
    """The dialogue with that share of its words replaced."""
    return [
        {
            **turn,
            "content": " ".join(
                choose.choice(WORDS) if choose.random() < share else w for w in turn["content"].split()
            ),
        }
        for turn in turns
    ]


def planted(count: int = 1500, copies: int = 500) -> list[list[dict]]:
    """Dialogues of 20 to 300 words, and copies of some with up to a tenth of the words replaced: similarities from 0.5 to 1."""
    choose = random.Random(5)
    originals = [made(choose, choose.randint(20, 300)) for _ in range(count)]
    return originals + [changed(choose, turns, choose.uniform(0, 0.1)) for turns in originals[:copies]]


def tables(turns: list[list[dict]], size: int = 700):
    return [(i, pa.table({"messages": pa.array(turns[i : i + size], TURNS)})) for i in range(0, len(turns), size)]


def found_in(turns: list[list[dict]], threshold: float = 0.8) -> set[tuple[int, int]]:
    pairs = near_pairs(lambda: tables(turns), order=np.arange(len(turns)), threshold=threshold)
    assert all(near_enough >= threshold for near_enough in pairs.similarity)
    return {tuple(sorted(pair)) for pair in pairs.rows.tolist()}


def test_planted_duplicates_are_found():
    turns = planted()
    truth = {(i, 1500 + i): similarity(turns[i], turns[1500 + i]) for i in range(500)}
    want = {pair for pair, value in truth.items() if value >= 0.8}
    found = found_in(turns)
    assert 100 < len(want) < 400
    assert len(found & want) / len(want) >= 0.95, "recall"
    assert len(found & want) / len(found) >= 0.95, "precision"
    assert found <= truth.keys()  # nothing that was not planted


def test_all_pairs_of_a_small_set_are_those_of_a_comparison_by_hand():
    choose = random.Random(1)
    base = made(choose, 60)
    turns = [changed(choose, base, share) for share in np.linspace(0, 0.3, 25)]
    near_ones = {(a, b) for a, b in combinations(range(25), 2) if similarity(turns[a], turns[b]) >= 0.8}
    found = found_in(turns)
    assert found <= near_ones
    assert {b for _, b in found} == {b for _, b in near_ones}  # each near copy is found with some dialogue before it


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "B", "ж Ж", "", " ", "x y z u v"]), min_size=2, max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_runs_are_those_of_the_words(texts):
    """Each dialogue has as many different hashes as runs of words, and the same ones wherever it stands in the column."""
    turns = [dialogue(*contents) for contents in texts]
    column = pa.array([dialogue("some", "other words here"), *turns], TURNS)[1:]
    run, ends = runs(column)
    assert len(ends) == len(turns) + 1
    hashes: dict[tuple, int] = {}
    for one, begin, end in zip(turns, ends[:-1], ends[1:], strict=True):
        assert len(set(run[begin:end].tolist())) == len(triples(one))
        assert frozenset(run[begin:end].tolist()) == hashes.setdefault(
            frozenset(triples(one)), frozenset(run[begin:end].tolist())
        )
    assert len(set(hashes.values())) == len(hashes)


def test_long_dialogues_are_compared_by_a_sample():
    numbers = np.random.default_rng(0).choice(1 << 32, 11_000, replace=False).astype(np.uint32)
    a, b = np.sort(numbers[:10_000])[:MOST_RUNS], np.sort(numbers[1000:])[:MOST_RUNS]
    assert jaccard(a, b) == pytest.approx(9000 / 11_000, abs=0.04)
    assert jaccard(np.array([1, 2, 3], np.uint32), np.array([2, 3, 4], np.uint32)) == 0.5


# --- the stage -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(in_tmp_path):
    Path("runs/t/data").mkdir(parents=True)


def run(turns: list, order: random.Random | None = None, *, seed: int = 1, **data) -> dict:
    rows = [{"messages": one, "p": int(i < 3)} for i, one in enumerate(turns)]
    if order:
        order.shuffle(rows)
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([("messages", TURNS), ("p", pa.int8())])), "x.parquet")
    options = {"files": ["x.parquet"], "probes": "p == 1", "near_duplicates": 0.8, **data}
    stage.run(recipe_of({"seed": seed, "data": options}, Path("t.toml")))
    return json.loads(Path("runs/t/data/report.json").read_text())


def one_word_changed(turns: list[dict]) -> list[dict]:
    question, answer = (turn["content"] for turn in turns)
    return dialogue(question, " ".join([*answer.split()[:-1], "changed"]))


def leaky() -> list[list[dict]]:
    """Three probes and 300 dialogues, then near copies of one probe and of forty dialogues."""
    choose = random.Random(2)
    turns = [made(choose, 80) for _ in range(303)]
    copies = [one_word_changed(turns[i]) for i in (0, *range(100, 140))]
    assert all(0.85 < similarity(one, turns[i]) < 1 for one, i in zip(copies, (0, *range(100, 140)), strict=True))
    return turns + copies


def said(name: str) -> list[str]:
    return [row["messages"][0]["content"] for row in part(name)]


@pytest.mark.usefixtures("folder")
def test_near_duplicates_are_dropped_and_those_of_held_out_ones_named():
    turns = leaky()
    report = run(turns, valid_fraction=0.2)
    dropped = report["dropped"]
    assert dropped[NEAR] + dropped[NEAR_HELD_OUT] == 41
    assert dropped[NEAR_HELD_OUT] > 1  # the probe's copy, and copies of some valid dialogues
    assert report["rows_in"] == report["kept"] + 41
    every = [row["messages"] for name in ("train", "valid", "probes") for row in part(name)]
    assert all(similarity(a, b) < 0.8 for a, b in combinations(every, 2))
    assert len(part("probes")) == 3
    assert report["near"]["threshold"] == 0.8
    assert len(report["near"]["examples"]) == 5
    assert all(one["similarity"] >= 0.8 for one in report["near"]["examples"])
    before = {name: Path(f"runs/t/data/{name}.parquet").read_bytes() for name in ("train", "valid", "probes")}
    run(turns, random.Random(7), valid_fraction=0.2)
    assert {name: Path(f"runs/t/data/{name}.parquet").read_bytes() for name in before} == before


@pytest.mark.usefixtures("folder")
def test_contamination_alone_can_go_or_be_reported(capfd):
    turns = leaky()
    held_out = run(turns, near_drop="held-out")
    leaks = held_out["dropped"][NEAR_HELD_OUT]
    assert held_out["dropped"] == {NEAR_HELD_OUT: leaks}
    train = [row["messages"] for row in part("train")]
    assert not any(
        similarity(a["messages"], b) >= 0.8 for name in ("valid", "probes") for a in part(name) for b in train
    )
    capfd.readouterr()
    report = run(turns, near_drop="none")
    assert report["dropped"] == {}
    assert report["near"][NEAR_HELD_OUT] == leaks
    assert report["near"][NEAR] + leaks == 41
    assert f"{leaks} dialogues to train on are near duplicates of held-out ones" in capfd.readouterr().err


@pytest.mark.usefixtures("folder")
def test_dialogues_that_are_all_alike_leave_none_to_train_on(capfd):
    """A question with a number in it: the one that stays is held out, which sft would find out."""
    turns = [dialogue("tell me a story about a cat please", f"once there was a cat in house {i}") for i in range(30)]
    for drop in ("all", "held-out"):
        with pytest.raises(MinitronError, match="all dialogues to train on are near duplicates") as error:
            run(turns, near_duplicates=0.5, near_drop=drop, probes="")
        assert "data.near_duplicates" in error.value.hint
    different = random.Random(2)
    run([*turns, *(made(different, 80) for _ in range(30))], near_duplicates=0.5, probes="")
    [would] = re.findall(r"would give (.*?),", capfd.readouterr().err)
    assert int(would) >= 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("seed", range(1, 5))
def test_what_stays_counts_although_it_is_like_another_that_stays(seed):
    """Two held-out dialogues are alike, and a third one, to train on, is like one of them only."""
    words = [f"b{i}" for i in range(100)]

    def changed(at: int, number: int) -> list[dict]:
        return dialogue("q?", " ".join([*words[:at], *(f"s{number}_{i}" for i in range(7)), *words[at + 7 :]]))

    held = lambda turns: int.from_bytes(digest_of(turns)[:8], "big") / 2**64 < 0.3  # noqa: E731
    words[50] = next(f"m{n}" for n in range(200) if held(dialogue("q?", " ".join([*words[:50], f"m{n}", *words[51:]]))))
    second = dialogue("q?", " ".join(words))
    first = next(turns for n in range(200) if held(turns := changed(10, n)))
    third = next(turns for n in range(200) if not held(turns := changed(80, 1000 + n)))
    assert similarity(first, second) >= 0.8 <= similarity(second, third)
    assert similarity(first, third) < 0.8
    rest = [made(random.Random(n), 60) for n in range(200)]
    run([*rest, first, second, third], valid_fraction=0.3, near_drop="held-out", seed=seed)
    assert {json.dumps(t) for t in (first, second)} <= {json.dumps(row["messages"]) for row in part("valid")}
    assert third not in [row["messages"] for row in part("train")]


@pytest.mark.usefixtures("folder")
def test_without_the_library_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rensa", None)
    with pytest.raises(MinitronError, match="needs the library rensa") as raised:
        run([dialogue("q", "a")])
    assert "pip install 'minitron[near]'" in raised.value.hint
    with pytest.raises(MinitronError):
        near.check_installed()
