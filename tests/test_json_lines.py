"""JSON lines read by several processes give the same as read by one, line numbers of mistakes included."""

import json
import random
from pathlib import Path

import pytest
from dialogues import dialogue, everything, refused, run

from minitron.data.formats import json_lines
from minitron.data.formats.json_lines import JsonLines
from minitron.stages import data as stage

pytestmark = pytest.mark.usefixtures("in_tmp_path")


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(json_lines, "PART_BYTES", 20_000)
    monkeypatch.setattr(stage, "LEAST_BYTES", 0)


def mixed_rows(count: int = 3000) -> list[str]:
    """Lines of rows in every shape, with blank ones among them."""
    choose = random.Random(1)
    lines = []
    for i in range(count):
        row = choose.choice(
            [
                {"messages": dialogue(f"вопрос {i}", f"ответ {i}"), "s": i % 10},
                {
                    "instruction": f"do {i}",
                    "input": choose.choice([None, "", "this"]),
                    "output": f"done {i}",
                    "s": "8/10",
                },
                {"prompt": f"p {i}", "response": f"r {i}"},
                {"question": f"q {i}", "answer": f"a {i}", "context": "c", "s": None},
                {"input": f"in {i}", "output": f"out {i}", "s": 9},
                {"messages": [{"role": f"kid {i % 30}", "content": "x"}], "s": 9},
            ]
        )
        lines += [json.dumps(row, ensure_ascii=False)] + [""] * (choose.random() < 0.1)
    return lines


def save_lines(lines: list[str], *, start: str = "") -> None:
    Path("x.jsonl").write_text(start + "\n".join(lines), encoding="utf-8", newline="\n")


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_parts_have_all_rows_in_their_order(small_parts, start):
    save_lines(mixed_rows(), start=start)
    whole = JsonLines(Path("x.jsonl"))
    parts = whole.parts()
    assert len(parts) > 5
    assert sum(part.size for part in parts) == whole.size
    assert [row for part in parts for row in part.rows()] == list(whole.rows())


@pytest.mark.parametrize("cut", [[], [500, 1700]])
def test_several_processes_make_what_one_makes(small_parts, cut):
    """This also holds for the same rows in several files whose first rows have different columns."""
    lines = mixed_rows()
    save_lines(lines)
    rules = {"keep": ["s >= 5"], "missing_scores": "keep", "valid_fraction": 0.1}
    want = run(files=["x.jsonl"], workers=1, **rules)
    files = [Path(f"runs/t/data/{name}.parquet") for name in ("train", "valid")]
    before, where = [file.read_bytes() for file in files], everything()
    bounds = [0, *cut, len(lines)]
    for i, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        Path(f"y-{i}.jsonl").write_text("\n".join(lines[start:end]), encoding="utf-8")
    found = run(files=["y-*.jsonl"], workers=2, **rules)
    assert everything() == where
    assert {**found, "files": 0} == {**want, "files": 0}
    if not cut:
        Path("x.jsonl").unlink()
        Path("y-0.jsonl").rename("x.jsonl")
        run(files=["x.jsonl"], workers=2, **rules)
        assert [file.read_bytes() for file in files] == before
    texts = str([json.loads(text) for text in where])
    assert all(word in texts for word in ("вопрос", "do ", "p 1", "q 1", "in 1"))  # some rows of each shape are read


def test_a_mistake_is_told_by_its_line(small_parts):
    lines = mixed_rows()
    lines[2500] = "{"
    save_lines(lines)
    assert refused(files=["x.jsonl"], workers=2).startswith("x.jsonl, line 2501, cannot be read: ")


@pytest.mark.parametrize("encoding", ["cp1251", "utf-16", "utf-16-le"])
def test_what_is_not_utf8_is_read_whole(small_parts, encoding):
    lines = [
        json.dumps({"messages": dialogue(f"вопрос {i}", "ответ на вопрос")}, ensure_ascii=False) for i in range(900)
    ]
    Path("x.jsonl").write_bytes("\n".join(lines).encode(encoding))
    assert JsonLines(Path("x.jsonl")).parts() == []
    assert run(files=["x.jsonl"], workers=2)["kept"] == 900
