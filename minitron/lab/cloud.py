"""The cloud of embeddings through training: how live and dead tokens move, and when dead ones stop. Run: minitron embeddings runs/x

A token is dead if it never stands in the text that the model was trained on, neither to be read nor to be written. As the head is
the embedding, its row has two forces on it: weight decay, and the softmax's push away from every hidden state (tests/test_cloud.py
derives both). Of a model with an untied head its row of the embedding has weight decay alone, and its row of the head both. What all rows do together is taken off: steps are measured in the frame that moves with the cloud's centre, and once
more in that of the live or the dead by themselves, which tells when the dead stop moving among each other. Knows nothing about pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minitron.core.errors import MinitronError
from minitron.data.packing import PackedRows
from minitron.recipe.schema import Config
from minitron.train import snapshots

FROZEN = 0.01  # of its fastest: a token that is slower than that from some step on is frozen
STAGES = ("sft", "pretrain")


@dataclass(frozen=True)
class Group:
    """Medians over the live or the dead tokens, at each snapshot."""

    name: str
    count: int
    radius: list[float]  # distance from the cloud's centre
    norm: list[float]
    speed: list[float]  # distance per step since the snapshot before, in the frame of the cloud's centre; one fewer
    inner: list[float]  # the same in the frame of the group's own centre: 0 where it moves as one body; one fewer
    cosine: list[float]  # of that step's direction with the group's mean direction: near 1, they move as one; one fewer


@dataclass(frozen=True)
class Cloud:
    """All figures. `places` are the tokens in the plane of the last snapshot's first two principal components, (S, V, 2)."""

    stage: str
    steps: list[int]
    counts: np.ndarray  # (V,) how often each token stands in the training text
    groups: list[Group]
    drift: list[float]  # how far the centre moved per step
    frozen_at: int | None  # the step from which the dead, among themselves, are slower than FROZEN of their fastest
    lattice: (
        float  # share of the last embeddings' values that are bf16 numbers: 1 with bf16 weights, about 2^-16 with fp32
    )
    places: np.ndarray
    norms: np.ndarray  # (V,) of the last snapshot

    @property
    def dead(self) -> np.ndarray:
        """(V,) bool."""
        return self.counts == 0


def look(config: Config, *, stage: str | None = None, head: bool = False) -> Cloud:
    """The cloud of a run's stage, by default the last one with snapshots; with `head` that of an untied head. Raises MinitronError
    where there are none."""
    for name in [stage] if stage else STAGES:
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
    """How often each token stands in packed rows, (V,)."""
    counts = np.zeros(vocab_size, np.int64)
    for row in range(len(rows)):
        for ids, _ in rows.sequences(row):
            counts += np.bincount(ids, minlength=vocab_size)
    return counts


def measure(stage: str, found: Sequence[tuple[int, np.ndarray]], counts: np.ndarray) -> Cloud:
    """Reads the snapshots one after the other, two in memory at a time."""
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
    """(D, 2) the directions of the largest variance, each with its largest entry positive, so that pictures do not flip."""
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
    """The step from which speeds stay below FROZEN of the largest; None where they do not."""
    limit = FROZEN * max(speeds, default=0.0)
    moving = [at for at, speed in enumerate(speeds) if speed > limit]
    if not moving or moving[-1] + 1 == len(speeds):
        return None
    return steps[moving[-1] + 1]


def on_bf16_grid(weights: np.ndarray) -> float:
    """The share of fp32 values whose lower 16 bits are zero: bf16 numbers."""
    return float((np.ascontiguousarray(weights).view(np.uint32) & 0xFFFF == 0).mean())
