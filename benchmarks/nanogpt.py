"""Training side by side with nanoGPT's recipe: time to the same held-out loss, and tokens per second at an equal shape.

    .venv/bin/python benchmarks/nanogpt.py quality    # three seeds of each, alternating; about 50 minutes on two cores, goes on where it stopped
    .venv/bin/python benchmarks/nanogpt.py speed      # alternating steps; two minutes
    .venv/bin/python benchmarks/nanogpt.py compile    # what torch.compile would gain on this CPU
    .venv/bin/python benchmarks/nanogpt.py table      # the tables of docs/performance.md again

The baseline is nanoGPT's training loop written anew from torch alone, with its published settings (config/train_shakespeare_char.py
and the README's line for a CPU): AdamW, cosine, random windows of one long text, fp32 as nanoGPT has it on a CPU. Both sides
get the same text, split and tokenizer, and numbers of parameters within 2 %; they run in turn, each with the whole machine. Seconds
are the time in training steps, without start and validation. Results go to benchmarks/nanogpt.json.
"""

import copy
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tables
from tables import Table

from minitron.core import parallel
from minitron.data import documents
from minitron.data.packing import PackedRows, Sequence, collate, pack
from minitron.model.language_model import LanguageModel
from minitron.recipe import schema
from minitron.recipe.load import load_recipe
from minitron.recipe.training import ModelConfig, OptimConfig
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import metrics
from minitron.train.compile import compile_blocks
from minitron.train.optimizer import make_optimizer
from minitron.train.passes import accumulate, summed_loss
from minitron.train.precision import autocast

RESULTS = Path(__file__).with_suffix(".json")
SEEDS = (1, 2, 3)
# nanoGPT's settings for a task, and our recipe for the same text and size. `short` are our settings for a shorter training that
# reaches nanoGPT's loss.
TASKS = {
    "shakespeare": {
        "recipe": "recipes/shakespeare-char.toml",
        "short": ["pretrain.steps=230", "optim.warmup_steps=12"],
        "layers": 4,
        "heads": 4,
        "width": 128,
        "context": 64,
        "rows": 12,
        "steps": 2000,
    },
    "stories": {
        "recipe": "benchmarks/stories.toml",
        "short": ["pretrain.steps=178", "optim.warmup_steps=20", "pretrain.batch_rows=4"],
        "layers": 4,
        "heads": 4,
        "width": 256,
        "context": 256,
        "rows": 16,
        "steps": 400,
    },
}


