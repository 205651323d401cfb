"""Two processes train the same model as one, sharded or not; if one is killed nothing is lost; only the first writes files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import many_processes
import numpy as np
import pytest
from many_processes import CASES, VOCAB, train
from safetensors.torch import load_file

from minitron.data.packing import Sequence, pack
from minitron.train import checkpoint

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
CHILD = many_processes.__file__


def rows_in(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses_in(folder: Path) -> list[float]:
    """Training and validation losses of all steps."""
    rows = rows_in(folder)
    return [row["loss"] for row in rows] + [row["valid_loss"] for row in rows if "valid_loss" in row]


def forget_after(folder: Path, step: int) -> None:
    """Makes the folder look as if the run had been killed after that checkpoint."""
    for later in (folder / "checkpoints").glob("step-*"):
        if later.name > f"step-{step:06d}":
            shutil.rmtree(later)
    (folder / "best").write_text(f"step-{step:06d}\n")


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    """Two folders with all of CASES: trained by one process, and by two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    chance = np.random.default_rng(0)
    for split, count in (("train", 90), ("valid", 21)):
        sizes = chance.integers(5, 60, count)
        parts = [(np.cumsum(chance.integers(0, 5, n)) % VOCAB).tolist() for n in sizes]  # something to learn
        sequences = [Sequence(ids, [i % 3 > 0 for i in range(len(ids))], len(ids)) for ids in parts]
        pack(sequences, context=64, vocab_size=VOCAB, out=one / split)
        shutil.copytree(one / split, two / split)
    subprocess.run([sys.executable, CHILD, "fits", str(one)], check=True, timeout=250)
    # a sharded run that goes on from what one process saved
    shutil.copytree(one / "nanogpt-sharded", two / "nanogpt-sharded")
    forget_after(two / "nanogpt-sharded", 25)
    done = subprocess.run([*TORCHRUN, CHILD, "fits", str(two)], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("going on from") == 1  # said once
    return one, two


# slow: several processes, several runs
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_what_one_does(both, name):
    one, two = both
    want = losses_in(one / name)
    assert len(want) == 52
    assert want[-1] < want[0] - 0.5
    assert losses_in(two / name) == pytest.approx(want, rel=1e-5)


@pytest.mark.slow  # two runs, one of them of two processes
@pytest.mark.parametrize("name", CASES)
def test_their_checkpoints_are_the_same_files(both, name):
    folders = [run / name / "checkpoints" / "step-000050" for run in both]
    one, two = (load_file(folder / "model.safetensors") for folder in folders)
    assert {key: (w.shape, w.dtype) for key, w in one.items()} == {key: (w.shape, w.dtype) for key, w in two.items()}
    states = [checkpoint.load_trainer(folder)["optimizer"] for folder in folders]
    for first, second in zip(*states, strict=True):
        assert first["param_groups"] == second["param_groups"]
        for number, state in first["state"].items():
            for key, value in state.items():
                assert type(second["state"][number][key]) is type(value)
                assert second["state"][number][key].shape == value.shape


@pytest.mark.slow  # two runs, one of them of two processes
def test_one_process_goes_on_from_a_sharded_checkpoint(both, tmp_path):
    one, two = both
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    forget_after(tmp_path / "llama-sharded", 25)
    train(tmp_path, "llama-sharded")
    assert losses_in(tmp_path / "llama-sharded") == pytest.approx(losses_in(one / "llama-sharded"), rel=1e-5)


@pytest.mark.slow  # two runs, one of them of two processes
def test_what_cannot_be_shared_is_refused(both):
    assert (
        both[1] / "refused"
    ).read_text() == "sft.accumulation is 3: 2 processes cannot share so many micro-batches evenly"


class Running:
    """`minitron sft tiny.toml` in two processes, in the current directory."""

    def __init__(self, *overrides: str):
        command = [*TORCHRUN, CHILD, "minitron", "sft", "tiny.toml", *overrides]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def reach(self, step: int) -> None:
        log = Path("runs/tiny/sft/metrics.jsonl")
        deadline = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_text().count("\n") >= step:
                return
            time.sleep(0.002)
        raise AssertionError(self.end())

    def end(self) -> str:
        """Waits for the end; returns what was printed. It must end within two minutes and leave no process behind."""
        _, stderr = self.process.communicate(timeout=120)
        for rank in (0, 1):
            with pytest.raises(ProcessLookupError):
                os.kill(int(Path(f"pid-{rank}").read_text()), 0)
        return stderr


def minitron(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "minitron", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


# slow: several processes, three times
@pytest.mark.slow
def test_a_killed_process_loses_nothing_and_only_the_first_writes(tiny_run):
    minitron("run", "tiny.toml", "--to", "sft")
    folder = Path("runs/tiny/sft")
    want = losses_in(folder)
    folder.rename("runs/one")

    running = Running()
    running.reach(8)
    os.kill(int(Path("pid-1").read_text()), signal.SIGKILL)
    running.end()
    assert running.process.returncode == 1
    assert checkpoint.newest_whole(folder).name == "step-000006"
    assert Path("wrote-0").read_text()
    assert Path("wrote-1").read_text() == ""
    shutil.copytree(folder, "runs/killed")

    running = Running()  # goes on in two processes until Ctrl-C, which torchrun hands to both
    running.reach(14)
    running.process.send_signal(signal.SIGINT)
    said = running.end()
    assert running.process.returncode != 0
    assert said.count("going on from") == 1
    assert said.count("interrupted; run the same command again to go on") == 1
    stopped = checkpoint.check(checkpoint.newest_whole(folder))
    assert stopped["valid_loss"] is None or stopped["step"] == 24
    assert "going on from" in minitron("sft", "tiny.toml")  # and then in one
    assert losses_in(folder) == pytest.approx(want, rel=1e-5)

    shutil.rmtree(folder)
    Path("runs/killed").rename(folder)
    running = Running()
    said = running.end()
    assert running.process.returncode == 0, said
    assert said.count("going on from") == 1
    assert losses_in(folder) == pytest.approx(want, rel=1e-5)
    assert Path("wrote-1").read_text() == ""
    assert "done already" in minitron("sft", "tiny.toml")


def test_what_fails_on_the_first_is_said_once_and_ends_all(tiny_run):
    running = Running()  # fails, since there is no tokenizer
    said = running.end()
    assert running.process.returncode == 1
    assert said.count("minitron: error: ") == 1
    assert "Connection closed" not in said


def test_what_is_not_training_is_refused_under_torchrun(tiny_run):
    done = subprocess.run(
        [*TORCHRUN, "-m", "minitron", "export", "tiny.toml"], capture_output=True, text=True, timeout=120
    )
    assert "minitron export is for one process" in done.stderr
