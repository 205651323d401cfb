"""What it costs and gains that documents packed into a row do not attend to each other.

    .venv/bin/python benchmarks/isolation.py [--data ../shared/data/tinystories_ru.parquet]     # about four minutes

Time: alternating steps of the same model and rows, with each sequence on its own and with rows read as one text. Loss: two seeds
of each, trained as long, measured on documents on their own, as a chat begins. Writes benchmarks/isolation.json.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tables

from minitron import corpus, parallel
from minitron.config import ModelConfig, OptimConfig, PretrainConfig, TokenizerConfig
from minitron.model import LanguageModel
from minitron.optim import autocast, learning_rate, make_optimizer
from minitron.packing import PackedRows, collate, pack
from minitron.tokenizer import Tokenizer, train
from minitron.trainer import accumulate, mean_loss, rows_of_step, summed_loss

CONTEXTS, SEEDS, STEPS, ROWS_TOKENS = (256, 512, 1024), (1, 2), 160, 4096
OPTIM = OptimConfig(name="muon", lr=5e-3, min_lr=2e-4, warmup_steps=30)


class Joined(PackedRows):
    """Rows read as one text each: nanoGPT's way, but for its random windows."""

    def sequences(self, row: int):
        ids, masks = zip(*super().sequences(row), strict=True)
        return [(np.concatenate(ids), np.concatenate(masks))]


def step(model, optimizer, batches, lr: float) -> None:
    targets = sum(batch.count for batch in batches)

    def part(batch):
        with autocast(model.device, "bf16"):
            return summed_loss(model, batch) / targets, None

    accumulate(model, [partial(part, batch) for batch in batches])
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step(lr)


def batches_of(rows: PackedRows, numbers) -> list:
    cores = parallel.cores()
    return [collate([rows.sequences(int(n)) for n in numbers[i::cores]], context=rows.context) for i in range(cores)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", default="../shared/data/tinystories_ru.parquet")
    config = PretrainConfig(files=[options.parse_args().data], column="story", valid_fraction=0.02)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        model_file = Path(folder) / "tokenizer.model"
        some = islice(corpus.texts(config, "train"), 3000)
        model_file.write_bytes(train(some, config=TokenizerConfig(vocab_size=4096), seed=1))
        tokenizer = Tokenizer(model_file)
        for context in CONTEXTS:
            sets = {}
            for split in ("train", "valid"):
                out = Path(folder) / f"{split}-{context}"
                pack(
                    corpus.sequences(corpus.texts(config, split), tokenizer, context),
                    context=context,
                    vocab_size=tokenizer.vocab_size,
                    out=out,
                )
                sets[split] = out
            results[str(context)] = compare(context, sets, tokenizer.vocab_size)
            print(context, json.dumps(results[str(context)]), flush=True)
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    show(results)


def show(results: dict) -> None:
    head = ["context", "a step's time, apart / joined", "held-out loss, apart", "joined"]
    rows = [
        [
            context,
            f"{r['time of apart / joined']:.2f}",
            *(", ".join(f"{x:.3f}" for x in r["held-out loss"][way]) for way in ("apart", "joined")),
        ]
        for context, r in results.items()
    ]
    made = [tables.Table("isolation", "documents apart or joined", head, rows)]
    tables.show_all(made)
    tables.put(made, Path(__file__).resolve().parents[1] / "docs/performance.md")


def compare(context: int, sets: dict, vocab: int) -> dict:
    shape = ModelConfig(n_layers=4, n_heads=4, n_kv_heads=4, d_model=128, d_ff=384, context=context)
    ways = {"apart": PackedRows(sets["train"]), "joined": Joined(sets["train"])}
    valid, per_step = PackedRows(sets["valid"]), ROWS_TOKENS // context
    seconds, losses = {name: [] for name in ways}, {name: [] for name in ways}
    for seed in SEEDS:
        models, optimizers = {}, {}
        for name in ways:
            torch.manual_seed(seed)
            models[name] = LanguageModel(shape, vocab)
            optimizers[name] = make_optimizer(models[name], OPTIM)
        for number in range(STEPS):
            chosen = rows_of_step(number, rows=len(ways["apart"]), per_step=per_step, seed=seed)
            for name, rows in ways.items():
                begun = time.perf_counter()
                batches = batches_of(rows, chosen)
                step(models[name], optimizers[name], batches, learning_rate(number, steps=STEPS, config=OPTIM))
                seconds[name].append(time.perf_counter() - begun)
        for name in ways:
            losses[name].append(mean_loss(models[name], valid, limit=0, batch_rows=8))
    ratios = [a / b for a, b in zip(seconds["apart"], seconds["joined"], strict=True)]
    return {"time of apart / joined": round(statistics.median(ratios), 3), "held-out loss": losses}


if __name__ == "__main__":
    main()
