"""A thousand malformed requests to `serve`, over plain sockets: each is refused as it should be, and nothing grows."""

import json
import random
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from serving import HI, TINY, bundle, request, started


def exchange(port: int, sent: bytes) -> bytes:
    """Sends bytes; returns all that comes back until the server closes."""
    received = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=40) as connection,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        connection.sendall(sent)
        while part := connection.recv(1 << 16):
            received += part
    return received


def http_bytes(
    body: bytes, *, path: str = "/v1/chat/completions", method: str = "POST", host: str = "localhost", extra: str = ""
) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def malformed(chance: random.Random) -> tuple[bytes, set[int]]:
    """A malformed request, and the statuses that may answer it; 0 means that the connection is closed without an answer."""
    good = json.dumps({"messages": HI, "max_tokens": 2, "stop": ["a"], "logprobs": True}).encode()
    kind = chance.randrange(12)
    if kind == 0:  # some bytes changed
        body = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        return http_bytes(bytes(body)), {200, 400, 404}
    if kind == 1:  # cut off
        return http_bytes(good[: chance.randrange(len(good))]), {400}
    if kind == 2:  # random bytes
        return http_bytes(chance.randbytes(chance.randrange(300))), {400}
    if kind == 3:  # wrong values
        value = chance.choice([None, True, -1, 1e300, "x" * 1000, [[]], {"a": {}}, "\ud800", "\x00", [1] * 1000])
        name = chance.choice(
            ["messages", "temperature", "seed", "stop", "top_k", "stream", "model", "max_tokens", "tools", "x"]
        )
        return http_bytes(json.dumps({"messages": HI, "max_tokens": 2} | {name: value}).encode()), {200, 400, 404}
    if kind == 4:  # deep
        depth = chance.choice([50, 5_000, 100_000])
        return http_bytes(b'{"messages": ' + b"[" * depth + b"]" * depth + b"}"), {400}
    if kind == 5:  # giant, with its size announced or not
        if chance.random() < 0.5:
            return http_bytes(b"")[:-5] + b"99999999999\r\n\r\n{", {413, 400}
        chunks = b"10000\r\n" + b" " * 65536 + b"\r\n"
        head = http_bytes(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        return head + chunks * 18 + b"0\r\n\r\n", {413, 0}  # the server may close before the rest is sent
    if kind == 6:  # wrong host or origin
        if chance.random() < 0.5:
            return http_bytes(
                good, host=chance.choice(["evil.example", "localhost.evil.example", "10.0.0.1:80", "::1::"])
            ), {400, 403}
        return http_bytes(
            good, extra=f"Origin: {chance.choice(['http://evil.example', 'null', 'file://', '*'])}\r\n"
        ), {403}
    if kind == 7:  # path tricks
        path = chance.choice(
            [
                "/../etc/passwd",
                "//v1/models",
                "/v1/models/../../x",
                "/v1/models/%2e%2e%2f",
                "/%00",
                "/v1//models",
                "*",
                "\\",
                "/v1/models/" + "x" * 3000,
            ]
        )
        return http_bytes(b"", path=path, method="GET"), {400, 404}
    if kind == 8:  # bad chunks
        head = http_bytes(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        return head + chance.choice(
            [b"zz\r\n{}\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n{", b"5\r\n{}\r\n0\r\n\r\n"]
        ), {400}
    if kind == 9:  # bad heads
        head = chance.choice(
            [
                b"GET / HTTP/9.9\r\n\r\n",
                b"\r\n\r\n\r\n",
                b"GET /\r\n\r\n",
                b"G\x00T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                chance.randbytes(50) + b"\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            ]
        )
        return head, {400, 505, 0}
    if kind == 10:  # headers without end
        return http_bytes(good, extra="".join(f"X-{i}: {'y' * 100}\r\n" for i in range(chance.randrange(300, 600)))), {
            431
        }
    method = chance.choice(["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "GET"])
    return http_bytes(good, method=method), {405}


def resident(process) -> int:
    """Bytes of memory that the process uses now."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) << 10


def most_resident(process) -> int:
    """The most bytes of memory that the process ever used."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) << 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("template", ["chatml", "text"])
def test_a_hundred_large_bodies(program, tmp_path, template):
    """A hundred clients send a megabyte each at once: memory stays bounded, and an honest request gets its answer.

    All of them are encoded, at 8 bytes an id; without a bound that took 7 GB."""
    model = bundle(TINY, tmp_path / "model", template=template, sampling={"max_tokens": 2})
    body = json.dumps({"prompt": " " * 1_000_000, "max_tokens": 1}).encode()
    flags = ["--model", model, "--addr", "127.0.0.1:0"]
    with started(program, "serve", *flags, home=tmp_path) as process, ThreadPoolExecutor(100) as many:
        answers = [many.submit(exchange, process.port, http_bytes(body, path="/v1/completions")) for _ in range(100)]
        honest = [request(process.port, "POST", "/v1/chat/completions", json.dumps({"messages": HI})) for _ in range(5)]
        assert [status for status, _ in honest] == [200] * 5
        statuses = {answer.result()[9:12] for answer in answers}
        assert statuses <= {b"400" if template == "chatml" else b"200", b"503"}
        assert most_resident(process) < 600 << 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_thousand_malformed_requests(server):
    body = json.dumps({"messages": HI, "temperature": 0})
    _, before = request(server.port, "POST", "/v1/chat/completions", body)
    chance = random.Random(6)
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=40) for _ in range(20)]
    for connection in slow:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc")

    def attack(case: tuple[bytes, set[int]]) -> int:
        sent, allowed = case
        received = exchange(server.port, sent)
        status = int(received[9:12]) if received.startswith(b"HTTP/1.1 ") else 0
        assert status in allowed, (sent[:300], received[:300])
        head, _, body = received.partition(b"\r\n\r\n")
        if b"application/json" in head and status != 200:
            error = json.loads(body)["error"]
            assert error["message"]
            assert error["type"] == "invalid_request_error"
        return status

    memory = []
    with ThreadPoolExecutor(8) as many:
        for _ in range(4):
            statuses = list(many.map(attack, [malformed(chance) for _ in range(250)]))
            assert {400, 403, 404, 405, 413, 431} <= set(statuses)
            memory.append(resident(server))
    assert max(memory[1:]) < memory[0] + (24 << 20), memory

    # Several requests at once in one connection, the last of them wrong: answered in order.
    health = http_bytes(b"", path="/health", method="GET").replace(b"Connection: close\r\n", b"")
    received = exchange(server.port, health * 3 + b"nonsense\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200"] * 3 + [b"400"]

    for connection in slow:
        received = connection.recv(1000)
        assert received == b"" or received.startswith(b"HTTP/1.1 408")
        connection.close()
    _, after = request(server.port, "POST", "/v1/chat/completions", body)
    assert after["choices"] == before["choices"]
    assert server.poll() is None
