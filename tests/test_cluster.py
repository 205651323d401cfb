"""The data stage on a Ray cluster of this computer writes the same bytes as without one."""

import math
import sys
from pathlib import Path

import pytest
from dialogues import refused, run
from test_data_killed import OPTIONS, READ, made, sources

from minitron.core import cluster
from minitron.data.formats import json_lines, parquet

pytestmark = pytest.mark.usefixtures("in_tmp_path")


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(parquet, "PART_BYTES", 1)
    monkeypatch.setattr(json_lines, "PART_BYTES", 20_000)


def counted(monkeypatch) -> list:
    """A list to which every row that is received from the cluster is appended."""
    sent, receive = [], cluster._result
    monkeypatch.setattr(cluster, "_result", lambda row: sent.append(row) or receive(row))
    return sent


@pytest.mark.slow  # a cluster takes seconds to begin
def test_a_cluster_writes_the_same_bytes(small_parts, monkeypatch):
    sources()
    run(**OPTIONS)
    want = made()
    sent = counted(monkeypatch)
    run(**OPTIONS, cluster="local")
    assert made() == want
    assert len(sent) > 8, "of parquet's row groups and of the lines"


@pytest.mark.slow
def test_results_are_in_order_and_what_fails_is_raised_in_its_place():
    with cluster.ordered(math.sqrt, [*range(33), -1, 4], address="local") as results:
        assert [next(results) for _ in range(33)] == [math.sqrt(number) for number in range(33)]
        with pytest.raises(ValueError, match="math domain|nonnegative"):
            next(results)


@pytest.mark.slow
def test_a_mistake_in_a_file_is_told_as_without_a_cluster_and_the_rest_is_kept(small_parts, monkeypatch):
    sources()
    whole = Path("b.jsonl").read_text(encoding="utf-8")
    Path("b.jsonl").write_text(whole + "{", encoding="utf-8")
    assert "b.jsonl, line 1501" in refused(**OPTIONS, cluster="local")
    assert len(set(READ.glob("*.json"))) >= 5, "the row groups before it"
    Path("b.jsonl").write_text(whole, encoding="utf-8")
    sent = counted(monkeypatch)
    run(**OPTIONS, cluster="local")
    assert sent
    assert not any(b"a.parquet" in row["outcome"] for row in sent)
    found = made()
    run(**OPTIONS)
    assert made() == found


@pytest.mark.slow
def test_an_address_where_no_cluster_is():
    sources()
    assert "there is no Ray cluster at 127.0.0.1:9" in refused(**OPTIONS, cluster="127.0.0.1:9")


def test_without_ray(monkeypatch):
    sources()
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    assert "data.cluster needs the library ray" in refused(**OPTIONS, cluster="auto")
