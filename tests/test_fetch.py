"""Files that a recipe names and that are missing: fetched from a local server that breaks off, sends wrong data, and has no ranges."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minitron.core.errors import MinitronError
from minitron.data import fetch
from minitron.recipe.data import Fetch
from minitron.recipe.load import load_recipe, recipe_of
from minitron.stages import walk

CONTENT = bytes(range(256)) * 8000  # 2 MB, eight blocks


class Stand:
    """A server of one file. `breaks`: numbers of bytes after which its first answers end; `ranges`: whether it supports range requests."""

    def __init__(self, content: bytes = CONTENT):
        self.content, self.breaks, self.ranges, self.status, self.asked = content, [], True, 200, []
        stand = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                begin = int((self.headers.get("Range") or "bytes=0-")[6:-1])
                stand.asked.append(begin)
                if stand.status != 200:
                    self.send_error(stand.status)
                    return
                begin = begin if stand.ranges else 0
                if begin >= len(stand.content) and begin:
                    self.send_error(416)
                    return
                self.send_response(206 if begin else 200)
                if begin:
                    end = len(stand.content)
                    self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{end}")
                self.send_header("Content-Length", str(len(stand.content) - begin))
                self.end_headers()
                until = stand.breaks.pop(0) if stand.breaks else len(stand.content)
                self.wfile.write(stand.content[begin:until])
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/some/file.bin"

    def wanted(self, **options) -> Fetch:
        known = {"path": "data/file.bin", "address": self.address, "licence": "CC0-1.0", "bytes": len(CONTENT)}
        return Fetch(**known | {"sha256": hashlib.sha256(CONTENT).hexdigest()} | options)


@pytest.fixture
def stand(in_tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Stand()
    yield made
    made.server.shutdown()
    made.server.server_close()


def fetched(one: Fetch) -> None:
    fetch.fetch_missing([one])
    assert Path("data/file.bin").read_bytes() == CONTENT
    assert [path.name for path in Path("data").iterdir()] == ["file.bin"]


def refused(one: Fetch) -> str:
    with pytest.raises(MinitronError) as raised:
        fetch.fetch_missing([one])
    assert not Path("data/file.bin").exists()
    return f"{raised.value} | {raised.value.hint}"


def test_what_is_missing_is_fetched_once(stand, capfd):
    fetched(stand.wanted())
    assert f"fetching data/file.bin: 2.0 MB, CC0-1.0, from {stand.address}" in capfd.readouterr().err
    fetched(stand.wanted())
    assert stand.asked == [0]


def test_what_is_there_is_left_alone(stand):
    Path("data").mkdir()
    Path("data/file.bin").write_text("mine")
    fetch.fetch_missing([stand.wanted()])
    assert Path("data/file.bin").read_text() == "mine"
    assert stand.asked == []


def test_a_connection_that_breaks_off_is_taken_up_where_it_was(stand):
    stand.breaks = [700_000, 1_500_000]
    fetched(stand.wanted())
    assert stand.asked == [0, 700_000, 1_500_000]


def test_a_stopped_run_goes_on(stand):
    stand.breaks = [500_000] * fetch.TRIES
    assert "it broke off after 500,000 of 2,048,000 bytes" in refused(stand.wanted())
    assert Path("data/.file.bin.part").read_bytes() == CONTENT[:500_000]
    stand.asked, stand.breaks = [], []
    fetched(stand.wanted())
    assert stand.asked == [500_000]


def test_a_server_without_ranges_begins_anew(stand):
    stand.ranges, stand.breaks = False, [700_000]
    fetched(stand.wanted())


def test_a_part_of_another_version_is_fetched_again(stand):
    Path("data").mkdir()
    Path("data/.file.bin.part").write_bytes(b"of an older version")
    fetched(stand.wanted())
    Path("data/file.bin").unlink()
    Path("data/.file.bin.part").write_bytes(CONTENT + b"and more")
    fetched(stand.wanted())


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"more", CONTENT[::-1]])
def test_what_is_not_as_expected_is_refused(stand, content):
    stand.content = content
    said = refused(stand.wanted())
    assert "is not what the recipe expects, but" in said
    assert "or put the right file at data/file.bin" in said
    assert list(Path("data").iterdir()) == []


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (503, fetch.TRIES)])
def test_a_server_that_refuses_is_named(stand, status, tries):
    stand.status = status
    said = refused(stand.wanted())
    assert f"data/file.bin is not there, and {stand.address.split('/')[2]} does not give it: {status} " in said
    assert len(stand.asked) == tries


def test_without_a_network_it_is_said_what_to_put_where(stand):
    stand.server.shutdown()
    stand.server.server_close()
    said = refused(stand.wanted())
    assert said.startswith("data/file.bin is not there, and 127.0.0.1:")
    assert "refused" in said
    assert f"| put what is at {stand.address} (2.0 MB) there yourself" in said


def test_without_an_address_it_is_said_what_to_put_where(stand):
    assert (
        refused(Fetch(path="data/file.bin", about="chats as JSON"))
        == "data/file.bin is not there | put it there: chats as JSON"
    )


def test_a_recipe_fetches_before_it_looks_at_its_files(stand):
    stand.content = CONTENT[:-1]
    one = {"path": "data/file.txt", "address": stand.address, "bytes": len(CONTENT), "sha256": "0" * 64}
    config = recipe_of({"data": {"fetch": [one]}, "pretrain": {"files": ["data/*.txt"]}}, Path("t.toml"))
    with pytest.raises(MinitronError, match="is not what the recipe expects"):
        walk.check(config, {"tokenizer"})
    walk.check(config, {"sft"})  # reads none of them


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"address": "http://example.org/x"}, "address must begin with https://"),
        ({"sha256": "12"}, "sha256 must be 64 hex digits"),
        ({"bytes": 0}, "bytes must be the file's size"),
        ({"address": "", "about": ""}, "needs path, and address or about"),
        ({"path": ""}, "needs path, and address or about"),
    ],
)
def test_mistakes_in_what_is_to_be_fetched(changes, want):
    one = {"path": "x", "address": "https://example.org/x", "bytes": 5, "sha256": "a" * 64} | changes
    with pytest.raises(MinitronError, match=f"data.fetch\\[0\\]: {want}"):
        recipe_of({"data": {"fetch": [one]}}, Path("t.toml"))


@pytest.mark.parametrize("path", sorted(Path("recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_what_shipped_recipes_read_they_fetch_or_describe(path):
    """A stranger with a clone has none of the files. (Recipes may also make their data, or read them from a hub.)"""
    config = load_recipe(path)
    read = [*config.data.files, *(config.pretrain.files if config.pretrain else ())]
    named = [one.path for one in config.data.fetch]
    assert all(any(pattern.startswith(name) for name in named) for pattern in read), (read, named)
