"""Measures the data stage against DuckDB, and the way from rows to packed ids against SentencePiece alone.

Run: .venv/bin/python benchmarks/data.py --rows 171000          a tenth of the reference's rows, minutes
     .venv/bin/python benchmarks/data.py --rows 1710000         as many, 2.5 GB of text

Makes synthetic judged dialogues with the reference's columns and lengths: 19 parquet files with --rows rows in all (the reference has
1.71 million). The sides are measured in turn, a few times, each in a process of its own:

filter   minitron's data stage with the reference's rules (keep, check, normalise, drop duplicates, hold out, write), against DuckDB
         with the same rules: writing the same columns to parquet (`copy`), and dropping duplicates as well (`distinct`)
packed   the data stage, then every dialogue as ids and loss mask in packed rows, against SentencePiece, which encodes the same texts
         in lists of 4,000 texts with as many threads as there are cores

With --ray instead:

ray      the data stage by processes of this computer, and by a Ray cluster that is started on it (data.cluster = "local")

With --near instead:

near     near duplicates (data.near_duplicates = 0.8) among the dialogues that the data stage kept. One dialogue of a hundred gets a copy
         with some words replaced; `recall` is the share that is found of those copies whose word triples are in fact 0.8 alike

The counts of minitron and DuckDB must be equal. CPU seconds are those of all processes of a side; where other programs share the
machine they say more than the time on the clock. Prints a table, and writes it into docs/data.md and benchmarks/data.json.
"""

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tables import Table, put

from minitron.core.processes import cores

ROOT = Path(__file__).resolve().parent.parent
FILES = 19
GROUP_ROWS = 5000
CONTEXT = 1024
WORDS = "the of and to in is you that it he was for on are as with his they at be this from have or by one had not but what all"
PHRASES = 20_000
RULES = ["overall_score >= 6", "safety >= 8", "pii_leak == 0"]
TURN = pa.struct([("role", pa.string()), ("content", pa.string())])
SIDES = {
    "copy": "COPY (SELECT conversation, source FROM '{data}' WHERE {rules}) TO 'duck.parquet' (COMPRESSION zstd)",
    "distinct": "COPY (SELECT conversation, any_value(source) AS source FROM '{data}' WHERE {rules} GROUP BY conversation) "
    "TO 'duck.parquet' (COMPRESSION zstd)",
}


def make(folder: Path, rows: int) -> None:
    """Writes the files. One dialogue of fifty is a copy of another one."""
    choose = random.Random(1)
    letters = "etaoinshrdlcumwfgypbvk"
    words = WORDS.split() + ["".join(choose.choices(letters, k=choose.randint(3, 10))) for _ in range(8000)]
    phrases = [" ".join(choose.choices(words, k=choose.randint(4, 16))) + ". " for _ in range(PHRASES)]
    folder.mkdir(parents=True)
    for number in range(FILES):
        count = rows * (number + 1) // FILES - rows * number // FILES
        with pq.ParquetWriter(folder / f"part-{number:02}.parquet", schema(), compression="zstd") as writer:
            while count:
                group = [row(choose, phrases) for _ in range(min(count, GROUP_ROWS))]
                for i in range(0, len(group), 50):
                    group[i] = group[i] | {"conversation": group[0]["conversation"]}
                writer.write_table(pa.Table.from_pylist(group, schema()))
                count -= len(group)


def schema() -> pa.Schema:
    names = ("overall_score", "safety", "coherence", "relevance", "helpful")
    scores = [(name, pa.float32()) for name in names] + [("pii_leak", pa.int8()), ("refusal", pa.int8())]
    texts = [(name, pa.string()) for name in ("question", "source", "topic")]
    return pa.schema([("conversation", pa.list_(TURN)), *texts, *scores])


def row(choose: random.Random, phrases: list[str]) -> dict:
    """A row with a dialogue of 1,460 characters on average; 39% of the rows fail a rule."""
    turns = choose.choice((2, 2, 4, 4, 6))
    said = [
        "".join(choose.choices(phrases, k=choose.choice((1, 2, 12, 14) if i % 2 else (1, 2, 3)))) for i in range(turns)
    ]
    return {
        "conversation": [
            {"role": ("user", "assistant")[i % 2], "content": text.strip()} for i, text in enumerate(said)
        ],
        "question": said[0],
        "source": choose.choice(("forum", "mail", "books")),
        "topic": choose.choice(phrases)[:20],
        "overall_score": choose.choice((-1.0, None, 5.0, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5, 9.0)),
        "safety": choose.choice((7.0, *[9.0] * 9)),
        "coherence": 8.0,
        "relevance": 8.0,
        "helpful": 7.5,
        "pii_leak": int(choose.random() < 0.03),
        "refusal": 0,
    }


