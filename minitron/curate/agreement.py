"""How far two judges agree. Knows nothing about who they are."""

from collections import Counter
from typing import NamedTuple


class Agreement(NamedTuple):
    """How alike the scores of `rows` are that both judged: the share that are the same, the share no further apart than 1, and
    Cohen's kappa (J. Cohen, 1960), which is agreement beyond that of chance: 1 for always, 0 for chance; None where both always give
    the same one score."""

    rows: int
    same: float
    within_1: float
    kappa: float | None


def agreement(pairs: list[tuple[float, float]]) -> Agreement | None:
    """None where there are no pairs."""
    if not pairs:
        return None
    count = len(pairs)
    same = sum(a == b for a, b in pairs) / count
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[score] * second[score] for score in first) / count**2
    kappa = (same - chance) / (1 - chance) if chance < 1 else None
    return Agreement(count, same, sum(abs(a - b) <= 1 for a, b in pairs) / count, kappa)
