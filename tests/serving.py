"""A running `serve` or `web`, the real program, and plain requests to it. For test_server and test_server_hostile."""

import http.client
import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from terminal import TINY, build

__all__ = ["HI", "TINY", "build", "bundle", "request", "started"]
HI = [{"role": "user", "content": "hi"}]


def bundle(source: Path, out: Path, **changes) -> Path:
    """A copy of a bundle, with another personality in its config.json."""
    shutil.copytree(source, out)
    config = json.loads((out / "config.json").read_text())
    for section, values in changes.items():
        config[section] = config.get(section, {}) | values if isinstance(values, dict) else values
    config.pop("crc32", None)  # the checksum of the old content
    (out / "config.json").write_text(json.dumps(config))
    return out


@contextmanager
def started(program: Path, command: str, *flags: str, home: Path, **environment: str):
    """A running server: its process, and the address that it printed."""
    env = os.environ | {"LC_ALL": "C.UTF-8", "HOME": str(home), "XDG_CONFIG_HOME": str(home)} | environment
    command = [program, command, *([] if "--model" in flags else ["--model", TINY]), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        line = process.stdout.readline()
        process.address = re.search(r"http://\S+", line)[0]
        process.port = int(re.search(r":(\d+)/", process.address)[1])
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def request(port: int, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} | headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
