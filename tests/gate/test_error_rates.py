"""How often the gate is wrong: counted exactly with one answer a case, simulated with fixed seeds with several.

Two errors matter: a model that is worse by the whole margin is passed, and an unchanged one is called worse.  Each may
happen in one run of twenty; what is asserted is 6.5% and 5.5% at most, for any suite, however its cases behave.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import comb, exp, lgamma, log, sqrt

import pytest

from pytest_llmbench.gate.early import LevelAt, holm
from pytest_llmbench.gate.latency import ASSUMED_RUN_NOISE, Ratio, RunNoise, interval_of
from pytest_llmbench.gate.latency_verdict import ratio_verdict
from pytest_llmbench.gate.rule import Claims, Verdict, claims_of, rule, same_at_both_ends
from pytest_llmbench.gate.score_test import Differences

MARGIN = 0.05
MOST_PASSED = 0.065
MOST_ALARMED = 0.055
SIZES = (20, 100, 500, 2000)
PASSING = (Verdict.BETTER, Verdict.NO_WORSE)

Law = Mapping[float, float]
"""The chance of each difference of a case, candidate minus baseline."""


def tolerance(pairs: int) -> float:
    """Give the standard error of a simulated rate of 5%: what luck may add to a bound that a seed did not choose."""
    return sqrt(0.05 * 0.95 / pairs)


# -- worlds: how the two models fare on the cases of a suite


_NOISE = random.Random(0)
_CHANCES = [_NOISE.betavariate(0.8, 0.2) for _ in range(1000)]  # of being right, a case each: mostly near 0 or 1
_RIGHT = sum(_CHANCES) / len(_CHANCES)


def usual(samples: int, drop: float) -> Law:
    """Cases mostly right or mostly wrong; the candidate finds 8% of them as hard as some other case."""
    kept = 1 - drop / _RIGHT
    same = _mixed([(chance, chance * kept) for chance in _CHANCES], samples)
    old, new = (_mean([_answers(samples, chance * part) for chance in _CHANCES]) for part in (1.0, kept))
    other = _difference(old, new)
    return {value: 0.92 * same[value] + 0.08 * other[value] for value in same}


def decided(samples: int, drop: float) -> Law:
    """Nine cases in ten always right or always wrong, the tenth a coin: what moves is rare."""
    kept = 1 - drop / 0.8
    chances = [1.0] * 15 + [0.5] * 2 + [0.0] * 3
    return _mixed([(chance, chance * kept) for chance in chances], samples)


def one_way(samples: int, drop: float) -> Law:
    """Nothing moves but the cases that are lost for certain."""
    del samples
    return {-1.0: drop, 0.0: 1 - drop, 1.0: 0.0}


World = Callable[[int, float], Law]
WORLDS: tuple[World, ...] = (usual, decided, one_way)


def _answers(samples: int, chance: float) -> list[float]:
    """Give the chances of 0, 1, ... right answers of so many."""
    return [comb(samples, right) * chance**right * (1 - chance) ** (samples - right) for right in range(samples + 1)]


def _difference(old: Sequence[float], new: Sequence[float]) -> Law:
    samples = len(old) - 1
    found: dict[float, float] = defaultdict(float)
    for before, p in enumerate(old):
        for after, q in enumerate(new):
            found[(after - before) / samples] += p * q
    return found


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _mixed(chances: Sequence[tuple[float, float]], samples: int) -> Law:
    found: dict[float, float] = defaultdict(float)
    for (old, new), count in Counter(chances).items():
        for value, p in _difference(_answers(samples, old), _answers(samples, new)).items():
            found[value] += p * count / len(chances)
    return found


# -- one answer a case: counted


@cache
def claims(won: int, lost: int, n: int) -> Claims:
    counts = ((-1.0, lost), (0.0, n - won - lost), (1.0, won))
    return claims_of(Differences(counts=tuple((value, count) for value, count in counts if count)), MARGIN)


def verdict(won: int, lost: int, n: int) -> Verdict:
    found = claims(won, lost, n)
    return found.verdict(is_alarmed=found.is_down)


@cache
def borders(moved: int, n: int) -> tuple[int, int]:
    """Give how many of the cases that moved must be won to pass, and below how many the candidate is worse."""
    passes = _first(moved, lambda won: verdict(won, moved - won, n) in PASSING)
    not_worse = _first(moved, lambda won: verdict(won, moved - won, n) is not Verdict.WORSE)
    return passes, not_worse


def _first(moved: int, holds: Callable[[int], bool]) -> int:
    """Give the first count in 0..moved from which on something holds, moved + 1 if nowhere."""
    low, high = 0, moved + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def counted(law: Law, n: int) -> tuple[float, float]:
    """Give the chances of being passed and of being called worse in a suite of n cases, one answer each."""
    won, lost = law[1.0], law[-1.0]
    moving = won + lost
    if moving == 0:
        return float(verdict(0, 0, n) in PASSING), 0.0
    spread = 6 * sqrt(n * moving) + 6
    passed = worse = 0.0
    for moved in range(max(0, int(n * moving - spread)), min(n, int(n * moving + spread)) + 1):
        weight = _binomial(n, moved, moving)
        passes, not_worse = borders(moved, n)
        for wins in range(moved + 1):
            chance = weight * _binomial(moved, wins, won / moving)
            passed += chance * (wins >= passes)
            worse += chance * (wins < not_worse)
    return passed, worse


def _binomial(n: int, k: int, p: float) -> float:
    if p in (0.0, 1.0):
        return float(k == n * p)
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log(1 - p))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.slow
def test_error_rates_with_one_answer_a_case(world: World, n: int) -> None:
    """At a drop of the whole margin at most 6.5% pass, unchanged at most 5.5% are called worse; a larger drop passes less."""
    rates = [counted(world(1, drop), n) for drop in (0.0, 0.02, 0.05, 0.10)]

    passed, worse = zip(*rates, strict=True)
    assert passed[2] <= MOST_PASSED
    assert worse[0] <= MOST_ALARMED
    assert list(passed) == sorted(passed, reverse=True)
    assert list(worse) == sorted(worse)


@pytest.mark.parametrize(("world", "n", "passed", "worse"), [(usual, 100, 0.31, 0.05), (usual, 500, 0.83, 0.05)])
def test_what_an_unchanged_model_may_hope_for(world: World, n: int, passed: float, worse: float) -> None:
    """With 100 cases it passes in a third of runs, with 500 in five of six: the documents say so."""
    assert counted(world(1, 0.0), n) == pytest.approx((passed, worse), abs=0.02)


def test_the_borders_are_those_of_every_outcome() -> None:
    """In a suite of 40 the verdict of each (won, lost) is what the two borders of its sum say."""
    for moved in range(41):
        passes, not_worse = borders(moved, 40)
        for won in range(moved + 1):
            found = verdict(won, moved - won, 40)
            assert (found in PASSING) == (won >= passes)
            assert (found is Verdict.WORSE) == (won < not_worse)


# -- four answers a case, lost answers, several suites, latency: simulated


def draw(noise: random.Random, law: Law, n: int) -> Differences:
    counts = Counter(noise.choices(list(law), list(law.values()), k=n))
    return Differences(counts=tuple(sorted(counts.items())))


def share(verdicts: Sequence[Verdict], *wanted: Verdict) -> float:
    return sum(found in wanted for found in verdicts) / len(verdicts)


@pytest.mark.parametrize("world", [usual, decided])
@pytest.mark.parametrize(("n", "pairs"), [(20, 3000), (100, 3000), (500, 1500), (2000, 800)])
@pytest.mark.slow
def test_error_rates_with_four_answers_a_case(world: World, n: int, pairs: int) -> None:
    """The bounds hold for means of four answers, within a standard error; a drop of twice the margin hardly ever passes."""
    noise = random.Random(f"{world.__name__} {n}")

    def verdicts(drop: float, count: int) -> list[Verdict]:
        law = world(4, drop)
        made = (claims_of(draw(noise, law, n), MARGIN) for _ in range(count))
        return [found.verdict(is_alarmed=found.is_down) for found in made]

    assert share(verdicts(0.05, pairs), *PASSING) <= MOST_PASSED + tolerance(pairs)
    assert share(verdicts(0.0, pairs), Verdict.WORSE) <= MOST_ALARMED + tolerance(pairs)
    assert share(verdicts(0.10, pairs // 10), *PASSING) <= 0.01


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize(("n", "pairs"), [(20, 800), (100, 500), (500, 200), (2000, 50)])
@pytest.mark.slow
def test_lost_answers_never_raise_the_error_rates(n: int, pairs: int, samples: int) -> None:
    """With 5% of answers lost at random on both sides the verdict must hold with them all wrong and all right."""
    noise = random.Random(f"lost {n} {samples}")
    lost = _answers(2 * samples, 0.05)  # how many of a case's answers

    def verdicts(drop: float) -> list[Verdict]:
        law = usual(samples, drop)
        values, weights = list(law), list(law.values())
        made = []
        for _ in range(pairs):
            seen = noise.choices(values, weights, k=n)
            unknown = [count / samples for count in noise.choices(range(2 * samples + 1), lost, k=n)]
            low = [max(-1.0, value - gone) for value, gone in zip(seen, unknown, strict=True)]
            high = [min(1.0, value + gone) for value, gone in zip(seen, unknown, strict=True)]
            made.append(same_at_both_ends(rule(low, MARGIN), rule(high, MARGIN)))
        return made

    assert share(verdicts(0.05), *PASSING) <= MOST_PASSED
    assert share(verdicts(0.0), Verdict.WORSE) <= MOST_ALARMED


@pytest.mark.slow
def test_several_suites_alarm_no_more_often_than_one() -> None:
    """Of five unchanged suites of 50 cases some suite alarms in at most 5.5% of runs, within a standard error."""
    noise, law, pairs = random.Random(5), usual(1, 0.0), 1500
    alarms = 0
    for _ in range(pairs):
        found = [claims_of(draw(noise, law, 50), MARGIN) for _ in range(5)]
        taken = holm([(one.alarm, LevelAt()) for one in found])
        alarms += any(one.verdict(is_alarmed=alarm) is Verdict.WORSE for one, alarm in zip(found, taken, strict=True))

    assert alarms / pairs <= MOST_ALARMED + tolerance(pairs)


def latency_verdicts(noise: random.Random, n: int, factor: float, pairs: int, runs: int = 0) -> list[Verdict]:
    """Judge pairs of runs at a margin of 1.25: 25% noise a call, 5% a run, which `runs` runs of the baseline measure."""
    made = []
    for _ in range(pairs):
        old, new = noise.gauss(0, 0.05), noise.gauss(0, 0.05)
        allowance = RunNoise(log_sd=ASSUMED_RUN_NOISE)
        if runs:
            seen = [old, *(noise.gauss(0, 0.05) for _ in range(runs - 1))]
            middle = sum(seen) / runs
            allowance = RunNoise(log_sd=sqrt(sum((one - middle) ** 2 for one in seen) / (runs - 1)), runs=runs)
        logs = [new - old + noise.gauss(0, 0.25 * sqrt(2)) for _ in range(n)]
        ends = interval_of(logs, allowance)
        interval = None if ends is None else (factor * exp(ends[0]), factor * exp(ends[1]))
        made.append(ratio_verdict(Ratio(median=factor, interval=interval, cases=n), 1.25))
    return made


@pytest.mark.parametrize(
    ("n", "pairs", "runs"), [(20, 3000, 0), (100, 2000, 0), (500, 800, 0), (2000, 250, 0), (100, 2000, 3)]
)
@pytest.mark.slow
def test_error_rates_of_latency_with_noise_between_runs(n: int, pairs: int, runs: int) -> None:
    """A model 1.25 times as slow hardly ever passes at that margin, one as fast is hardly ever called worse."""
    noise = random.Random(f"latency {n} {runs}")

    assert share(latency_verdicts(noise, n, 1.25, pairs, runs), *PASSING) <= MOST_PASSED + tolerance(pairs)
    assert share(latency_verdicts(noise, n, 1.0, pairs, runs), Verdict.WORSE) <= MOST_ALARMED + tolerance(pairs)
