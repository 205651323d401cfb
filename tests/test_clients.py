"""The clients that people use with such a server, each through its own interface, also streaming: openai, langchain-openai, llm,
litellm, ollama. What they send is recorded on the way, and docs/api.md must list it."""

import json
import os
import re
import subprocess
import sys
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from serving import request

DOCUMENT = (Path(__file__).parents[1] / "docs/api.md").read_text("utf-8")
QUESTION = "hi"
SYSTEM = "be"


class Recorder(ThreadingHTTPServer):
    """Forwards requests to the program, and keeps the path and the JSON body of each POST in `sent`."""

    daemon_threads = True

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", 0), Relay)
        self.program, self.sent = port, []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def members(self, path: str) -> set[str]:
        """The names of all members of the bodies that were sent to a path."""
        return {member for where, body in self.sent if where == path for member in body}


class Relay(BaseHTTPRequestHandler):
    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if body:
            self.server.sent.append((self.path, json.loads(body)))
        onward = HTTPConnection("127.0.0.1", self.server.program, timeout=60)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        onward.request(self.command, self.path, body, kept)
        answer = onward.getresponse()
        self.send_response(answer.status)
        for name in ("Content-Type", "Retry-After"):
            if answer.headers[name]:
                self.send_header(name, answer.headers[name])
        self.send_header("Connection", "close")
        self.end_headers()
        while part := answer.read1():
            self.wfile.write(part)
            self.wfile.flush()
        onward.close()

    do_GET = do_POST = do_HEAD = handle_any

    def log_message(self, *_):
        pass


@pytest.fixture
def recorder(server):
    with Recorder(server.port) as recorder:
        threading.Thread(target=recorder.serve_forever, daemon=True).start()
        yield recorder
        recorder.shutdown()


def asked(server, messages: list[dict], **settings) -> str:
    """The program's answer to a plain request, without any client."""
    body = {"messages": messages, "max_tokens": 12, "temperature": 1, "seed": 5} | settings
    status, answer = request(server.port, "POST", "/v1/chat/completions", json.dumps(body))
    assert status == 200, answer
    return answer["choices"][0]["message"]["content"]


@pytest.fixture
def want(server) -> str:
    """The answer to the dialogue that each client holds."""
    said = asked(server, [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}])
    assert len(said) > 3
    return said


def told(client: str) -> set[str]:
    """The members that the document's table of clients says a client sends."""
    (row,) = re.findall(rf"^\| {re.escape(client)} \| (.*?) \|", DOCUMENT, re.M)
    return set(re.findall(r"`([a-z_]+)`", row))


