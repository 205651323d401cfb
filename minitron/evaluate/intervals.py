"""Shares with their 95% confidence intervals, and whether two of them differ beyond chance.

    before, after = Share.of(48, 80), Share.of(56, 70)
    low, high = change(before, after)          # after - before: (0.052, 0.334)

Answers to one prompt with several ways of sampling are not independent: `Share.clustered` counts them as a smaller number of
independent answers. Knows nothing about what was counted.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.96  # standard deviations that hold 95% of a normal distribution


@dataclass(frozen=True)
class Share:
    """A share of `count` answers, and the 95% confidence interval [low, high] for the true share."""

    value: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, hits: int, count: int) -> "Share":
        """The share of `hits` in `count` independent answers; if there are none, the share is 0 and its interval [0, 1]."""
        value = hits / count if count else 0.0
        return cls(value, *wilson(value, count), count)

    @classmethod
    def clustered(cls, hits: Sequence[Sequence[bool]]) -> "Share":
        """The share in answers that are grouped by prompt: `hits[prompt][answer]`, the same number of answers for each prompt.

        The interval is Wilson's at the effective sample size p (1 - p) / var(p), where var(p) comes from the variance of the
        prompts' means (Korn & Graubard, Survey Methodology 24, 1998). If all prompts have the same mean, nothing tells how
        much the answers to one prompt have in common, and each prompt counts as one answer.
        """
        count = sum(map(len, hits))
        if not count:
            return cls.of(0, 0)
        value = sum(map(sum, hits)) / count
        effective = float(len(hits))
        means = [sum(of_prompt) / len(of_prompt) for of_prompt in hits]
        if len(hits) > 1 and (variance := statistics.pvariance(means) / len(hits)):
            effective = min(float(count), value * (1 - value) / variance)
        return cls(value, *wilson(value, effective), count)


def wilson(share: float, count: float) -> tuple[float, float]:
    """95% confidence interval of a share of `count` independent answers (Wilson 1927)."""
    if not count:
        return 0.0, 1.0
    middle = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count)) / (1 + Z * Z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def change(before: Share, after: Share) -> tuple[float, float]:
    """95% confidence interval of after - before, from the intervals of both (Newcombe 1998, method 10)."""
    difference = after.value - before.value
    return (
        difference - math.hypot(after.value - after.low, before.high - before.value),
        difference + math.hypot(after.high - after.value, before.value - before.low),
    )


def differs(before: Share, after: Share) -> bool:
    """Whether two shares differ beyond chance: the interval of their change leaves out 0."""
    low, high = change(before, after)
    return low > 0 or high < 0
