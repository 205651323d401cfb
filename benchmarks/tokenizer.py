"""Compares the chat program's tokenizer with the C++ SentencePiece library: whether its ids are equal, and how fast it is.

Run: .venv/bin/python benchmarks/tokenizer.py [--texts FILE.parquet --column story]      speed, a minute
     .venv/bin/python benchmarks/tokenizer.py --fuzz 10000000                            equal ids, some minutes
     .venv/bin/python benchmarks/tokenizer.py --fuzz 200000 --kinds                      equal ids, so many per kind

Speed: BPE models of 8,000 pieces are trained on the texts; both sides encode all texts in turn, on one core, several
times; the ids must be equal. The library gets one call with the whole list. Measured as well: one long text; a kilobyte and a
megabyte of texts that are the worst case for merging; and how long the program takes to read a vocabulary of 32,000 pieces. Without
--texts the texts are the stories beside the repository, or synthetic dialogues if those are missing.

Fuzz: compares ids on hostile texts for random models of every kind (go_serve/internal/tokenizer/testdata/campaign.py). With --kinds:
for all kinds of tokenizer in recipes with every normalisation, as minitron trains and exports them, and for byte-level BPE with every
way of splitting, which the `tokenizers` library trains and must agree on. --laboratory times the commands `inspect` and `census`.

Prints a table and writes benchmarks/tokenizer.json.
"""

import argparse
import io
import json
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb

from minitron import synth
from minitron.program import go
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.schema import NORMALIZATIONS, TokenizerConfig
from minitron.tokenizer.base import MARKERS, TooManyTokens
from minitron.tokenizer.byte_level import SPLITTING
from minitron.tokenizer.kinds import load
from minitron.tokenizer.kinds import train as train_ours

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "go_serve/internal/tokenizer/testdata"))

import campaign  # noqa: E402
import make_byte_vectors  # noqa: E402
import make_vectors  # noqa: E402

STORIES = ROOT.parent / "shared/data/tinystories_ru.parquet"
RESULTS = ROOT / "benchmarks/tokenizer.json"
ROUNDS = 7
LEARNT = [kind for kind, line in TOKENIZERS.items() if line.learns]
SYMBOLS = ["—", "«", "»", "…", "ab", "abab", "<|x|>", "<|user", "мыла", "é", "a", "<", "|>", "--", "12", "😀"]


def read_texts(path: Path | None, column: str) -> tuple[list[str], str]:
    """The texts, and a name for them."""
    if path or STORIES.exists():
        path = path or STORIES
        return pq.read_table(path, columns=[column])[column].to_pylist(), path.stem
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "dialogues.parquet"
        synth.write(made, rows=20_000, seed=1)
        rows = pq.read_table(made, columns=["conversation"])["conversation"].to_pylist()
    return ["\n".join(turn["content"] for turn in row) for row in rows], "synthetic dialogues"


def train(texts: list[str], *, size: int, normalization: str) -> pb.ModelProto:
    """Trains a BPE model: with the normalisation "identity" as minitron trains, else as SentencePiece trains by default."""
    if normalization == "identity":
        return pb.ModelProto.FromString(train_ours(texts, config=TokenizerConfig(vocab_size=size), seed=1))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        control_symbols=list(MARKERS),
        normalization_rule_name=normalization,
        max_sentence_length=1 << 20,
        num_threads=1,
        minloglevel=2,
    )
    return pb.ModelProto.FromString(model.getvalue())


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def benchmark(program: campaign.Go, name: str, benchtime: str, **files: Path) -> dict[str, float]:
    """Runs the Go benchmarks that match a name: name -> nanoseconds per operation, and "NAME B" -> bytes allocated per operation."""
    said = program.run(
        "-test.run=^$",
        f"-test.bench={name}",
        f"-test.benchtime={benchtime}",
        GOMAXPROCS="1",
        **{f"MINITRON_{key.upper()}": str(path) for key, path in files.items()},
    )
    found = {}
    for line in said.splitlines():
        if match := re.match(r"Benchmark(\S+)\s+\d+\s+(\S+) ns/op(?:.*\s(\d+) B/op)?", line):
            found[match[1]] = float(match[2])
            if match[3]:
                found[f"{match[1]} B"] = float(match[3])
    return found