# --- the sides: each is run as `python benchmarks/data.py --side NAME` in a folder of its own --------------------------
# A side first imports and reads what shall not be measured, and returns a function: the work that is measured.


def ours(data: str, *, cluster: str = "") -> Callable[[], dict]:
    """The side `ours`, or `ray` with a cluster: the data stage."""
    from minitron.recipe.data import DataConfig
    from minitron.recipe.schema import Config
    from minitron.stages import data as stage

    options = DataConfig(files=[data], column="conversation", keep=RULES, cluster=cluster)
    config = Config(name="bench", recipe=Path("bench.toml"), data=options)

    def work() -> dict:
        stage.run(config)
        report = json.loads(Path("runs/bench/data/report.json").read_text())
        return {"rows": report["kept"], "passed": report["kept"] + report["dropped"].get("exact duplicate", 0)}

    return work


def in_duckdb(side: str, data: str) -> Callable[[], dict]:
    import duckdb

    duckdb.sql(f"SET threads = {cores()}")

    def work() -> dict:
        duckdb.sql(SIDES[side].format(data=data, rules=" AND ".join(RULES).replace("==", "=")))
        return {"rows": pq.read_metadata("duck.parquet").num_rows}

    return work


def tokenizer(train: str):
    """A BPE tokenizer of 8,192 tokens, trained on the first 1,500 dialogues and kept beside the file."""
    from minitron.data import store
    from minitron.recipe.schema import TokenizerConfig
    from minitron.tokenizer import kinds

    path = Path(train).parent / "tokenizer.model"
    if not path.exists():
        texts = (m["content"] for d in islice(store.read(Path(train)), 1500) for m in d["messages"])
        path.write_bytes(kinds.train(texts, config=TokenizerConfig(vocab_size=8192), seed=1))
    return kinds.load(path)


def packed(train: str) -> Callable[[], dict]:
    """Encodes and packs the dialogues that the data stage kept."""
    from minitron.data.encoding import encode
    from minitron.data.packing import pack

    made, cut = tokenizer(train), {"shortened": 0, "left out": 0}
    sequences = encode(Path(train), made, CONTEXT, cut)
    return lambda: pack(sequences, context=CONTEXT, vocab_size=made.vocab_size, out=Path("packed"))


def sentencepiece(train: str) -> Callable[[], dict]:
    """Encodes the texts to ids, and does nothing else."""
    made = tokenizer(train)
    column = pq.read_table(train, columns=["messages"])["messages"].combine_chunks()
    texts = column.flatten().field("content").to_pylist()

    def work() -> dict:
        parts = (made.sp.encode(texts[at : at + 4000], num_threads=cores()) for at in range(0, len(texts), 4000))
        return {"ids": sum(len(ids) for part in parts for ids in part)}

    return work


def near(train: str) -> Callable[[], dict]:
    """Finds near duplicates, among them the planted ones."""
    import numpy as np

    from minitron.data.near import near_pairs

    file, choose = pq.ParquetFile(train), random.Random(2)
    originals, planted = [], []
    for start, table in row_groups(file):
        for row in range(-start % 100, len(table), 100):
            turns = table["messages"][row].as_py()
            originals.append((start + row, turns))
            planted.append([{**turn, "content": replaced(turn["content"], choose)} for turn in turns])
    rows = file.metadata.num_rows
    copies = pa.table({"messages": pa.array(planted, table.schema.field("messages").type)})
    similar = [
        len(a & b) / len(a | b)
        for a, b in ((triples(t), triples(c)) for (_, t), c in zip(originals, planted, strict=True))
    ]
    want = {(row, rows + i) for i, (row, _) in enumerate(originals) if similar[i] >= 0.8}
    print(f"planted {len(planted)}, of which {len(want)} are at 0.8 or above", file=sys.stderr)

    def work() -> dict:
        def tables():
            yield from row_groups(file)
            yield rows, copies

        pairs = near_pairs(tables, order=np.arange(rows + len(planted)), threshold=0.8)
        found = {tuple(sorted(pair)) for pair in pairs.rows.tolist()}
        return {"rows": rows, "pairs": len(found), "recall": round(len(found & want) / max(1, len(want)), 4)}

    return work


def row_groups(file: pq.ParquetFile):
    start = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=["messages"])
        yield start, table
        start += len(table)


def replaced(text: str, choose: random.Random) -> str:
    """The text with about one word of forty replaced."""
    return " ".join(f"new{choose.random():.6f}" if choose.random() < 0.025 else word for word in text.split())


