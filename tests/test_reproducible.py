"""The same bundle, sources and Go give the same program, byte for byte: in another folder, for another user, whatever their
environment says. `minitron binary --check` tells whether a program is such a one. ClamAV finds nothing in any of them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from minitron.program import check, go

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "go_serve/internal/model/testdata/llama"
HOSTILE = {
    "GOFLAGS": "-race",
    "GOAMD64": "v3",
    "GOARM64": "v9.0",
    "GODEBUG": "gctrace=1",
    "GOEXPERIMENT": "nosuch",
    "TZ": "Asia/Tokyo",
}


def minitron(*arguments: str | Path, cwd: Path, root: Path = ROOT, **settings) -> subprocess.CompletedProcess:
    env = os.environ | {"PYTHONPATH": str(root)} | settings.pop("env", {})
    command = [sys.executable, "-m", "minitron", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, **settings)


@pytest.fixture
def elsewhere():
    """A copy of all that builds, with a repository of its own around it, in a folder that everybody can read."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "another place" / "clone"
        for name in ("minitron", "go_serve"):
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(TINY, place / "bundle")
        (place / "go.work").write_text("go 1.27\n")
        for command in (
            ["init", "-q"],
            ["add", "go_serve"],
            ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *command], cwd=place, check=True)
        (place / "out").mkdir()
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(0o777 if path.is_dir() else 0o644)
        yield place


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 by name."""
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_another_folder_and_environment(elsewhere, tmp_path):
    """Builds and checks this machine's program; one more byte, another bundle and a file that is no program are told apart."""
    done = minitron("binary", "--bundle", TINY, "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = minitron("binary", "--bundle", "bundle", "--out", "out", cwd=elsewhere, root=elsewhere, env=HOSTILE)
    assert done.returncode == 0, done.stderr
    assert sums(tmp_path) == sums(elsewhere / "out")
    program = tmp_path / go.program_name(None)

    def checked(file: Path, bundle: Path = TINY) -> subprocess.CompletedProcess:
        return minitron("binary", "--check", file, "--bundle", bundle, cwd=tmp_path)

    done = checked(program)
    assert (done.returncode, sums(tmp_path)[program.name] in done.stderr) == (0, True), done.stderr
    (tmp_path / "more").write_bytes(program.read_bytes() + b"\0")
    done = checked(tmp_path / "more")
    assert done.returncode == 1
    assert "it holds this bundle, but other code" in done.stderr
    config = elsewhere / "bundle/config.json"
    config.write_bytes(config.read_bytes() + b"\n")
    done = checked(program, elsewhere / "bundle")
    assert done.returncode == 1
    assert f"{program} holds another config.json than " in done.stderr
    done = checked(TINY / "config.json")
    assert done.returncode == 1
    assert "is no program for Linux, Windows or macOS\n" in done.stderr
    done = minitron("binary", "--check", program, "--target", "all", cwd=tmp_path)
    assert done.returncode == 2


def another_user() -> dict[str, int]:
    """Arguments for subprocess: run as user `nobody` if we may and `nobody` can run this Python; otherwise as ourselves."""
    try:
        subprocess.run([sys.executable, "-c", "import minitron.program.go"], user=65534, check=True, cwd="/")
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return {"user": 65534}


# slow: the standard library is compiled for each user and target
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_another_user_and_system(elsewhere, tmp_path):
    targets = [word for target in ("windows/amd64", "darwin/arm64") for word in ("--target", target)]
    done = minitron("binary", *targets, "--bundle", TINY, "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    home = elsewhere / "home"
    home.mkdir()
    home.chmod(0o777)
    own = {
        "HOME": str(home),
        "GOCACHE": str(home / "cache"),
        "GOPATH": str(home / "go"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = ("binary", *targets, "--bundle", "bundle", "--out", "out")
    done = minitron(*command, cwd=elsewhere, root=elsewhere, env=own, umask=0o77, **another_user())
    assert done.returncode == 0, done.stderr
    theirs = sums(elsewhere / "out")
    assert sums(tmp_path) == theirs
    assert len(theirs) == 2
    for name in theirs:
        target = check.target_of((tmp_path / name).read_bytes())
        assert name == go.program_name(target)


def virus_scanner() -> str | None:
    """clamscan, where it is installed with a database."""
    found = shutil.which("clamscan")
    if not found or not any(Path("/var/lib/clamav").glob("*.c[vl]d")):
        return None
    return found


# slow: ClamAV reads its database for half a minute, and all targets are built
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not virus_scanner(), reason="needs Debian's clamav and a database (freshclam)")
def test_clamav_finds_nothing(tmp_path):
    done = minitron("binary", "--target", "all", "--bundle", TINY, "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    command = [virus_scanner(), "--recursive", "--infected", "--max-filesize=500M", "--max-scansize=500M", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Infected files: 0" in done.stdout
