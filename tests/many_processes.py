"""Programs that test_distributed starts under torchrun.

torchrun --nproc-per-node 2 many_processes.py fits FOLDER      # trains CASES on FOLDER's packed rows
torchrun --nproc-per-node 2 many_processes.py minitron ...     # the command line; notes its pid in pid-RANK and its writes in wrote-RANK
"""

import os
import sys
from pathlib import Path

import torch
from conftest import tiny_shape

from minitron.core import distributed
from minitron.core.errors import MinitronError
from minitron.data.packing import PackedRows
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import OptimConfig, TrainConfig
from minitron.train.loop import Fit, fit

VOCAB = 320
# name -> shape, optimizer, sharded, dropout
CASES = {
    "llama-adamw": ("llama", "adamw", False, 0.1),
    "llama-muon": ("llama", "muon", False, 0.0),
    "nanogpt-adamw": ("nanogpt", "adamw", False, 0.0),
    "nanogpt-muon": ("nanogpt", "muon", False, 0.0),
    "llama-sharded": ("llama", "adamw", True, 0.1),
    "nanogpt-sharded": ("nanogpt", "adamw", True, 0.0),
    "llama-muon-sharded": ("llama", "muon", True, 0.0),
}


def train(folder: Path, name: str, *, steps: int = 50, accumulation: int = 4) -> None:
    """Trains one of CASES in folder/name."""
    arch, optimizer, shard, dropout = CASES[name]
    torch.manual_seed(1 + distributed.rank())  # seeds differ, but all processes must get the first one's weights
    model = LanguageModel(tiny_shape(arch, dropout=dropout), VOCAB)
    optim = OptimConfig(name=optimizer, lr=3e-3, warmup_steps=5, precision="fp32")
    how = {"steps": steps, "batch_rows": 2, "accumulation": accumulation, "eval_every_steps": 25, "keep_checkpoints": 9}
    run = Fit("sft", folder / name, TrainConfig(**how, optim=optim), seed=4, shard=shard)
    fit(model, PackedRows(folder / "train"), PackedRows(folder / "valid"), run=run)


def refusal() -> str:
    """The error, raised before any training, for work that the processes cannot share evenly; "" if there is none."""
    try:
        model = LanguageModel(tiny_shape(), VOCAB)
        distributed.prepare(model, model.blocks, stage="sft", accumulation=3, shard=True)
    except MinitronError as error:
        return str(error)
    return ""


def watch_writes(home: Path) -> None:
    """Notes this process's id in pid-RANK, and every change that it makes to a file under `home` in wrote-RANK."""
    rank = os.environ["RANK"]
    (home / f"pid-{rank}").write_text(str(os.getpid()))
    notes = os.open(home / f"wrote-{rank}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def note(event: str, arguments: tuple) -> None:
        writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree")
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and isinstance(arguments[0], str | Path):
            path = Path(arguments[0]).absolute()
            if path.is_relative_to(home):
                os.write(notes, f"{event} {path}\n".encode())

    sys.addaudithook(note)


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):  # one core each: threads of such small operations would only wait
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(os.environ.get("RANK", 0)) % len(cores)]})
    if sys.argv[1] == "fits":
        folder = Path(sys.argv[2])
        with distributed.joined():
            for name in CASES:
                train(folder, name)
            said = refusal()
            if distributed.rank() == 0:
                (folder / "refused").write_text(said)
    else:
        from minitron import cli

        watch_writes(Path.cwd())
        cli.main(sys.argv[2:])
