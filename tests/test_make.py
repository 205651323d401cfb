"""The Makefile: recipes and folders whose names have spaces, and that every target has its line of help."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    key: value for key, value in os.environ.items() if not key.startswith("MAKE")
}  # so that it works even if make runs these tests


def make(*arguments: str, cwd: Path = ROOT) -> str:
    """What make would run."""
    done = subprocess.run(
        ["make", "-n", "-o", "setup", *arguments], cwd=cwd, env=OUTSIDE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("target", ["data", "sft", "binary", "chat", "html", "binaries"])
def test_a_recipe_with_spaces_is_one_argument(target):
    for line in make(target, "RECIPE=my recipes/a b.toml").splitlines():
        assert "my recipes" not in line or '"my recipes/a b.toml"' in line
    assert '"my recipes/a b.toml"' in make(target, "RECIPE=my recipes/a b.toml")


def test_chat_and_stages_take_options():
    assert make("chat", "ARGS=seed=2").split()[-1] == "seed=2"
    assert make("kto", "ARGS=seed=2").split()[-1] == "seed=2"


def test_a_clone_may_lie_below_a_folder_with_spaces(tmp_path):
    """The shell must find the commands that lint and test run, so the Go command is named by its whole path."""
    clone = tmp_path / "my clone"
    clone.mkdir()
    shutil.copy(ROOT / "Makefile", clone)
    (clone / "go_serve").mkdir()
    python = clone / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    go = clone / "the go/bin"
    go.mkdir(parents=True)
    for command in ("go", "gofmt"):
        (go / command).write_text("#!/bin/sh\nexit 0\n")
        (go / command).chmod(0o755)
    python.write_text(f"#!/bin/sh\n[ \"$2\" = minitron.program.go ] && echo '{go.parent}'\nexit 0\n")
    for command in ("python", "ruff", "mypy"):
        (python.parent / command).write_text(python.read_text())
        (python.parent / command).chmod(0o755)
    done = subprocess.run(
        ["make", "-o", ".venv/.ready-test", "lint", "test", "fmt"],
        cwd=clone,
        env=OUTSIDE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_target_has_a_line_of_help():
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.M)[1].replace("$(STAGES)", re.search(r"STAGES := (.*)", text)[1])
    told = subprocess.run(["make"], cwd=ROOT, env=OUTSIDE, capture_output=True, text=True).stdout
    assert {line.split()[0] for line in told.splitlines()[:-1]} == set(phony.split())
