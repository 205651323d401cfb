"""Which tokenizer is better for a small model, and what of the claims about them holds: a grid of short trainings, cell by cell.

    python benchmarks/tokenizer_study.py                  # goes on where it stopped; about three hours on two cores
    python benchmarks/tokenizer_study.py --page           # trains nothing: the page of what is finished
    python benchmarks/tokenizer_study.py --cells 3        # the next three cells
    taskset -c 0 python benchmarks/tokenizer_study.py & taskset -c 1 python benchmarks/tokenizer_study.py     # a core each: faster

A cell is a tokenizer and a model of `minitron study` under --out (by default runs/tokenizer-study); the most telling come first, so
that the page of any prefix of them says something, and says what is missing. The figures of each finished cell are added to
benchmarks/tokenizer_study.json, where a later run finds them, on another machine too; tokenizer_study_page.py makes
docs/tokenizer-study.md of them with its plots.
"""

import argparse
import dataclasses
import fcntl
import itertools
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from minitron import synth
from minitron.core.console import say
from minitron.core.device import pick_device
from minitron.core.files import atomic_path, atomic_write, sha256_json
from minitron.data.packing import PackedRows
from minitron.lab import cloud, study, trained
from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint

HERE = Path(__file__).resolve().parent
RECIPE, RESULTS = HERE / "tokenizer_study.toml", HERE / "tokenizer_study.json"
DATA = HERE.parents[1] / "shared/data"
STORIES, DIALOGUES = 4400, 12_000  # Russian stories, as many characters as Lovecraft wrote; the demo's dialogues
FOLD = "fold-case.tsv"
MARK = "\u21e7"  # before a small word that had a capital


@dataclass(frozen=True)
class Text:
    """A corpus. Contexts and batches are of as many characters in each."""

    files: str
    bytes_per_character: float
    words: tuple[str, ...] = ()  # the little ones that a large vocabulary is said to starve


TEXTS = {
    "English": Text("lovecraft/*.txt", 1.0, ("a", "the", "of", "and")),
    "Russian": Text("stories.parquet", 1.8, ("в", "не", "и", "на")),
    "demo": Text("demo.jsonl", 1.45),
}
BODIES = {"1M": [], "5M": ["model.n_layers=6", "model.d_model=256"]}
CHARACTERS = 1.5  # millions that a cell of equal text reads: half of each text, once
OPERATIONS = {
    "1M": 0.004,
    "5M": 0.01,
}  # 10^15 of a cell of equal operations: what 2,048 tokens need for that text, for the larger model two thirds of it


@dataclass(frozen=True, order=True)
class Cell:
    """One training."""

    text: str
    body: str
    equal: str  # text or flops
    kind: str
    size: int  # of the vocabulary; 0: the kind has its own
    seed: int
    rules: str = "identity"
    rate: float = 1.0  # times the recipe's learning rate


@dataclass(frozen=True)
class Wave:
    """Cells that answer a question together: every text with every point, seed by seed."""

    about: str
    points: list[tuple[str, int]]
    seeds: list[int]
    texts: tuple[str, ...] = ("English", "Russian")
    body: str = "1M"
    equal: str = "text"
    rules: str = "identity"
    rates: tuple[float, ...] = field(default=(1.0,))

    @property
    def cells(self) -> list[Cell]:
        return [
            Cell(text, self.body, self.equal, kind, size, seed, self.rules, rate)
            for seed, rate, (kind, size), text in itertools.product(self.seeds, self.rates, self.points, self.texts)
        ]


