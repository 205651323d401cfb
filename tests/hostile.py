"""Bundles to be damaged, and a runner that measures. For test_hostile."""

import copy
import hashlib
import json
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

from minitron.interop import bundle
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import ModelConfig

FILES = ("config.json", "vocab.json", "weights.bin")
PROMPT = [2, *(5 + b for b in b"hello"), 4, 3]  # user, the bytes, end, assistant
NANOGPT = {"arch": "nanogpt", "n_heads": 2, "n_kv_heads": 2}
LLAMA = {"arch": "llama", "n_heads": 4, "n_kv_heads": 2}
STREAM = {"arch": "stream", "n_heads": 4, "n_kv_heads": 2, "n_layers": 3, "layers": ["window", "conv", "delta"]}
STREAM |= {"window": 12, "conv_width": 3}

# A small Python process starts the program, because on Linux a process's peak memory begins with its parent's.
RUNNER = r"""
import json, os, subprocess, sys, tempfile
for line in sys.stdin:
    command, text = json.loads(line)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        p = subprocess.Popen(["timeout", "-s", "KILL", "20", *command], stdin=subprocess.PIPE, stdout=out, stderr=err)
        try: p.stdin.write(text.encode()); p.stdin.close()
        except BrokenPipeError: pass
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = 0
        out.seek(0); err.seek(0)
        print(json.dumps([os.waitstatus_to_exitcode(status), out.read().decode(errors="replace"),
                          err.read().decode(errors="replace"), usage.ru_maxrss / 1024]), flush=True)
"""


@dataclass
class Done:
    code: int
    out: str
    err: str
    peak_mb: float


class Runner:
    """Runs programs one after the other."""

    def __init__(self):
        command = [sys.executable, "-I", "-S", "-c", RUNNER]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, *command, text: str = "") -> Done:
        self.process.stdin.write(json.dumps([[str(part) for part in command], text]) + "\n")
        self.process.stdin.flush()
        return Done(*json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Bundle:
    """The three files of a bundle, the two JSON files parsed."""

    config: dict
    vocab: dict
    weights: bytearray

    def copy(self) -> "Bundle":
        return copy.deepcopy(self)

    def write(self, folder: Path) -> Path:
        """Writes the files; sizes and checksums are right, unless the config holds others on purpose."""
        folder.mkdir(exist_ok=True)
        vocab = json.dumps(self.vocab, ensure_ascii=False).encode("utf-8", "surrogatepass")
        for name, data in {"vocab": vocab, "weights": self.weights}.items():
            payload = {
                "bytes": len(data),
                "crc32": f"{zlib.crc32(data):08x}",
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            self.config[name] = payload | self.config.get(name, {})
        (folder / "weights.bin").write_bytes(self.weights)
        (folder / "vocab.json").write_bytes(vocab)
        (folder / "config.json").write_text(bundle.sealed(json.dumps(self.config)))
        return folder

    def tensor(self, name: str) -> dict:
        return next(t for t in self.config["tensors"] if t["name"] == name)


def fresh(shape: dict, dtype: str) -> Bundle:
    """A bundle with random weights, still without a self-test."""
    torch.manual_seed(7)
    config = ModelConfig(**{"n_layers": 2, "d_model": 32, "d_ff": 64, "context": 64} | shape)
    vocab = bundle.invented_vocab(300)
    model = LanguageModel(config, 300).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # larger, so that no two logits are nearly tied
            if parameter.dim() == 2:
                parameter *= 20
    tensors, weights = bundle.lay_out(model, dtype)
    weights = bytearray(weights)  # mutable, to be damaged
    about = {
        "format": "minitron-bundle",
        "version": 2,
        "name": f"{config.arch} {dtype}",
        "model": bundle.shape_of(model),
        "dtype": dtype,
        "params": model.count_params(),
        "tensors": tensors,
        "about": {"version": "1", "licence": "free", "icon": ""},
        "chat": {"system": "", "greeting": "Hello", "questions": ["Who are you?"]},
        "sampling": {
            "temperature": 0.7,
            "top_k": 40,
            "top_p": 0.9,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "max_tokens": 9,
        },
        "selftest": [],
        "made": {"minitron": "0", "recipe": "r", "stage": "sft", "date": "2026-11-20", "trained": "", "sources": []},
    }
    return Bundle(about, vocab, weights)


def with_selftest(runner: Runner, program: Path, bundle: Bundle, folder: Path) -> Bundle:
    """Adds a self-test to the bundle: what the program answers while the bundle is undamaged."""
    bundle.copy().write(folder)
    ask = json.dumps({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8})
    answer = json.loads(runner.run(program, "--model", folder, "complete", text=ask).out)
    logits = json.loads(runner.run(program, "--model", folder, "logits", text=json.dumps({"ids": PROMPT})).out)
    bundle.config["selftest"] = [{"ids": PROMPT, "greedy": answer["ids"], "logits": logits["logits"][:16]}]
    return bundle
