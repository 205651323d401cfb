"""Stopped runs go on and end with the same numbers, bit for bit: Ctrl-C, kill -9, a broken newest checkpoint."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import tiny_texts
from safetensors.torch import load_file

COMMAND = [sys.executable, "-m", "minitron"]


def minitron(*arguments: str, check: bool = True, **how) -> subprocess.CompletedProcess:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, **how)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def stop_at(step: int, stage: str, how: signal.Signals) -> subprocess.CompletedProcess:
    """Starts a stage and stops it once its metrics reach `step`."""
    running = subprocess.Popen([*COMMAND, stage, "tiny.toml"], stderr=subprocess.PIPE, text=True)
    log = Path(f"runs/tiny/{stage}/metrics.jsonl")
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        if log.exists() and len(log.read_text().splitlines()) >= step:
            running.send_signal(how)
            break
        time.sleep(0.001)
    _, stderr = running.communicate(timeout=120)
    return subprocess.CompletedProcess(running.args, running.returncode, "", stderr)


def outcome(stage: str) -> tuple[dict, list[dict]]:
    """The weights that the next stage reads, and all metrics but the clock's."""
    folder = Path(f"runs/tiny/{stage}")
    weights = load_file(folder / "checkpoints" / (folder / "best").read_text().strip() / "model.safetensors")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        for name in ("tokens_per_second", "seconds", "memory_mb"):
            row.pop(name, None)
    return {name: hashlib.sha256(tensor.numpy()).hexdigest() for name, tensor in weights.items()}, rows


@pytest.fixture
def trained(tiny_run) -> Path:
    """A run with everything up to and including kto, never interrupted."""
    minitron("run", "tiny.toml", "--to", "kto")
    return tiny_run


@pytest.mark.parametrize("stage", ["sft", "kto"])
def test_a_stopped_stage_ends_with_the_same_numbers(trained, stage):
    want = outcome(stage)
    for how, step, code in ((signal.SIGINT, 4, 130), (signal.SIGKILL, 8, -signal.SIGKILL)):
        shutil.rmtree(f"runs/tiny/{stage}")
        stopped = stop_at(step, stage, how)
        assert stopped.returncode == code, stopped.stderr
        assert "Traceback" not in stopped.stderr
        done = minitron(stage, "tiny.toml")
        assert "going on from" in done.stderr
        assert outcome(stage) == want


def test_a_broken_newest_checkpoint_is_passed_over(trained):
    want = outcome("sft")
    shutil.rmtree("runs/tiny/sft")
    stop_at(14, "sft", signal.SIGKILL)
    newest = sorted(Path("runs/tiny/sft/checkpoints").glob("step-*"))[-1]
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = minitron("sft", "tiny.toml")
    assert "is damaged" in done.stderr
    assert outcome("sft") == want


def test_other_settings_do_not_throw_an_unfinished_run_away(tiny_run):
    minitron("run", "tiny.toml", "--to", "tokenizer")
    stop_at(8, "sft", signal.SIGKILL)
    refused = minitron("sft", "tiny.toml", "optim.lr=1e-4", check=False)
    assert refused.returncode == 1
    assert "optim.lr was 0.003, is 0.0001" in refused.stderr
    assert "going on from" in minitron("sft", "tiny.toml").stderr
    assert "done already" in minitron("sft", "tiny.toml").stderr


def test_the_second_run_does_nothing_and_a_change_redoes_what_follows(trained):
    again = minitron("run", "tiny.toml", "--to", "kto")
    assert again.stderr.count("done already") == 5
    os.utime("dialogues.jsonl")  # times do not matter, contents do
    assert minitron("run", "tiny.toml", "--to", "kto").stderr.count("done already") == 5
    before = outcome("kto")
    changed = minitron("run", "tiny.toml", "--to", "kto", "kto.beta=3.0")
    assert "what was there is now in runs/tiny/kto.old" in changed.stderr
    assert outcome("kto.old") == before
    assert outcome("kto") != before
    assert changed.stderr.count("done already") == 4
    with open("dialogues.jsonl", "a") as file:
        file.write('{"messages": [{"role": "user", "content": "new"}, {"role": "assistant", "content": "newer"}]}\n')
    assert minitron("run", "tiny.toml", "--to", "kto", "kto.beta=3.0").stderr.count("done already") == 0


def test_sft_begins_where_pretrain_ended(tiny_run):
    Path("book.txt").write_text("\n".join(tiny_texts(600)))
    recipe = (
        tiny_run.read_text()
        + '[pretrain]\nfiles = ["book.txt"]\nsteps = 40\nbatch_rows = 2\naccumulation = 2\neval_every_steps = 20\n'
    )
    tiny_run.write_text(recipe)
    minitron("run", "tiny.toml", "--to", "sft")
    _, before = outcome("pretrain")
    _, after = outcome("sft")
    assert before[-1]["valid_loss"] < before[0]["loss"] - 0.5
    scratch = minitron("run", "tiny.toml", "--to", "sft", "pretrain.steps=1")
    assert "[pretrain]" in scratch.stderr
    assert after[0]["loss"] < outcome("sft")[1][0]["loss"] - 0.3
    said = Path("runs/tiny/sft/log").read_text()
    assert "parameters on cpu" in said
