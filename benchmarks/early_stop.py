"""What a planned early stop asks and decides, counted exactly: prints the tables of docs/gate.md.  About a minute.

    python benchmarks/early_stop.py [CASES ...]

One sample a case, margin 5.  The world: models that are right on 80% of the cases; 18% of them come out differently
for two equally good models, more where one is better.  The state is how many cases were won and lost by a look.
"""

import sys
from collections.abc import Callable
from functools import cache
from math import lgamma, log, sqrt

import numpy
from numpy.typing import NDArray

from pytest_llmbench.gate.early import StopMode, is_hopeless, levels_at, looks_of
from pytest_llmbench.gate.rule import Claims, claims_of
from pytest_llmbench.gate.score_test import Differences

MARGIN = 0.05
SIZES = (100, 200, 500, 2000)
CHANGES = (0, -2, -5, -10, -20, 5)
Table = NDArray[numpy.float64]


def differences(won: int, lost: int, n: int) -> Differences:
    """Count the differences of n cases."""
    counts = ((-1.0, lost), (0.0, n - won - lost), (1.0, won))
    return Differences(counts=tuple((value, count) for value, count in counts if count))


# -- the world


@cache
def moved(change: float, rate: float = 0.8, spread: float = 3.0, alike: float = 0.9) -> tuple[float, float]:
    """Give the chances that a case is won and lost, one sample each, at a change of the score in points.

    The log odds of a case are normal, with this spread and this correlation between the two models.
    """
    wide, narrow = numpy.linspace(-7, 7, 2801), numpy.linspace(-6, 6, 601)
    weights, inner = (numpy.exp(-points * points / 2) for points in (wide, narrow))
    weights, inner = weights / weights.sum(), inner / inner.sum()

    def chance(log_odds: Table) -> Table:
        return 1 / (1 + numpy.exp(-numpy.clip(log_odds, -60, 60)))

    def middle(wanted: float) -> float:
        low, high = -80.0, 80.0
        for _ in range(80):
            centre = (low + high) / 2
            is_low = float((chance(centre + spread * wide) * weights).sum()) < wanted
            low, high = (centre, high) if is_low else (low, centre)
        return low

    own = chance(middle(rate) + spread * wide)
    new = middle(min(rate + change / 100, 0.999))
    rest = sqrt(1 - alike * alike)
    other = numpy.array([float((chance(new + spread * (alike * z + rest * narrow)) * inner).sum()) for z in wide])
    return float((weights * (1 - own) * other).sum()), float((weights * own * (1 - other)).sum())


# -- the plan


def multinomial(n: int, won: float, lost: float, shape: tuple[int, int]) -> Table:
    """Give the chances of so many won (rows) and lost (columns) among n more cases."""
    found = numpy.zeros(shape)
    for w in range(min(n + 1, shape[0])):
        for lost_cases in range(min(n - w + 1, shape[1])):
            if (w and won <= 0) or (lost_cases and lost <= 0):
                continue
            chance = lgamma(n + 1) - lgamma(w + 1) - lgamma(lost_cases + 1) - lgamma(n - w - lost_cases + 1)
            chance += w * log(won or 1) + lost_cases * log(lost or 1) + (n - w - lost_cases) * log(1 - won - lost)
            found[w, lost_cases] = numpy.exp(chance)
    return found


def most_seen(n: int, share: float) -> int:
    """Give how many of n cases are at most met, but for a chance that no table shows."""
    return min(n, int(n * share + 7 * sqrt(n * share * (1 - share)) + 8)) + 1


