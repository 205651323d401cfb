"""A data stage that was killed goes on where it was, and writes the bytes that it writes when nobody kills it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dialogues import dialogue, run, write

from minitron.core.errors import MinitronError
from minitron.data import checked
from minitron.data.formats import json_lines, open_source, parquet
from minitron.recipe.data import DataConfig
from minitron.recipe.layout import Layout
from minitron.stages import data as stage

pytestmark = pytest.mark.usefixtures("in_tmp_path")

OPTIONS = {
    "files": ["*.parquet", "*.jsonl"],
    "keep": ["s >= 2"],
    "probes": "p == 1",
    "valid_fraction": 0.1,
    "clean": ["emails"],  # a rule in Python, so that other processes read the parquet file, too
}
READ = Layout(Path("runs/t")).parts("data")
CHILD = """
import json, os, signal, sys
from pathlib import Path
from minitron.data.formats import json_lines, parquet
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.stages import data as stage

stage.LEAST_BYTES, parquet.PART_BYTES, json_lines.PART_BYTES = 0, 1, 20_000
left, take = int(sys.argv[1]), stage._Filling._take

def take_and_die(self, table):
    global left
    take(self, table)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

stage._Filling._take = take_and_die
stage.run(Config(name="t", recipe=Path("t.toml"), data=DataConfig(**json.loads(sys.argv[2]))))
"""


def sources() -> None:
    turns = [dialogue(f"q {i % 2500}", "" if i % 7 == 0 else f"a {i % 2500} " + "words " * 9) for i in range(3000)]
    scores = {"s": [None if i % 5 == 0 else i % 10 for i in range(3000)], "p": [i % 50 == 3 for i in range(3000)]}
    write("a.parquet", turns[:1500], row_group_size=300, **{name: values[:1500] for name, values in scores.items()})
    rows = [{"messages": turns[i], "s": scores["s"][i], "p": scores["p"][i]} for i in range(1500, 3000)]
    Path("b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def made() -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path("runs/t/data").iterdir() if p.is_file()}


def killed_after(tables: int, **options) -> set[Path]:
    """Runs the stage in a process that kills itself after it took `tables` tables; returns the whole parts that it leaves."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", CHILD, str(tables), json.dumps(OPTIONS | options)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return set(READ.glob("*.json"))


@pytest.mark.slow  # each run starts two processes
@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
@pytest.mark.parametrize("order", ["input", "hash"])
def test_killed_twice_and_gone_on_with_it_is_what_one_run_writes(order, monkeypatch):
    sources()
    run(**OPTIONS, order=order)
    want = made()
    left = killed_after(3, order=order, workers=2)
    assert len(left) >= 3
    before = {path: path.stat().st_mtime_ns for path in left}
    more = killed_after(len(left) + 2, order=order, workers=2)
    assert more > left
    assert before == {path: path.stat().st_mtime_ns for path in left}  # none was read again
    monkeypatch.setattr(stage, "LEAST_BYTES", 0)
    monkeypatch.setattr(parquet, "PART_BYTES", 1)
    monkeypatch.setattr(json_lines, "PART_BYTES", 20_000)
    run(**OPTIONS, order=order, workers=2)
    assert made() == want
    assert not READ.exists()


def test_what_is_left_counts_only_if_it_is_whole_and_of_the_same_file_and_settings():
    sources()
    READ.mkdir(parents=True)
    config = DataConfig(**OPTIONS)
    part = open_source(Path("a.parquet"))
    first = checked.write((part, config, READ))
    data, met = first.path.read_bytes(), first.path.with_suffix(".json")
    begun = first.path.stat().st_mtime_ns

    def again(config: DataConfig = config) -> checked.Written:
        return checked.write((open_source(Path("a.parquet")), config, READ))

    assert again().reader.to_json() == first.reader.to_json()
    assert again().size == first.size
    assert first.path.stat().st_mtime_ns == begun

    damaged = bytearray(data)
    damaged[data.index(b"words words")] ^= 1
    for broken in (bytes(damaged), data[: len(data) // 2], bytes(len(data)), b""):
        first.path.write_bytes(broken)
        assert again().path.read_bytes() == data
    for broken in ("", "{}", "null", met.read_text()[:-9]):
        met.write_text(broken)
        assert again().reader.to_json() == first.reader.to_json()
    met.unlink()
    assert again().path.read_bytes() == data

    assert again(DataConfig(**OPTIONS | {"keep": ["s >= 3"]})).path != first.path
    os.utime("a.parquet", ns=(1, 1))
    assert again().path != first.path


def test_a_mistake_in_one_file_costs_only_that_file(monkeypatch):
    """The parts of the other files are still there once the mistake is mended."""
    sources()
    monkeypatch.setattr(stage, "LEAST_BYTES", 0)
    monkeypatch.setattr(parquet, "PART_BYTES", 1)
    Path("c.jsonl").write_text(Path("b.jsonl").read_text(encoding="utf-8") + "{", encoding="utf-8")
    with pytest.raises(MinitronError, match=r"c\.jsonl, line 1501"):
        run(**OPTIONS, workers=2)
    assert len(set(READ.glob("*.json"))) == 5
    Path("c.jsonl").unlink()
    run(**OPTIONS, workers=2)
    found = made()
    run(**OPTIONS)
    assert made() == found


def test_processes_are_begun_once_for_all_files_and_threads_read_columns(monkeypatch):
    """Each process has to import what it needs, which takes longer than reading a small file. Where Arrow does the work, as in a
    parquet file with a column of turns, threads read the parts."""
    sources()
    monkeypatch.setattr(stage, "LEAST_BYTES", 0)
    monkeypatch.setattr(parquet, "PART_BYTES", 1)
    monkeypatch.setattr(json_lines, "PART_BYTES", 20_000)
    begun, ordered = {}, stage.processes.ordered

    def noted(work, tasks, **how):
        begun[work.__name__] = [task[0].path.name for task in tasks]
        return ordered(work, tasks, **how)

    monkeypatch.setattr(stage.processes, "ordered", noted)
    run(**OPTIONS, workers=2)
    lines = ["b.jsonl"] * begun["write"].count("b.jsonl")
    assert begun == {"gather": [], "write": ["a.parquet"] * 5 + lines}
    assert len(lines) > 2
    want = made()
    run(**OPTIONS | {"clean": []}, workers=2)
    assert begun == {"gather": ["a.parquet"] * 5, "write": lines}
    assert made() | {"report.json": ""} == want | {"report.json": ""}
