"""Commands of minitron as a user gives them, each in a process of its own: `minitron("sft", "tiny.toml")`, `refused(...)`.

The process is forked from one that has loaded everything already: to load torch takes two seconds, and tests give hundreds of
commands. Where the interpreter itself matters (signals, a terminal, variables that torch reads), a test begins `COMMAND`.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

COMMAND = [sys.executable, "-m", "minitron"]


def minitron(*arguments: str, stdin: str = "", folder: Path | None = None) -> subprocess.CompletedProcess:
    """Runs a command in a folder (by default the test's current directory) with the test's environment."""
    with tempfile.TemporaryDirectory() as spare:
        files = [Path(spare) / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin, encoding="utf-8")
        job = {"arguments": arguments, "folder": str(folder or Path.cwd()), "environment": dict(os.environ)}
        status = ask(json.dumps(job | {"files": [str(path) for path in files]}))
        said = [path.read_text(encoding="utf-8") for path in files[1:]]
    return subprocess.CompletedProcess([*COMMAND, *arguments], status, *said)


def refused(*arguments: str, code: int = 1, saying: str, stdin: str = "") -> str:
    """Runs a command that must fail politely; returns what it said."""
    done = minitron(*arguments, stdin=stdin)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("minitron: error: ") == 1
    assert "hint: " in done.stderr
    assert saying in done.stderr
    assert not list(Path().rglob(".*.tmp"))
    return done.stderr


@cache
def server() -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, __file__], text=True, bufsize=1, **pipes)
    atexit.register(process.kill)
    return process


def ask(job: str) -> int:
    """The exit status of a job. If the test is interrupted, the server, which still waits for the command, is killed too."""
    process = server()
    try:
        process.stdin.write(job + "\n")
        return int(process.stdout.readline())
    except BaseException:
        process.kill()
        server.cache_clear()
        raise


def serve() -> None:
    """Reads jobs from stdin, runs each in a fork, and prints its exit status."""
    from minitron import cli
    from minitron.stages import declared

    for stage in declared.NAMES:
        __import__(f"minitron.stages.{stage}")
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            become(json.loads(line))
            cli.main()
            sys.exit()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become(job: dict) -> None:
    """Turns this process into that of a command, with its files, folder, environment and arguments."""
    for descriptor, path in enumerate(job["files"]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), descriptor)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.argv = ["minitron", *job["arguments"]]


if __name__ == "__main__":
    serve()
