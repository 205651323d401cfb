"""Compare the Go tokenizer with the C++ library on millions of texts, over models of every kind that make_vectors.py draws.

Run: python benchmarks/tokenizer.py --fuzz 10000000        (this file holds the work; it has no command of its own)

Per model: the library encodes the texts and decodes the ids; one file takes model, texts, ids and decoded texts to
TestCampaign, which compares. Both sides work in bulk, so that ten million cases take minutes.
"""

import itertools
import json
import os
import random
import re
import subprocess
import tempfile
from pathlib import Path

import make_vectors
import numpy as np
import sentencepiece

PACKAGE = Path(__file__).resolve().parent.parent
ATOMS = 4000


class Go:
    """The package's test binary, built once. Use as a context manager; `folder` is for files to hand over."""

    def __init__(self, go: str):
        self.go = go
        self.environment = os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": ""}

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        command = [self.go, "test", "-c", "-o", str(self.folder / "tokenizer.test"), "."]
        subprocess.run(command, cwd=PACKAGE, env=self.environment, check=True)
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def run(self, *arguments: str, **environment: str) -> str:
        """Runs tests or benchmarks and returns what they print; raises where they fail."""
        command = [str(self.folder / "tokenizer.test"), *arguments]
        done = subprocess.run(
            command, cwd=PACKAGE, env=self.environment | environment, capture_output=True, text=True, errors="replace"
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done.stdout


def pack(parts: list[bytes]) -> bytes:
    """Strings as TestCampaign reads them: u32 how many, u32 how long each is, then all of them."""
    lengths = np.fromiter(map(len, parts), np.uint32, len(parts))
    return np.uint32(len(parts)).tobytes() + lengths.tobytes() + b"".join(parts)


def pack_ids(lists: list[list[int]]) -> bytes:
    """Lists of ids the same way, four bytes per id."""
    lengths = np.fromiter(map(len, lists), np.uint32, len(lists))
    flat = np.fromiter(itertools.chain.from_iterable(lists), np.uint32, int(lengths.sum()))
    return np.uint32(len(lists)).tobytes() + lengths.tobytes() + flat.tobytes()


def texts(draw: random.Random, pieces: list[str], count: int, atom=make_vectors.atom) -> list[bytes]:
    """Texts of a few atoms each; every tenth is nothing but random bytes, and some repeat a few atoms many times."""
    atoms = [atom(draw, pieces) for _ in range(ATOMS)]
    atoms += [(draw.choice(atoms) + draw.choice(atoms))[:20] * draw.randint(3, 60) for _ in range(ATOMS // 100)]
    chance = np.random.default_rng(draw.randrange(2**32))
    sizes = chance.choice([0, 1, 1, 2, 3, 5, 8, 13], count)
    chosen = [atoms[i] for i in chance.integers(0, len(atoms), int(sizes.sum())).tolist()]
    ends = np.cumsum(sizes).tolist()
    made = [b"".join(chosen[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    for i in range(0, count, 10):
        made[i] = draw.randbytes(draw.randrange(1, 24))
    return made


def compare(go: Go, proto, data: list[bytes], *, vocab: dict | None = None) -> int:
    """Has Go encode and decode, by `vocab` or what make_vectors makes of the model; returns how many texts differ from the
    library's."""
    library = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    ids = library.encode(data, out_type=int, num_threads=1)
    decoded = [text.encode() for text in library.decode(ids, num_threads=1)]
    return hand_over(go, vocab or make_vectors.vocab_json(proto), data, ids, decoded)


def hand_over(go: Go, vocab: dict, data: list[bytes], ids: list[list[int]], decoded: list[bytes]) -> int:
    """Has Go encode the texts and decode the ids; returns how many come out otherwise."""
    path = go.folder / "campaign.bin"
    path.write_bytes(
        pack([json.dumps(vocab, ensure_ascii=False).encode()]) + pack(data) + pack_ids(ids) + pack(decoded)
    )
    said = go.run("-test.run=^TestCampaign$", "-test.v", MINITRON_CAMPAIGN=str(path))
    print("\n".join(line for line in said.splitlines() if "differs" in line), end="", flush=True)
    found = re.search(r"campaign: (\d+) texts, (\d+) wrong", said)
    assert found, said
    assert int(found[1]) == len(data), said
    return int(found[2])


def run(go: Go, *, cases: int, models: int, seed: int, say=print) -> dict:
    """At least `cases` texts over `models` random models. Returns the counts."""
    per_model = -(-cases // models)
    total = wrong = done = chars = 0
    with tempfile.TemporaryDirectory() as rules:
        for n in itertools.count():
            if done == models:
                break
            draw = random.Random(f"{seed}-{n}")
            options = make_vectors.random_options(draw, rules)
            try:
                proto = make_vectors.train(draw, options)
            except RuntimeError:  # a combination that the trainer refuses
                continue
            found = compare(go, proto, texts(draw, [p.piece for p in proto.pieces], per_model))
            done += 1
            total += per_model
            wrong += found
            chars += options["model_type"] == "char"
            say(f"model {n}: {per_model:,} texts, {found} wrong; {len(proto.pieces)} pieces, {brief(options)}")
    return {"texts": total, "models": done, "of them char models": chars, "wrong": wrong}


def brief(options: dict) -> str:
    """The options that are on."""
    return " ".join(k if v is True else f"{k}={v}" for k, v in options.items() if v and not k.endswith("_tsv"))
