"""What can go wrong is reported before the first long stage: by then nothing is trained, and mostly nothing is made at all."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minitron.core import distributed
from minitron.core.errors import MinitronError
from minitron.program import go, html
from minitron.program.bundle import BUNDLE_FILES
from minitron.recipe.load import load_recipe
from minitron.stages.walk import check, check_shares, check_system, walk

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def refused(recipe: Path, *overrides: str, last: str | None = None) -> str:
    with pytest.raises(MinitronError) as error:
        walk(load_recipe(recipe, list(overrides)), first=None, last=last, force=False)
    assert not Path("runs/tiny/sft").exists()
    return f"{error.value} {error.value.hint}"


@pytest.mark.parametrize(
    ("override", "saying"),
    [
        ("export.icon='no.png'", "no.png"),
        ("export.icon='.'", "."),
        ("data.keep=['score is high']", "'score is high' is not a rule"),
        ("data.files=['nothing/*.jsonl']", "nothing matches nothing/*.jsonl"),
        ("reject.files=['labels.parquet']", "labels.parquet"),
        ("reject.files=['tiny.toml']", "tiny.toml"),
        ("data.valid_fraction=0", "data.valid_fraction is 0"),
        pytest.param("optim.compile='on'", "torch.compile is not for a CPU", marks=NO_GPU),
        pytest.param("device='cuda'", "finds no cuda device here", marks=NO_GPU),
    ],
)
def test_it_is_told_before_anything_runs(tiny_run, override, saying):
    assert saying in refused(tiny_run, override)
    assert not Path("runs").exists()


def test_a_malformed_rule_of_labels_is_named_by_its_own_option(tiny_run):
    told = refused(tiny_run, "reject.files=['dialogues.jsonl']", "reject.chosen_if=['score is high']")
    assert "reject.chosen_if: 'score is high' is not a rule" in told
    assert "data.keep" not in told


def test_processes_that_cannot_share_the_steps_are_told_first(tiny_run):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "minitron"]
    done = subprocess.run(
        [*launch, "run", "tiny.toml", "sft.accumulation=3", "device=cpu"], capture_output=True, text=True
    )
    assert done.returncode
    assert done.stderr.count("sft.accumulation is 3: 2 processes cannot share so many micro-batches evenly") == 1
    assert not Path("runs").exists()


def test_steps_that_are_done_need_not_be_shared(tiny_run, monkeypatch):
    monkeypatch.setattr(distributed, "_world", 2)
    config = load_recipe(tiny_run, ["sft.accumulation=3", "device=cpu"])
    with pytest.raises(MinitronError, match=r"sft\.accumulation is 3"):
        check_shares(config, {"data", "sft"})
    check_shares(config, {"data", "tokenizer"})
    config.layout.stage("sft").mkdir(parents=True)
    (config.layout.stage("sft") / "stage.json").write_text("{}")
    check_shares(config, {"data", "sft"})


def test_no_go_and_no_sources_are_told_first(tiny_run, monkeypatch):
    config = load_recipe(tiny_run)
    monkeypatch.setattr(go, "SOURCES", Path("nowhere/go_serve"))
    with pytest.raises(MinitronError, match="sources are not in nowhere/go_serve"):
        check(config, {"binary"})
    Path("export").mkdir()
    for name in BUNDLE_FILES:
        Path("export", name).write_bytes(b"")
    with pytest.raises(MinitronError, match="sources are not in"):
        html.write(Path("export"))
    monkeypatch.undo()
    monkeypatch.setattr(go, "NEEDED", (99, 0))
    with pytest.raises(MinitronError, match=r"there is no Go 99\.0"):
        check(config, {"binary"})


def test_a_system_message_beyond_the_context_is_told_before_training(tiny_run):
    system = "export.system='" + "be kind and short " * 40 + "'"
    told = refused(tiny_run, system, last="sft")
    assert "export.system leaves no room for a message in the context of 64 tokens" in told
    check_system(load_recipe(tiny_run, ["export.system='be kind'"]))  # the tokenizer is there, and it fits