class Block(nn.Module):
    """Pre-norm attention and MLP without biases, as in nanoGPT by default."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Baseline(nn.Module):
    """GPT-2 as nanoGPT has it: learned positions, tied head, normal(0.02), residual projections scaled down by depth."""

    def __init__(self, vocab: int, *, layers: int, heads: int, width: int, context: int):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.blocks, self.norm = (
            nn.ModuleList(Block(width, heads) for _ in range(layers)),
            nn.LayerNorm(width, bias=False),
        )
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                scale = math.sqrt(2 * layers) if name.endswith(("out.weight", "down.weight")) else 1
                nn.init.normal_(weight, std=0.02 / scale)

    def forward(self, ids, targets, reduction="mean"):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction=reduction)

    def params(self) -> int:
        return sum(p.numel() for p in self.parameters()) - self.positions.weight.numel()


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW as nanoGPT sets it up: weight decay on matrices only; not fused on a CPU."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))


def rate(step: int, steps: int) -> float:
    """The learning rate of a step: linear warm-up to 1e-3 in 100 steps, then a cosine down to 1e-4."""
    if step < 100:
        return 1e-3 * (step + 1) / 101
    return 1e-4 + 0.5 * (1 + math.cos(math.pi * (step - 100) / (steps - 100))) * (1e-3 - 1e-4)


def train_baseline(task: str, ids: dict[str, np.ndarray], rows: PackedRows, vocab: int, seed: int) -> dict:
    """Trains to the end. Returns seconds in steps, parameters, and held-out nats per token, the lower of two ways to measure them."""
    t = TASKS[task]
    torch.manual_seed(seed)
    torch.set_num_threads(parallel.cores())
    model = Baseline(vocab, layers=t["layers"], heads=t["heads"], width=t["width"], context=t["context"])
    optimizer, train, context = adamw(model), torch.from_numpy(ids["train"].astype(np.int64)), t["context"]
    seconds = 0.0
    for step in range(t["steps"]):
        begun = time.perf_counter()
        starts = torch.randint(len(train) - context - 1, (t["rows"],)).tolist()
        windows = torch.stack([train[s : s + context + 1] for s in starts])
        for group in optimizer.param_groups:
            group["lr"] = rate(step, t["steps"])
        model(windows[:, :-1], windows[:, 1:]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds += time.perf_counter() - begun
        if step % 250 == 249:
            print(f"  nanoGPT step {step + 1} of {t['steps']}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return {"seconds": seconds, "nats": held_out(model, ids["valid"], rows, context), "params": model.params()}


@torch.inference_mode()
def held_out(model: Baseline, stream: np.ndarray, rows: PackedRows, context: int) -> float:
    """Mean nats per token, the lower of two figures: over windows of the stream, as nanoGPT measures, and over documents from their
    beginnings, as minitron measures."""

    def mean(batches) -> float:
        sums = [(model(ids, targets, "sum").item(), (targets >= 0).sum().item()) for ids, targets in batches]
        return sum(loss for loss, _ in sums) / sum(count for _, count in sums)

    stream = torch.from_numpy(stream.astype(np.int64))
    cut = [stream[at : at + context + 1] for at in range(0, len(stream) - 1, context)]
    pieces = [torch.from_numpy(ids) for row in range(len(rows)) for ids, _ in rows.sequences(row)]

    def batches(parts):
        for at in range(0, len(parts), 32):
            ids = nn.utils.rnn.pad_sequence([p[:-1] for p in parts[at : at + 32]], batch_first=True)
            targets = nn.utils.rnn.pad_sequence([p[1:] for p in parts[at : at + 32]], True, -1)
            yield ids, targets

    return min(mean(batches(cut)), mean(batches(pieces)))


def quality() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for task in TASKS:
            recipe = Path(TASKS[task]["recipe"])
            for seed in SEEDS[len(load().get("quality", {}).get(task, [])) :]:
                ours = train_ours(recipe, Path(folder), [f"seed={seed}"])
                short = train_ours(recipe, Path(folder), [f"seed={seed}", *TASKS[task]["short"]])
                config = load_recipe(recipe)
                run = Path(folder) / "lab/runs" / recipe.stem
                tokenizer = kinds.load(run / "tokenizer" / "tokenizer.model")
                rows = PackedRows(run / "pretrain" / "packed-valid")
                ids = {split: stream(config, tokenizer, split) for split in ("train", "valid")}
                base = train_baseline(task, ids, rows, tokenizer.vocab_size, seed)
                bits = 1 / math.log(2) / (rows.target_bytes / rows.targets)
                base["bits_per_byte"] = base["nats"] * bits
                results = load()
                found = {"nanogpt": base, "minitron": ours, "short": short}
                results.setdefault("quality", {}).setdefault(task, []).append(found)
                save(results)
                print(task, seed, json.dumps(found), flush=True)


def stream(config: schema.Config, tokenizer: Tokenizer, split: str) -> np.ndarray:
    """The ids of the split's documents one after the other, each with its end marker, as uint16."""
    whole = [i for s in documents.sequences(documents.texts(config.pretrain, split), tokenizer, 1 << 30) for i in s.ids]
    return np.array(whole, np.uint16)


def train_ours(recipe: Path, folder: Path, settings: list[str]) -> dict:
    """Trains by the command `minitron run --to pretrain`, in a temporary folder with the data where the recipe expects them."""
    here, lab = Path.cwd(), folder / "lab"
    lab.mkdir(exist_ok=True)
    if not (folder / "shared").exists():
        (folder / "shared").symlink_to((here / "../shared").resolve())
    command = [sys.executable, "-m", "minitron", "run", str(recipe.resolve()), "--to", "pretrain", "--force", *settings]
    subprocess.run(command, cwd=lab, env=os.environ | {"PYTHONPATH": str(here)}, check=True, stdout=sys.stderr)
    run = lab / "runs" / recipe.stem / "pretrain"
    last = [row for row in metrics.read(run / "metrics.jsonl") if "valid_loss" in row][-1]
    model = json.loads((run / "checkpoints" / (run / "latest").read_text().strip() / "model.json").read_text())
    shape = LanguageModel(ModelConfig(**model["model"]), model["vocab_size"])
    return {
        "seconds": last["seconds"],
        "nats": last["valid_loss"],
        "bits_per_byte": last["valid_bits_per_byte"],
        "params": shape.count_params(),
    }


# ---- tokens per second


def our_shape(t: dict) -> ModelConfig:
    """minitron's model configuration for the shape of the baseline."""
    heads, width = t["heads"], t["width"]
    shape = {"n_layers": t["layers"], "n_heads": heads, "n_kv_heads": heads, "d_model": width, "d_ff": 4 * width}
    return ModelConfig(arch="nanogpt", context=t["context"], **shape)


