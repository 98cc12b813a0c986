"""The gate's error rates by simulation: prints the tables of docs/gate.md. about six minutes.

    python benchmarks/gate_errors.py [PAIRS]

Worlds, each with the true change spread over its cases:
  usual    cases nearly always right or wrong, 80% right; 8% of cases are others for the candidate
  decided  nine cases in ten always right or always wrong, the tenth a coin
  one-way  nothing moves but the cases that are lost for certain
"""

import random
import sys
from collections.abc import Callable, Sequence
from math import exp

from pytest_llmbench.gate.early import LevelAt, holm
from pytest_llmbench.gate.latency import ASSUMED_RUN_NOISE, Ratio, RunNoise, interval_of
from pytest_llmbench.gate.latency_verdict import ratio_verdict
from pytest_llmbench.gate.rule import Verdict, claims_of, rule, same_at_both_ends
from pytest_llmbench.gate.score_test import count_differences

SIZES = (20, 100, 500, 2000)
CHANGES = (0, -2, -5, -10)
_RATE = 0.8  # right
_POOL = 20_000
_LOST = 0.05  # samples without an answer
_SEEDED = random.Random(0)
_CHANCES = [_SEEDED.betavariate(_RATE, 1 - _RATE) for _ in range(_POOL)]  # of being right, a case each

World = Callable[[random.Random, int, int, float], list[float]]


def usual(noise: random.Random, n: int, samples: int, drop: float) -> list[float]:
    """Draw the differences of two models, each with its own chance of being right on a case."""
    return [_answers(noise, *_usual_chances(noise, drop), samples) for _ in range(n)]


def _usual_chances(noise: random.Random, drop: float) -> tuple[float, float]:
    chance = noise.choice(_CHANCES)
    other = noise.choice(_CHANCES) if noise.random() < 0.08 else chance
    return chance, other * (1 - drop / _RATE)


def decided(noise: random.Random, n: int, samples: int, drop: float) -> list[float]:
    """Draw differences where most cases are decided; the loss falls on those that are right."""
    found = []
    for _ in range(n):
        kind = noise.random()
        chance = 0.5 if kind < 0.1 else 1.0 if kind < 0.85 else 0.0
        found.append(_answers(noise, chance, chance * (1 - drop / 0.8), samples))
    return found


def one_way(noise: random.Random, n: int, samples: int, drop: float) -> list[float]:
    """Draw differences that only ever are total losses."""
    del samples
    return [-1.0 if noise.random() < drop else 0.0 for _ in range(n)]


def _answers(noise: random.Random, old: float, new: float, samples: int) -> float:
    draw = noise.random
    return sum((draw() < new) - (draw() < old) for _ in range(samples)) / samples


def percentages(verdicts: Sequence[Verdict]) -> tuple[float, float, float]:
    """Give the percentages of worse, of passed, and of undecided."""
    worse = sum(verdict is Verdict.WORSE for verdict in verdicts)
    passed = sum(verdict in (Verdict.BETTER, Verdict.NO_WORSE) for verdict in verdicts)
    return tuple(100 * count / len(verdicts) for count in (worse, passed, len(verdicts) - worse - passed))  # type: ignore[return-value]


def cell_pairs(n: int, pairs: int) -> int:
    """Give how many pairs a cell gets: more where a pair is cheap."""
    return pairs * 4 if n <= 500 else pairs // 2


def simulate(world: World, n: int, samples: int, drop: float, pairs: int) -> tuple[float, float, float]:
    """Judge so many pairs of runs."""
    noise = random.Random(f"{world.__name__} {n} {samples} {drop}")
    return percentages([rule(world(noise, n, samples, drop)) for _ in range(cell_pairs(n, pairs))])


def simulate_lost(n: int, samples: int, drop: float, pairs: int) -> tuple[float, float, float]:
    """Judge pairs in which samples are lost at random: the verdict must hold with them all wrong and all right."""
    noise = random.Random(f"lost {n} {samples} {drop}")
    verdicts = []
    for _ in range(cell_pairs(n, pairs)):
        low, high = [], []
        for value in usual(noise, n, samples, drop):
            lost = sum(noise.random() < _LOST for _ in range(2 * samples)) / samples
            low.append(max(-1.0, value - lost))
            high.append(min(1.0, value + lost))
        verdicts.append(same_at_both_ends(rule(low), rule(high)))
    return percentages(verdicts)


