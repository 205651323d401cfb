"""What `pip install minitron` brings: the command, the chat program's sources and the page, in a folder far from the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow  # builds a wheel, and a program from it


def test_a_wheel_builds_the_chat_program_outside_the_repository(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    source = tmp_path / "source"  # a copy: building leaves folders behind
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name.startswith(("minitron/", "go_serve/")) or name in (
            "pyproject.toml",
            "setup.py",
            "README.md",
            "LICENSE",
        ):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path / "wheels", source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "wheels").glob("minitron-*-py3-none-any.whl")
    assert wheel.stat().st_size < 3_000_000
    names = zipfile.ZipFile(wheel).namelist()
    assert "minitron/py.typed" in names
    assert "minitron/program/go_serve/internal/page/assets/index.html" in names
    assert not [name for name in names if name.endswith("_test.go") or "/testdata/" in name]

    installed, work = tmp_path / "installed", tmp_path / "work"
    subprocess.run([*pip, "install", "--no-deps", "-q", "--target", installed, wheel], check=True, capture_output=True)
    work.mkdir()
    (work / "tiny.toml").write_text("[tokenizer]\nvocab_size = 300\n[model]\nn_layers = 1\nn_heads = 2\nd_model = 32\n")

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=work, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "from minitron.program import go; print(go.SOURCES)")
    assert Path(where.strip()) == installed / "minitron" / "program" / "go_serve"
    run("-m", "minitron", "export", "tiny.toml", "--untrained", "--dtype", "q8")
    run("-m", "minitron", "binary")
    (program,) = (work / "dist").glob("minitron-chat-*")
    said = subprocess.run([program, "-p", "hello", "--max-tokens", "3", "--seed", "1"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    run("-m", "minitron", "html")
