"""Saves a model's embeddings while it trains, for `minitron embeddings`: a file every so many steps; training stays the same.
An untied head is saved, too.

    fit(model, rows, valid, run=run)        # as in `train.loop`; with train.snapshot_steps it also fills <stage>/snapshots/

A snapshot is an array (V, D) in fp32: step-000100.npy holds the embeddings, head-000100.npy an untied head. Knows nothing about
what is looked for in them.
"""

import shutil
from pathlib import Path

import numpy as np
from torch import Tensor

from minitron.core import distributed
from minitron.core.files import atomic_path
from minitron.core.interrupt import Interrupt
from minitron.data.packing import PackedRows
from minitron.model.language_model import LanguageModel
from minitron.train import loop

FOLDER = "snapshots"


def fit(model: LanguageModel, rows: PackedRows, valid: PackedRows, *, run: loop.Fit) -> dict:
    """`train.loop.fit`, with snapshots where the recipe wants them."""
    if not run.train.snapshot_steps:
        return loop.fit(model, rows, valid, run=run)
    return Watched(model, rows, valid, run).train()


class Watched(loop.Training):
    """Training that saves the embeddings at its beginning and every `train.snapshot_steps` steps."""

    def train(self) -> dict:
        if not self.state.step:
            if not distributed.rank():
                shutil.rmtree(self.run.stage_dir / FOLDER, ignore_errors=True)  # left by another run
            self.snapshot()
        return super().train()

    def step(self, interrupt: Interrupt) -> tuple[dict, bool]:
        found = super().step(interrupt)
        if self.state.step % self.run.train.snapshot_steps == 0:
            self.snapshot()
        return found

    def snapshot(self) -> None:
        """Writes the embeddings as they are now; in a sharded model all processes must call it."""
        self._keep("step", self.model.embedding)
        if self.model.config.untied_head:
            self._keep("head", self.model.output)

    def _keep(self, name: str, matrix: Tensor) -> None:
        weights = distributed.full(matrix.detach()).float().cpu().numpy()
        if not distributed.rank():
            with (
                atomic_path(self.run.stage_dir / FOLDER / f"{name}-{self.state.step:06d}.npy") as temporary,
                temporary.open("wb") as file,
            ):
                np.save(file, weights)


def load(stage_dir: Path, *, head: bool = False) -> list[tuple[int, np.ndarray]]:
    """(step, array) of each snapshot in the order of steps, memory-mapped; with `head` the snapshots of an untied head."""
    name = "head" if head else "step"
    found = sorted((stage_dir / FOLDER).glob(f"{name}-*.npy"))
    return [(int(path.stem.removeprefix(f"{name}-")), np.load(path, mmap_mode="r")) for path in found]