def speed(repeats: int = 7, steps: int = 3) -> None:
    """Measures a few steps of the baseline and a few of ours in turn, with the same shape, batch and precision, and AdamW for both."""
    t, vocab = TASKS["stories"], 4096
    torch.manual_seed(0)
    base = Baseline(vocab, layers=t["layers"], heads=t["heads"], width=t["width"], context=t["context"])
    ours = LanguageModel(our_shape(t), vocab)
    assert ours.count_params() == base.params()
    theirs, mine = adamw(base), make_optimizer(ours, OptimConfig())
    chance = np.random.default_rng(0)

    def text() -> tuple[list, list, int]:
        """Their batches, our rows and the count of tokens: sixteen full rows of text, every token a target."""
        rows = [
            [(chance.integers(vocab, size=t["context"] + 1), np.ones(t["context"] + 1, bool))] for _ in range(t["rows"])
        ]
        ids = torch.from_numpy(np.stack([row[0][0] for row in rows]))
        return [(ids[:, :-1], ids[:, 1:])], rows, t["rows"] * t["context"]

    def dialogues() -> tuple[list, list, int]:
        """The same of dialogues of 16 to 257 tokens, 58% of them targets: packed for ours, padded to the longest of 16 for theirs."""
        with tempfile.TemporaryDirectory() as folder:
            lengths = np.clip(chance.lognormal(4.5, 0.6, size=400).astype(int), 16, t["context"] + 1)
            made = [(chance.integers(vocab, size=n), chance.random(n) < 0.58) for n in lengths]
            many = [Sequence(ids.tolist(), mask.tolist(), 0) for ids, mask in made]
            pack(many, context=t["context"], vocab_size=vocab, out=Path(folder) / "p")
            packed = PackedRows(Path(folder) / "p")
            rows = [packed.sequences(row) for row in range(t["rows"])]
        whole = [pair for row in rows for pair in row]
        order = chance.permutation(len(whole))
        batches = []
        for at in range(0, len(whole), 16):
            some = [whole[i] for i in order[at : at + 16]]
            ids = nn.utils.rnn.pad_sequence([torch.from_numpy(i[:-1]) for i, _ in some], batch_first=True)
            targets = [torch.from_numpy(np.where(m[1:], i[1:], -1)) for i, m in some]
            batches.append((ids, nn.utils.rnn.pad_sequence(targets, True, -1)))
        return batches, rows, sum(len(i) for i, _ in whole)

    def their_step(precision: str, batches: list) -> None:
        torch.set_num_threads(parallel.cores())
        for ids, targets in batches:
            with autocast(torch.device("cpu"), precision):
                loss = base(ids, targets) / len(batches)
            loss.backward()
        nn.utils.clip_grad_norm_(base.parameters(), 1.0)
        theirs.step()
        theirs.zero_grad(set_to_none=True)

    def our_step(precision: str, rows: list) -> None:
        cores = parallel.cores()
        batches = [collate(rows[i::cores], context=t["context"]) for i in range(cores)]
        targets = sum(b.count for b in batches)

        def part(batch):
            with autocast(ours.device, precision):
                return summed_loss(ours, batch) / targets, None

        accumulate(ours, [partial(part, batch) for batch in batches])
        nn.utils.clip_grad_norm_(ours.parameters(), 1.0)
        mine.step(1e-4)

    results = {}
    for kind, make in (("pretrain", text), ("sft", dialogues)):
        batches, rows, tokens = make()
        for precision in ("fp32", "bf16"):
            seconds = {"nanogpt": [], "minitron": []}
            for repeat in range(repeats + 1):
                for name, step, data in (("nanogpt", their_step, batches), ("minitron", our_step, rows)):
                    begun = time.perf_counter()
                    for _ in range(steps):
                        step(precision, data)
                    if repeat:  # the first repeat is the warm-up
                        seconds[name].append((time.perf_counter() - begun) / steps)
            ratios = [a / b for a, b in zip(seconds["nanogpt"], seconds["minitron"], strict=True)]
            results[f"{kind} {precision}"] = {
                name: round(tokens / statistics.median(values)) for name, values in seconds.items()
            } | {"ratio": statistics.median(ratios), "spread": [min(ratios), max(ratios)]}
            print(f"{kind} {precision}: {results[f'{kind} {precision}']}", flush=True)
    save(load() | {"speed": results})