def speed(program: campaign.Go, proto: pb.ModelProto, texts: list[str]) -> dict:
    """Megabytes per second of both sides, measured in turn, and the number of texts with different ids."""
    library = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    data = [text.encode() for text in texts]
    lines = [line for text in data for line in text.splitlines(keepends=True)]
    wrong = campaign.compare(program, proto, data + lines)
    vocab, many, one = (program.folder / name for name in ("vocab.json", "many.bin", "one.bin"))
    vocab.write_text(json.dumps(make_vectors.vocab_json(proto), ensure_ascii=False))
    many.write_bytes(campaign.pack(data))
    whole = "\n".join(texts)
    one.write_bytes(campaign.pack([whole.encode()]))
    size = sum(map(len, data)) / 1e6

    theirs, ours, first = [], [], []
    for _ in range(ROUNDS):
        theirs.append(size / seconds(lambda: library.encode(texts, return_type="numpy", num_threads=1)))
        run = benchmark(program, "Texts", "3x", vocab=vocab, texts=many)
        ours.append(size * 1e9 / run["Texts/again"])
        first.append(size * 1e9 / run["Texts/first"])
    long_theirs = size / seconds(lambda: library.encode(whole, return_type="numpy"))
    long_ours = size * 1e9 / benchmark(program, "Texts/first", "3x", vocab=vocab, texts=one)["Texts/first"]
    return {
        "texts": len(data) + len(lines),
        "with other ids": wrong,
        "C++ MB/s": round(statistics.median(theirs), 1),
        "Go MB/s": round(statistics.median(ours), 1),
        "Go MB/s, empty cache": round(statistics.median(first), 1),
        "times as fast": round(statistics.median(o / t for o, t in zip(ours, theirs, strict=True)), 2),
        "lowest of the rounds": round(min(o / t for o, t in zip(ours, theirs, strict=True)), 2),
        "one text, C++ MB/s": round(long_theirs, 1),
        "one text, Go MB/s": round(long_ours, 1),
    }


def linear(program: campaign.Go, proto: pb.ModelProto) -> dict:
    """Nanoseconds per byte for a kilobyte and for a megabyte of worst-case text, and their ratio: medians of five rounds."""
    vocab = program.folder / "vocab.json"
    vocab.write_text(json.dumps(make_vectors.vocab_json(proto), ensure_ascii=False))
    rounds = [benchmark(program, "Pathological", "60ms", vocab=vocab) for _ in range(5)]
    found = {}
    for name in sorted({key.rpartition("/")[0] for key in rounds[0]}):
        small = [r[f"{name}/1024"] / 1024 for r in rounds]
        large = [r[f"{name}/1048576"] / 1048576 for r in rounds]
        found[name.removeprefix("Pathological/").replace("_", " ")] = {
            "1 KB ns/byte": round(statistics.median(small), 1),
            "1 MB ns/byte": round(statistics.median(large), 1),
            "ratio": round(statistics.median(b / a for a, b in zip(small, large, strict=True)), 2),
        }
    return found


def start(program: campaign.Go, proto: pb.ModelProto) -> dict:
    """Milliseconds to build a tokenizer from the bytes of vocab.json: the first time in a process, and on average of a hundred times."""
    vocab = program.folder / "vocab.json"
    vocab.write_text(json.dumps(make_vectors.vocab_json(proto), ensure_ascii=False, separators=(",", ":")))
    cold = [benchmark(program, "Start", "1x", vocab=vocab)["Start"] / 1e6 for _ in range(11)]
    warm = benchmark(program, "Start", "100x", vocab=vocab)
    return {
        "pieces": len(proto.pieces),
        "vocab.json KB": vocab.stat().st_size // 1000,
        "cold ms": round(statistics.median(cold), 2),
        "warm ms": round(warm["Start"] / 1e6, 2),
        "allocated KB": round(warm["Start B"] / 1000),
    }


