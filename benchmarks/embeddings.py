"""How the embeddings of tokens move that no training text contains: the tokenizer learnt other scripts too, the model reads only English.

    python benchmarks/embeddings.py [--data DIR] [--out DIR]     # about five minutes on two cores; finished runs are reused

A fifth of the tokenizer's text is in other scripts. The runs differ in how weights are kept: in fp32, as minitron keeps them whatever
the precision of its matrix products, and rounded to bf16 after every step, as in programs that train in bf16 alone. Embedding and head
are separate matrices (model.untied_head), so that the two forces on a dead row (of a token without text) can be told apart: on a row of
the embedding only weight decay acts, on a row of the head also the push of the softmax (tests/test_cloud.py derives both). Writes
benchmarks/embeddings.json, benchmarks/embeddings.svg and a table in docs/tokenizers.md.
"""

import argparse
import json
import math
import os
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tables import Table, put

from minitron.core.files import atomic_folder, atomic_write
from minitron.evaluate.markup import el
from minitron.lab import cloud
from minitron.lab.cloud import Cloud
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.stages import pipeline
from minitron.train import snapshots
from minitron.train.schedule import learning_rate

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data"
RUNS = ("fp32", "bf16")  # how weights are kept
PICTURE = "![embedding and head at the first and the last step, live tokens blue, dead ones brown](../benchmarks/embeddings.svg)"
DIALOGUES = 4000  # English dialogues, beside Lovecraft's stories


