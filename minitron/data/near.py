"""Finds dialogues that are nearly the same: MinHash over runs of three words, banded (LSH); every pair found is verified.

    found = near_pairs(tables, order=order, threshold=0.8)        # Pairs: rows and how similar they are (Jaccard)

The signatures are rensa's (extra `near`). A pair of similarity s shares a band with probability 1 - (1 - s^6)^20: of pairs at 0.8
one in four hundred is missed. Candidates are then compared by the runs of words themselves, so every pair found is as similar as
asked. Broder, "On the resemblance and containment of documents" (1997). Knows nothing about what becomes of the pairs.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minitron.core.console import progress
from minitron.core.errors import MinitronError

WORDS = 3  # in a run
BANDS, BAND_ROWS = 20, 6
# Most runs compared of a dialogue; of a longer one those with the smallest hashes, which are a fair sample.
MOST_RUNS = 1024
SEED = 1
SHOWN = 200  # characters of a dialogue in an example


@dataclass
class Pairs:
    """Similar pairs: (n, 2) rows, of each pair the one that comes first in `order` first; their (n,) similarities; and how the
    rows begin."""

    rows: np.ndarray
    similarity: np.ndarray
    texts: dict[int, str]


def check_installed() -> None:
    """Raises MinitronError if the library is not there."""
    try:
        import rensa  # noqa: F401
    except ImportError:
        hint = "pip install 'minitron[near]', or set data.near_duplicates = 0"
        raise MinitronError("data.near_duplicates needs the library rensa, which is not installed", hint=hint) from None


def near_pairs(tables: Callable[[], Iterable[tuple[int, pa.Table]]], *, order: np.ndarray, threshold: float) -> Pairs:
    """All pairs of rows whose similarity is `threshold` or more, except those that banding misses.

    `tables` may be called several times; it gives tables with a column `messages`, each with the number of its first row. If many
    rows are all similar, not every pair is found: each row is paired only with the first of them in `order` and with the one
    before it.
    """
    parts = []
    with progress("looking for near duplicates", len(order)) as bar:
        for start, table in tables():
            if len(table):
                parts.append(bands(*runs(_messages(table))))
                bar.update(start + len(table))
    if not parts:
        return Pairs(np.empty((0, 2), np.int64), np.empty(0), {})
    pairs = _candidates(np.concatenate(parts), order)
    del parts
    sketches, texts = _sketches(tables(), np.unique(pairs))
    similarity = np.array([jaccard(sketches[a], sketches[b]) for a, b in pairs.tolist()])
    stays = similarity >= threshold if len(pairs) else np.zeros(0, bool)
    return Pairs(pairs[stays], similarity[stays], texts)


def _messages(table: pa.Table) -> pa.ListArray:
    return table["messages"].combine_chunks()


def runs(messages: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes (uint64) of all runs of three words of each dialogue, whoever said them and whatever the case, and (rows + 1,)
    offsets: where each dialogue's hashes begin and the last one's end. A dialogue of fewer words is one run, so each has at least
    one."""
    from rensa import RMinHash

    ends = messages.offsets.to_numpy().astype(np.int64)
    contents = pc.utf8_trim_whitespace(pc.utf8_lower(messages.flatten().field("content")))
    said = pc.utf8_split_whitespace(pc.if_else(pc.equal(contents, ""), None, contents))
    until = said.offsets.to_numpy().astype(np.int64)
    words = said.flatten().dictionary_encode()
    hashes = np.array(RMinHash.hash_token_sets([words.dictionary.to_pylist()])[0], np.uint64)
    word = hashes[words.indices.to_numpy()] if len(words) else np.empty(0, np.uint64)
    begins = until[ends - ends[0]] - until[0]  # where each dialogue begins among the words
    counts = np.diff(begins)
    sizes = np.maximum(counts - (WORDS - 1), 1)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    # the place of each run's first word
    at = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes) + np.repeat(begins[:-1], sizes)
    last = np.repeat(begins[1:], sizes)
    run = np.zeros(len(at), np.uint64)
    padded = np.concatenate([word, np.zeros(WORDS, np.uint64)])
    with np.errstate(over="ignore"):
        for i in range(WORDS):
            here = np.where(at + i < last, padded[np.minimum(at + i, len(word))], np.uint64(0))
            run = (run ^ here) * np.uint64(0x9E3779B97F4A7C15)
            run ^= run >> np.uint64(29)
    return run, offsets


def bands(run: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(rows, BANDS) uint32: for each dialogue a hash of each band of its MinHash signature."""
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_flat_token_hashes(run, offsets.astype(np.uint64), BANDS * BAND_ROWS, SEED)
    signature = np.array(matrix.to_rows(), np.uint64).reshape(len(offsets) - 1, BANDS, BAND_ROWS)
    band = np.zeros(signature.shape[:2], np.uint64)
    with np.errstate(over="ignore"):
        for i in range(BAND_ROWS):
            band = (band ^ signature[:, :, i]) * np.uint64(0x9E3779B97F4A7C15)
            band ^= band >> np.uint64(29)
    return (band >> np.uint64(32)).astype(np.uint32)


def _candidates(band: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(n, 2) pairs of rows that share a band: each row with the first one in `order` that has this band, and with the one just
    before it."""
    count, found = len(order), np.empty(0, np.uint64)
    for number in range(band.shape[1]):
        values = band[order, number]
        place = np.argsort(values, kind="stable")
        same = np.concatenate([[False], values[place[1:]] == values[place[:-1]]])
        first = place[np.maximum.accumulate(np.where(same, 0, np.arange(count)))]
        before = np.concatenate([place[:1], place[:-1]])
        ones = np.concatenate([first[same], before[same]]).astype(np.uint64)
        others = np.concatenate([place[same], place[same]]).astype(np.uint64)
        found = np.union1d(found, ones * np.uint64(count) + others)
    return np.stack(
        [order[(found // np.uint64(count)).astype(np.int64)], order[(found % np.uint64(count)).astype(np.int64)]], 1
    )


def _sketches(tables: Iterable[tuple[int, pa.Table]], rows: np.ndarray) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """The sorted hashes of the runs of these rows, and how each row begins."""
    sketches, texts = {}, {}
    for start, table in tables:
        mine = rows[(rows >= start) & (rows < start + len(table))]
        if not len(mine):
            continue
        some = _messages(table.take(pa.array(mine - start)))
        for row, sketch, text in zip(mine.tolist(), _sorted_runs(*runs(some)), _beginnings(some), strict=True):
            sketches[row], texts[row] = sketch, text
    return sketches, texts


def _sorted_runs(run: np.ndarray, offsets: np.ndarray) -> Iterator[np.ndarray]:
    for begin, end in zip(offsets[:-1], offsets[1:], strict=True):
        yield np.unique((run[begin:end] >> np.uint64(32)).astype(np.uint32))[:MOST_RUNS]


def _beginnings(messages: pa.ListArray) -> Iterator[str]:
    for dialogue in messages.to_pylist():
        yield " | ".join(message["content"] for message in dialogue)[:SHOWN]


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """The Jaccard similarity of two sets of hashes: the size of their intersection by that of their union. If a set was cut to
    its smallest hashes, this is an estimate from the smallest hashes of the union."""
    both = np.intersect1d(a, b, assume_unique=True)
    if max(len(a), len(b)) < MOST_RUNS:
        return len(both) / (len(a) + len(b) - len(both))
    union = np.union1d(a, b)[:MOST_RUNS]
    return float(np.isin(union, both, assume_unique=True).sum()) / len(union)