def laboratory(texts: list[str]) -> dict:
    """Seconds of processor time that `minitron inspect` and `minitron census` take for 10 MB of text, with start-up."""
    with tempfile.TemporaryDirectory() as folder:
        model, corpus = Path(folder) / "tokenizer.model", Path(folder) / "corpus.txt"
        size = 8000 if len("".join(texts)) > 5_000_000 else 2000
        model.write_bytes(train(texts[:3000], size=size, normalization="identity").SerializeToString())
        whole = "\n".join(texts).encode()
        corpus.write_bytes((whole * -(-10_000_000 // len(whole)))[:10_000_000].decode(errors="ignore").encode())

        def cost(*words: str) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            with corpus.open("rb") as text:
                command = [sys.executable, "-m", "minitron", *words]
                subprocess.run(command, stdin=text, stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)

        found = {"inspect s": cost("inspect", str(model), "-"), "census s": cost("census", str(model), str(corpus))}
        return {"megabytes": round(corpus.stat().st_size / 1e6, 1)} | found


def fuzz_kinds(program: campaign.Go, kinds: list[str], *, cases: int, seed: int) -> dict:
    """Compares ids of at least `cases` texts per kind of tokenizer, over models of every normalisation, with and without user symbols.
    Returns counts: texts per kind; `wrong`, those with different ids; `markers`, those in whose ids a control token occurs."""
    counts: dict[str, int] = {}
    variants = [(rules, symbols) for rules in (*NORMALIZATIONS, "rules.tsv") for symbols in (False, True)]
    per_model = -(-cases // len(variants))
    for kind in kinds:
        for number, (rules, symbols) in enumerate(variants):
            draw = random.Random(f"{seed}-{kind}-{number}")
            if rules == "rules.tsv":
                rules = make_vectors.tsv(draw, program.folder)
            config = TokenizerConfig(
                kind=kind,
                vocab_size=draw.choice([400, 700]),
                user_symbols=draw.sample(SYMBOLS, 4) if symbols else [],
                byte_fallback=draw.random() < 0.8,
                split_digits=draw.random() < 0.5,
                character_coverage=draw.choice([0.99, 1.0]),
                normalization=rules,
            )
            path = program.folder / "tokenizer.model"
            texts = make_vectors.corpus(draw, invented=200)
            try:
                path.write_bytes(train_ours(texts, config=config, seed=1))
            except TooManyTokens as error:
                path.write_bytes(train_ours(texts, config=replace(config, vocab_size=error.most), seed=1))
            tokenizer = load(path)
            proto = pb.ModelProto.FromString(path.read_bytes())
            data = campaign.texts(draw, [p.piece for p in proto.pieces], per_model)
            markers = {*tokenizer.markers.values(), tokenizer.end}
            counts["markers"] = counts.get("markers", 0) + sum(
                not markers.isdisjoint(tokenizer.encode(text)) for text in data
            )
            wrong = campaign.compare(program, proto, data, vocab=tokenizer.to_vocab())
            counts[kind] = counts.get(kind, 0) + len(data)
            counts["wrong"] = counts.get("wrong", 0) + wrong
            print(f"{kind}, {config.normalization}: {len(data):,} texts, {wrong} wrong; {tokenizer.vocab_size} tokens")
    return counts


def fuzz_byte_level(program: campaign.Go, *, cases: int, seed: int) -> dict:
    """Compares ids of at least `cases` texts per way of splitting, and of real stories. Returns counts as `fuzz_kinds` does."""
    counts = {"markers": 0, "wrong": 0}
    stories = [text.encode() for text in read_texts(None, "story")[0][: cases // 6]]
    for splitting in SPLITTING:
        draw = random.Random(f"{seed}-{splitting}")
        drawn = make_byte_vectors.models(draw, splitting)
        for whole in drawn:
            ours, library = make_byte_vectors.read(whole), make_byte_vectors.Library(whole)
            pieces = [ours.piece_bytes(i).decode(errors="replace") for i in range(ours.vocab_size)]
            data = campaign.texts(draw, pieces, -(-cases // len(drawn)), make_byte_vectors.atom)
            ids = library.encode(data + stories)
            decoded = [text.encode() for text in library.decode(ids)]
            wrong = campaign.hand_over(program, ours.to_vocab(), data + stories, ids, decoded)
            counts["markers"] += sum(not ours.special.isdisjoint(found) for found in ids)
            counts[splitting] = counts.get(splitting, 0) + len(data)
            counts["wrong"] += wrong
            rules = " ".join(
                f"{key}={value}" for key, value in ours.to_vocab().items() if key in ("ignore_merges", "normalization")
            )
            print(
                f"{splitting}, {rules}: {len(data):,} texts, {len(stories):,} stories, {wrong} wrong; {len(pieces)} tokens"
            )
    return counts


def measured(program: campaign.Go, a: argparse.Namespace) -> dict:
    """Runs the measurements or comparisons that the options ask for."""
    if a.fuzz and a.kinds is not None:
        found = {}
        if learnt := [kind for kind in LEARNT if kind in (a.kinds or LEARNT)]:
            found["fuzz of kinds"] = fuzz_kinds(program, learnt, cases=a.fuzz, seed=a.seed)
        if not a.kinds or "byte-bpe" in a.kinds:
            found["fuzz of byte-bpe"] = fuzz_byte_level(program, cases=a.fuzz, seed=a.seed)
        return found
    if a.fuzz:
        return {"fuzz": campaign.run(program, cases=a.fuzz, models=a.models, seed=a.seed)}
    texts, what = read_texts(a.texts, a.column)
    size = 8000 if len("".join(texts)) > 5_000_000 else 2000
    small = {name: train(texts, size=size, normalization=name) for name in ("identity", "nmt_nfkc")}
    found = {f"{what}, {size} pieces, {name}": speed(program, proto, texts) for name, proto in small.items()}
    found["a megabyte beside a kilobyte"] = linear(program, small["identity"])
    found["start"] = start(program, train(texts, size=4 * size, normalization="identity"))
    found["inspect and census"] = laboratory(texts)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--texts", type=Path, help="parquet of texts")
    arguments.add_argument("--column", default="story")
    arguments.add_argument("--fuzz", type=int, metavar="TEXTS", help="compare so many texts, and measure nothing")
    arguments.add_argument("--models", type=int, default=60, help="with --fuzz: how many random models")
    arguments.add_argument(
        "--kinds",
        nargs="*",
        choices=[*LEARNT, "byte-bpe"],
        help="with --fuzz: so many texts for each of these kinds (all)",
    )
    arguments.add_argument("--laboratory", action="store_true", help="time inspect and census, and nothing else")
    arguments.add_argument("--seed", type=int, default=1, help="with --fuzz")
    arguments.add_argument("--no-save", action="store_true", help="leave benchmarks/tokenizer.json alone")
    a = arguments.parse_args()
    found = {}
    if a.laboratory:
        found["inspect and census"] = laboratory(read_texts(a.texts, a.column)[0])
    else:
        with campaign.Go(go.find_go()) as program:
            found = measured(program, a)
    show(found)
    if not a.no_save:
        before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        part = a.fuzz or a.laboratory  # of the measurements: the results of all others stay in the file
        kept = {k: v for k, v in before.items() if k not in found and (part or k.startswith("fuzz"))}
        RESULTS.write_text(json.dumps(found | kept, indent=1, ensure_ascii=False) + "\n")
    wrong = sum(section.get("wrong", 0) + section.get("with other ids", 0) for section in found.values())
    if any(section.get("markers") for section in found.values()):
        raise SystemExit("a text became a control token")
    if wrong:
        raise SystemExit(f"{wrong} texts have other ids than the library's")


def show(found: dict) -> None:
    for section, rows in found.items():
        print(f"\n{section}")
        for name, value in rows.items():
            if isinstance(value, dict):
                value = "   ".join(f"{k} {v:>7}" for k, v in value.items())
            print(f"  {name:<32} {value:>12,}" if isinstance(value, int | float) else f"  {name:<32} {value}")


if __name__ == "__main__":
    main()
