"""Stopped runs go on and end with the same numbers, bit for bit: Ctrl-C, kill -9, a broken newest checkpoint, a full disk."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import killed
import pytest
import synced
from conftest import run_to, tiny_texts
from safetensors.torch import load_file

from minitron.align.loop import Alignment
from minitron.core.interrupt import Stopped
from minitron.train import checkpoint

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


def outcome(stage: str, runs: str = "runs/tiny") -> tuple[dict, list[dict]]:
    """The weights that the next stage reads, and all metrics except times and memory."""
    folder = Path(runs) / stage
    weights = load_file(folder / "checkpoints" / (folder / "best").read_text().strip() / "model.safetensors")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        for name in ("tokens_per_second", "seconds", "memory_mb"):
            row.pop(name, None)
    return {name: hashlib.sha256(tensor.numpy()).hexdigest() for name, tensor in weights.items()}, rows


@pytest.fixture(scope="module")
def trained_once() -> dict[str, Path]:
    return {}


@pytest.fixture
def trained(tiny_run, trained_once, tmp_path_factory) -> Path:
    """A run with everything up to and including kto, never interrupted: made by the first test that asks for it, and copied."""
    if "runs" not in trained_once:
        minitron("run", "tiny.toml", "--to", "kto")
        trained_once["runs"] = shutil.copytree("runs", tmp_path_factory.mktemp("trained") / "runs", symlinks=True)
    else:
        shutil.copytree(trained_once["runs"], "runs", symlinks=True)
    return tiny_run


# slow: whole runs, stopped and gone on with
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "kto"])
def test_a_stopped_stage_ends_with_the_same_numbers(trained, stage):
    want = outcome(stage)
    asked = signal.SIGINT if stage == "sft" else signal.SIGTERM
    for how, step, code in ((asked, 4, 128 + asked), (signal.SIGKILL, 8, -signal.SIGKILL)):
        shutil.rmtree(f"runs/tiny/{stage}")
        stopped = stop_at(step, stage, how)
        assert stopped.returncode == code, stopped.stderr
        assert "Traceback" not in stopped.stderr
        if how == asked:
            assert "interrupted; run the same command again to go on" in stopped.stderr
        done = minitron(stage, "tiny.toml")
        assert "going on from" in done.stderr
        assert outcome(stage) == want


@pytest.mark.slow  # kto twice
def test_a_wish_to_stop_at_the_last_look_is_heard(trained, monkeypatch):
    want = outcome("kto")
    shutil.rmtree("runs/tiny/kto")
    signals = Alignment.signals

    def last(self):
        if self.state.step == self.settings.steps:
            signal.raise_signal(signal.SIGTERM)
        return signals(self)

    monkeypatch.setattr(Alignment, "signals", last)
    with pytest.raises(Stopped):
        run_to("kto")
    minitron("kto", "tiny.toml")
    assert outcome("kto") == want


@pytest.mark.slow  # a run that is stopped, and another
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


@pytest.mark.slow  # runs stages several times
def test_other_settings_do_not_throw_an_unfinished_run_away(tiny_run):
    minitron("run", "tiny.toml", "--to", "tokenizer")
    stop_at(8, "sft", signal.SIGKILL)
    refused = minitron("sft", "tiny.toml", "optim.lr=1e-4", check=False)
    assert refused.returncode == 1
    assert "optim.lr was 0.003, is 0.0001" in refused.stderr
    assert "going on from" in minitron("sft", "tiny.toml").stderr
    assert "done already" in minitron("sft", "tiny.toml").stderr


@pytest.mark.slow  # runs stages several times
def test_another_tokenizer_does_not_throw_an_unfinished_run_away(tiny_run):
    minitron("run", "tiny.toml", "--to", "tokenizer")
    stop_at(8, "sft", signal.SIGKILL)
    before = sorted(Path("runs/tiny/sft/checkpoints").iterdir())
    refused = minitron("run", "tiny.toml", "--to", "sft", "tokenizer.vocab_size=341", check=False)
    assert refused.returncode == 1
    assert "runs/tiny/sft holds an unfinished run with other settings" in refused.stderr
    assert "runs/tiny/tokenizer/tokenizer.model has changed" in refused.stderr
    assert sorted(Path("runs/tiny/sft/checkpoints").iterdir()) == before


PRETRAIN = """
[pretrain]
files = ["book.txt"]
steps = 24
batch_rows = 2
accumulation = 2
eval_every_steps = 6
"""


@pytest.mark.slow  # twenty runs
@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="reads how long a process has computed from /proc"
)
def test_twenty_kills_change_nothing(tiny_run):
    """kill -9 at 20 random moments of pretrain and sft, both with dropout; all that is named stays readable."""
    Path("book.txt").write_text("\n".join(tiny_texts(600)))
    tiny_run.write_text(tiny_run.read_text() + PRETRAIN)
    done = subprocess.run(
        [sys.executable, killed.__file__, "tiny.toml", "1", "20"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) == 20
    assert len({tuple(kill["steps"].items()) for kill in kills}) >= 5  # the kills came at many places
    assert any("sft" in kill["steps"] for kill in kills)
    for finished in [Path("runs/tiny"), *Path("runs").glob("ended-*")]:
        for stage in ("pretrain", "sft"):
            assert outcome(stage, str(finished)) == outcome(stage, "runs/whole"), finished


@pytest.fixture
def small_disk(tiny_run) -> Path:
    """A file system of a megabyte at runs/tiny/sft."""
    place = Path("runs/tiny/sft")
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs to mount a small tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow  # runs stages several times
def test_a_full_disk_loses_nothing(small_disk):
    """A checkpoint of this model takes 0.4 MB: the third is not kept whole, the first two are."""
    minitron("run", "tiny.toml", "--to", "tokenizer")
    full = minitron("sft", "tiny.toml", "sft.keep_checkpoints=9", check=False)
    assert full.returncode == 1
    assert "no space left on the disk" in full.stderr
    assert "Traceback" not in full.stderr
    steps = [checkpoint.check(folder)["step"] for folder in sorted((small_disk / "checkpoints").glob("step-*"))]
    assert steps == list(range(6, 6 * len(steps) + 1, 6))
    assert 1 <= len(steps) < 4
    assert checkpoint.pointed(small_disk, "latest").name == f"step-{steps[-1]:06d}"
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert (
        f"going on from {small_disk}/checkpoints/step-{steps[-1]:06d}"
        in minitron("sft", "tiny.toml", "sft.keep_checkpoints=9").stderr
    )
    shutil.copy("tiny.toml", "roomy.toml")
    minitron("run", "roomy.toml", "--to", "sft", "sft.keep_checkpoints=9")
    assert outcome("sft") == outcome("sft", "runs/roomy")


@pytest.mark.slow  # five runs
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


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks /proc which file a descriptor is")
def test_what_has_a_name_is_on_the_disk(tiny_run):
    """A power cut may come anywhere: data is synced before it gets its name, and a name is synced before what it replaces is removed."""
    minitron("run", "tiny.toml", "--to", "tokenizer")
    command = [sys.executable, synced.__file__, "events.jsonl", "sft", "tiny.toml"]
    subprocess.run(command, check=True, capture_output=True)
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    run = Path("runs/tiny").resolve()
    names = {"checkpoints/step": {"model.safetensors", "trainer.pt", "model.json"}}
    names["packed-"] = {"tokens.bin", "targets.bin", "sequences.npy", "order.npy", "rows.npy", "pack.json"}
    clean: set[str] = set()  # files and folders whose contents and names are on the disk
    appeared, removed = 0, set()
    for event, path, *more in events:
        if event == "sync":
            clean.add(path)
        elif event == "remove" and "/checkpoints/." in path and path.endswith(".old.tmp"):
            newest = max(str(p) for p in clean if "/checkpoints/step-" in p)
            assert Path(newest).name > Path(path).name[1:12]
            assert str(run / "sft/checkpoints") in clean  # since the newest was renamed
            assert str(run / "sft") in clean  # since `latest` and `best` were
            removed.add(Path(path).name[1:12])
        elif event == "rename" and not more[0].endswith(".tmp"):
            old, new = path, more[0]
            inside = next((files for start, files in names.items() if f"sft/{start}" in new), None)
            if inside:
                assert {f"{old}/{name}" for name in inside} <= clean, new
                appeared += 1
            assert old in clean, new
            if new.endswith(("/latest", "/best")):
                assert str(run / "sft/checkpoints") in clean
            clean -= {str(Path(new).parent)}
            clean.add(new)
    assert appeared == 2 + 4  # packed rows, and checkpoints
    assert removed
    assert removed <= {"step-000006", "step-000012"}
    assert str(run / "sft") in clean
    assert str(run) in clean
    assert {"latest", "best", "stage.json", "config.toml", "started.json"} <= {Path(p).name for p in clean}


@pytest.mark.slow  # runs stages several times
def test_damaged_rows_are_packed_again(trained):
    want = outcome("sft")
    for damage in ("tokens.bin", "order.npy", "pack.json"):
        shutil.rmtree("runs/tiny/sft")
        stop_at(8, "sft", signal.SIGKILL)
        file = Path("runs/tiny/sft/packed-train") / damage
        file.write_bytes(bytes(file.stat().st_size))
        done = minitron("sft", "tiny.toml")
        assert "the packed rows in runs/tiny/sft/packed-train are damaged" in done.stderr
        assert "going on from" in done.stderr
        assert outcome("sft") == want