SIZES = [512, 2048, 8192, 32_000]
PREFIX, EXPLICIT = [[(kind, size) for size in SIZES] for kind in ("bpe", "bpe-spaces")]
TWO, CHARACTER = [PREFIX[1], EXPLICIT[1]], [("char", 0)]
WAVES = [
    Wave("space of its own or before the word, 2,048 tokens", TWO, [1, 2]),
    Wave("characters, and other vocabularies", [*CHARACTER, PREFIX[3], PREFIX[0], PREFIX[2]], [1]),
    Wave("the same on equal operations", [PREFIX[1], EXPLICIT[1], *CHARACTER, PREFIX[3], PREFIX[2], PREFIX[0]], [1], equal="flops"),
    Wave("a third seed of the first question", TWO, [3]),
    Wave("capitals folded", TWO[:1], [1, 2, 3], ("Russian", "demo"), rules=FOLD),
    Wave("what that is held against", TWO[:1], [1, 2, 3], ("demo",)),
    Wave("a second seed of characters and 32,000 tokens", [*CHARACTER, PREFIX[3]], [2]),
    Wave("a larger model", TWO, [1], body="5M"),
    Wave("a third seed of characters and 32,000 tokens", [*CHARACTER, PREFIX[3]], [3]),
    Wave("spaces of their own in other vocabularies", [EXPLICIT[2], EXPLICIT[0]], [1]),
    Wave("equal operations, a second and a third seed", [PREFIX[1], EXPLICIT[1], *CHARACTER, PREFIX[3], PREFIX[2], PREFIX[0]], [2, 3], equal="flops"),
    Wave("a larger model on equal operations", [*TWO, PREFIX[3]], [1], body="5M", equal="flops"),
    Wave("a larger model with 32,000 tokens", [PREFIX[3]], [1], body="5M"),
    Wave("other vocabularies, a second and a third seed", [PREFIX[0], PREFIX[2]], [2, 3]),
    Wave("a larger model, a second and a third seed", [*TWO, PREFIX[3]], [2, 3], body="5M"),
    Wave("the same on equal operations", [*TWO, PREFIX[3]], [2, 3], body="5M", equal="flops"),
    Wave("learning rates halved and doubled", TWO, [1], rates=(0.5, 2.0)),
    Wave("bytes", [("bytes", 0)], [1]),
]  # fmt: skip


# whose little words the claim about 32,000 tokens compares
STARVING = [
    Cell(text, "1M", "text", "bpe", size, seed)
    for text in ("English", "Russian")
    for size in (2048, 32_000)
    for seed in (1, 2, 3)
]


def order() -> list[Cell]:
    """Every cell once, the most telling first."""
    return list(dict.fromkeys(cell for wave in WAVES for cell in wave.cells))


def prepare(data: Path, out: Path) -> None:
    """The texts that are made of others, and the rules that fold capitals."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "stories.parquet").exists():
        rows = pq.read_table(data / "tinystories_ru.parquet", columns=["story"]).slice(0, STORIES)
        with atomic_path(out / "stories.parquet") as path:
            pq.write_table(rows, path)
    if not (out / "demo.jsonl").exists():
        dialogues = ("\n".join(t["content"] for t in d["conversation"]) for d in synth.dialogues(DIALOGUES, 1))
        lines = (json.dumps({"story": text}, ensure_ascii=False) for text in dialogues)
        atomic_write(out / "demo.jsonl", "\n".join(lines))
    if not (out / FOLD).exists():
        atomic_write(out / FOLD, fold_rules())


def fold_rules() -> str:
    """Normalisation that writes a capital as MARK and the small letter; the mark stands before the space, so that what follows
    it is the same token as the small word. What such a tokenizer gives back is folded: good for measuring, not for a chat."""
    rules = []
    for capital in map(chr, range(0x41, 0x530)):
        small = capital.lower()
        if capital.isalpha() and capital != small and len(small) == 1:
            rules.append(f"{ord(capital):X}\t{ord(MARK):X} {ord(small):X}")
            rules.append(f"20 {ord(capital):X}\t{ord(MARK):X} 20 {ord(small):X}")
    return "\n".join(rules) + "\n"


# Options of [pretrain] that came after the first cells were trained, with the value at which they change nothing.
NEWER = {"induction_head": False}


def recipe(cell: Cell, data: Path, out: Path) -> tuple[Config, study.Point]:
    """The recipe of a cell and its place in the grid, for `minitron.lab.study`."""
    text = TEXTS[cell.text]
    files = data / text.files if "/" in text.files else out / text.files
    budget = CHARACTERS * text.bytes_per_character if cell.equal == "text" else OPERATIONS[cell.body]
    settings = [
        f"pretrain.files={json.dumps([str(files)])}",
        f"study.equal={cell.equal}",
        f"study.budget={budget}",
        f"study.context_bytes={round(512 * text.bytes_per_character)}",
        f"study.batch_bytes={round(6144 * text.bytes_per_character)}",
        *BODIES[cell.body],
    ]
    config = load_recipe(RECIPE, settings, name=f"{cell.text}-{cell.body}-{cell.equal}")
    rules = str(out / cell.rules) if cell.rules.endswith(".tsv") else cell.rules
    return config, study.Point(cell.kind, cell.size or 2048, rules, config.optim.lr * cell.rate)


def key_of(cell: Cell) -> str:
    """What a cell's figures depend on, but for where files lie."""
    config, _ = recipe(cell, Path("data"), Path("out"))
    decides = {name: config.section(name) for name in ("tokenizer", "model", "optim", "pretrain", "study")}
    for name, off in NEWER.items():
        if decides["pretrain"][name] == off:
            del decides["pretrain"][name]
    return sha256_json([dataclasses.asdict(cell), decides, fold_rules()])


