"""Numbers in, numbers out; standard library only."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist


def mean(values: Sequence[float]) -> float:
    """Give the mean of at least one value."""
    return sum(values) / len(values)


def wilson_interval(rate: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the Wilson score interval of a rate.

    Args:
        rate: a share 0..1 (of a mean of fractional scores the interval is conservative).
        n: how many cases it is the mean of, at least 1.
        confidence: two-sided.

    Source: Wilson (1927); recommended over the normal interval by Brown, Cai and DasGupta (2001).
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    shrink = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / shrink
    half = z / shrink * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def quantile(values: Sequence[float], share: float) -> float:
    """Give a quantile of at least one value, by linear interpolation between order statistics (type 7)."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