def compiled(repeats: int = 7) -> None:
    """Measures in turn our step with a batch for each core, and a step with compiled blocks and one batch for all cores, since
    compiled code crashed when it ran in two threads at once (torch 2.13)."""
    t, vocab = TASKS["stories"], 4096
    torch.manual_seed(0)
    models = {"plain": LanguageModel(our_shape(t), vocab)}
    models["compiled"] = copy.deepcopy(models["plain"])
    compile_blocks(models["compiled"])
    ids = np.random.default_rng(0).integers(vocab, size=(t["rows"], t["context"] + 1))
    rows, cores = [[(row, np.ones(t["context"] + 1, bool))] for row in ids], parallel.cores()
    batches = {
        "plain": [collate(rows[i::cores], context=t["context"]) for i in range(cores)],
        "compiled": [collate(rows, context=t["context"])],
    }
    results = {}
    for precision in ("fp32", "bf16"):
        seconds = {name: [] for name in models}
        for repeat in range(repeats + 1):
            for name, model in models.items():

                def part(batch, model=model, precision=precision):
                    with autocast(model.device, precision):
                        return summed_loss(model, batch), None

                begun = time.perf_counter()
                accumulate(model, [partial(part, batch) for batch in batches[name]])
                model.zero_grad(set_to_none=True)
                if repeat:
                    seconds[name].append(time.perf_counter() - begun)
                else:
                    started = time.perf_counter() - begun  # includes the compilation
        ratios = [a / b for a, b in zip(seconds["plain"], seconds["compiled"], strict=True)]
        results[precision] = {
            "start": started,
            "ratio": statistics.median(ratios),
            "spread": [min(ratios), max(ratios)],
        }
    save(load() | {"compile": results})


def made(results: dict) -> list[Table]:
    """The tables of the parts that were measured."""
    found = []
    if quality := results.get("quality"):
        head = ["", "seconds in steps", "held-out bits per byte", "nats per token", "parameters"]
        rows = []
        for task, runs in quality.items():
            for name, shown in SHOWN.items():
                columns = [spread([run[name][key] for run in runs], form) for key, form in COLUMNS]
                rows.append([f"{task}, {shown}", *columns, f"{runs[0][name]['params'] / 1e6:.2f}M"])
            for name in ("minitron", "short"):
                ratios = [run[name]["seconds"] / run["nanogpt"]["seconds"] for run in runs]
                differences = [run[name]["nats"] - run["nanogpt"]["nats"] for run in runs]
                told = [f"{task}, {SHOWN[name]}: time / nanoGPT's", spread(ratios, ".2f"), ""]
                rows.append([*told, f"less {spread([-d for d in differences], '.3f')}", ""])
        found.append(
            Table("nanogpt-quality", "to the end of training, median of the seeds (least ... most)", head, rows)
        )
    if speed := results.get("speed"):
        rows = [
            [
                name,
                f"{r['nanogpt']:,}",
                f"{r['minitron']:,}",
                f"{r['ratio']:.2f} ({r['spread'][0]:.2f} ... {r['spread'][1]:.2f})",
            ]
            for name, r in speed.items()
        ]
        head = ["AdamW, the same shape", "nanoGPT's loop, tokens/s", "minitron, tokens/s", "ratio of pairs"]
        found.append(Table("nanogpt-speed", "tokens per second of training", head, rows))
    if compiling := results.get("compile"):
        rows = [
            [name, f"{r['start']:.0f} s", f"{r['ratio']:.2f} ({r['spread'][0]:.2f} ... {r['spread'][1]:.2f})"]
            for name, r in compiling.items()
        ]
        found.append(Table("nanogpt-compile", "torch.compile", ["", "first step", "times as fast afterwards"], rows))
    return found


SHOWN = {"nanogpt": "nanoGPT's recipe", "minitron": "minitron", "short": "minitron, shorter"}
COLUMNS = (("seconds", ".1f"), ("bits_per_byte", ".4f"), ("nats", ".4f"))


def spread(values: list[float], form: str) -> str:
    if len(values) == 1:
        return f"{values[0]:{form}}, one seed"
    return f"{statistics.median(values):{form}} ({min(values):{form}} ... {max(values):{form}})"


def load() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def save(results: dict) -> None:
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["quality"]:
            quality()
        case ["speed"]:
            speed()
        case ["compile"]:
            compiled()
        case ["table"]:
            pass
        case _:
            sys.exit(__doc__)
    tables.show_all(made(load()))
    tables.put(made(load()), Path(__file__).resolve().parents[1] / "docs/performance.md")
