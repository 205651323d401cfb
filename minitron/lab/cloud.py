"""The cloud of embeddings through training: how live and dead tokens move, and when dead ones stop. Run: minitron embeddings runs/x

A token is dead if the training text never contains it: the model neither reads it nor learns to write it. If the head is tied to the
embedding, two forces act on a dead token's row: weight decay, and the softmax's push away from every hidden state
(tests/test_cloud.py derives both). If the head is untied, weight decay alone acts on its row of the embedding, and both forces act on
its row of the head. The movement that all rows share is subtracted: steps are measured in the frame that moves with the cloud's
centre, and once more in the frame that moves with the centre of the live or of the dead tokens, which shows when the dead tokens stop
moving relative to each other. Knows nothing about pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minitron.core.errors import MinitronError
from minitron.data.packing import PackedRows
from minitron.recipe.layout import TRAINING
from minitron.recipe.schema import Config
from minitron.train import snapshots

FROZEN = 0.01  # share of the largest speed: tokens that stay slower than this from some step on are frozen


@dataclass(frozen=True)
class Group:
    """Medians over the live or the dead tokens at each snapshot. `speed`, `inner` and `cosine` describe the moves from one snapshot to
    the next, so they have one value fewer."""

    name: str
    count: int
    radius: list[float]  # distance from the cloud's centre
    norm: list[float]
    speed: list[float]  # distance moved per training step, in the frame of the cloud's centre
    inner: list[float]  # the same in the frame of the group's own centre: 0 if the group moves as one body
    cosine: list[float]  # of a token's move with the group's mean move: near 1 if all move in one direction


@dataclass(frozen=True)
class Cloud:
    """All figures of S snapshots of V tokens. `places`, (S, V, 2), has the tokens in the plane of the last snapshot's first two
    principal components."""

    stage: str
    steps: list[int]
    counts: np.ndarray  # (V,) how often each token stands in the training text
    groups: list[Group]
    drift: list[float]  # how far the centre moved per step, from one snapshot to the next
    frozen_at: int | None  # the step from which the dead tokens' `inner` stays below FROZEN of its largest value
    # share of the last snapshot's values that are bf16 numbers: 1 with bf16 weights, about 2^-16 with fp32
    lattice: float
    places: np.ndarray
    norms: np.ndarray  # (V,) lengths of the last snapshot's rows

    @property
    def dead(self) -> np.ndarray:
        """Whether each token is dead, (V,) bool."""
        return self.counts == 0


def look(config: Config, *, stage: str | None = None, head: bool = False) -> Cloud:
    """The cloud of a run's stage, by default of the last stage that has snapshots. With `head` its points are the rows of an untied head
    in place of the embedding's. Raises MinitronError where there are fewer than two snapshots."""
    for name in [stage] if stage else reversed(TRAINING):
        found = snapshots.load(config.layout.stage(name), head=head)
        if len(found) > 1:
            rows = PackedRows(config.layout.packed(name, "train"))
            return measure(name, found, count(rows, len(found[0][1])))
    raise MinitronError(
        f"there are no snapshots of a head in {config.layout.run}"
        if head
        else f"there are no snapshots in {config.layout.run}",
        hint="train with pretrain.snapshot_steps=100 (or sft.snapshot_steps)"
        + (" and model.untied_head=true" if head else ""),
    )


def count(rows: PackedRows, vocab_size: int) -> np.ndarray:
    """How often each token occurs in packed rows, (V,)."""
    counts = np.zeros(vocab_size, np.int64)
    for row in range(len(rows)):
        for ids, _ in rows.sequences(row):
            counts += np.bincount(ids, minlength=vocab_size)
    return counts


def measure(stage: str, found: Sequence[tuple[int, np.ndarray]], counts: np.ndarray) -> Cloud:
    """Computes all figures from the snapshots, (step, array (V, D)) each, in order, with two of them in memory at a time. `counts`, (V,),
    says how often each token occurs in the training text."""
    steps = [step for step, _ in found]
    members = {"live": counts > 0, "dead": counts == 0}
    kept = {name: mask for name, mask in members.items() if mask.any()}
    radius, norm, speed, inner, cosine = ({name: [] for name in kept} for _ in range(5))
    axes = principal_axes(np.asarray(found[-1][1], np.float64))
    places, drift, before, centre_before = [], [], None, None
    for at, (step, array) in enumerate(found):
        weights = np.asarray(array, np.float64)
        centre = weights.mean(0)
        inside = weights - centre
        places.append(inside @ axes)
        moved = None
        if before is not None:
            since = step - steps[at - 1]
            moved = (inside - before) / since
            drift.append(float(np.linalg.norm(centre - centre_before)) / since)
        for name, mask in kept.items():
            radius[name].append(float(np.median(np.linalg.norm(inside[mask], axis=1))))
            norm[name].append(float(np.median(np.linalg.norm(weights[mask], axis=1))))
            if moved is not None:
                speed[name].append(float(np.median(np.linalg.norm(moved[mask], axis=1))))
                inner[name].append(float(np.median(np.linalg.norm(moved[mask] - moved[mask].mean(0), axis=1))))
                cosine[name].append(_together(moved[mask]))
        before, centre_before = inside, centre
    groups = [
        Group(name, int(mask.sum()), radius[name], norm[name], speed[name], inner[name], cosine[name])
        for name, mask in kept.items()
    ]
    last = np.asarray(found[-1][1], np.float32)
    return Cloud(
        stage=stage,
        steps=steps,
        counts=counts,
        groups=groups,
        drift=drift,
        frozen_at=frozen_at(steps, inner["dead"]) if "dead" in kept else None,
        lattice=on_bf16_grid(last),
        places=np.stack(places),
        norms=np.linalg.norm(last, axis=1),
    )


def principal_axes(weights: np.ndarray) -> np.ndarray:
    """The two directions of the largest variance, (D, 2). Their signs make the entry of largest magnitude positive, so that pictures do
    not flip."""
    inside = weights - weights.mean(0)
    _, axes = np.linalg.eigh(inside.T @ inside)
    axes = axes[:, [-1, -2]]
    return axes * np.sign(axes[np.abs(axes).argmax(0), [0, 1]])


def _together(moved: np.ndarray) -> float:
    """The median cosine of the rows with their mean."""
    mean = moved.mean(0)
    lengths = np.linalg.norm(moved, axis=1) * np.linalg.norm(mean)
    return float(np.median(np.divide(moved @ mean, lengths, out=np.zeros(len(moved)), where=lengths > 0)))


def frozen_at(steps: Sequence[int], speeds: Sequence[float]) -> int | None:
    """The step from which all speeds are at most FROZEN of the largest one, or None if there is no such step. `speeds[i]` belongs to the
    move from `steps[i]` to `steps[i + 1]`. What never moves is frozen from the first step."""
    limit = FROZEN * max(speeds, default=0.0)
    moving = [at for at, speed in enumerate(speeds) if speed > limit]
    first = moving[-1] + 1 if moving else 0
    return steps[first] if first < len(speeds) else None


def on_bf16_grid(weights: np.ndarray) -> float:
    """The share of fp32 values that are bf16 numbers, which means that their lower 16 bits are zero."""
    return float((np.ascontiguousarray(weights).view(np.uint32) & 0xFFFF == 0).mean())