def triples(turns: list[dict]) -> set[tuple[str, ...]]:
    words = [word for turn in turns for word in turn["content"].lower().split()]
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def spent_cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def do(side: str, data: str) -> dict:
    """Runs a side: its seconds, CPU seconds, the MiB of its largest process, and the counts that it found."""
    ray = partial(ours, cluster="local")
    prepare = {"ours": ours, "ray": ray, "packed": packed, "sentencepiece": sentencepiece, "near": near}.get(
        side, partial(in_duckdb, side)
    )
    work = prepare(data)
    begun, cpu = time.monotonic(), spent_cpu()
    found = work()
    spent = {"seconds": time.monotonic() - begun, "cpu_seconds": spent_cpu() - cpu}
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return spent | {"max_mb": max(usage.ru_maxrss for usage in usages) / 1024} | found


def measure(folder: Path, side: str, path: str) -> dict:
    """Runs `do` in a process of its own, in a fresh folder."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, str(Path(__file__).resolve()), "--side", side, "--data", path]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{side} failed: {done.stderr}")
        if side == "ours":
            os.replace(Path(scratch) / "runs/bench/data/train.parquet", folder / "train.parquet")
        return json.loads(done.stdout.splitlines()[-1])


ABOUT = {
    "ours": "the data stage: rules, checks, duplicates, hold-out, parquet",
    "copy": "DuckDB: the same rules, parquet",
    "distinct": "DuckDB: without duplicates, too",
    "packed": "from its dialogues to packed ids and loss mask",
    "sentencepiece": "SentencePiece: their texts to ids, all threads",
}


def table(rows: int, sides: dict[str, dict], ratios: dict[str, dict]) -> Table:
    """The table of docs/data.md."""
    lines = [
        [ABOUT[side], *(f"{found[key]:.1f} s" for key in ("seconds", "cpu_seconds")), f"{found['max_mb']:,.0f}"]
        for side, found in sides.items()
    ]
    lines += [[name, *(f"{ratios[unit][name]:.2f} x" for unit in ratios), ""] for name in ratios["seconds"]]
    return Table(
        "data", "The data stage", [f"{rows:,} dialogues", "seconds", "of processors", "MB, largest process"], lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=171_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "minitron-bench-data")
    parser.add_argument("--near", action="store_true", help="near duplicates, in place of all else")
    parser.add_argument("--ray", action="store_true", help="the data stage with and without Ray, in place of all else")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(do(args.side, args.data)))
        return
    folder = args.folder / str(args.rows)
    if not (folder / "data").exists():
        shutil.rmtree(folder / "made.tmp", ignore_errors=True)
        make(folder / "made.tmp", args.rows)
        (folder / "made.tmp").rename(folder / "data")
    data, train = str(folder / "data/*.parquet"), str(folder / "train.parquet")
    if args.near:
        if not Path(train).exists():
            measure(folder, "ours", data)
        for figures in (measure(folder, "near", train) for _ in range(args.rounds)):
            print(json.dumps(figures))
        return
    if args.ray:
        for side in ("ours", "ray") * args.rounds:
            print(side, json.dumps(measure(folder, side, data)), flush=True)
        return
    found = {side: [] for side in ("ours", "copy", "distinct", "packed", "sentencepiece")}
    for _ in range(args.rounds):
        for side, rounds in found.items():
            rounds.append(measure(folder, side, train if side in ("packed", "sentencepiece") else data))
    middle = {
        side: {
            key: round(statistics.median(one[key] for one in rounds), 2)
            for key in rounds[0]
            if key not in ("dtype", "files")
        }
        for side, rounds in found.items()
    }
    assert middle["ours"]["passed"] == middle["copy"]["rows"], "the rules keep what they keep in DuckDB"
    assert middle["ours"]["rows"] == middle["distinct"]["rows"], "as many distinct dialogues"
    ratios = {}
    for unit in ("seconds", "cpu_seconds"):
        cost = {side: figures[unit] for side, figures in middle.items()}
        ratios[unit] = {
            "filter / DuckDB's copy": round(cost["ours"] / cost["copy"], 2),
            "filter / DuckDB's distinct": round(cost["ours"] / cost["distinct"], 2),
            "packed / SentencePiece": round((cost["ours"] + cost["packed"]) / cost["sentencepiece"], 2),
        }
    put([table(args.rows, middle, ratios)], ROOT / "docs" / "data.md")
    for side, figures in middle.items():
        print(f"{side:<14} {figures['seconds']:8.1f} s {figures['cpu_seconds']:8.1f} CPU s {figures['max_mb']:7.0f} MB")
    for name in ratios["seconds"]:
        print(f"{name:<28} {ratios['seconds'][name]:6.2f} x, by CPU {ratios['cpu_seconds'][name]:6.2f} x")
    result = {"rows": args.rows, "cores": cores(), "sides": middle, "ratios": ratios}
    (ROOT / "benchmarks/data.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
