"""Runs of the data stage in the current folder, and dialogues to run it on. For the tests of minitron/data and of the stage."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minitron.core.errors import MinitronError
from minitron.data import store
from minitron.recipe.data import DataConfig
from minitron.recipe.layout import Layout
from minitron.recipe.schema import Config
from minitron.stages import data as stage

SHARED = Path(__file__).parents[2] / "shared" / "data"
TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def run(**options) -> dict:
    """Runs the stage in the current folder; returns its report after checking that the counts add up."""
    stage.run(Config(name="t", recipe=Path("t.toml"), data=DataConfig(**options)))
    report = json.loads(Path("runs/t/data/report.json").read_text())
    assert report["rows_in"] == report["kept"] + sum(report["dropped"].values())
    assert report["kept"] == report["train"] + report["valid"] + report["probes"]
    for name in store.PARTS:
        assert len(part(name)) == report[name]
    assert not list(Path("runs/t/data").glob(".*"))
    return report


def part(name: str) -> list[dict]:
    table = pq.read_table(f"runs/t/data/{name}.parquet")
    assert table.schema.equals(store.SCHEMA)
    return table.to_pylist()


def everything() -> dict[str, str]:
    """Maps each dialogue, as JSON text, to the part that holds it."""
    return {json.dumps(row["messages"]): name for name in store.PARTS for row in part(name)}


def refused(code: int = 1, **options) -> str:
    """Runs the stage, which must refuse; returns the error's text and hint. No output may be left behind."""
    with pytest.raises(MinitronError) as raised:
        run(**options)
    assert raised.value.code == code
    assert raised.value.hint
    layout = Layout(Path("runs/t"))
    assert {*layout.stage("data").glob("*")} <= {layout.stage("data") / "synth.parquet", layout.parts("data")}
    return f"{raised.value} | {raised.value.hint}"


def dialogue(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]


def write(path: str, turns: list, *, row_group_size: int | None = None, **columns) -> str:
    table = pa.table({"messages": pa.array(turns, TURNS), **columns})
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def numbered(count: int) -> list:
    return [dialogue(f"question {i}", f"answer {i}") for i in range(count)]


def save(path: str, rows: list[dict]) -> None:
    if path.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.endswith(".jsonl"):
        Path(path).write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    else:
        Path(path).write_text(json.dumps(rows), encoding="utf-8")


U, A, S = ({"role": role, "content": role[0]} for role in ("user", "assistant", "system"))
