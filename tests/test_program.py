"""The Go chat program against Python, on a run made on the spot: ids, logits, greedy answers, and damaged bundles."""

import base64
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import TINY_RECIPE, write_dialogues

from minitron import __version__
from minitron.program import go

SHARED = Path(__file__).parents[2] / "shared" / "data"
MINITRON = [sys.executable, "-m", "minitron"]
RECIPES = {
    "llama": TINY_RECIPE,
    "nanogpt": TINY_RECIPE.replace("[model]", '[model]\narch = "nanogpt"\nbias = true'),
    "grouped": TINY_RECIPE.replace("n_heads = 2", "n_heads = 4\nn_kv_heads = 2\nqk_norm = true"),
    "stream": TINY_RECIPE.replace("n_layers = 2", 'arch = "stream"\nn_layers = 4\nwindow = 24'),
}


# slow: each shape is a whole run; the first is enough to see most faults
@pytest.fixture(
    scope="module",
    params=["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nanogpt", "grouped", "stream"))],
)
def built(request, tmp_path_factory) -> Path:
    """A folder with a finished run, its bundle and its program."""
    folder = tmp_path_factory.mktemp(request.param)
    write_dialogues(folder / "dialogues.jsonl")
    (folder / "tiny.toml").write_text(RECIPES[request.param].replace("steps = 24", "steps = 60"))
    subprocess.run([*MINITRON, "run", "tiny.toml"], cwd=folder, check=True, capture_output=True)
    return folder


def ask(folder: Path, command: str, lines: list[dict]) -> tuple[list[dict], list[dict]]:
    """The answers of Python and of the program to the same lines."""
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    said = []
    for program in ([*MINITRON, command, "tiny.toml"], [folder / "dist" / go.program_name(None), command]):
        done = subprocess.run(program, input=text, cwd=folder, check=True, capture_output=True)
        said.append([json.loads(line) for line in done.stdout.splitlines()])
    assert len(said[0]) == len(said[1]) == len(lines)
    return said[0], said[1]


def nasty_lines(count: int) -> list[dict]:
    """Random bytes, marker look-alikes, and texts in between."""
    chance = random.Random(5)
    parts = [
        "<|user|>",
        "<|end|>",
        "＜｜end｜＞",
        "<|assistant",
        "|>",
        "<unk>",
        "<0x41>",
        "▁",
        "\n",
        "  ",
        "\t",
        "привет",
        "мир",
        "hello",
    ]
    parts += ["\u200d", "👩‍👩‍👧", "é", "ё", "\x00", "\ufffd", "７", "ﬁ", "ｱ", "\u0301", "0", "12", ".", "A" * 50]
    lines = []
    for number in range(count):
        if number % 3 == 0:
            data = chance.randbytes(chance.randrange(40))
            lines.append({"b64": base64.b64encode(data).decode()})
        else:
            lines.append({"text": "".join(chance.choice(parts) for _ in range(chance.randrange(12)))})
    return lines


def test_the_same_ids_for_every_text(built):
    python, program = ask(built, "tokenize", nasty_lines(20_000))
    assert python == program
    assert not {i for line in python for i in line["ids"]} & {0, 1, 2, 3, 4}


def test_the_same_ids_for_real_dialogues(built):
    source = SHARED / "ru_jokes_dialogues.parquet"
    if not source.exists():
        pytest.skip("no shared data here")
    table = pq.read_table(source, columns=["messages"]).slice(0, 3000)
    texts = [m["content"] for row in table.to_pylist() for m in row["messages"]]
    python, program = ask(built, "tokenize", [{"text": text} for text in texts])
    assert python == program


@pytest.mark.slow  # both programs write 120 answers
def test_the_same_logits_and_answers(built):
    chance = random.Random(1)
    lines = [{"ids": [chance.randrange(340) for _ in range(chance.randrange(1, 65))]} for _ in range(60)]
    python, program = ask(built, "logits", lines)
    worst = max(np.abs(np.subtract(p["logits"], g["logits"])).max() for p, g in zip(python, program, strict=True))
    assert worst <= 0.02
    questions = [{"messages": [{"role": "user", "content": f"say {n}"}], "max_tokens": 20} for n in range(100)]
    for n in range(20):  # dialogues beyond the context: both must leave out the same turns
        turn = [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"{n}: hello who are you"}]
        questions.append({"messages": [*turn * (2 + n % 7), turn[0]], "max_tokens": 8})
    # a message that leaves less than that for its answer: both must read it, and leave out the turn before it
    questions += [{"messages": [*turn, {"role": "user", "content": "7" * n}], "max_tokens": 8} for n in range(50, 60)]
    python, program = ask(built, "complete", questions)
    assert sum(p == g for p, g in zip(python, program, strict=True)) >= 127
    for answers in (python, program):
        dropped = {answer.get("dropped_turns", 0) for answer in answers[120:]}
        assert dropped == {0 if built.name.startswith("stream") else 1}  # a context without end holds all


def test_the_program_proves_itself(built):
    program = built / "dist" / go.program_name(None)
    assert subprocess.run([program, "selftest"], capture_output=True).returncode == 0
    about = json.loads(subprocess.run([program, "info", "--json"], check=True, capture_output=True).stdout)
    assert about["name"] == "tiny"
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    assert version == f"minitron-chat {__version__} (bundle format 2)\n"
    speed = json.loads(subprocess.run([program, "bench", "--json"], check=True, capture_output=True).stdout)
    assert set(speed) == set(["kernel", "threads", "prefill_tps", "decode_tps", "load_ms", "rss_mb", "params", "dtype"])
    assert speed["params"] == about["params"]
    answer = subprocess.run([program, "-p", "hello", "--temp", "0"], check=True, capture_output=True, text=True)
    again = subprocess.run([program, "-p", "hello", "--temp", "0"], check=True, capture_output=True, text=True)
    assert answer.stdout == again.stdout


def spoil_weights(folder: Path) -> None:
    data = bytearray((folder / "weights.bin").read_bytes())
    data[1000] ^= 1
    (folder / "weights.bin").write_bytes(data)


def truncate_weights(folder: Path) -> None:
    data = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").write_bytes(data[:-64])


def another_version(folder: Path) -> None:
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"version": 3}))


@pytest.mark.parametrize("spoil", [spoil_weights, truncate_weights, another_version])
def test_a_damaged_bundle_is_refused(built, tmp_path, spoil):
    bundle = shutil.copytree(built / "export" / "tiny", tmp_path / "bundle")
    spoil(bundle)
    program = built / "dist" / go.program_name(None)
    done = subprocess.run([program, "--model", bundle, "-p", "hello"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    error, hint = done.stderr.strip().split("\n")
    assert error.startswith("minitron-chat: error: ")
    assert hint.startswith("hint: ")
