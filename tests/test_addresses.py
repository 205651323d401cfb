"""Data behind addresses (http, memory, s3) gives the same as the same files on this disk."""

import gzip
import json
import re
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dialogues import part, refused, run
from test_data_killed import OPTIONS, made, sources

from minitron.core import addresses
from minitron.data.sources import find_files
from minitron.recipe.data import DataConfig
from minitron.recipe.schema import Config
from minitron.stages import declared, pipeline

upath = pytest.importorskip("upath")
pytestmark = pytest.mark.usefixtures("in_tmp_path")


class Ranges(SimpleHTTPRequestHandler):
    """Answers range requests with parts of files, as data servers do."""

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        begin, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
        part = content[begin : end + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{begin + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def end_headers(self):
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(in_tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(Path.cwd()))) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def rows() -> dict[str, str]:
    """Hashes of the files that were written, except the report, which names the inputs."""
    return {name: digest for name, digest in made().items() if name.endswith(".parquet")}


@pytest.fixture
def in_memory():
    folder = upath.UPath("memory://chats")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    folder.rmdir(recursive=True)


def test_a_web_server_s_files_give_the_same_bytes(server):
    sources()
    run(**OPTIONS)
    want = rows()
    run(**OPTIONS | {"files": [f"{server}/a.parquet", f"{server}/b.jsonl"]})
    assert rows() == want
    run(**OPTIONS | {"files": [f"{server}/*.parquet", f"{server}/*.jsonl"]})
    assert rows() == want


def test_files_that_are_packed_and_folders(in_memory):
    sources()
    run(**OPTIONS)
    want = rows()
    (in_memory / "a.parquet").write_bytes(Path("a.parquet").read_bytes())
    (in_memory / "more").mkdir()
    (in_memory / "more/b.jsonl.gz").write_bytes(gzip.compress(Path("b.jsonl").read_bytes()))
    (in_memory / "notes.pdf").write_bytes(b"%PDF")
    assert [path.name for path in find_files(["memory://chats"])] == ["a.parquet", "b.jsonl.gz"]
    for files in (["memory://chats"], ["memory://chats/a.parquet", "memory://chats/**/*.gz"]):
        run(**OPTIONS | {"files": files})
        assert rows() == want, files


def test_what_changed_there_is_read_again(in_memory):
    row = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    file = in_memory / "a.jsonl"
    config = Config("t", Path("t.toml"), data=DataConfig(files=[str(file)], valid_fraction=0))
    for name in ("hello", "there"):
        row["messages"][1]["content"] = name
        file.write_text(json.dumps(row) + "\n")
        assert pipeline.run_stage(declared.named("data"), config)
        assert not pipeline.run_stage(declared.named("data"), config), "nothing has changed"
        assert part("train")[0]["messages"][1]["content"] == name


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:9/a.parquet", "cannot be reached|nothing matches"),
        ("memory://nowhere/*.jsonl", "nothing matches memory://nowhere"),
        ("nosuch://bucket/a.jsonl", "nosuch"),
        ("s3://bucket/a.jsonl", "s3fs"),
    ],
)
def test_addresses_that_lead_nowhere(address, told):
    if told == "s3fs" and "s3fs" in sys.modules:
        pytest.skip("s3fs is installed")
    said = refused(files=[address])
    assert re.search(told, said)
    assert "current directory" not in said


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "upath", None)
    assert "pip install 'minitron[remote]'" in refused(files=["s3://bucket/a.jsonl"])


@pytest.mark.parametrize("text", ["C:\\chats\\a.jsonl", "C:/chats", "C://chats", "a.jsonl", "../a://b", "~/a.jsonl"])
def test_paths_are_no_addresses(text):
    assert not addresses.is_address(text)
