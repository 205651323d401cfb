"""Files are whole or not there."""

import errno
import hashlib
import os
import subprocess
import sys
from functools import partialmethod
from pathlib import Path

import pytest

from minitron.core.errors import MinitronError
from minitron.core.files import (
    atomic_folder,
    atomic_path,
    atomic_set,
    atomic_write,
    path_error,
    read_error,
    remove_leftovers,
    sha256_file,
    sha256_json,
    write_error,
)


def test_writes_bytes_and_text_into_missing_folders(tmp_path):
    atomic_write(tmp_path / "a" / "b" / "x.txt", "жёлтый\n")
    atomic_write(tmp_path / "x.bin", b"\x00\r\n\xff")
    assert (tmp_path / "a" / "b" / "x.txt").read_bytes() == "жёлтый\n".encode()
    assert (tmp_path / "x.bin").read_bytes() == b"\x00\r\n\xff"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "x.bin"]


def test_temporary_is_a_hidden_sibling_and_becomes_the_file(tmp_path):
    path = tmp_path / "x.bin"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".tmp")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert not temporary.exists()


def _fail(path, failure):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise failure


@pytest.mark.parametrize("failure", [ValueError("bug"), KeyboardInterrupt(), MinitronError("no")])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "x.bin"
    path.write_text("old")
    with pytest.raises(type(failure)):
        _fail(path, failure)
    assert os.listdir(tmp_path) == ["x.bin"]
    assert path.read_text() == "old"


def test_a_full_disk_is_told_in_one_sentence(tmp_path):
    path = tmp_path / "x.bin"
    with pytest.raises(MinitronError) as raised:
        _fail(path, OSError(errno.ENOSPC, "No space left on device"))
    assert str(raised.value) == f"{path} cannot be written: no space left on the disk"
    assert raised.value.hint
    assert raised.value.code == 1
    assert os.listdir(tmp_path) == []


def test_an_error_without_a_number_is_understood(tmp_path):
    error = OSError("Error writing bytes to file. Detail: [errno 28] No space left on device")
    assert str(write_error(error, path="x")) == "x cannot be written: no space left on the disk"


def test_an_error_of_reading_another_file_is_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x") as temporary:
        temporary.write_text((tmp_path / "missing").read_text())
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(MinitronError, match="cannot be written: "):
        atomic_write(tmp_path / "runs" / "x", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_real_limit_on_the_file_size(tmp_path):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from minitron.core.files import atomic_write; atomic_write('x.bin', b'x' * 5000)"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1].endswith("x.bin cannot be written: the file is larger than allowed")
    assert os.listdir(tmp_path) == []


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_leftovers_of_a_killed_run_are_removed(tmp_path, dead):
    """And those of processes that still live are not."""
    (tmp_path / f".rows.{dead}.tmp").mkdir()
    gone = [f".x.bin.{dead}.tmp", f".step.{dead}.old.tmp", f".x.bin.{os.getpid()}.tmp", f".x.{1 << 70}.tmp"]
    kept = [f".x.bin.{os.getppid()}.tmp", "x.tmp", ".hidden", ".x.tmp", f"x.{dead}.tmp"]
    for name in gone + kept:
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "no such folder")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_who_writes_a_file_removes_what_killed_processes_left_of_it(tmp_path, dead):
    for name in (f".x.{dead}.tmp", f".y.{dead}.tmp", f".x.y.{os.getpid()}.tmp"):
        (tmp_path / name).write_text("")
    atomic_write(tmp_path / "x", "")
    (tmp_path / f".x.{dead}.old.tmp").mkdir()
    os.remove(tmp_path / "x")
    with atomic_folder(tmp_path / "x"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([f".x.y.{os.getpid()}.tmp", f".y.{dead}.tmp", "x"])


def test_files_that_belong_together_stay_so(tmp_path, monkeypatch):
    """If one of them cannot be written, none changes; while they are replaced, the one that stands for all is away."""
    names = ("big", "small", "about")
    atomic_set(tmp_path, dict.fromkeys(names, b"old"))

    def there() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    for lost in names:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", partialmethod(_write_unless_full, lost))
            with pytest.raises(MinitronError, match="no space left on the disk"):
                atomic_set(tmp_path, dict.fromkeys(names, b"new"))
        assert there() == dict.fromkeys(names, b"old")
    seen, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: seen.append("about" in there()) or replace(old, new))
    atomic_set(tmp_path, dict.fromkeys(names, b"new"))
    assert seen == [False, False, False]
    assert there() == dict.fromkeys(names, b"new")


