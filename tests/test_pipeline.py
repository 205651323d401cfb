"""What the stages share: what they may read, when one is done, who works in a folder, and what is kept of earlier runs."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pexpect
import pytest
import torch

from minitron import cli
from minitron.core import console, lock
from minitron.core.errors import MinitronError
from minitron.core.files import sha256_file
from minitron.core.hashes import Hashes
from minitron.core.out_of_memory import explained
from minitron.program import bundle, check, go
from minitron.recipe.load import load_recipe
from minitron.recipe.view import GENERAL, Undeclared, View
from minitron.stages import binary, declared, pipeline
from minitron.stages.declared import STAGES, named
from minitron.stages.pipeline import settings_of
from minitron.train import checkpoint

COMMAND = [sys.executable, "-m", "minitron"]
SHORT = ("sft.steps=2", "sft.eval_every_steps=2", "sft.accumulation=1")


@pytest.fixture
def minitron(tiny_run, capfd):
    """Runs a command in this process; returns its exit status and what it said."""

    def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        try:
            cli.main(list(arguments))
        except SystemExit as left:
            return left.code, capfd.readouterr().err
        return 0, capfd.readouterr().err

    return run


@pytest.fixture
def config(tiny_run):
    Path("book.txt").write_text("a book")
    return load_recipe("tiny.toml", ['pretrain.files=["book.txt"]'])


# ---- what a stage may read


@pytest.mark.parametrize("name", [s.name for s in STAGES])
def test_a_stage_sees_what_it_declares_and_nothing_else(config, name):
    view, options = named(name).view(config), {*named(name).decide(config), *named(name).beside}
    for general in GENERAL:
        assert getattr(view, general) == getattr(config, general)
    for section in dataclasses.fields(config):
        value = getattr(config, section.name)
        for option in dataclasses.fields(value) if dataclasses.is_dataclass(value) else ():
            if options & {section.name, f"{section.name}.{option.name}"}:
                assert getattr(getattr(view, section.name), option.name) == getattr(value, option.name)
            else:
                with pytest.raises(Undeclared, match=f"{section.name}.{option.name} is not among"):
                    getattr(getattr(view, section.name), option.name)


def test_methods_of_a_section_see_no_more_than_the_stage(config):
    view = View(config, declared.CHAT)
    assert view.export.sampling() == config.export.sampling()
    with pytest.raises(Undeclared, match=r"export.temperature"):
        View(config, ("export.top_k",)).export.sampling()
    assert View(load_recipe("tiny.toml"), ()).pretrain is None
    with pytest.raises(Undeclared):
        view.with_optim(lr=1.0)


def test_whatever_a_stage_declares_is_in_its_fingerprint(config):
    """Except settings that only change what is printed, or that change nothing of what is made."""
    left_out = {
        "samples",
        "keep_checkpoints",
        "snapshot_steps",
        "tensorboard",
        "sources",
        "workers",
        "cluster",
        "fetch",
        "file",
    }
    for each in STAGES:
        settings = settings_of(each, config)
        assert set(settings) == set(each.decide(config))
        for name, value in settings.items():
            section = getattr(config, name, None)
            if dataclasses.is_dataclass(section):
                assert set(value) == {f.name for f in dataclasses.fields(section)} - left_out
    assert "data.sources" in settings_of(named("export"), config)


@pytest.mark.parametrize("recipe", sorted(Path("recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_what_decides_a_stage_can_be_kept(recipe):
    """Fingerprints consist of values that JSON can hold, for every stage of every shipped recipe."""
    config = load_recipe(recipe)
    for stage in STAGES:
        settings = pipeline.settings_of(stage, config)
        assert json.loads(json.dumps(settings)).keys() == settings.keys()


@pytest.mark.parametrize(("chosen", "changes"), [("data", False), ("model", True)])
def test_how_the_model_draws_decides_what_reject_makes_of_its_answers(tiny_run, chosen, changes):
    cold, hot = (
        settings_of(named("reject"), load_recipe("tiny.toml", [f"reject.chosen={chosen}", f"export.temperature={t}"]))
        for t in (0.1, 0.9)
    )
    assert (cold != hot) == changes


def test_held_out_text_is_declared_by_those_who_read_it(tmp_path, monkeypatch):
    """Eval and export of a base model take their prompts from the rows that pretrain packed."""
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("a book")
    Path("base.toml").write_text('[pretrain]\nfiles = ["book.txt"]\n')
    base = load_recipe("base.toml")
    rows = base.layout.packed("pretrain", "valid") / "pack.json"
    assert rows in named("pretrain").makes(base)
    assert rows in named("eval").reads(base)
    assert rows in named("export").reads(base)


# ---- hashes


def test_a_hash_is_remembered_until_the_file_changes(tmp_path):
    file, memory = tmp_path / "x", tmp_path / "hashes.json"
    file.write_text("abc")
    young = Hashes(memory)
    assert young.of(file) == sha256_file(file)
    young.save()
    assert not memory.exists()  # the file is too new: its next change may come in the same tick of the disk's clock
    time.sleep(2.1)
    old = Hashes(memory)
    old.of(file)
    old.save()
    known = json.loads(memory.read_text())
    known[str(file)][-1] = "0" * 64
    memory.write_text(json.dumps(known))
    assert Hashes(memory).of(file) == "0" * 64  # the file was not read again
    stat = file.stat()
    file.write_text("xyz")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as rsync and tar do
    assert Hashes(memory).of(file) == sha256_file(file)
    for broken in ("[]", "null", "{", '{"x": 3}', json.dumps({str(file): [1]})):
        memory.write_text(broken)
        assert Hashes(memory).of(file) == sha256_file(file)


# ---- one at a time


@pytest.mark.slow  # four processes, each with torch
def test_two_processes_do_not_work_in_one_folder(tiny_run):
    assert subprocess.run([*COMMAND, "run", "tiny.toml", "--to", "tokenizer"]).returncode == 0
    first = subprocess.Popen([*COMMAND, "sft", "tiny.toml", "sft.steps=100000"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not Path("runs/tiny/sft/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    second = subprocess.run([*COMMAND, "sft", "tiny.toml", "--force", "optim.lr=1e-4"], capture_output=True, text=True)
    assert second.returncode == 1
    assert second.stderr.startswith("minitron: error: another minitron is working in runs/tiny/sft\n")
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    again = subprocess.run([*COMMAND, "sft", "tiny.toml", "--force", *SHORT], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr


def test_a_lock_is_free_again_after_the_block(tmp_path):
    for _ in range(2):
        with lock.held(tmp_path / "a" / "sft"):
            with (
                pytest.raises(MinitronError, match="another minitron is working in"),
                lock.held(tmp_path / "a" / "sft"),
            ):
                pass
            with lock.held(tmp_path / "a" / "kto"):
                pass


# ---- when a stage is done


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "3", "{}", "", "\x00\x00", '{"made": []}'])
@pytest.mark.parametrize("file", ["stage.json", "started.json"])
def test_a_stage_file_that_is_none_counts_as_absent(minitron, file, text):
    minitron("data", "tiny.toml")
    Path("runs/tiny/data", file).write_text(text)
    if file == "stage.json":
        code, said = minitron("data", "tiny.toml")
        assert code == 0
        assert "done already" not in said
    assert "done already" in minitron("data", "tiny.toml")[1]


def test_a_right_stamp_without_its_files_is_none(minitron):
    minitron("data", "tiny.toml")
    file = Path("runs/tiny/data/stage.json")
    stamp = json.loads(file.read_text())
    for made in (None, [], "x"):
        file.write_text(json.dumps({"from": stamp["from"]} | ({"made": made} if made is not None else {})))
        assert minitron("data", "tiny.toml")[0] == 0
        assert json.loads(file.read_text()) == stamp


def test_what_does_not_change_a_model_does_not_train_it_anew(minitron):
    minitron("run", "tiny.toml", "--to", "sft", *SHORT)
    for change in (
        'sft.samples=["hello"]',
        "sft.keep_checkpoints=5",
        "sft.tensorboard=true",
        "data.sources=[{name='x'}]",
    ):
        assert "done already" in minitron("sft", "tiny.toml", *SHORT, change)[1], change


@pytest.mark.parametrize(("force", "wanted"), [([], "fp32"), (["--force"], "fp32"), ([], "bf16")])
def test_a_run_that_begins_anew_chooses_anew(minitron, force, wanted):
    minitron("run", "tiny.toml", "--to", "sft", *SHORT, "optim.precision=bf16")
    folder = Path("runs/tiny/sft")
    shutil.rmtree(folder / "checkpoints")
    for name in ("best", "latest", "stage.json"):  # as if killed before its first checkpoint
        (folder / name).unlink()
    code, said = minitron("sft", "tiny.toml", *SHORT, f"optim.precision={wanted}", *force)
    assert code == 0
    assert ("precision fp32 (as the recipe says)" in said) == (wanted == "fp32")  # one that goes on keeps to its choice
    trainer = torch.load(next(folder.glob("checkpoints/*/trainer.pt")), weights_only=True)
    assert trainer["state"]["precision"] == wanted


def test_what_was_there_is_kept_however_often(minitron):
    weights = []
    for steps in (1, 2, 3):
        code, said = minitron("run", "tiny.toml", "--to", "sft", "sft.accumulation=1", f"sft.steps={steps}")
        assert code == 0, said
        weights.append(sha256_file(checkpoint.pointed(Path("runs/tiny/sft"), "best") / "model.safetensors"))
    assert "sft: made before with other settings: sft.steps was 2, is 3" in said
    assert "sft: what was there is now in runs/tiny/sft.old-2, which you may delete" in said
    kept = [
        sha256_file(checkpoint.pointed(Path("runs/tiny", name), "best") / "model.safetensors")
        for name in ("sft.old", "sft.old-2", "sft")
    ]
    assert kept == weights
    assert len(set(kept)) == 3


def test_an_end_that_is_lost_is_made_again_without_training(minitron):
    """If the stamp, the pointer or the best checkpoint is lost, the same command goes on from what is left."""
    minitron("run", "tiny.toml", "--to", "sft", *SHORT)
    folder = Path("runs/tiny/sft")
    best = checkpoint.pointed(folder, "best")
    want = sha256_file(best / "model.safetensors")
    for lose in (folder / "stage.json", folder / "best", best):
        shutil.rmtree(lose) if lose.is_dir() else lose.unlink()
        code, said = minitron("sft", "tiny.toml", *SHORT)
        assert code == 0, said
        assert ("going on from" in said) == (lose != best)
        assert checkpoint.pointed(folder, "best") == best
        assert sha256_file(best / "model.safetensors") == want
        assert "done already" in minitron("sft", "tiny.toml", *SHORT)[1]
    assert not Path("runs/tiny/sft.old").exists()


def test_a_pointer_that_is_damaged_names_no_checkpoint(minitron):
    minitron("run", "tiny.toml", "--to", "sft", *SHORT)
    folder = Path("runs/tiny/sft")
    best = checkpoint.pointed(folder, "best")
    (folder / "best").write_bytes(b"\xff\xfe")
    assert not load_recipe("tiny.toml").layout.last_trained[1].exists()
    assert minitron("reject", "tiny.toml")[0] == 1
    Path("runs/tiny/recipe").write_bytes(b"\xff\xfe")
    assert minitron("sft", "tiny.toml", *SHORT)[0] == 0
    assert checkpoint.pointed(folder, "best") == best
    assert Path("runs/tiny/recipe").read_text() == "tiny.toml\n"


def test_a_stage_removes_what_killed_processes_left(minitron):
    """In its own folder and in that of the run."""
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left = [Path("runs/tiny", name.format(killed.pid)) for name in ("data/.packed-train.{}.tmp", ".report.html.{}.tmp")]
    for folder in left:
        folder.mkdir(parents=True)
    minitron("data", "tiny.toml")
    assert not any(folder.exists() for folder in left)


def test_probes_that_are_damaged_are_not_taken_for_whole(config):
    file = config.layout.probes(config.shipped)
    assert file in named("eval").makes(config)
    assert binary.read_probes(file) == []
    probe = {"messages": [], "check": "", "answer": "", "right": True, "wanted": ""}
    line = json.dumps(probe) + "\n"
    file.parent.mkdir(parents=True)
    file.write_text(line * 2)
    assert binary.read_probes(file) == [probe, probe]
    for damaged in (line + line[:20], line + line[:-1], '{"a": 1}\n', "[]\n", "3\n", "\n"):
        file.write_text(damaged)
        with pytest.raises(MinitronError, match="is damaged"):
            binary.read_probes(file)


def test_damaged_rows_are_packed_again_where_the_stamp_is_deleted(minitron):
    """The remedy that `packing.pack_again` gives: a finished stage does not look at its rows."""
    minitron("run", "tiny.toml", "--to", "sft", *SHORT)
    folder = Path("runs/tiny/sft")
    rows = (folder / "packed-valid" / "tokens.bin").read_bytes()
    (folder / "packed-valid" / "tokens.bin").write_bytes(rows[:-2])
    assert "done already" in minitron("sft", "tiny.toml", *SHORT)[1]
    (folder / "stage.json").unlink()
    code, said = minitron("sft", "tiny.toml", *SHORT)
    assert code == 0, said
    assert "packed-valid are damaged or of an earlier version: they are packed again" in said
    assert "going on from" in said
    assert (folder / "packed-valid" / "tokens.bin").read_bytes() == rows


def test_what_an_earlier_version_left_is_told_from_other_settings(minitron):
    minitron("run", "tiny.toml", "--to", "sft", *SHORT)
    started = Path("runs/tiny/sft/started.json")
    started.write_text(json.dumps(json.loads(started.read_text()) | {"format": 1}))
    Path("runs/tiny/sft/stage.json").unlink()
    code, said = minitron("sft", "tiny.toml", *SHORT)
    assert code == 1
    assert "holds an unfinished run with other settings: it was made by another version of minitron" in said
    assert minitron("sft", "tiny.toml", *SHORT, "--force")[0] == 0


def test_options_of_an_earlier_stage_are_not_ignored_silently(minitron):
    minitron("run", "tiny.toml", "--to", "sft", *SHORT)
    code, said = minitron("sft", "tiny.toml", *SHORT, "tokenizer.vocab_size=360")
    assert code == 0
    assert "warning: tokenizer was made with other settings, which sft takes as they are: " in said
    assert (
        "tokenizer.vocab_size was 340, is 360. To make it anew, run: minitron run tiny.toml --to sft, with the same key=value options"
        in said
    )
    assert "warning" not in minitron("sft", "tiny.toml", *SHORT)[1]
    assert "warning" not in minitron("sft", "tiny.toml", *SHORT, "eval.prompts=7")[1]  # no earlier stage reads it


def test_two_recipes_of_one_name_do_not_share_a_run(minitron):
    Path("a").mkdir()
    Path("b").mkdir()
    shutil.copy("tiny.toml", "a/x.toml")
    shutil.copy("tiny.toml", "b/x.toml")
    assert minitron("data", "a/x.toml")[0] == 0
    code, said = minitron("data", "b/x.toml", "data.valid_fraction=0.1")
    assert code == 1
    assert said.startswith("minitron: error: runs/x holds the models of a/x.toml, not of b/x.toml\nhint: ")
    assert "done already" in minitron("data", str(Path("a/x.toml").resolve()))[1]
    os.rename("a", "c")  # the same recipe in another place
    assert "done already" in minitron("data", "c/x.toml")[1]
    assert minitron("data", "b/x.toml")[0] == 1


def test_a_folder_among_the_inputs_is_told(minitron):
    Path("many.parquet").mkdir()
    for setting in ('data.files=["many.parquet"]', 'data.files=["*.parquet"]'):
        code, said = minitron("data", "tiny.toml", setting)
        assert "Traceback" not in said
        assert code == 1
        assert said.startswith("minitron: error: data.files: "), said


def test_raw_data_may_go_once_it_was_read(minitron):
    minitron("run", "tiny.toml", "--to", "tokenizer")
    os.remove("dialogues.jsonl")
    code, said = minitron("sft", "tiny.toml", *SHORT)
    assert code == 0, said


# ---- how a run ends


def test_a_terminal_that_closes_loses_no_step(tiny_run):
    assert subprocess.run([*COMMAND, "run", "tiny.toml", "--to", "tokenizer"]).returncode == 0
    log = Path("runs/tiny/sft/metrics.jsonl")
    child = pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], "sft", "tiny.toml", "sft.steps=100000", "sft.eval_every_steps=90000"],
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # also where nohup runs these tests
    )
    deadline = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.close(child.child_fd)
    _, status = os.waitpid(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    folder = checkpoint.newest_whole(Path("runs/tiny/sft"))
    assert checkpoint.check(folder)["step"] == json.loads(log.read_text().splitlines()[-1])["step"]
    assert "stopping after this step" in Path("runs/tiny/sft/log").read_text()


def test_a_reader_that_ends_first_loses_no_step(tiny_run):
    """As with `minitron sft RECIPE 2>&1 | tee log`, where Ctrl-C ends tee at once."""
    assert subprocess.run([*COMMAND, "run", "tiny.toml", "--to", "tokenizer"]).returncode == 0
    log = Path("runs/tiny/sft/metrics.jsonl")
    settings = ("sft.steps=100000", "sft.eval_every_steps=90000")
    process = subprocess.Popen(
        [*COMMAND, "sft", "tiny.toml", *settings], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    folder = checkpoint.newest_whole(Path("runs/tiny/sft"))
    assert checkpoint.check(folder)["step"] == json.loads(log.read_text().splitlines()[-1])["step"]
    assert "stopping after this step" in Path("runs/tiny/sft/log").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
@pytest.mark.parametrize(
    "script",
    [
        "{} 2>&-; echo $? > status",
        "{} 2>/dev/full; echo $? > status",
        "{} <&- >&- 2>&-; echo $? > status",
        "({} 2>&1; echo $? > status) | true",
    ],
)
def test_work_does_not_end_since_nobody_reads_its_messages(tiny_run, script):
    subprocess.run(["sh", "-c", script.format(f"{' '.join(COMMAND)} data tiny.toml")], check=True)
    assert Path("status").read_text() == "0\n"
    assert Path("runs/tiny/data/train.parquet").exists()
    assert "probes " in Path("runs/tiny/data/log").read_text().splitlines()[-1]


@pytest.mark.skipif(not shutil.which("nohup"), reason="no nohup here")
def test_nohup_goes_on(tiny_run):
    code = "import os, signal\nfrom minitron.core.interrupt import Interrupt\nwith Interrupt() as stop:\n"
    code += "    os.kill(os.getpid(), signal.SIGHUP)\n    print(stop.wanted)\n"
    for command, wanted in ((["nohup"], "False"), ([], "True")):
        done = subprocess.run(
            [*command, sys.executable, "-c", code],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        assert done.stdout.strip() == wanted


def test_too_little_memory_is_told_with_what_to_lower():
    sft = named("sft")
    for most in (
        lambda: torch.empty(1 << 60, dtype=torch.uint8),
        lambda: bytearray(1 << 60),
        lambda: np.empty(1 << 58),
    ):
        with pytest.raises(MinitronError, match="sft needs more memory") as told, explained("sft", hint=sft.lower):
            most()
        assert "lower sft.batch_rows (and raise sft.accumulation)" in told.value.hint
    with pytest.raises(RuntimeError, match="bug"), explained("sft", hint=""):
        raise RuntimeError("bug")


# ---- what is said


def test_control_characters_never_reach_the_terminal(tmp_path, capfd):
    evil = "role \x1b]0;PWNED\x07 \x9b31m \x7f ok\n\tжёлтый"
    with console.logging_to(tmp_path / "log"):
        console.warn(evil)
    said, logged = capfd.readouterr().err, (tmp_path / "log").read_text(encoding="utf-8")
    for text in (said, logged):
        assert not set(text) & {chr(n) for n in (*range(9), *range(11, 32), *range(0x7F, 0xA0))}
        assert "role \ufffd]0;PWNED\ufffd \ufffd31m \ufffd ok\n\tжёлтый" in text.replace("        ", "\t")


def test_roles_out_of_data_are_shown_without_their_escapes(minitron):
    row = {"messages": [{"role": "\x1b]0;PWNED\x1b\\", "content": "a"}, {"role": "assistant", "content": "b"}]}
    with open("dialogues.jsonl", "a") as file:
        file.write(json.dumps(row) + "\n")
    _, said = minitron("data", "tiny.toml")
    assert "PWNED" in said
    assert "\x1b" not in said + Path("runs/tiny/data/log").read_text()


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", "?????? é"), ("ascii", "?????? ?"), ("utf-8", "Привет é")])
def test_results_are_shown_in_any_encoding(encoding, shown):
    code = "from minitron.core import console; console.ready_streams(); console.tell('Привет é\\x1b')"
    env = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=True)
    assert done.stdout.decode(encoding).strip() in (shown + "?", shown + "\ufffd")


# ---- what leaves the run


def test_every_recipe_has_its_own_bundle_and_programs(minitron, capfd):
    for name in ("alpha", "beta"):
        shutil.copy("tiny.toml", f"{name}.toml")
        assert minitron("export", f"{name}.toml", "--untrained", f"export.title={name.title()}")[0] == 0
    assert sorted(path.name for path in Path("export").iterdir() if path.is_dir()) == ["alpha", "beta"]
    for name in ("alpha", "beta"):
        config = load_recipe(f"{name}.toml")
        assert json.loads((config.layout.bundle / "config.json").read_text())["name"] == name.title()
        assert config.layout.dist == Path("dist") / name
    capfd.readouterr()
    assert bundle.last_bundle() == Path("export/beta")
    assert capfd.readouterr().err == "the bundle that was exported last is export/beta: Beta\n"
    os.utime("export/alpha/config.json", ns=(1 << 62, 1 << 62))
    assert bundle.last_bundle() == Path("export/alpha")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_a_recipe_whose_name_is_not_utf_8_is_a_sentence(minitron):
    name = os.fsdecode(b"caf\xe9.toml")
    shutil.copy("tiny.toml", name)
    code, said = minitron("data", name)
    assert (code, said) == (2, "minitron: error: the name of caf\ufffd.toml is not UTF-8\nhint: rename it\n")
    assert not Path("runs").exists()


DAMAGES = {
    "weights.bin": (lambda data: data[:-64], "weights.bin is damaged: it is not what config.json says"),
    "vocab.json": (lambda data: data.replace(b"hello", b"hallo", 1) + b" ", "vocab.json is damaged"),
    "config.json": (lambda data: data.replace(b"tiny", b"tidy", 1), "config.json is damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_nothing_is_built_around_a_damaged_bundle(minitron, name):
    minitron("export", "tiny.toml", "--untrained")
    program = Path("dist/tiny") / go.program_name(None)
    program.parent.mkdir(parents=True)
    program.write_text("a good one")
    damage, told = DAMAGES[name]
    file = Path("export/tiny", name)
    file.write_bytes(damage(file.read_bytes()))
    for command in ("binary", "html"):
        code, said = minitron(command)
        assert code == 1
        assert f"minitron: error: export/tiny/{told}" in said
    assert program.read_text() == "a good one"


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_go_is_asked_once_and_its_full_disk_is_told_in_one_sentence(minitron, tmp_path, monkeypatch):
    minitron("export", "tiny.toml", "--untrained")
    fake = tmp_path / "bin" / "go"
    fake.parent.mkdir()
    said = "go: writing /tmp/go-build7/b001: no space left on device"
    fake.write_text(
        f'#!/bin/sh\necho "$1 $GOENV $TMPDIR" >> {tmp_path}/asked\necho x: go1.99\necho "{said}" >&2\n[ "$1" = version ]\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for command in (("binary",), ("binary", "--target", "linux/arm64"), ("html",)):
        assert minitron(*command) == (
            1,
            "the bundle that was exported last is export/tiny: tiny\nminitron: error: /tmp/go-build7/b001 cannot be written: "
            "no space left on the disk\nhint: free some space, then run the same command again\n",
        )
    assert check.toolchain(fake) == "go1.99"
    asked = [line.split() for line in (tmp_path / "asked").read_text().splitlines()]
    assert [line[0] for line in asked] == ["version", "build", "build", "run", "version"]
    assert {line[1] for line in asked} == {"off"}
    assert all(Path(line[2]).is_dir() for line in asked)


def test_no_folder_for_temporary_files_is_a_sentence(minitron, monkeypatch):
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    minitron("export", "tiny.toml", "--untrained")
    for command in ("binary", "html"):
        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "gettempdir", none)
            code, said = minitron(command)
        assert code == 1
        assert "minitron: error: no folder for temporary files can be written to\nhint: " in said


def test_without_a_bundle_there_is_a_sentence(minitron):
    for command in ("binary", "html"):
        code, said = minitron(command)
        assert (code, said) == (
            1,
            "minitron: error: there is no bundle in export/\nhint: run: minitron export RECIPE\n",
        )


def test_the_program_built_last_has_the_short_name_and_says_whose_it_is(minitron, capfd):
    programs = {}
    for name in ("alpha", "beta"):
        shutil.copy("tiny.toml", f"{name}.toml")
        minitron("export", f"{name}.toml", "--untrained", f"export.title={name.title()}")
        programs[name] = Path("dist") / name / "minitron-chat-linux-amd64"
        programs[name].parent.mkdir(parents=True)
        programs[name].write_text(name)
    short = Path("dist/minitron-chat-linux-amd64")
    for name in ("alpha", "beta", "beta", "alpha"):
        capfd.readouterr()
        before = short.read_text() if short.exists() else ""
        go.publish([programs[name]], Path("export") / name)
        assert short.read_text() == name
        said = capfd.readouterr().err
        assert said == ("" if before == name else f"binary: {short} is now {name.title()} 1.0 (recipe {name})\n")
    assert sorted(os.listdir("dist")) == ["alpha", "beta", "minitron-chat-linux-amd64"]


@pytest.mark.parametrize("recipe", ["../../x", "/etc", "..", "", 5])
def test_a_bundles_recipe_leads_nowhere_else(minitron, recipe):
    minitron("export", "tiny.toml", "--untrained")
    file = Path("export/tiny/config.json")
    about = json.loads(file.read_text())
    about["made"]["recipe"] = recipe
    file.write_text(json.dumps(about))
    if isinstance(recipe, str):
        assert bundle.read_about(file.parent).recipe == "tiny"
    else:
        with pytest.raises(MinitronError, match="is no bundle's"):
            bundle.read_about(file.parent)
