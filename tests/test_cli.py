"""What users can do wrong: one plain sentence, what to do, exit 1 or 2, nothing half-written."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import COMMAND, minitron, refused

from minitron import cli
from minitron.cli import commands
from minitron.cli.arguments import parser
from minitron.core.files import atomic_path


@pytest.mark.parametrize(
    ("old", "new", "code", "saying"),
    [
        ('"dialogues.jsonl"', '"nothing.jsonl"', 1, "nothing.jsonl"),
        ("vocab_size = 340", "vocab_sise = 340", 2, "did you mean 'tokenizer.vocab_size'?"),
        ("steps = 24", 'steps = "many"', 2, "sft.steps must be a whole number, not 'many'"),
        ("steps = 24", "steps = 0", 2, "sft.steps must be at least 1, not 0"),
        ("d_model = 32", "d_model = 33", 2, "no multiple of model.n_heads"),
        ("seed = 3", "seed = ", 2, "is not valid TOML"),
        ("context = 64", "context = 16", 1, "fits into the context of 16 tokens"),
        ('files = ["dialogues.jsonl"]', "", 2, "names no data"),
        ("[reject]\nprompts = 40\nmax_tokens = 24", "", 2, "[kto] needs the pairs of [reject]"),
    ],
)
def test_wrong_recipes(tiny_run, old, new, code, saying):
    recipe = tiny_run.read_text()
    assert old in recipe
    tiny_run.write_text(recipe.replace(old, new))
    refused("run", "tiny.toml", "--to", "sft", code=code, saying=saying)


def test_all_mistakes_of_a_recipe_are_told_at_once(tiny_run):
    tiny_run.write_text('[sft]\nstep = 3\n[optim]\nlr = "fast"\n[modle]\n')
    said = refused("run", "tiny.toml", code=2, saying="has 3 mistakes")
    assert "did you mean 'model'?" in said


def test_wrong_commands(tiny_run):
    refused("sft", "tinny.toml", code=2, saying="there is no recipe tinny.toml")
    refused("sft", "a:x:b.toml", code=2, saying="there is no recipe a:x:b.toml")  # and :x: is not shown as an emoji
    refused("pretrain", "tiny.toml", code=2, saying="has no [pretrain]")
    refused("sft", "tiny.toml", "optim.rl=1", code=2, saying="did you mean 'optim.lr'?")
    refused("sft", "tiny.toml", "--force", "optim.rl=1", code=2, saying="did you mean 'optim.lr'?")
    refused("sft", "tiny.toml", saying="there is no tokenizer")
    refused("reject", "tiny.toml", saying="run: minitron tokenizer")
    refused("binary", "--target", "plan9/amd64", code=2, saying="there is no")
    refused("binary", saying="run: minitron export")
    done = minitron("sft", "tiny.toml", "--fast")
    assert done.returncode == 2
    assert "unrecognized arguments: --fast" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the current folder cannot be deleted")
def test_a_current_folder_that_was_deleted_is_a_sentence(in_tmp_path, monkeypatch):
    monkeypatch.chdir(in_tmp_path.parent)  # pytest goes back to where it was
    script = f'mkdir gone && cd gone && rmdir ../gone && exec "{sys.executable}" -m minitron run tiny.toml'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "minitron: error: the current folder was deleted\nhint: change to another one\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        *(
            (name, "interrupted; run the same command again to go on")
            for name in ("run", "sft", "reject", "judge", "study")
        ),
        ("sft --force", "interrupted; run the same command without --force to go on"),
        *(
            (name, "interrupted")
            for name in ("sft --dry-run", "judge --dry-run", "tokenizer", "eval", "export", "look")
        ),
    ],
)
def test_ctrl_c_promises_to_go_on_only_where_it_does(monkeypatch, capsys, command, said):
    def stop(_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_recipe", stop)
    name, *flags = command.split()
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "demo.toml", *flags])
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == said


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_half_written(in_tmp_path, monkeypatch, name):
    """Outside of training, too. A signal that is ignored, as by nohup, stays ignored."""
    number = getattr(signal, name)

    def write(_arguments):
        with atomic_path("out") as temporary:
            temporary.write_text("half")
            signal.raise_signal(number)

    monkeypatch.setattr(commands, "_recipe", write)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(["look", "demo.toml"])
        assert ended.value.code == 128 + number
        assert os.listdir() == []
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)
        with pytest.raises(AttributeError):  # from `look`, whose recipe is None here
            cli.main(["look", "demo.toml"])
        assert os.listdir() == ["out"]
    finally:
        signal.signal(number, before)


def test_wrong_data(tiny_run):
    recipe = tiny_run.read_text()

    def with_file(name: str, more: str = "") -> None:
        tiny_run.write_text(recipe.replace('files = ["dialogues.jsonl"]', f'files = ["{name}"]\n{more}'))

    Path("no.parquet").write_text("hello")
    with_file("no.parquet")
    refused("data", "tiny.toml", saying="no.parquet")
    pq.write_table(pa.table({"text": ["a"]}), "other.parquet")
    with_file("other.parquet")
    refused("data", "tiny.toml", saying="text")
    pq.write_table(pa.table({"messages": pa.array([], pa.list_(pa.string()))}), "empty.parquet")
    with_file("empty.parquet")
    refused("data", "tiny.toml", saying="there is nothing in empty.parquet")
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "score": 1}]
    pq.write_table(pa.Table.from_pylist(rows), "bad.parquet")
    with_file("bad.parquet", 'keep = ["score >= 6"]')
    refused("data", "tiny.toml", saying="score >= 6: 1")
    with_file("bad.parquet", 'keep = ["score is high"]')
    refused("data", "tiny.toml", code=2, saying="'score is high' is not a rule")
    with_file("bad.parquet", 'keep = ["skore >= 6"]')
    refused("data", "tiny.toml", saying="skore")
    assert not Path("runs/tiny/data/report.json").exists()


def test_a_broken_checkpoint_is_refused_where_it_is_needed(tiny_run):
    assert minitron("run", "tiny.toml", "--to", "sft").returncode == 0
    checkpoint = Path("runs/tiny/sft/checkpoints") / Path("runs/tiny/sft/best").read_text().strip()
    weights = checkpoint / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])  # one bit of one weight
    refused("reject", "tiny.toml", saying="is damaged")
    weights.write_bytes(whole[: len(whole) // 2])
    refused("reject", "tiny.toml", saying="is damaged")
    (checkpoint / "model.json").unlink()
    refused("reject", "tiny.toml", saying="lacks model.json")


@pytest.mark.parametrize(
    ("line", "saying"),
    [
        ("hello", "line 1 of the input is not a JSON object"),
        ('{"ids": []}', '"ids" must be a list of numbers'),
        ('{"ids": [99999]}', '"ids" must be a list of numbers'),
        (json.dumps({"ids": [5] * 65}), "more than the context of 64"),
    ],
)
def test_wrong_lines(trained, line, saying):
    refused("logits", "tiny.toml", saying=saying, stdin=line + "\n")


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory) -> Path:
    from conftest import TINY_RECIPE, write_dialogues

    folder = tmp_path_factory.mktemp("trained")
    write_dialogues(folder / "dialogues.jsonl")
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    subprocess.run([*COMMAND, "run", "tiny.toml", "--to", "kto"], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def trained(trained_folder, tmp_path, monkeypatch) -> Path:
    """A finished run in the current directory, to be broken at will."""
    shutil.copytree(trained_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, where this test may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place]).returncode:
        pytest.skip("cannot mount a small disk here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill_disk(*, leave: int) -> None:
    """Fills the disk, except for `leave` bytes, with a file `ballast`."""
    with open("ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate("ballast", os.path.getsize("ballast") - leave)


# slow: each case is a whole run; the first is enough to see most faults
@pytest.mark.parametrize("leave", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (8_000, 24_000, 40_000))])
def test_a_disk_that_is_full_from_the_start(trained, small_disk, monkeypatch, leave):
    shutil.copytree(trained / "runs", small_disk / "runs", ignore=shutil.ignore_patterns("sft", "kto", "reject"))
    shutil.copy(trained / "tiny.toml", small_disk)
    shutil.copy(trained / "dialogues.jsonl", small_disk)
    monkeypatch.chdir(small_disk)
    fill_disk(leave=leave)
    done = minitron("sft", "tiny.toml")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written: no space left on the disk" in done.stderr
    os.remove("ballast")
    assert minitron("sft", "tiny.toml").returncode == 0
    monkeypatch.chdir(trained)


@pytest.mark.slow  # four runs
def test_a_full_disk_loses_nothing_already_saved(trained, small_disk, monkeypatch):
    for name in ("tiny.toml", "dialogues.jsonl"):
        shutil.copy(trained / name, small_disk / name)
    for stage in ("data", "tokenizer"):
        shutil.copytree(trained / "runs/tiny" / stage, small_disk / "runs/tiny" / stage)
    monkeypatch.chdir(small_disk)
    fill_disk(leave=1_200_000)  # room for some checkpoints of 400 kB, not for all
    said = refused("sft", "tiny.toml", "sft.keep_checkpoints=9", saying="no space left on the disk")
    assert "free some space" in said
    kept = sorted(Path("runs/tiny/sft/checkpoints").glob("step-*"))
    assert kept
    os.remove("ballast")
    done = minitron("sft", "tiny.toml", "sft.keep_checkpoints=9")
    assert done.returncode == 0, done.stderr
    assert "going on from" in done.stderr
    monkeypatch.chdir(trained)


def test_every_command_is_carried_out_by_a_function():
    (each,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert list(each.choices) == list(commands.COMMANDS)
