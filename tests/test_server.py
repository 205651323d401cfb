"""`serve` and `web`, the real program: OpenAI's own Python client, fifty clients at once, the page's secret address."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import HI, TINY, request, started

openai = pytest.importorskip("openai")


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.address, api_key="none", max_retries=0) as client:
        yield client


def chat(client, **settings):
    return client.chat.completions.create(**{"model": "llama", "messages": HI, "max_tokens": 20} | settings)


def complete(client, **settings):
    return client.completions.create(**{"model": "llama", "prompt": "hi", "max_tokens": 20} | settings)


# The official client.


def test_models_and_health(client, server):
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("llama", "model", "minitron")
    assert client.models.retrieve("llama") == model
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-4")
    assert refused.value.code == "model_not_found"
    assert request(server.port, "GET", "/health") == (200, {"status": "ok"})


def test_a_chat_whole_and_streamed(client):
    whole = chat(client, temperature=1, seed=5)
    (choice,) = whole.choices
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    assert whole.usage.prompt_tokens == 5
    assert whole.usage.total_tokens == 5 + whole.usage.completion_tokens
    assert whole.minitron["seed"] == 5

    chunks = list(chat(client, temperature=1, seed=5, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == choice.message.content
    assert [c.choices[0].finish_reason for c in chunks[:-2]] == [None] * (len(chunks) - 2)
    assert chunks[-2].choices[0].finish_reason == choice.finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert {c.id for c in chunks} == {chunks[0].id}


def test_the_stream_helper_and_parts_of_text(client):
    want = chat(client, temperature=1, seed=5).choices[0].message.content
    # The helper raises an error if an answer was cut by its length, so a stop sequence ends this one.
    settings = {"model": "llama", "messages": HI, "temperature": 1, "seed": 5, "max_tokens": 20}
    with client.chat.completions.stream(**settings, stop=want[5]) as stream:
        assert stream.get_final_completion().choices[0].message.content == want[: want.index(want[5])]
    parts = [{"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}]
    assert chat(client, temperature=1, seed=5, messages=parts).choices[0].message.content == want


def test_completions(client):
    whole = complete(client, temperature=1, seed=5, logprobs=3)
    (choice,) = whole.choices
    streamed = list(complete(client, temperature=1, seed=5, stream=True))
    assert "".join(c.choices[0].text for c in streamed) == choice.text
    assert whole.usage.prompt_tokens == 2
    told = choice.logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.text_offset) == whole.usage.completion_tokens
    assert all(len(top) == 3 for top in told.top_logprobs)
    assert complete(client, prompt=["hi"], temperature=1, seed=5).choices[0].text == choice.text


def test_seed(client):
    said = [chat(client, temperature=2, seed=seed).choices[0].message.content for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]


def test_stop(client):
    free = chat(client, temperature=1, seed=3).choices[0].message.content
    stop = free[3:5]
    want = free[: free.index(stop)]
    cut = chat(client, temperature=1, seed=3, stop=stop)
    assert cut.choices[0].message.content == want
    assert cut.choices[0].finish_reason == "stop"
    assert cut.minitron["stopped"] == "stop"
    chunks = chat(client, temperature=1, seed=3, stop=["never", stop], stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == want


def test_logprobs(client):
    told = chat(client, temperature=0, logprobs=True, top_logprobs=5).choices[0].logprobs.content
    for token in told:
        assert token.logprob <= 0
        assert [t.logprob for t in token.top_logprobs] == sorted((t.logprob for t in token.top_logprobs), reverse=True)
        assert len(token.top_logprobs) == 5
    hot = chat(client, temperature=100, seed=1, top_p=1, logprobs=True, top_logprobs=5, extra_body={"top_k": 0})
    first = hot.choices[0].logprobs.content[0]
    assert first.top_logprobs == told[0].top_logprobs  # of the model, before temperature


def test_the_cache_stays_warm(client):
    first = chat(client, max_tokens=4, messages=[{"role": "user", "content": "a question"}])
    said = [
        {"role": "user", "content": "a question"},
        {"role": "assistant", "content": first.choices[0].message.content},
    ]
    again = chat(client, max_tokens=4, messages=[*said, {"role": "user", "content": "more"}])
    assert again.usage.prompt_tokens_details.cached_tokens >= 13


def test_penalties_and_our_own_settings(client):
    free = {"presence_penalty": 2, "frequency_penalty": 2, "logprobs": True, "temperature": 0, "max_tokens": 10}
    told = chat(client, **free).choices[0].logprobs.content
    assert len({tuple(t.bytes) for t in told}) == 10
    greedy = chat(client, temperature=0).choices[0].message.content
    assert chat(client, temperature=5, extra_body={"top_k": 1}).choices[0].message.content == greedy


@pytest.mark.parametrize(
    ("settings", "kind", "code", "param"),
    [
        ({"model": "gpt-4"}, openai.NotFoundError, "model_not_found", "model"),
        (
            {"messages": [{"role": "user", "content": "x" * 70}]},
            openai.BadRequestError,
            "context_length_exceeded",
            "messages",
        ),
        ({"temperature": -1}, openai.BadRequestError, "invalid_value", "temperature"),
        ({"n": 17}, openai.BadRequestError, "invalid_value", "n"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            openai.BadRequestError,
            "unsupported_parameter",
            "tools",
        ),
        ({"extra_body": {"temprature": 1}}, openai.BadRequestError, "unknown_parameter", "temprature"),
        ({"messages": []}, openai.BadRequestError, "invalid_value", "messages"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals(client, settings, kind, code, param, stream):
    with pytest.raises(kind) as refused:
        chat(client, stream=stream, **settings)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.type == "invalid_request_error"


def test_too_long_is_cut_when_asked(client):
    turns = [{"role": role, "content": "0123456789"} for role in ("user", "assistant") * 4]
    cut = chat(client, messages=[*turns, *HI], max_tokens=8, extra_body={"truncation": "auto"})
    assert cut.minitron["dropped_turns"] == 2


def test_a_key(program, tmp_path):
    flags = ["--addr", "127.0.0.1:0"]
    with started(program, "serve", *flags, home=tmp_path, MINITRON_KEY="sesame") as process:
        good = openai.OpenAI(base_url=process.address, api_key="sesame", max_retries=0)
        assert chat(good).choices
        with pytest.raises(openai.AuthenticationError) as refused:
            chat(good.with_options(api_key="Sesame"))
        assert refused.value.code == "invalid_api_key"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_truncation_for_all(program, tmp_path):
    """Clients that know nothing of truncation can chat on after the context is full."""
    long = [{"role": role, "content": "0123456789"} for role in ("user", "assistant") * 4]
    body = json.dumps({"messages": [*long, *HI], "max_tokens": 8})
    with started(program, "serve", "--truncation", "auto", "--addr", "127.0.0.1:0", home=tmp_path) as process:
        status, answer = request(process.port, "POST", "/v1/chat/completions", body)
        assert (status, answer["minitron"]["dropped_turns"]) == (200, 2)
        body = json.dumps(json.loads(body) | {"truncation": "disabled"})
        status, answer = request(process.port, "POST", "/v1/chat/completions", body)
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


def test_a_page_of_another_address(program, tmp_path):
    flags = ["--addr", "127.0.0.1:0", "--origin", "http://localhost:3000", "--origin", "null"]
    with started(program, "serve", *flags, home=tmp_path) as process:
        for origin, want in (("http://localhost:3000", 200), ("null", 200), ("http://localhost:3001", 403)):
            body = json.dumps({"messages": HI, "max_tokens": 1})
            status, _ = request(process.port, "POST", "/v1/chat/completions", body, Origin=origin)
            assert status == want
    done = subprocess.run([program, "serve", "--origin", "*"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--origin * is not the address of a site, such as http://localhost:3000" in done.stderr


def test_a_port_in_use(program, server):
    address = f"127.0.0.1:{server.port}"
    done = subprocess.run([program, "serve", "--model", TINY, "--addr", address], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"error: the address {address} is in use\nhint: " in done.stderr


DOCUMENT = (Path(__file__).parents[1] / "docs/api.md").read_text("utf-8")


@pytest.mark.parametrize("example", re.findall(r"^```(?:python)?\n((?:from|curl) .*?)^```$", DOCUMENT, re.M | re.S))
def test_the_examples_of_the_document(server, example):
    """They run as they stand, but for the port."""
    assert "127.0.0.1:8080" in example
    example = example.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    command = [sys.executable, "-c", example] if example.startswith("from") else ["sh", "-ec", example]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if example.startswith("from"):
        assert len(done.stdout) > 4  # noise of some tokens, another one each time
    elif '"stream": true' in example:
        assert done.stdout.endswith("data: [DONE]\n\n")
    elif "/api/chat" in example:
        assert json.loads(done.stdout)["message"]["content"]
    else:
        assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_there_are_such_examples():
    assert len(re.findall(r"^```(?:python)?\n(?:from|curl) ", DOCUMENT, re.M)) == 4


# Many at once.


def test_fifty_clients(client, server):
    """Each holds its own conversation of three turns; every answer is the one that a single client gets."""
    clients, turns = 50, 3

    def question(n: int, turn: int) -> dict:
        return {"role": "user", "content": f"{n % 25}{'abc'[turn]}"}

    def settings(n: int) -> dict:
        return {"model": "llama", "max_tokens": 6} | ({"temperature": 0} if n % 2 else {"temperature": 2, "seed": n})

    alone = []
    for n in range(clients):
        said = []
        for turn in range(turns):
            said.append(question(n, turn))
            answer = client.chat.completions.create(messages=said, **settings(n)).choices[0].message.content
            said.append({"role": "assistant", "content": answer})
        alone.append(said)

    async def converse(n: int, one: openai.AsyncOpenAI) -> list[dict]:
        said = []
        for turn in range(turns):
            said.append(question(n, turn))
            if n % 3:
                whole = await one.chat.completions.create(messages=said, **settings(n))
                answer = whole.choices[0].message.content
            else:
                stream = await one.chat.completions.create(messages=said, stream=True, **settings(n))
                answer = "".join([c.choices[0].delta.content or "" async for c in stream])
            said.append({"role": "assistant", "content": answer})
        return said

    async def all_at_once() -> list:
        limits = {"base_url": server.address, "api_key": "none", "max_retries": 0}
        async with openai.AsyncOpenAI(**limits) as one:
            return await asyncio.gather(*(converse(n, one) for n in range(clients)), return_exceptions=True)

    assert asyncio.run(all_at_once()) == alone


def test_a_full_queue(program, tmp_path):
    """If many ask at once, those that are refused are told so, with a time to wait; the client then tries again by itself."""
    flags = ["--addr", "127.0.0.1:0", "--slots", "1", "--queue", "1"]
    body = json.dumps({"messages": HI, "max_tokens": 50, "temperature": 50, "top_k": 0, "top_p": 1, "logprobs": True})
    with started(program, "serve", *flags, home=tmp_path) as process, ThreadPoolExecutor(16) as many:
        statuses = set()
        deadline = time.monotonic() + 20
        while statuses != {200, 503} and time.monotonic() < deadline:
            answers = many.map(lambda _: request(process.port, "POST", "/v1/chat/completions", body), range(64))
            for status, answer in answers:
                statuses.add(status)
                assert status == 200 or answer["error"]["code"] == "server_busy"
        assert statuses == {200, 503}


# The page.


def test_web(program, tmp_path):
    """The next start has the same port. The address is secret: a file that nobody else can read leads the browser to it, and is deleted
    once the page is there; whoever does not know the address is given nothing."""
    opened = tmp_path / "opened"
    opener = tmp_path / "xdg-open"
    opener.write_text(f'#!/bin/sh\necho "$@" > {opened}.part && mv {opened}.part {opened}\n')
    opener.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    with started(program, "web", home=tmp_path, PATH=path, DISPLAY=":0") as process:
        port, address = process.port, process.address
        assert re.fullmatch(rf"http://127\.0\.0\.1:{port}/[0-9a-f]{{32}}/", address)
        prefix = address.split(str(port))[1]
        status, about = request(port, "GET", prefix + "about")
        assert (status, about["name"], about["verified"]) == (200, "llama", False)
        status, answer = request(port, "POST", prefix + "v1/chat/completions", json.dumps({"messages": HI}))
        assert (status, answer["object"]) == (200, "chat.completion")
        for where, headers, status in (
            ("/", {}, 404),
            ("/v1/chat/completions", {}, 404),
            (prefix[:-2] + "x/about", {}, 404),
            (prefix + "about", {"Host": f"evil.example:{port}"}, 403),
            (prefix + "about", {"Origin": "http://evil.example"}, 403),
        ):
            assert request(port, "GET", where, **headers)[0] == status, where
        deadline = time.monotonic() + 20
        while not opened.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        redirect = Path(opened.read_text().strip())
        assert redirect.parent == tmp_path  # the home folder
        assert redirect.stat().st_mode & 0o777 == 0o600
        assert f'content="0; url={address}"' in redirect.read_text()
        page = urllib.request.urlopen(address).read()
        assert page.startswith(b"<!doctype html>")
        assert not redirect.exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    opened.unlink()
    with started(program, "web", home=tmp_path, PATH=path, DISPLAY=":0") as process:
        deadline = time.monotonic() + 20
        while not opened.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert list(tmp_path.glob("*.html")) == []  # also if the page was never opened
    opened.unlink()
    if sys.platform.startswith("linux"):
        with started(program, "web", "--no-open", home=tmp_path, PATH=path, DISPLAY=":0") as process:
            assert process.port == port
            assert process.address != address
            assert request(port, "GET", prefix + "about")[0] == 404  # last time's secret no longer works
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        assert not opened.exists()


def test_help_says_what_is_not_done(program):
    said = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    assert "downloads nothing, sends nothing anywhere" in said
    assert "opens a network port only for web" in said
