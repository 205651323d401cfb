"""Confidence intervals of shares. Knows nothing about what was counted."""

import math


def interval(share: float, count: int) -> tuple[float, float]:
    """95% confidence interval of a share (Wilson 1927)."""
    if not count:
        return 0.0, 1.0
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def change_interval(before: float, after: float, count_before: int, count_after: int) -> tuple[float, float]:
    """95% confidence interval of the difference of two shares, after - before (Newcombe 1998, method 10)."""
    low_b, high_b = interval(before, count_before)
    low_a, high_a = interval(after, count_after)
    difference = after - before
    return (
        difference - math.hypot(after - low_a, high_b - before),
        difference + math.hypot(high_a - after, before - low_b),
    )