class Plan:
    """The looks of a suite, and where its claims begin."""

    def __init__(self, units: int, mode: StopMode):
        self.looks = looks_of(units)
        self.mode = mode
        self._known: dict[tuple[int, int, int], Claims] = {}
        self._first: dict[tuple[int, int, bool], int] = {}

    def claims(self, place: int, won: int, lost: int) -> Claims:
        """Give the claims at a look."""
        key = (place, won, lost)
        if key not in self._known:
            levels = levels_at(self.looks, place, self.mode, 0.05)
            self._known[key] = claims_of(differences(won, lost, self.looks[place]), MARGIN, levels)
        return self._known[key]

    def _border(self, place: int, lost: int, most: int, *, passes: bool) -> int:
        """Give the fewest cases won, of at most so many, with which a look passes, or shows no loss."""

        def holds(won: int) -> bool:
            found = self.claims(place, won, lost)
            return found.is_up or found.is_kept if passes else not found.is_down

        low, high = 0, most
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle + 1, high)
        return low

    def walk(self, won: float, lost: float, at_look: Callable[[int, Table], None]) -> None:
        """Go from look to look; `at_look` takes what stops out of the table of chances."""
        shape = (most_seen(self.looks[-1], won), most_seen(self.looks[-1], lost))
        state, before = numpy.ones((1, 1)), 0
        for place, look in enumerate(self.looks):
            more = multinomial(look - before, won, lost, shape)
            size = (shape[0] + state.shape[0], shape[1] + state.shape[1])
            spectrum = numpy.fft.rfft2(state, size) * numpy.fft.rfft2(more, size)
            state = numpy.maximum(numpy.fft.irfft2(spectrum, size), 0)[: shape[0], : shape[1]]
            at_look(place, state)
            before = look

    def borders(self, place: int, state: Table, *, passes: bool) -> list[tuple[int, int, int]]:
        """Give for each number of cases lost: it, the border, and how many cases may be won."""
        found = []
        for lost in range(min(state.shape[1], self.looks[place] + 1)):
            room = min(state.shape[0], self.looks[place] - lost + 1)
            found.append((lost, self._border(place, lost, room, passes=passes), room))
        return found

    def wrong(self, won: float, lost: float, *, passes: bool) -> float:
        """Count the chance that a claim is made at any look, whatever else would stop: a pass, or a loss."""
        total = 0.0

        def at_look(place: int, state: Table) -> None:
            nonlocal total
            for column, border, room in self.borders(place, state, passes=passes):
                rows = slice(border, room) if passes else slice(0, border)
                total += float(state[rows, column].sum())
                state[rows, column] = 0

        self.walk(won, lost, at_look)
        return total

    def outcome(self, won: float, lost: float) -> tuple[float, float, float]:
        """Count the chances of `worse` and of a pass, and the share of the cases that is asked on average."""
        worse = passed = asked = 0.0

        def at_look(place: int, state: Table) -> None:
            nonlocal worse, passed, asked
            look, is_last = self.looks[place], place == len(self.looks) - 1
            before = float(state.sum())
            for column, border, room in self.borders(place, state, passes=True):
                passed += float(state[border:room, column].sum())
                state[border:room, column] = 0
            for column, border, _ in self.borders(place, state, passes=False):
                worse += float(state[:border, column].sum())
                state[:border, column] = 0
            if self.mode is StopMode.DECIDED and not is_last and look >= self.looks[-1] / 2:
                self._give_up(place, state)
            stopped = before if is_last else before - float(state.sum())
            asked += stopped * look / self.looks[-1]

        self.walk(won, lost, at_look)
        return worse, passed, asked

    def _give_up(self, place: int, state: Table) -> None:
        for row, column in zip(*numpy.nonzero(state > 1e-9), strict=True):
            if is_hopeless(differences(int(row), int(column), self.looks[place]), MARGIN, self.looks):
                state[row, column] = 0


def main() -> None:
    """Print the shares that are asked, and what is decided, for both modes."""
    sizes = tuple(map(int, sys.argv[1:])) or SIZES
    titles = ("mode", "cases", *(f"true {change:+d}" if change else "unchanged" for change in CHANGES))
    for what in ("asked", "worse / passed"):
        print(f"\nPercent {what}:\n\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
        for mode in (StopMode.LOSS, StopMode.DECIDED):
            for units in sizes:
                plan = _plan(units, mode)
                cells = [_outcome(plan, change) for change in CHANGES]
                shown = (
                    f"{100 * asked:.0f}" if what == "asked" else f"{100 * worse:.0f} / {100 * passed:.0f}"
                    for worse, passed, asked in cells
                )
                print(f"| `{mode}` | {units:,} | {' | '.join(shown)} |", flush=True)


@cache
def _plan(units: int, mode: StopMode) -> Plan:
    return Plan(units, mode)


@cache
def _outcome(plan: Plan, change: int) -> tuple[float, float, float]:
    return plan.outcome(*moved(change))


if __name__ == "__main__":
    main()