def simulate_suites(n: int, pairs: int) -> float:
    """Give the percentage of runs of five unchanged suites in which any of them alarms."""
    noise = random.Random(f"suites {n}")
    alarms = 0
    for _ in range(pairs):
        claims = [claims_of(count_differences(usual(noise, n, 1, 0.0)), 0.05) for _ in range(5)]
        taken = holm([(claim.alarm, LevelAt()) for claim in claims])
        alarms += any(c.verdict(is_alarmed=t) is Verdict.WORSE for c, t in zip(claims, taken, strict=True))
    return 100 * alarms / pairs


def simulate_latency(n: int, factor: float, pairs: int) -> tuple[float, float, float]:
    """Judge pairs of runs with 25% noise a call and 5% a run, at a margin of 1.25."""
    noise = random.Random(f"latency {n} {factor}")
    allowance = RunNoise(log_sd=ASSUMED_RUN_NOISE)
    verdicts = []
    for _ in range(cell_pairs(n, pairs)):
        weather = noise.gauss(0, 0.05) - noise.gauss(0, 0.05)
        logs = [weather + noise.gauss(0, 0.25) - noise.gauss(0, 0.25) for _ in range(n)]
        ends = interval_of(logs, allowance)
        interval = None if ends is None else (factor * exp(ends[0]), factor * exp(ends[1]))
        verdicts.append(ratio_verdict(Ratio(median=factor, interval=interval, cases=n), 1.25))
    return percentages(verdicts)


def main() -> None:
    """Print all tables."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    _score_table(pairs)
    _worst_table(pairs)
    _latency_table(pairs)


def _score_table(pairs: int) -> None:
    print(
        f"Percent worse / passed / undecided in the usual world; {4 * pairs} pairs a cell, "
        f"{pairs // 2} for 2,000 cases:\n"
    )
    _row("cases", "samples", *(f"true {change:+d}" if change else "unchanged" for change in CHANGES))
    _rule(2 + len(CHANGES))
    for n in SIZES:
        for samples in (1, 4):
            cells = (simulate(usual, n, samples, -change / 100, pairs) for change in CHANGES)
            _row(str(n), str(samples), *("/".join(f"{value:.0f}" for value in cell) for cell in cells))


def _worst_table(pairs: int) -> None:
    print("\nPercent of unchanged called worse ; of true -5 passed:\n")
    _row("world", "samples", *(f"N={n}" for n in SIZES))
    _rule(2 + len(SIZES))
    rows: list[tuple[str, int, Callable[[int, int, float, int], tuple[float, float, float]]]] = [
        (world.__name__.replace("_", "-"), samples, lambda n, k, d, p, world=world: simulate(world, n, k, d, p))  # type: ignore[misc]
        for world in (usual, decided, one_way)
        for samples in ((1,) if world is one_way else (1, 4))
    ]
    rows += [("5% of samples lost", samples, simulate_lost) for samples in (1, 4)]
    for name, samples, judged in rows:
        cells = []
        for n in SIZES:
            cells.append(f"{judged(n, samples, 0.0, pairs)[0]:.1f} ; {judged(n, samples, 0.05, pairs)[1]:.1f}")
        _row(name, str(samples), *cells)
    alarms = (f"{simulate_suites(n, pairs // 4):.1f}" for n in SIZES)
    _row("five suites, any alarm", "1", *alarms)


def _latency_table(pairs: int) -> None:
    print("\nLatency, percent worse / passed / undecided at a margin of 1.25, 5% noise between runs:\n")
    factors = (1.0, 1.1, 1.25, 1.5)
    _row("cases", *(f"x{factor:g}" for factor in factors))
    _rule(1 + len(factors))
    for n in (20, 100, 500):
        cells = (simulate_latency(n, factor, pairs) for factor in factors)
        _row(str(n), *("/".join(f"{value:.1f}" for value in cell) for cell in cells))


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |")


def _rule(columns: int) -> None:
    print("|" + "---|" * columns)


if __name__ == "__main__":
    main()
