"""The planned early stop: in which order cases are asked, when the gate looks, and what it may claim at a look.

Each of the three claims (better, no worse, worse) is tested at one-sided 5%, spent over at most ten looks by the
function of Hwang, Shih and DeCani (1990) with gamma -4; the level of a look is found by the recursion of Armitage,
McPherson and Rowe (1969).  The bounds need a random order, looks and levels that were fixed before the first request,
and no other look than those.  Time is the share of calls; true information runs ahead of it where samples or clusters
make the first calls more alike, which errs on the safe side.  docs/gate.md has the error rates.

Pure functions on the standard library.  Units are cases, or clusters of them; a call is one sample of one unit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha256
from math import ceil, exp, pi, sqrt
from statistics import NormalDist

from pytest_llmbench.gate.score_test import ERROR_RATE, Differences, Levels
from pytest_llmbench.stats import t_quantile

RULE = "hsd-4/10"
"""The rule's name in the JSON; another one when the same runs may stop at another look."""

SMALLEST_SUITE = 100
"""Units; a smaller suite has no look but the last, since ten of them would save 5% and cost 2 points of power."""

_TENTHS = 10
_GAMMA = -4.0
_FEWEST = 20  # units of a look
_HOPELESS = 0.05
_NORMAL = NormalDist()


class StopMode(StrEnum):
    """When a suite is decided before all its cases are asked."""

    LOSS = "loss"
    """Only when a loss is shown."""
    DECIDED = "decided"
    """When any verdict is shown, or none can be hoped for."""


def unit_order(units: Iterable[str], suite: str, baseline_digest: str) -> list[str]:
    """Give the order in which units are asked: another one with every baseline, and chosen by nobody."""
    return sorted(
        units, key=lambda unit: sha256(f"{baseline_digest}\0{suite}\0{unit}".encode("utf-8", "surrogatepass")).digest()
    )


def looks_of(units: int, samples: int = 1) -> tuple[int, ...]:
    """Give after how many calls a look is planned, the last one at the end; only that one below 100 units."""
    calls = units * samples
    if units < SMALLEST_SUITE:
        return (calls,)
    return tuple(n for n in tenths(calls) if n >= _FEWEST)


def tenths(calls: int) -> tuple[int, ...]:
    """Give the counts of calls that are a tenth more each, the last one all."""
    return tuple(dict.fromkeys(ceil(calls * i / _TENTHS) for i in range(1, _TENTHS + 1)))


def _spent(time: float, error_rate: float) -> float:
    """Give how much of an error rate may be used up at a share of the calls."""
    return error_rate * (1 - exp(-_GAMMA * time)) / (1 - exp(-_GAMMA))


def levels_of(looks: Sequence[int], error_rate: float = ERROR_RATE) -> tuple[float, ...]:
    """Give the one-sided level of each look, so that all together err with the error rate."""
    return _levels(tuple(look / looks[-1] for look in looks), error_rate)


@cache
def _levels(times: tuple[float, ...], error_rate: float) -> tuple[float, ...]:
    found: list[float] = []
    walk = _Walk()
    for time in times:
        used = 0.0 if walk.time == 0 else _spent(walk.time, error_rate)
        bound = walk.bound(time, _spent(time, error_rate) - used)
        found.append(1 - _NORMAL.cdf(bound / sqrt(time)))
        if time < 1:
            walk.go_on(time, bound)
    return tuple(found)


