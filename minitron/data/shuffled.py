"""Writes the dialogues of a run in an order given by a hash of each dialogue and the seed: the same bytes, in whatever order they
were read.

    with open_parts(folder) as parts, Shuffled(parts, folder, origins=..., seed=1, valid_fraction=0.02) as shuffled:
        shuffled.add(table, origin=0)         # of dialogues, as data.checked has them
        settled = shuffled.settle(want_valid=True)

Of equal dialogues one stays, in whatever order they came: a probe if there is one, then the one whose origin the recipe names
first, then the one with the smallest source, skill, check and scores. Caps and max_rows choose dialogues by the same hash. About
40 bytes per dialogue are in memory; the rest lies in `Buckets`. Knows nothing about where dialogues come from.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from minitron.core.console import progress
from minitron.data.buckets import Buckets
from minitron.data.near import near_pairs
from minitron.data.store import LEAST_VALID, PARTS, Part, Settled, digests
from minitron.recipe import mixture

DUPLICATE = "exact duplicate"
NEAR = "near duplicate"
NEAR_HELD_OUT = "near duplicate of a held-out dialogue"
NEAR_EXAMPLES = 5  # in the report
BEYOND = "not needed: data.max_rows reached"
TRAIN, VALID, PROBE = range(3)  # indices in PARTS
GONE = -1


@dataclass
class Dialogues:
    """What is known of all distinct dialogues when deciding about them: arrays with an item per dialogue."""

    key: np.ndarray  # uint64, the order
    digest: np.ndarray  # (n, 2) uint64
    origin: np.ndarray  # uint16
    probe: np.ndarray  # bool
    may_be_valid: np.ndarray  # bool
    part: np.ndarray  # int8: TRAIN, VALID, PROBE or GONE


def scrambled(x: np.ndarray | int, *, seed: int) -> np.ndarray:
    """uint64 -> uint64, one to one and as if at random: the finalizer of SplitMix64 (Steele et al. 2014), after `seed` steps."""
    with np.errstate(over="ignore"):
        x = np.asarray(x, np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(seed + 1)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


class Shuffled:
    """Takes dialogues of all origins, and writes them when it settles."""

    full = False  # never full: any dialogue may be among the first by the hash

    def __init__(
        self,
        parts: dict[str, Part],
        folder: Path,
        *,
        origins: list[mixture.Ingredient],
        seed: int,
        valid_fraction: float,
        max_rows: int = 0,
        near: float = 0.0,
        near_drop: str = "all",
    ):
        self.parts, self.folder, self.origins, self.seed = parts, folder, origins, seed
        self.valid_fraction, self.max_rows, self.near, self.near_drop = valid_fraction, max_rows, near, near_drop
        self.rows = 0  # dialogues; equal ones are counted each until `settle`
        self._stack = ExitStack()
        self._buckets = self._stack.enter_context(Buckets(folder, "read"))

    def __enter__(self) -> "Shuffled":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, table: pa.Table, *, origin: int = 0) -> int:
        """Adds dialogues. Returns 0, because equal ones are found only in `settle`."""
        key = scrambled(_digests(table)[:, 1], seed=self.seed)
        table = table.append_column("origin", pa.array(np.full(len(table), origin, np.uint16)))
        self._buckets.add(table.append_column("key", pa.array(key)))
        self.rows += len(table)
        return 0

    def settle(self, *, want_valid: bool) -> Settled:
        """Decides about every dialogue, and writes those that stay."""
        dropped: Counter[str] = Counter()
        kept, found = self._distinct(dropped)
        self._cap(found, dropped)
        self._split(found, want_valid=want_valid)
        near = self._near(kept, found, dropped) if self.near else None
        self.rows = int((found.part != GONE).sum())
        moved = int(((found.part == VALID) & ~self._by_share(found)).sum())
        copies = self._copies(found)
        self._write(kept, found, copies)
        for part in self.parts.values():
            part.close()
        return Settled(moved, dropped, self._about(found, copies), near)

    def _distinct(self, dropped: Counter[str]) -> tuple[list[np.ndarray], Dialogues]:
        """For each bucket the rows that stay, sorted by key; and all of these rows as `Dialogues`."""
        kept, found = [], []
        for table in self._buckets.tables():
            rows = distinct(table)
            dropped[DUPLICATE] += len(table) - len(rows)
            kept.append(rows)
            columns = [table[name].to_numpy()[rows] for name in ("key", "origin", "probe", "may_be_valid")]
            found.append([columns[0], _digests(table)[rows], *columns[1:]])
        if not found:
            found = [[np.empty(0, t) for t in (np.uint64, np.uint64, np.uint16, bool, bool)]]
            found[0][1] = np.empty((0, 2), np.uint64)
        joined = [np.concatenate(column) for column in zip(*found, strict=True)]
        return kept, Dialogues(*joined, part=np.full(len(joined[0]), TRAIN, np.int8))

    def _cap(self, found: Dialogues, dropped: Counter[str]) -> None:
        """Keeps at most its cap of each origin (probes are not counted), and at most max_rows of all: the first by key, which is
        how they stand."""
        for number, origin in enumerate(self.origins):
            if origin.cap:
                beyond = np.flatnonzero((found.origin == number) & ~found.probe)[origin.cap :]
                found.part[beyond] = GONE
                dropped[f"not needed: the cap of {origin.name}"] += len(beyond)
        if self.max_rows:
            beyond = np.flatnonzero(found.part != GONE)[self.max_rows :]
            found.part[beyond] = GONE
            dropped[BEYOND] += len(beyond)

    def _split(self, found: Dialogues, *, want_valid: bool) -> None:
        """Marks probes and, for each origin, what is held out."""
        found.part[found.probe & (found.part != GONE)] = PROBE
        for number in range(len(self.origins)):
            self._hold_out(found, found.origin == number, want_valid)
        if not (found.part == VALID).any():  # such as when each origin has only one dialogue
            self._hold_out(found, np.ones(len(found.part), bool), want_valid)

    def _by_share(self, found: Dialogues) -> np.ndarray:
        """(n,) bool: those that their digests alone would hold out."""
        return found.digest[:, 0] / 2.0**64 < self.valid_fraction

    def _hold_out(self, found: Dialogues, mine: np.ndarray, want_valid: bool) -> None:
        mine = mine & (found.part == TRAIN)
        count, may = int(mine.sum()), mine & found.may_be_valid
        if count < 2:
            return
        valid = may & self._by_share(found)
        by_share = int(valid.sum())
        least = min(LEAST_VALID, max(1, count // 10), int(may.sum())) if want_valid else 0
        if by_share < least or by_share == count:
            rows = np.flatnonzero(may)
            rows = rows[np.lexsort((found.digest[rows, 1], found.digest[rows, 0]))]
            valid[:] = False
            valid[rows[: min(max(least, by_share), count - 1)]] = True
        found.part[valid] = VALID

    def _near(self, kept: list[np.ndarray], found: Dialogues, dropped: Counter[str]) -> dict[str, Any]:
        """Drops near duplicates of dialogues that stay, as far as `near_drop` says; returns what was found, for the report.

        Of near duplicates a probe stays first, then what else is held out, then what is trained on; among those the first by key.
        """
        order = np.lexsort((np.arange(len(found.key)), -found.part))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        pairs = near_pairs(lambda: self._kept(kept), order=order, threshold=self.near)
        earlier: dict[int, list[int]] = {}
        for first, other in pairs.rows.tolist():
            earlier.setdefault(other, []).append(first)
        similar = {
            tuple(rows): value for rows, value in zip(pairs.rows.tolist(), pairs.similarity.tolist(), strict=True)
        }
        alike: dict[int, int] = {}  # row -> the row that stays and that it is like
        why: dict[int, str] = {}
        going: set[int] = set()  # those that are dropped: another row that is like one of these alone stays
        for row in sorted(earlier, key=place.__getitem__):
            stays = [one for one in earlier[row] if one not in going and found.part[one] != GONE]
            if not stays or found.part[row] == GONE:
                continue
            alike[row] = min(stays, key=place.__getitem__)
            why[row] = NEAR_HELD_OUT if self._leaks(found, row, alike[row]) else NEAR
            if self.near_drop == "all" or (self.near_drop, why[row]) == ("held-out", NEAR_HELD_OUT):
                going.add(row)
        examples = [
            {
                "similarity": round(similar[alike[row], row], 3),
                "goes": pairs.texts[row],
                "stays": pairs.texts[alike[row]],
            }
            for row in sorted(alike, key=lambda row: why[row] != NEAR_HELD_OUT)[:NEAR_EXAMPLES]
        ]
        dropped.update(why[row] for row in going)
        found.part[np.array(sorted(going), np.int64)] = GONE
        return {"threshold": self.near, **Counter(why.values()), "drop": self.near_drop, "examples": examples}

    def _leaks(self, found: Dialogues, row: int, one: int) -> bool:
        """Whether a dialogue to train on is like one that is held out."""
        return bool(found.part[row] == TRAIN and found.part[one] != TRAIN)

    def _kept(self, kept: list[np.ndarray]) -> Iterator[tuple[int, pa.Table]]:
        """For each bucket, the number of its first distinct dialogue, and its distinct dialogues sorted by key."""
        start = 0
        for rows, table in zip(kept, self._buckets.tables(), strict=False):
            yield start, table.take(pa.array(rows))
            start += len(rows)

    def _copies(self, found: Dialogues) -> np.ndarray:
        """(n,) how often each dialogue to train on is written: on average as often as its origin's repeats say; the key decides
        about the fraction."""
        copies = np.ones(len(found.key), np.int64)
        train = [(found.part == TRAIN) & (found.origin == number) for number in range(len(self.origins))]
        for mine, repeats in zip(train, mixture.repeats(self.origins, [int(m.sum()) for m in train]), strict=True):
            chance = scrambled(found.key[mine], seed=1) / 2.0**64
            copies[mine] = int(repeats) + (chance < repeats % 1)
        return copies

    def _write(self, kept: list[np.ndarray], found: Dialogues, copies: np.ndarray) -> None:
        """Writes bucket after bucket, each in the order of its keys; further copies of a dialogue have keys of their own."""
        with Buckets(self.folder, "copies") as more, progress("writing dialogues", len(found.key)) as bar:
            if copies.max(initial=1) > 1:
                for start, table in self._kept(kept):
                    self._repeat(table, copies[start : start + len(table)], more)
            added = more.tables()
            for start, table in self._kept(kept):
                bar.update(start)
                part = found.part[start : start + len(table)]
                for number, name in enumerate(PARTS):
                    chosen = table.filter(pa.array(part == number))
                    extra = next(added, None) if number == TRAIN else None
                    self.parts[name].append(_merged(chosen, extra) if extra else chosen)

    def _repeat(self, table: pa.Table, copies: np.ndarray, more: Buckets) -> None:
        key, place = table["key"].to_numpy(), table.schema.get_field_index("key")
        for number in range(1, copies.max(initial=0)):
            again = np.flatnonzero(copies > number)
            taken = table.take(pa.array(again))
            more.add(taken.set_column(place, "key", pa.array(scrambled(key[again], seed=number + 1))))

    def _about(self, found: Dialogues, copies: np.ndarray) -> list[dict[str, Any]]:
        """For the report, of each origin: its name, its distinct dialogues by part, and how many rows to train on they became."""
        about = []
        for number, origin in enumerate(self.origins):
            mine = found.origin == number
            counts = {name: int((mine & (found.part == i)).sum()) for i, name in enumerate(PARTS)}
            written = int(copies[mine & (found.part == TRAIN)].sum())
            about.append({"name": origin.name, **counts, "written": written})
        return about


def distinct(table: pa.Table) -> np.ndarray:
    """The rows that stay if only one of equal dialogues does, sorted by key."""
    key, digest = table["key"].to_numpy(), _digests(table)
    order = np.lexsort((digest[:, 1], digest[:, 0], key))
    again = np.zeros(len(order), bool)  # the same dialogue as the one before it
    again[1:] = (digest[order[1:]] == digest[order[:-1]]).all(axis=1)
    if not again.any():
        return order
    begins = np.flatnonzero(~again)
    sizes = np.diff([*begins, len(order)])
    for begin, size in zip(begins[sizes > 1], sizes[sizes > 1], strict=True):
        rows = order[begin : begin + size]
        order[begin] = rows[_first(table.select(RANKED).take(pa.array(rows)))]
    return order[begins]


RANKED = ("probe", "origin", "source", "skill", "check", "scores")


def _first(table: pa.Table) -> int:
    """The number of the row that stays, of equal dialogues."""

    def rank(row: dict[str, Any]) -> tuple[Any, ...]:
        scores = [(name, score is None, score or 0.0) for name, score in row["scores"]]
        return (not row["probe"], row["origin"], row["source"], row["skill"], row["check"], scores)

    rows = table.to_pylist()
    return min(range(len(rows)), key=lambda i: rank(rows[i]))


def _merged(table: pa.Table, extra: pa.Table) -> pa.Table:
    """Both tables together, in the order of their keys; where keys are equal, rows of `extra` come later."""
    both = pa.concat_tables([table, extra])
    return both.take(pa.array(np.argsort(both["key"].to_numpy(), kind="stable")))


def _digests(table: pa.Table) -> np.ndarray:
    """(rows, 2) uint64, the halves of each digest as big-endian numbers."""
    return digests(table).view(">u8").reshape(-1, 2).astype(np.uint64)
