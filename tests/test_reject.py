"""reject: which answers become pairs, that a stopped run goes on to the same pairs, and recorded labels."""

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import torch
from conftest import run_to

from minitron.align.preference import Batches
from minitron.align.prompts import choose_prompts
from minitron.core.errors import MinitronError
from minitron.core.files import append_line, whole_lines
from minitron.evaluate import failures
from minitron.recipe.alignment import Sampling
from minitron.recipe.load import load_recipe
from minitron.sample.generate import ask
from minitron.stages import declared, pipeline, reject
from minitron.tokenizer import kinds
from minitron.train import checkpoint

PAIRS, APART = Path("runs/tiny/reject/pairs.parquet"), Path("runs/tiny/reject/apart.parquet")
SHARED = Path(__file__).parents[2] / "shared" / "data"
REJECT = declared.named("reject")


def rows(path: Path = PAIRS) -> list[dict]:
    """The rows of a file of pairs; each completion, which is one message, is replaced by its text."""
    found = pq.read_table(path).to_pylist()
    assert all([message["role"] for message in row["completion"]] == ["assistant"] for row in found)
    return [row | {"completion": row["completion"][0]["content"]} for row in found]


def test_pairs_hold_the_recorded_answer_and_the_failure_that_was_meant(tiny_run):
    run_to("reject")
    train = pq.read_table("runs/tiny/data/train.parquet").to_pylist()
    told = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in train}
    meant = {name: preset.failure for name, preset in load_recipe("tiny.toml").reject.presets.items()}
    seen = set()
    assert len(rows()) >= 20
    for path in (PAIRS, APART):
        both = rows(path)
        for chosen, rejected in zip(both[::2], both[1::2], strict=True):
            assert chosen["prompt"] == rejected["prompt"]
            assert (chosen["label"], chosen["preset"], chosen["failure"]) == (True, "data", "")
            assert chosen["completion"] == told[chosen["prompt"][-1]["content"]]
            caught = rejected["failure"].split("+")
            assert rejected["label"] is False
            assert caught
            assert (meant[rejected["preset"]] in caught) is (path is PAIRS)
            key = (json.dumps(rejected["prompt"]), rejected["completion"])
            assert key not in seen  # no pair twice
            seen.add(key)
    assert not list(PAIRS.parent.glob("answers-*"))


# slow: samples several times
@pytest.mark.slow
def test_any_failure_will_do_where_none_is_meant(tiny_run):
    run_to("reject", "reject.presets={hot={temperature=2.0}}")
    assert {row["preset"] for row in rows()} == {"data", "hot"}
    assert rows(APART) == []


