"""Sequences of ids packed into rows of the model's context, on disk as memory maps.

`pack` writes, `PackedRows` reads. A sequence is never cut and never shares attention with its neighbours in the row:
positions start again at 0 and the mask keeps it to itself, so that training sees just what the chat program computes.
Knows nothing about messages or text.

A folder holds tokens.bin (uint16, or uint32 above 65,536 ids), targets.bin (uint8: loss is counted on this token),
sequences.npy (where each begins), rows.npy and order.npy (which sequences each row holds), and pack.json with the counts
and every file's size and SHA-256.
"""

import bisect
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minitron.core import distributed
from minitron.core.console import warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_folder, sha256_file

FILES = {"tokens.bin", "targets.bin", "sequences.npy", "order.npy", "rows.npy"}

OPEN_ROWS = 64  # rows that wait for a fitting sequence; more of them fill rows better, but pack more slowly
# A batch's targets are padded to a multiple of this: oneDNN compiles and keeps a kernel for every length.
ROUND_TARGETS = 128
NO_TARGET = -100  # what cross_entropy ignores


class Sequence(NamedTuple):
    """What is packed: ids, whether each is a target of the loss, and the bytes of text the targets stand for."""

    ids: np.ndarray  # (n,) integers
    mask: np.ndarray  # (n,) bool or uint8
    target_bytes: int = 0


@dataclass
class Batch:
    """Rows ready for the model; B rows, T = context."""

    ids: Tensor  # (B, T) int64, what the model reads
    targets: Tensor  # (N,) int64, the right ids at `select`; padded at the end with NO_TARGET, up to a round N
    select: Tensor  # (N,) int64, indices into the flattened (B * T) positions
    count: int  # targets without the padding
    positions: Tensor  # (B, T) int64, within each sequence
    # of the sequences, row after row, a row's padding as one of them; None: each row holds one
    lengths: list[int] | None

    def to(self, device: torch.device) -> "Batch":
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    @property
    def mask(self) -> Tensor | None:
        """(B, 1, T, T) bool, causal and within a sequence; None: plain causal."""
        if self.lengths is None:
            return None
        lengths = torch.tensor(self.lengths, device=self.ids.device)
        owner = torch.arange(len(lengths), device=self.ids.device).repeat_interleave(lengths).view_as(self.ids)
        return (owner[:, :, None] == owner[:, None, :]).tril().unsqueeze(1)


def pack(sequences: Iterable[Sequence], *, context: int, vocab_size: int, out: Path) -> dict:
    """Best-fit packing in one pass. A row holds up to context + 1 ids: the last one is only ever a target.

    Sequences longer than that must have been cut by the caller. Returns (and writes to pack.json) the counts.
    """
    with atomic_folder(out) as work:
        counts = _pack(sequences, capacity=context + 1, vocab_size=vocab_size, work=work)
        files = {file.name: _sealed(file) for file in sorted(work.iterdir())}
        (work / "pack.json").write_text(json.dumps(counts | {"files": files}), encoding="utf-8")
    return counts


def pack_once(sequences: Iterable[Sequence], *, context: int, vocab_size: int, out: Path) -> dict | None:
    """Packs as `pack` does, in one of several processes, and returns the counts; None if an earlier run has left whole rows in `out`."""
    if distributed.on_rank0(partial(is_whole, out, then="they are packed again")):
        return None
    return distributed.on_rank0(partial(pack, sequences, context=context, vocab_size=vocab_size, out=out))


def pack_again(folder: Path) -> str:
    """What to do about packed rows that are missing or damaged: a finished stage does not look at its rows."""
    return f"delete {folder.parent / 'stage.json'} and run its stage again: the rows are packed anew, and nothing is trained twice"


def is_whole(folder: Path, *, then: str = "") -> bool:
    """Whether a folder holds packed rows exactly as `pack` wrote them. If the folder is there but does not, a warning says so, and what
    happens `then`, or what to do."""
    if not folder.is_dir():
        return False
    try:
        files = json.loads((folder / "pack.json").read_text(encoding="utf-8"))["files"]
        if files.keys() == FILES and all(_sealed(folder / name) == files[name] for name in FILES):
            return True
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    warn(f"the packed rows in {folder} are damaged or of an earlier version: {then or pack_again(folder)}")
    return False


def _sealed(file: Path) -> dict:
    return {"bytes": file.stat().st_size, "sha256": sha256_file(file)}