def finished() -> dict[str, dict]:
    """The figures of all finished cells by their keys."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    return {row["key"]: row for row in rows}


def whole(cell: Cell, row: dict | None) -> bool:
    """Whether a cell is finished and has all that the claims ask of it: what the little words cost, where that is asked."""
    return row is not None and (cell not in STARVING or "words" in row)


def train(cell: Cell, data: Path, out: Path) -> dict:
    """Trains a cell and gives its figures; runs lie under the current folder, which is `out`."""
    config, point = recipe(cell, data, out)
    result = study.cell(config, point, cell.seed)
    named = study.with_budget(study.with_point(config, point, cell.seed))
    about = {"cell": dataclasses.asdict(cell), "key": key_of(cell)}
    return about | figures(result) | vocabulary(named, cell)


def clear(cell: Cell, data: Path, out: Path) -> None:
    """Removes what a cell's training left: of all cells it would be gigabytes. Its tokenizer stays."""
    config, point = recipe(cell, data, out)
    shutil.rmtree(study.with_point(config, point, cell.seed).layout.stage("pretrain"))


def figures(result: study.Result) -> dict:
    """What the page needs of a result, rounded to what is worth keeping."""
    kept = ("vocab_size", "context", "steps", "body", "head", "text_bytes", "operations")
    row = {name: getattr(result, name) for name in kept}
    for name, digits in (("bytes_per_token", 4), ("loss", 5), ("bits_per_byte", 5), ("seconds", 1)):
        row[name] = round(getattr(result, name), digits)
    return row | {"curve": [[round(x), round(y, 5)] for x, y in result.curve]}


def vocabulary(config: Config, cell: Cell) -> dict:
    """How much of the vocabulary the training text uses (at least ten times), and what the little words cost in held-out text:
    bits, and how often they stand there."""
    layout, words = config.layout, TEXTS[cell.text].words
    tokenizer = kinds.load(layout.tokenizer)
    counts = cloud.count(PackedRows(layout.packed("pretrain", "train")), tokenizer.vocab_size)
    found = {"seldom": round(float((counts < 10).mean()), 4)}
    if not words or cell.rules != "identity":
        return found
    path = checkpoint.finished(layout.stage("pretrain"), "pretrain")
    model, _ = checkpoint.load_model(path, device=pick_device(config.device))
    rows = PackedRows(layout.packed("pretrain", "valid"))
    costs = losses_by_word(model, rows, tokenizer, words)
    bits = {w: [round(float(np.mean(n)) / math.log(2), 4), len(n)] for w, n in costs.items() if n}
    return found | {"words": bits}