# slow: samples several times
@pytest.mark.slow
def test_good_answers_are_judged_as_well_as_what_is_held_out(tiny_run):
    lines = [json.loads(line) for line in Path("dialogues.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line["score"] = 6 + number % 3
        line["messages"][-1]["content"] += f" judged {line['score']}"
    Path("dialogues.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run_to("reject", 'data.keep=["score >= 6"]', 'data.valid_keep=["score >= 7"]')
    said = Counter(row["completion"][-1] for row in rows() if row["label"])
    assert set(said) == {"7", "8"}
    learnt = pq.read_table("runs/tiny/data/train.parquet").column("messages").to_pylist()
    assert {messages[-1]["content"][-1] for messages in learnt} == {"6", "7", "8"}
    with pytest.raises(MinitronError, match="no dialogue is judged well enough to be held out"):
        run_to("reject", 'data.keep=["score >= 6"]', 'data.valid_keep=["score >= 9"]')


# slow: samples several times
@pytest.mark.slow
def test_chosen_of_the_model_itself(tiny_run):
    run_to("reject", "reject.chosen=model", "reject.best_of=3", "export.temperature=1.5")
    both = rows()
    kinds = {chosen["preset"] for chosen in both[::2]}
    assert kinds <= {"model", "data"}
    for chosen in both[::2]:
        if chosen["preset"] == "model":
            assert not failures.is_loop(chosen["completion"])


# Runs reject, which keeps answers 16 at a time; stops itself by a signal once so many of these parts are on disk.
STOPPED = """
import os, sys
from minitron.recipe.load import load_recipe
from minitron.stages import declared, pipeline, reject
from minitron.core.files import append_line

written = []

def append_and_stop(path, line):
    append_line(path, line)
    written.append(path)
    if len(written) == int(sys.argv[2]):
        os.kill(os.getpid(), int(sys.argv[1]))

reject.CHUNK, reject.append_line = 16, append_and_stop
pipeline.run_stage(declared.named("reject"), load_recipe("tiny.toml"), force=True)
"""


@pytest.mark.slow  # three runs of the stage and a process that imports torch
@pytest.mark.parametrize(("ending", "parts"), [(signal.SIGINT, 2), (signal.SIGKILL, 5)])
def test_stopped_anywhere_it_goes_on_to_the_same_pairs(tiny_run, monkeypatch, capfd, ending, parts):
    """40 prompts, 3 presets: the second part is of the first preset, the fifth of the second."""
    monkeypatch.setattr(reject, "CHUNK", 16)
    run_to("reject")
    want = rows()
    assert len(want) > 10
    child = subprocess.run([sys.executable, "-c", STOPPED, str(int(ending)), str(parts)], stderr=subprocess.DEVNULL)
    assert child.returncode
    kept = sorted(PAIRS.parent.glob("answers-*"))
    assert sum(len(path.read_bytes().splitlines()) - 1 for path in kept) == parts
    capfd.readouterr()
    pipeline.run_stage(REJECT, load_recipe("tiny.toml"), force=True)
    assert f"{16 * (parts % 3)} of 40 answers are there already" in capfd.readouterr().err
    assert rows() == want


def test_every_prompt_gets_its_own_answer_in_whatever_order_they_are_asked(tiny_run, monkeypatch):
    run_to("sft")
    config = load_recipe("tiny.toml")
    tokenizer = kinds.load(config.layout.tokenizer)
    model, _ = checkpoint.load_model(checkpoint.finished(config.layout.stage("sft"), "sft"), device=torch.device("cpu"))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():  # a model of 24 steps says the same to everybody
            weight.normal_()
    sampler = reject.Sampler(config, model, tokenizer, "")
    asked = [prompt for prompt, _ in choose_prompts(config, tokenizer, count=20, seed=1)]
    greedy = Sampling(temperature=0.0, max_tokens=12)
    alone = [ask(model, tokenizer, [prompt], sampling=greedy, seed=1, batch_rows=1, title="")[0][0] for prompt in asked]
    assert len(set(alone)) > 3
    config.layout.stage("reject").mkdir()
    monkeypatch.setattr(reject, "CHUNK", 6)
    assert [text for text, _ in sampler.answers("any", asked, greedy, seed=1)] == alone


def test_what_one_preset_did_not_mean_another_one_may(tiny_run):
    """Both presets answer every training prompt alike. The first does not mean runaways, and puts them apart; the second means them. No
    answer is a loop: after 24 steps the model's answers do not repeat tokens."""
    greedy = "temperature=0.0, max_tokens=24"
    presets = f"{{first={{{greedy}, failure='loop'}}, second={{{greedy}, failure='runaway'}}}}"
    run_to("reject", "reject.prompts=200", f"reject.presets={presets}")
    rejected = [row for row in rows() if not row["label"]]
    assert len(rejected) > 20
    assert "second" in {row["preset"] for row in rejected}
    assert all("runaway" in row["failure"] or row["preset"] == "first" for row in rejected)
    assert not [row for row in rows(APART) if "runaway" in row["failure"]]
    keys = [(json.dumps(row["prompt"]), row["completion"]) for row in rejected]
    assert len(set(keys)) == len(keys)


def test_a_line_that_a_crash_cut_off_is_as_if_never_written(tmp_path):
    path = tmp_path / "lines"
    assert whole_lines(path) == []
    append_line(path, "один")
    append_line(path, "two")
    path.write_bytes(path.read_bytes() + "три".encode()[:3])
    assert whole_lines(path) == ["один", "two"]
    append_line(path, "three")
    assert whole_lines(path) == ["один", "two", "three"]


# --- recorded labels (their shapes: test_labelled.py) ---------------------------------------------------------------


@pytest.mark.slow  # real data, and a model that learns from them
@pytest.mark.skipif(not SHARED.exists(), reason="the real data are not here")
def test_real_labels_and_real_scores(tiny_run, capfd):
    """Six of the 1,100 rows have the same answer twice. Scores are compared with DuckDB; the classes are of unequal size."""
    labels = SHARED / "rasbt_instruct_pref" / "instruction-data-with-preference.json"
    run_to("reject", "reject.prompts=0", f'reject.files=["{labels}"]')
    assert Counter(row["label"] for row in rows()) == {True: 1094, False: 1094}
    assert "6 left out (chosen equals rejected)" in capfd.readouterr().err
    scores = SHARED / "qlora_vicuna_scored.parquet"
    rules = ['reject.chosen_if=["score_mean >= 8"]', 'reject.rejected_if=["score_mean <= 4"]']
    run_to("kto", "reject.prompts=0", f'reject.files=["{scores}"]', *rules, "kto.steps=3", "model.context=256")
    query = f"SELECT count(*) FILTER (score_mean >= 8), count(*) FILTER (score_mean BETWEEN 0 AND 4) FROM '{scores}'"
    chosen, rejected = duckdb.sql(query).fetchall()[0]
    assert Counter(row["label"] for row in rows()) == {True: chosen, False: rejected}
    weights = re.search(
        r"kto: (\d+) chosen and (\d+) rejected completions, weights (\S+) and (\S+)", capfd.readouterr().err
    )
    chosen, rejected, up, down = map(float, weights.groups())
    labels = [True] * int(chosen) + [False] * int(rejected)
    read = Batches(labels, rows=load_recipe("tiny.toml").kto.batch_rows, seed=1).per_step
    assert 0.99 <= up * read[0] / (down * read[1]) <= 1.01 * 4 / 3


def test_kto_learns_from_recorded_labels_of_unequal_numbers(tiny_run, capfd):
    data = [
        {"prompt": f"say {i}", "completion": f"{i}: who are you" if i % 4 else "no", "label": bool(i % 4)}
        for i in range(64)
    ]
    Path("labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    learn = ("kto.batch_rows=8", "kto.lr=1e-3", "kto.warmup_steps=0", "kto.guards.on=false")
    run_to("kto", "reject.prompts=0", 'reject.files=["labels.jsonl"]', *learn)
    said = capfd.readouterr().err
    assert "reject: 48 chosen and 16 rejected recorded completions" in said
    assert "kto: 48 chosen and 16 rejected completions, weights 1.00 and 2.25" in said  # 48 / (2.25 * 16) = 4/3
    last = json.loads(Path("runs/tiny/kto/metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 12
    assert last["chosen_log_ratio"] > last["rejected_log_ratio"] + 0.05