def prepare(data: Path, out: Path) -> None:
    """Writes English dialogues as text, and unpacks verses in other scripts."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "english.jsonl").exists():
        rows = (
            pq.read_table(data / "sgd_dialogues.parquet", columns=["messages"])["messages"]
            .slice(0, DIALOGUES)
            .to_pylist()
        )
        texts = ("\n".join(message["content"] for message in row) for row in rows)
        atomic_write(out / "english.jsonl", "\n".join(json.dumps({"text": text}) for text in texts))
    if not (out / "verses").exists():
        with atomic_folder(out / "verses") as folder, unpacked(data / "bible_multi.tar.zst") as archive:
            for member in archive:
                if member.name.endswith(".txt"):
                    (folder / Path(member.name).name).write_bytes(archive.extractfile(member).read())


@contextmanager
def unpacked(path: Path):
    """Opens a tar file compressed with zstd by way of pyarrow: Python's tarfile reads zstd only from 3.14 on."""
    import pyarrow

    with (
        pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        yield archive


def recipe(kept: str, data: Path, out: Path) -> Config:
    english = [str(data / "lovecraft/*.txt"), str(out / "english.jsonl")]
    mixture = [{"files": english, "share": 0.8}, {"files": [str(out / "verses")], "share": 0.2}]
    tables = ", ".join(f"{{files = {json.dumps(part['files'])}, share = {part['share']}}}" for part in mixture)
    return load_recipe(
        HERE / "embeddings.toml", [f"pretrain.files={json.dumps(english)}", f"tokenizer.mixture=[{tables}]"], name=kept
    )


@contextmanager
def weights_in(kept: str):
    """A context in which, with "bf16", weights are rounded to bf16 after every optimizer step; with "fp32" nothing changes."""

    def round_all(optimizer: torch.optim.Optimizer, *_) -> None:
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.data.copy_(weight.data.bfloat16())

    hook = register_optimizer_step_post_hook(round_all) if kept == "bf16" else None
    try:
        yield
    finally:
        if hook:
            hook.remove()


def run(kept: str, data: Path, out: Path) -> dict[str, Cloud]:
    """The clouds of embedding and head of a run. Trains the run if it is not finished."""
    config = recipe(kept, data, out)
    with weights_in(kept):
        for stage in pipeline.select(config, None, "pretrain"):
            pipeline.run_stage(stage, config)
    return {"embedding": cloud.look(config), "head": cloud.look(config, head=True)}


def decayed(kept: str, data: Path, out: Path) -> dict[str, float]:
    """How far dead rows end up from where weight decay alone would take them, relative to the length there: medians of embedding and
    head; and `factor`, by which weight decay alone shrinks a row."""
    config, found = recipe(kept, data, out), {}
    optim, steps = config.pretrain.optim, config.pretrain.steps
    factor = math.prod(1 - learning_rate(k, steps=steps, config=optim) * optim.weight_decay for k in range(steps))
    dead = cloud.look(config).dead
    for name in ("embedding", "head"):
        taken = snapshots.load(config.layout.stage("pretrain"), head=name == "head")
        first, last = (np.asarray(taken[at][1][dead], np.float64) for at in (0, -1))
        away = np.linalg.norm(last - factor * first, axis=1) / np.linalg.norm(factor * first, axis=1)
        found[name] = float(np.median(away))
    return found | {"factor": factor}


def row(kept: str, name: str, found: Cloud, away: float) -> dict:
    """The figures of a cloud for benchmarks/embeddings.json."""
    live, dead = found.groups
    return {
        "weights": kept,
        "matrix": name,
        "live": live.count,
        "dead": dead.count,
        "dead norm": [round(dead.norm[0], 4), round(dead.norm[-1], 4)],
        "live norm": [round(live.norm[0], 4), round(live.norm[-1], 4)],
        "dead speed": [round(x, 7) for x in dead.inner],
        "away from decay alone": round(away, 6),
        "together": round(dead.cosine[-2], 3),
        "frozen at": found.frozen_at,
        "on the bf16 grid": round(found.lattice, 5),
    }


def table(rows: list[dict]) -> Table:
    head = [
        "matrix, weights kept in",
        "dead of all tokens",
        "length of a dead row",
        "of a live one",
        "away from decay alone",
        "frozen from step",
        "on the bf16 grid",
    ]
    lines = [
        [
            f"{r['matrix']}, {r['weights']}",
            f"{r['dead']:,} of {r['dead'] + r['live']:,}",
            "{:.3f} to {:.3f}".format(*r["dead norm"]),
            "{:.3f} to {:.3f}".format(*r["live norm"]),
            f"{r['away from decay alone']:.2%}",
            "never" if r["frozen at"] is None else f"{r['frozen at']:,}",
            f"{r['on the bf16 grid']:.0%}",
        ]
        for r in rows
    ]  # fmt: skip
    return Table("embeddings", "how dead tokens move", head, lines)


SIDE, SHOWN = 240, 500  # side of a panel in SVG units, and tokens drawn in it


def drawn(clouds: list[tuple[str, Cloud]]) -> str:
    """Draws every cloud at its first and its last snapshot, in the plane of the first two principal components of the last one."""
    parts = [el("rect", width=len(clouds) * SIDE, height=2 * SIDE + 24, fill="#fff")]
    for number, (title, found) in enumerate(clouds):
        chosen = np.random.default_rng(1).permutation(len(found.counts))[:SHOWN]
        for row_number, at in enumerate((0, -1)):
            places = found.places[at][chosen] - np.median(found.places[at][chosen], 0)
            scale = 0.46 * SIDE / (np.percentile(np.abs(places), 99) or 1)
            origin = ((number + 0.5) * SIDE, (row_number + 0.5) * SIDE + 24)
            for place, token in zip(places * scale, chosen, strict=True):
                if np.abs(place).max() < SIDE / 2:
                    x, y = (round(float(o + p), 1) for o, p in zip(origin, place * (1, -1), strict=True))
                    parts.append(el("circle", cx=x, cy=y, r=1.2, fill="#b4540a" if found.dead[token] else "#1d5fbf"))
        parts.append(el("text", title, x=number * SIDE + 8, y=16))
    size = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {len(clouds) * SIDE} {2 * SIDE + 24}"}
    return el("svg", *parts, **size, font_family="system-ui, sans-serif", font_size=12, fill="#1c2126") + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--data", type=Path, default=DATA, help="the folder with the texts")
    arguments.add_argument("--out", type=Path, default=Path("runs/embeddings"), help="where the runs are kept")
    a = arguments.parse_args()
    data, out = a.data.resolve(), a.out.resolve()
    prepare(data, out)
    os.chdir(out)
    rows, clouds = [], []
    for kept in RUNS:
        found, away = run(kept, data, out), decayed(kept, data, out)
        rows += [row(kept, name, one, away[name]) for name, one in found.items()]
        clouds += [(f"{name}, {kept}", one) for name, one in found.items()]
    atomic_write(HERE / "embeddings.json", json.dumps({"steps": clouds[0][1].steps, "rows": rows}, indent=1) + "\n")
    atomic_write(HERE / "embeddings.svg", drawn(clouds))
    page = HERE.parent / "docs" / "tokenizers.md"
    put([table(rows)], page)
    text = page.read_text(encoding="utf-8")
    if PICTURE not in text:
        begin, end = text.split("<!-- embeddings -->")
        atomic_write(page, begin + "<!-- embeddings -->" + end.replace("<!-- end -->", f"<!-- end -->\n\n{PICTURE}", 1))


if __name__ == "__main__":
    main()