class _Walk:
    """Where a standard Brownian motion may be that has not crossed the bounds before; its density on a grid."""

    def __init__(self) -> None:
        self.time = 0.0
        self._points: list[float] = [0.0]
        self._weights: list[float] = [1.0]

    def bound(self, time: float, chance: float) -> float:
        """Give the bound at a later time that is crossed then, and not before, with this chance."""
        step = sqrt(time - self.time)
        known = tuple(zip(self._points, self._weights, strict=True))
        low, high = 0.0, 8 * sqrt(time)
        while high - low > 1e-9:
            middle = (low + high) / 2
            crossed = sum(weight * _NORMAL.cdf((x - middle) / step) for x, weight in known)
            low, high = (middle, high) if crossed > chance else (low, middle)
        return high

    def go_on(self, time: float, bound: float) -> None:
        """Go on to a later time, below the bound there."""
        step = sqrt(time - self.time)
        known = tuple(zip(self._points, self._weights, strict=True))
        grid = simpson(-7 * sqrt(time), bound)
        scale = 1 / (step * sqrt(2 * pi))
        self._points = [x for x, _ in grid]
        self._weights = [w * scale * sum(d * exp(-(((x - y) / step) ** 2) / 2) for y, d in known) for x, w in grid]
        self.time = time


def simpson(low: float, high: float, cells: int = 200) -> list[tuple[float, float]]:
    """Give the points and weights of Simpson's rule on an even number of cells."""
    h = (high - low) / cells
    return [(low + i * h, h / 3 * (1 if i in (0, cells) else 4 if i % 2 else 2)) for i in range(cells + 1)]


def levels_at(looks: Sequence[int], place: int, mode: StopMode, error_rate: float) -> Levels:
    """Give the levels of a look.

    Args:
        looks: of the suite.
        place: of the look among them.
        mode: a plan that stops at losses alone tests "no worse" once, at the end.
        error_rate: of a false alarm in this suite: 5% over the number of suites.
    """
    is_last = place == len(looks) - 1
    if mode is StopMode.DECIDED:
        kept: float | None = levels_of(looks)[place]
    else:
        kept = ERROR_RATE if is_last else None
    return Levels(kept=kept, loss=levels_of(looks, error_rate)[place], is_last=is_last)


def is_hopeless(differences: Differences, margin: float, looks: Sequence[int]) -> bool:
    """Return whether neither verdict has a chance of 5% any more; from half the units on, with one sample a unit.

    Passing is counted as if the truth were at least "unchanged", the alarm as if it were a loss of the margin or more.
    It binds nobody: to go on is allowed, and stopping here only lowers the error rates.
    """
    units, n = looks[-1], differences.n
    if n < units / 2 or n >= units:
        return False
    mean, left = differences.mean, units - n
    square = sum(value * value * count for value, count in differences.counts)
    variance = max((square + 1) / (n + 1) - mean * mean, 1e-9)
    total, spread = mean * n, sqrt(left * variance)
    room = t_quantile(1 - levels_of(looks)[-1], units - 1) * sqrt(variance * units)
    passing = _NORMAL.cdf((left * max(mean, 0.0) - (-margin * units + room - total)) / spread)
    alarming = _NORMAL.cdf((-room - total - left * min(mean, -margin)) / spread)
    return passing < _HOPELESS and alarming < _HOPELESS


def holm(stops: Sequence[tuple[tuple[float, int], "LevelAt"]]) -> tuple[bool, ...]:
    """Tell in which suites a loss counts as shown, so that all of them together err once in 1 / ERROR_RATE.

    Args:
        stops: the t statistic for a loss with its degrees of freedom, and the level of the look that the suite
            stopped at, for an error rate; the plain `LevelAt()` for one that was asked whole.

    In rounds: while k are left, those over the quantile of their level for ERROR_RATE / k are taken; the same set as
    Holm's (1979) ordered p values, without needing a p value. Which suite ended first makes no difference.
    Source: Maurer and Bretz (2013), on Holm's procedure with group-sequential plans.
    """
    taken = [False] * len(stops)
    while left := len(taken) - sum(taken):
        found = [
            place
            for place, ((t, degrees), level) in enumerate(stops)
            if not taken[place] and t > t_quantile(1 - level.of(ERROR_RATE / left), degrees)
        ]
        if not found:
            break
        for place in found:
            taken[place] = True
    return tuple(taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelAt:
    """The level of one look, by the error rate that all looks share."""

    looks: tuple[int, ...] = (1,)
    place: int = 0

    def of(self, error_rate: float) -> float:
        """Give the level."""
        return error_rate if len(self.looks) == 1 else levels_of(self.looks, error_rate)[self.place]
