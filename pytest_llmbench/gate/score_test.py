"""The score test of the gate: evidence that the mean of bounded differences lies above a null.

Each unit (a case, or a cluster of them) gives one difference in -1..1, candidate minus baseline.
The question is: how noisy would these data be if the mean really were the null?  The
answer is the variance under the likeliest distribution that has that mean, lives on the
differences seen and on -1, and so leaves room for total losses that this sample happened not
to show.  For won / lost / tied it is the statistic of Tango (1998); the likelihood is that of
Owen's empirical likelihood (1988) with -1 added to its support.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, log, sqrt
from statistics import NormalDist

from pytest_llmbench.stats import t_quantile

ERROR_RATE = 0.05
"""Each claim alone errs once in twenty."""

CONFIDENCE = 1 - 2 * ERROR_RATE
"""Of an interval, which has two ends."""

POWER = 0.80
"""The chance of passing an unchanged model that the planning numbers promise."""

_MANY = 200  # distinct differences; above, they are rounded to 0.001 before they are counted
_STEPS = 60  # of halving: beyond the precision of a float
_MAX_CASES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Differences counted: (value in -1..1, how many units have it); planning uses counts that are not whole."""

    counts: tuple[tuple[float, float], ...]

    @property
    def n(self) -> float:
        """How many units there are."""
        return sum(count for _, count in self.counts)

    @property
    def mean(self) -> float:
        """The mean difference of at least one unit."""
        return sum(value * count for value, count in self.counts) / self.n

    @property
    def mirrored(self) -> "Differences":
        """The same with the two sides swapped."""
        return Differences(counts=tuple((-value, count) for value, count in self.counts))


def count_differences(differences: Iterable[float]) -> Differences:
    """Count differences that are the same, up to float noise (up to 0.001 where there are very many)."""
    given = list(differences)
    counted = Counter(round(value, 9) for value in given)
    if len(counted) > _MANY:
        counted = Counter(round(value, 3) for value in given)
    return Differences(counts=tuple(sorted(counted.items())))


def evidence(differences: Differences, null: float) -> float:
    """Give the t statistic for "the mean lies above the null"; 0 where the mean does not.

    Args:
        differences: of at least one unit.
        null: in -1..1.
    """
    shifted = [(value - null, count) for value, count in differences.counts]
    n = differences.n
    mean = sum(x * count for x, count in shifted) / n
    worst = 1 + null  # how far below the null a unit can lie, seen or not
    if mean <= 0:
        return 0.0
    tilt = _tilt(shifted, worst)
    weights = [(x, count / (n * (1 + tilt * x))) for x, count in shifted]
    unseen = max(0.0, 1 - sum(weight for _, weight in weights))
    variance = sum(weight * x * x for x, weight in weights) + unseen * worst * worst
    return mean * sqrt(n / variance) if variance > 0 else float("inf")