def test_openai(recorder, want):
    """The typed client, with every member that it has for a chat and that makes sense for a model without tools."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=recorder.address + "/v1", api_key="none", max_retries=0) as client:
        model = client.models.list().data[0].id
        everything = {
            "model": model,
            "messages": [{"role": "developer", "content": SYSTEM}, {"role": "user", "content": QUESTION, "name": "me"}],
            "max_completion_tokens": 12,
            "temperature": 1,
            "seed": 5,
            "top_p": 1,
            "n": 2,
            "stop": ["never said"],
            "logprobs": True,
            "top_logprobs": 2,
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "logit_bias": {},
            "user": "me",
            "metadata": {"a": "b"},
            "store": False,
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "response_format": {"type": "text"},
            "service_tier": "auto",
            "modalities": ["text"],
            "reasoning_effort": "low",
            "verbosity": "low",
            "prompt_cache_key": "k",
            "safety_identifier": "s",
        }
        extra = {"extra_body": {"top_k": 0}}
        whole = client.chat.completions.create(**everything, **extra)
        want = whole.choices[0].message.content  # top_k and top_p differ from the model's own
        assert [c.index for c in whole.choices] == [0, 1]
        assert len(whole.choices[0].logprobs.content) > 3
        texts = ["", ""]
        usage = None
        stream = client.chat.completions.create(
            **everything, **extra, stream=True, stream_options={"include_usage": True}
        )
        for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
            usage = chunk.usage or usage
        assert texts == [c.message.content for c in whole.choices]
        assert texts[0] == want
        assert usage.completion_tokens == whole.usage.completion_tokens
    assert recorder.members("/v1/chat/completions") == told("openai") | {"top_k"}


def test_langchain(recorder, want):
    langchain = pytest.importorskip("langchain_openai")
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    settings = {"temperature": 1, "max_tokens": 12, "seed": 5}
    where = {"base_url": recorder.address + "/v1", "api_key": "none", "model": "llama", "max_retries": 0}
    model = langchain.ChatOpenAI(**where, **settings, stream_usage=True)
    dialogue = [SystemMessage(SYSTEM), HumanMessage(QUESTION)]
    assert model.invoke(dialogue).content == want
    chunks = list(model.stream(dialogue))
    assert "".join(chunk.content for chunk in chunks) == want
    assert any(chunk.usage_metadata and chunk.usage_metadata["output_tokens"] for chunk in chunks)
    parts = [
        SystemMessage(SYSTEM),
        HumanMessage([{"type": "text", "text": QUESTION}]),
        AIMessage(""),
        HumanMessage("b"),
    ]
    assert model.invoke(parts).content
    assert model.bind(stop=["never said"], logprobs=True).invoke(dialogue).content == want
    assert recorder.members("/v1/chat/completions") == told("langchain-openai")


def test_llm(recorder, want, tmp_path):
    """simonw's llm, as its documentation says: a line in extra-openai-models.yaml, then commands."""
    pytest.importorskip("llm")
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: mine\n  model_name: llama\n  api_base: {recorder.address}/v1\n"
    )
    options = ["-o", "temperature", "1", "-o", "max_tokens", "12", "-o", "seed", "5"]

    def llm(*arguments: str) -> str:
        command = [sys.executable, "-m", "llm", "prompt", "-m", "mine", "--key", "none", *options, *arguments]
        env = os.environ | {"LLM_USER_PATH": str(tmp_path), "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")

    assert llm("-s", SYSTEM, QUESTION) == want  # streamed, as it does on its own
    assert llm("--no-stream", "-s", SYSTEM, QUESTION) == want
    assert llm("-c", "more")  # goes on with the last conversation, system message and all
    assert recorder.sent[-1][1]["messages"][-1] == {"role": "user", "content": "more"}
    assert recorder.members("/v1/chat/completions") == told("llm")


@pytest.mark.filterwarnings("ignore")
def test_litellm(recorder, want, monkeypatch):
    """litellm in both of its ways: the program as an OpenAI server, and as an Ollama server."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks GitHub for prices
    litellm = pytest.importorskip(
        "litellm",
        reason="litellm is 37 MB and pins what others use: pip install litellm into an environment of its own",
    )
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    settings = {"messages": messages, "max_tokens": 12, "temperature": 1, "seed": 5, "num_retries": 0}
    for model, base, key in (
        ("openai/llama", recorder.address + "/v1", {"api_key": "none"}),
        ("ollama_chat/llama", recorder.address, {}),
    ):
        where = {"model": model, "api_base": base} | key
        assert litellm.completion(**where, **settings).choices[0].message.content == want, model
        chunks = litellm.completion(**where, **settings, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == want, model
    assert recorder.members("/v1/chat/completions") == told("litellm")
    assert recorder.members("/api/chat") == told("litellm, `ollama_chat/`")


def test_ollama(recorder, want):
    ollama = pytest.importorskip("ollama")
    client = ollama.Client(host=recorder.address)
    (model,) = client.list().models
    assert model.model == "llama:latest"
    assert model.details.family == "llama"
    assert client.show("llama").modelinfo["llama.context_length"] == 64
    assert client.ps().models[0].model == "llama:latest"
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    options = {"temperature": 1, "num_predict": 12, "seed": 5, "num_ctx": 64, "stop": ["never said"]}
    whole = client.chat("llama", messages, options=options)
    assert whole.message.content == want
    assert whole.done_reason in ("stop", "length")
    assert whole.total_duration == whole.load_duration + whole.prompt_eval_duration + whole.eval_duration
    assert 0 < whole.eval_count <= 12
    parts = list(client.chat("llama:latest", messages, options=options, stream=True, keep_alive="5m", think=False))
    assert "".join(part.message.content for part in parts) == want
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    generated = list(client.generate("llama", QUESTION, system=SYSTEM, options=options, stream=True))
    assert "".join(part.response for part in generated) == want
    assert client.generate("llama", "").done_reason == "load"
    with pytest.raises(ollama.ResponseError, match="The one that is here is 'llama'") as refused:
        client.chat("gpt", messages)
    assert refused.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="'tools' is not supported"):
        client.chat("llama", messages, tools=[{"type": "function", "function": {"name": "f"}}])
    assert recorder.members("/api/chat") == told("ollama")
