"""Figures of dialogues: distributions of scores and lengths, which scripts they are written in, what fits into a context.

Knows nothing about where the dialogues come from.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.chat_template import Message

BINS = 10
SCRIPT_CHARACTERS = 400  # at the beginning of a dialogue, which decide its script
QUANTILES = (0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class Bin:
    """How many rows have a score from `low` to below `high` (or exactly `low`, if both are equal), and how many of these are kept."""

    low: float
    high: float
    count: int
    kept: int


def histogram(scores: list[tuple[float, bool]]) -> list[Bin]:
    """Puts pairs (score, whether its row is kept) into about BINS bins of equal width; at most BINS distinct scores get a bin each.
    Infinite scores are left out."""
    scores = [pair for pair in scores if math.isfinite(pair[0])]
    values = sorted({score for score, _ in scores})
    if not values:
        return []
    if len(values) <= BINS:
        counts, kept = Counter(score for score, _ in scores), Counter(score for score, stays in scores if stays)
        return [Bin(value, value, counts[value], kept[value]) for value in values]
    width = round_width((values[-1] - values[0]) / BINS)
    low = math.floor(values[0] / width) * width
    place = lambda score: math.floor((score - low) / width + 1e-9)  # noqa: E731 (0.3 / 0.1 is a little less than 3)
    counts, kept = Counter(place(score) for score, _ in scores), Counter(place(s) for s, stays in scores if stays)
    return [Bin(low + i * width, low + (i + 1) * width, counts[i], kept[i]) for i in range(max(counts) + 1)]


def round_width(width: float) -> float:
    """The smallest round number that is at least `width`: 1, 2, 2.5 or 5, times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(width, 1e-9)))
    return next(step * power for step in (1, 2, 2.5, 5, 10, 20) if step * power >= width)


def quantiles(values: list[int]) -> list[int]:
    """The QUANTILES of values; each is one of the values."""
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in QUANTILES]


def characters(messages: list[Message]) -> int:
    return sum(len(message["content"]) for message in messages)


def script_of(messages: list[Message]) -> str:
    """The script that most of the first letters belong to, by its name in Unicode: Latin, Cyrillic, Cjk, ..."""
    text = " ".join(message["content"] for message in messages)[:SCRIPT_CHARACTERS]
    names = (unicodedata.name(c, "").partition(" ")[0] for c in text if c.isalpha())
    found = Counter(name for name in names if name).most_common(1)
    return found[0][0].capitalize() if found else "no letters"


@dataclass(frozen=True)
class Covered:
    """What becomes of dialogues in a context of `context` tokens: how many fit, lose last turns, or are left out (`data.encoding`)."""

    context: int
    whole: int
    shortened: int
    left_out: int


def covered(dialogues: Iterable[list[Message]], tokenizer: Tokenizer, *, contexts: list[int]) -> list[Covered]:
    """One `Covered` per context. A dialogue whose first exchange does not fit is left out; others lose whole exchanges at their end."""
    lengths = []  # for each dialogue: tokens up to the end of its first exchange, and all its tokens
    for messages in dialogues:
        sizes = [len(chat_template.encode_message(message, tokenizer)) for message in messages]
        first = 3 if messages[0]["role"] == "system" else 2
        before = len(tokenizer.start)
        lengths.append((before + sum(sizes[:first]), before + sum(sizes)))
    found = []
    for context in contexts:
        whole = sum(every <= context + 1 for _, every in lengths)
        fits = sum(first <= context + 1 for first, _ in lengths)
        found.append(Covered(context, whole, fits - whole, len(lengths) - fits))
    return found