def _tilt(shifted: list[tuple[float, float]], worst: float) -> float:
    """Find the multiplier that gives the likeliest weights the mean 0, or the largest that keeps them positive."""

    def balance(tilt: float) -> float:
        return sum(count * x / (1 + tilt * x) for x, count in shifted)

    # a little inside: at 1 / worst a total loss that was seen would have infinite weight
    low, high = 0.0, (1 - 1e-12) / max(worst, 1e-12)
    if balance(high) > 0:
        return high
    middle = 0.0
    for _ in range(_STEPS):
        # Newton's step where it stays inside the bracket, halving where it does not
        value = balance(middle)
        low, high = (middle, high) if value > 0 else (low, middle)
        slope = sum(count * (x / (1 + middle * x)) ** 2 for x, count in shifted)
        step = middle + value / slope if slope > 0 else high
        following = step if low < step < high else (low + high) / 2
        if abs(following - middle) <= 1e-13 * high:
            break
        middle = following
    return middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The one-sided levels of a look: for "better" and "no worse" (`kept`), and for a loss among all suites (`loss`).

    `is_last` is False at a look before the end; `kept` is None at one that looks for a loss alone.
    """

    kept: float | None
    loss: float
    is_last: bool


PLAIN_LEVELS = Levels(kept=ERROR_RATE, loss=ERROR_RATE, is_last=True)
"""Those of a suite that is looked at once."""


def interval(differences: Differences, levels: Levels = PLAIN_LEVELS) -> tuple[float, float]:
    """Give the interval of the mean: every null that is not rejected from either side; all of -1..1 below 3 units."""
    if differences.n < MIN_UNITS:
        return -1.0, 1.0
    kept = ERROR_RATE if levels.kept is None else levels.kept
    return _lower_end(differences, kept), -_lower_end(differences.mirrored, levels.loss)


def _lower_end(differences: Differences, level: float) -> float:
    quantile, low, high = t_quantile(1 - level, round(differences.n) - 1), -1.0, differences.mean
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if evidence(differences, middle) > quantile else (low, middle)
    return low


MIN_UNITS = 3
"""Below, nothing can be shown of a mean."""


def silence_floor(margin: float, error_rate: float = ERROR_RATE) -> int:
    """Give how many units must show no loss before a loss of the margin in silence is ruled out: 59 at 5 points.

    A model that loses a share `margin` of all cases outright shows no loss at all in n cases with
    the chance (1 - margin)^n.
    """
    return ceil(log(error_rate) / log(1 - margin) - 1e-9)


def noise_floor(differences: Differences, n: float | None = None) -> float:
    """Give how far the scores of two runs of an unchanged model lie apart in at most 9 of 10 cases.

    Args:
        differences: between such runs, of all pairs of them.
        n: units of the suite, if not as many as these.
    """
    n = differences.n if n is None else n
    variance = sum(value * value * count for value, count in differences.counts) / differences.n
    return t_quantile(1 - ERROR_RATE, max(2, round(n) - 1)) * sqrt(variance / n)


def smallest_margin(differences: Differences, n: float | None = None) -> float:
    """Give the smallest margin that an unchanged candidate would clear with a chance of 80%.

    Args:
        differences: how much cases move between two runs; which side won is left out of account.
        n: units of the suite to be judged, if not as many as these.

    Worked out for the sample in which the candidate does as badly as an unchanged one does once in five.
    """
    n = differences.n if n is None else n
    if n < MIN_UNITS:
        return 1.0
    unlucky = _unlucky(differences, n)
    quantile = t_quantile(1 - ERROR_RATE, round(n) - 1)
    low, high = 0.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if evidence(unlucky, -middle) > quantile else (middle, high)
    if not any(value > 0 and count >= 1 for value, count in unlucky.counts):
        high = max(high, 1 - ERROR_RATE ** (1 / n))
    return high


def _unlucky(differences: Differences, n: float) -> Differences:
    """Give the differences of an unchanged candidate in n units, tilted to the worse end of what luck does."""
    scale = n / (2 * differences.n)
    even: dict[float, float] = {}
    for value, count in differences.counts:
        even[value] = even.get(value, 0.0) + count * scale
        even[-value] = even.get(-value, 0.0) + count * scale
    variance = sum(value * value * count for value, count in even.items()) / n
    if variance == 0:
        return Differences(counts=((0.0, n),))
    tilt = -NormalDist().inv_cdf(POWER) / sqrt(variance * n)
    moved = {value: count * max(0.0, 1 + tilt * value) for value, count in even.items() if value}
    return Differences(counts=(*moved.items(), (0.0, max(0.0, n - sum(moved.values())))))


def units_needed(differences: Differences, margin: float) -> int | None:
    """Give how many units would pass an unchanged candidate at this margin with a chance of 80%.

    None where 100,000 would not.
    """
    low, high = MIN_UNITS, _MAX_CASES
    if smallest_margin(differences, high) > margin:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if smallest_margin(differences, middle) <= margin else (middle + 1, high)
    return max(low, silence_floor(margin))