def _write_unless_full(path: Path, lost: str, data: bytes) -> None:
    if lost in path.name:
        raise OSError(errno.ENOSPC, "No space left on device")
    with path.open("wb") as file:
        file.write(data)


def test_digests(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_json({"b": 1, "a": ["ж"]}) == sha256_json({"a": ["ж"], "b": 1})
    assert sha256_json({"b": 1, "a": ["ж"]}) == hashlib.sha256('{"a":["ж"],"b":1}'.encode()).hexdigest()


REFUSED = [
    ("data below.txt/x.toml", 2, "the recipe below.txt/x.toml cannot be read: "),
    (f"data {'n' * 300}.toml", 2, "cannot be read: "),
    (
        "synth below.txt/x.parquet",
        1,
        "below.txt/x.parquet cannot be written: a file or a broken link is where a folder should be",
    ),
    (
        "synth nowhere/x.parquet",
        1,
        "nowhere/x.parquet cannot be written: a file or a broken link is where a folder should be",
    ),
    (f"synth {'n' * 300}", 1, " cannot be written: the name is too long"),
]


@pytest.mark.parametrize(("command", "code", "said"), REFUSED)
def test_odd_paths_are_told_in_a_sentence(tmp_path, command, code, said):
    (tmp_path / "below.txt").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    done = subprocess.run(
        [sys.executable, "-m", "minitron", *command.split()], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == code
    assert done.stderr.startswith("minitron: error: ")
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_reading_and_writing_are_told_apart(tmp_path):
    file = tmp_path / "x"
    file.write_text("")
    denied = PermissionError(errno.EACCES, "Permission denied", str(file))
    assert str(path_error(denied)) == f"{file} cannot be read: permission denied"
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert str(path_error(denied)) == f"{tmp_path} cannot be written: permission denied"
    missing = FileNotFoundError(errno.ENOENT, "", str(tmp_path / "y"))
    assert str(path_error(missing)) == f"{tmp_path / 'y'} cannot be read: there is no such file or folder"
    assert str(path_error(OSError(errno.ENOSPC, ""))) == "a file cannot be written: no space left on the disk"
    assert str(read_error(OSError(errno.EXDEV, "Odd"), path="x")) == "x cannot be read: Odd"


def test_a_folder_appears_whole_and_replaces_another(tmp_path):
    for text in ("one", "two"):
        with atomic_folder(tmp_path / "a" / "b") as temporary:
            (temporary / "inside").mkdir()
            (temporary / "inside" / "x").write_text(text)
            assert temporary.parent == tmp_path / "a"
        assert (tmp_path / "a" / "b" / "inside" / "x").read_text() == text
    assert os.listdir(tmp_path / "a") == ["b"]


@pytest.mark.parametrize("failure", [ValueError("bug"), KeyboardInterrupt(), OSError(errno.ENOSPC, "")])
def test_a_failure_leaves_the_old_folder(tmp_path, failure):
    with atomic_folder(tmp_path / "b") as temporary:
        (temporary / "x").write_text("old")
    with pytest.raises(MinitronError if isinstance(failure, OSError) else type(failure)):
        _fail_inside(tmp_path / "b", failure)
    assert os.listdir(tmp_path) == ["b"]
    assert (tmp_path / "b" / "x").read_text() == "old"


def _fail_inside(folder, failure):
    with atomic_folder(folder) as temporary:
        (temporary / "x").write_text("half")
        raise failure
