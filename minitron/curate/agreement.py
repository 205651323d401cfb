"""How far two judges agree. Knows nothing about who they are."""

from collections import Counter
from typing import NamedTuple


class Agreement(NamedTuple):
    """How alike two judges scored the `rows` that both judged: the share of equal scores, the share of scores at most 1 apart, and Cohen's
    kappa (J. Cohen, 1960), which is agreement beyond chance: 1 if they always agree, 0 if no more often than by chance, None if both
    gave every row the same one score."""

    rows: int
    same: float
    within_1: float
    kappa: float | None


def agreement(pairs: list[tuple[float, float]]) -> Agreement | None:
    """The agreement over pairs (first judge's score, second judge's score); None if there are no pairs."""
    if not pairs:
        return None
    count = len(pairs)
    same = sum(a == b for a, b in pairs) / count
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[score] * second[score] for score in first) / count**2
    kappa = (same - chance) / (1 - chance) if chance < 1 else None
    return Agreement(count, same, sum(abs(a - b) <= 1 for a, b in pairs) / count, kappa)