def losses_by_word(
    model: LanguageModel, rows: PackedRows, tokenizer: Tokenizer, words: Iterable[str]
) -> dict[str, list[float]]:
    """Word -> the loss in nats of each of its occurrences in rows of raw text, with the space before it.

    The loss of an occurrence is the sum over all tokens that hold any part of it, however it is cut into tokens. An occurrence is spelt
    as here, upper and lower case included, follows a space, and is not followed by an ASCII word character or a non-ASCII character.
    """
    found: dict[str, list[float]] = {word: [] for word in words}
    names = b"|".join(re.escape(word.encode()) for word in found)
    pattern = re.compile(rb"(?<= )(?:%s)(?![\w\x80-\xff])" % names)
    pieces = [tokenizer.piece_bytes(i) for i in range(tokenizer.vocab_size)]
    sequences = (ids[1:] for row in range(len(rows)) for ids, _ in rows.sequences(row))
    for _, lost in trained.losses(model, rows, most=len(rows)):
        at = 0
        while at < len(lost):
            ids = next(sequences)
            nats, at = lost[at : at + len(ids)], at + len(ids)
            ends = np.cumsum(tokenizer.byte_counts[ids])
            begins = ends - tokenizer.byte_counts[ids]
            for match in pattern.finditer(b"".join(pieces[i] for i in ids)):
                first = np.searchsorted(ends, match.start() - 1, side="right")  # the token with the space
                last = np.searchsorted(begins, match.end(), side="left")
                found[match[0].decode()].append(float(nats[first:last].sum()))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument(
        "--data", type=Path, default=DATA, help="the folder with lovecraft/ and tinystories_ru.parquet"
    )
    arguments.add_argument("--out", type=Path, default=Path("runs/tokenizer-study"), help="where the cells are kept")
    arguments.add_argument("--cells", type=int, default=0, metavar="N", help="no more than the next N cells")
    arguments.add_argument("--page", action="store_true", help="train nothing; write the page of what is finished")
    a = arguments.parse_args()
    data, out = a.data.resolve(), a.out.resolve()
    cells = {key_of(cell): cell for cell in order()}
    if a.page:
        draw([row for key, row in finished().items() if key in cells])
        return
    prepare(data, out)
    os.chdir(out)
    for number, (key, cell) in enumerate(islice(free(cells, out), a.cells or None), 1):
        left = sum(not whole(other, finished().get(k)) for k, other in cells.items())
        about = " ".join(str(value) for value in dataclasses.astuple(cell))
        say(f"study: cell {number}, of {left} that are left: {about}", style="bold cyan")
        row = train(cell, data, out)
        with locked(out / "results.lock"):
            keep(finished() | {key: row}, cells)
        clear(cell, data, out)
        bits, loss = row["bits_per_byte"], row["loss"]
        say(f"study: {bits:.4f} bits per byte, {loss:.4f} nats per token, {row['seconds']:.0f} s")


def free(cells: dict[str, Cell], out: Path) -> Iterator[tuple[str, Cell]]:
    """Cells that are not finished and that no other process trains, each kept from others while it is trained here."""
    for key, cell in cells.items():
        with suppress(BlockingIOError), locked(out / f"{key[:16]}.lock", wait=False):
            if not whole(cell, finished().get(key)):
                yield key, cell


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock that ends with this process. Raises BlockingIOError where another one has it and `wait` is off."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def keep(found: dict[str, dict], cells: dict[str, Cell]) -> None:
    """Writes the figures and the page, cells in their order."""
    rows = [found[key] for key in cells if key in found]
    atomic_write(RESULTS, "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
    draw(rows)


def draw(rows: list[dict]) -> None:
    """The page."""
    sys.path.insert(0, str(HERE))
    import tokenizer_study_page as page

    page.write(rows)


if __name__ == "__main__":
    main()