def _pack(sequences: Iterable[Sequence], *, capacity: int, vocab_size: int, work: Path) -> dict:
    dtype = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    starts, order, row_starts = [0], [], [0]
    rooms: list[tuple[int, int]] = []  # of each open row, how many ids still fit and its number; the fullest first
    held: dict[int, list[int]] = {}  # which sequences an open row holds
    counts = {"sequences": 0, "tokens": 0, "targets": 0, "target_bytes": 0, "rows": 0, "context": capacity - 1}

    def close(row: int) -> None:
        order.extend(held.pop(row))
        row_starts.append(len(order))

    with (work / "tokens.bin").open("wb") as tokens, (work / "targets.bin").open("wb") as targets:
        for number, (ids, mask, target_bytes) in enumerate(sequences):
            assert 2 <= len(ids) == len(mask) <= capacity, (len(ids), len(mask))
            marks = np.asarray(mask, np.uint8).tobytes()
            tokens.write(np.asarray(ids, dtype).tobytes())
            targets.write(marks)
            starts.append(starts[-1] + len(ids))
            counts["targets"] += marks.count(1, 1)  # the first id of a sequence is never predicted
            counts["target_bytes"] += target_bytes
            best = bisect.bisect_left(rooms, (len(ids), 0))
            if best < len(rooms):
                left, row = rooms.pop(best)
            else:
                if len(rooms) == OPEN_ROWS:
                    close(rooms.pop(0)[1])
                left, row = capacity, number  # a row has the number of its first sequence
                held[row] = []
            held[row].append(number)
            bisect.insort(rooms, (left - len(ids), row))
    for row in sorted(held):
        close(row)
    counts |= {"sequences": len(starts) - 1, "tokens": starts[-1], "rows": len(row_starts) - 1}
    np.save(work / "sequences.npy", np.asarray(starts, np.int64))
    np.save(work / "order.npy", np.asarray(order, np.int64))
    np.save(work / "rows.npy", np.asarray(row_starts, np.int64))
    return counts | {"dtype": np.dtype(dtype).name}


class PackedRows:
    """What `pack` wrote, memory-mapped. Raises MinitronError if pack.json cannot be read, or a file is missing or has another size."""

    def __init__(self, path: Path):
        try:
            meta = json.loads((path / "pack.json").read_text(encoding="utf-8"))
            if any((path / name).stat().st_size != meta["files"][name]["bytes"] for name in FILES):
                raise ValueError("another size")
            self.context, self.target_bytes, self.targets = meta["context"], meta["target_bytes"], meta["targets"]
            self.tokens = meta["tokens"]
            if meta["tokens"]:
                self._ids = np.memmap(path / "tokens.bin", dtype=meta["dtype"], mode="r")
                self._mask = np.memmap(path / "targets.bin", dtype=np.uint8, mode="r")
            self._starts, self._order, self._rows = (
                np.load(path / f"{name}.npy", mmap_mode="r") for name in ("sequences", "order", "rows")
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"the packed rows in {path} are damaged or of an earlier version"
            raise MinitronError(message, hint=pack_again(path)) from error

    def __len__(self) -> int:
        return len(self._rows) - 1

    def sequences(self, row: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The (ids, mask) of each sequence in a row."""
        numbers = self._order[self._rows[row] : self._rows[row + 1]]
        spans = [slice(self._starts[n], self._starts[n + 1]) for n in numbers]
        return [(np.asarray(self._ids[s], np.int64), self._mask[s].astype(bool)) for s in spans]

    def batch(self, rows: Iterable[int]) -> Batch:
        return collate([self.sequences(int(row)) for row in rows], context=self.context)


def collate(rows: list[list[tuple[np.ndarray, np.ndarray]]], *, context: int) -> Batch:
    """Rows of (ids, mask) sequences -> a Batch. Padding is a sequence of its own at a row's end, without targets; no other
    sequence can see it."""
    shape = (len(rows), context)
    ids, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    lengths = []
    targets, counted = np.zeros(shape, np.int64), np.zeros(shape, bool)
    for r, sequences in enumerate(rows):
        at = 0
        for part, mask in sequences:
            # The last id is read too (its prediction is not used), except at the very end of the row.
            n = min(len(part), context - at)
            ids[r, at : at + n] = part[:n]
            positions[r, at : at + n] = np.arange(n)
            lengths.append(n)
            targets[r, at : at + len(part) - 1] = part[1:]
            counted[r, at : at + len(part) - 1] = mask[1:]
            at += n
        if at < context:
            lengths.append(context - at)
    select = np.flatnonzero(counted)
    fill = -len(select) % ROUND_TARGETS
    return Batch(
        ids=torch.from_numpy(ids),
        targets=torch.from_numpy(np.pad(targets.reshape(-1)[select], (0, fill), constant_values=NO_TARGET)),
        select=torch.from_numpy(np.pad(select, (0, fill))),
        count=len(select),
        positions=torch.from_numpy(positions),
        lengths=lengths if any(len(sequences) > 1 for sequences in rows) else None,
    )
