"""The numbers behind the gate: worked examples, laws, and error rates counted exactly."""

from math import comb, exp, lgamma, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmbench.gate.early import LevelAt, holm
from pytest_llmbench.gate.rule import Verdict, claims_of, overall, rule, same_at_both_ends
from pytest_llmbench.gate.score_test import (
    Differences,
    count_differences,
    evidence,
    interval,
    silence_floor,
    smallest_margin,
    units_needed,
)
from pytest_llmbench.stats import median_interval, t_quantile

SCORES = st.sampled_from([-1.0, -0.75, -0.5, -1 / 3, -0.25, 0.0, 0.25, 1 / 3, 0.5, 0.75, 1.0])
DIFFERENCES = st.lists(SCORES, min_size=3, max_size=80)
PASSING = (Verdict.BETTER, Verdict.NO_WORSE)


def moved(won: int, lost: int, n: int) -> Differences:
    counts = ((-1.0, lost), (0.0, n - won - lost), (1.0, won))
    return Differences(counts=tuple((value, count) for value, count in counts if count))


@pytest.mark.parametrize(
    ("share", "degrees", "expected"),
    [
        (0.95, 10, 1.8125),
        (0.95, 19, 1.7291),
        (0.95, 99, 1.6604),
        (0.975, 30, 2.0423),
        (0.99, 20, 2.5280),
        (0.95, 9999, 1.6450),
    ],
)
def test_the_t_quantile_agrees_with_the_published_table(share: float, degrees: int, expected: float) -> None:
    """Quantiles of the t distribution agree with the tables to a thousandth from 10 degrees on."""
    assert t_quantile(share, degrees) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(
    ("won", "lost", "n", "low", "high"),
    [
        (36, 39, 500, -3.5, 2.3),
        (1, 2, 20, -24, 13),
        (0, 0, 100, -2.7, 2.7),
        (0, 0, 20, -13, 13),
        (500, 0, 500, 98.9, 100),
    ],
)
def test_the_interval_of_worked_examples(won: int, lost: int, n: int, low: float, high: float) -> None:
    """The interval for cases won and lost is Tango's, with t for z; nothing moved still leaves room."""
    found = interval(moved(won, lost, n))

    assert [100 * end for end in found] == pytest.approx([low, high], abs=0.6 if n == 20 else 0.06)


def test_for_cases_won_and_lost_the_statistic_is_tango_s() -> None:
    """Against the variance of Tango (1998) at the likeliest shares under the null, found by search, the statistic agrees to six digits."""
    for won, lost, n, null in [
        (36, 39, 500, -0.05),
        (3, 9, 60, -0.2),
        (0, 0, 80, -0.05),
        (0, 2, 120, -0.05),
        (9, 1, 40, 0.0),
    ]:
        variance = n * (2 * _likeliest_loss(won, lost, n, null) + null * (1 - null))
        expected = (won - lost - n * null) / variance**0.5

        assert evidence(moved(won, lost, n), null) == pytest.approx(expected, rel=1e-6)


def _likeliest_loss(won: int, lost: int, n: int, null: float) -> float:
    """Maximise the trinomial likelihood with won - lost = null by ternary search over the share lost."""
    low, high = max(0.0, -null), (1 - null) / 2

    def likelihood(share: float) -> float:
        terms = ((won, share + null), (lost, share), (n - won - lost, 1 - 2 * share - null))
        return sum(count * log(max(p, 1e-300)) for count, p in terms if count)

    for _ in range(300):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        low, high = (first, high) if likelihood(first) < likelihood(second) else (low, second)
    return (low + high) / 2


@given(DIFFERENCES)
@settings(max_examples=60, deadline=None)
def test_swapping_the_runs_mirrors_the_interval(differences: list[float]) -> None:
    """The interval of baseline against candidate is the mirror of candidate against baseline."""
    low, high = interval(count_differences(differences))

    assert interval(count_differences([-value for value in differences])) == pytest.approx((-high, -low), abs=1e-6)


@given(DIFFERENCES)
@settings(max_examples=60, deadline=None)
def test_the_interval_holds_the_mean_and_stays_in_bounds(differences: list[float]) -> None:
    """The interval lies in -1..1 and the mean lies in it."""
    low, high = interval(count_differences(differences))

    assert -1 <= low <= sum(differences) / len(differences) + 1e-6
    assert sum(differences) / len(differences) - 1e-6 <= high <= 1


@given(DIFFERENCES)
@settings(max_examples=100, deadline=None)
def test_a_tied_case_more_never_turns_worse_into_better(differences: list[float]) -> None:
    """Adding a case that did not move never makes a worse candidate better, nor a better one worse."""
    before, after = rule(differences), rule([*differences, 0.0])

    assert (before, after) not in ((Verdict.WORSE, Verdict.BETTER), (Verdict.BETTER, Verdict.WORSE))


@given(DIFFERENCES, st.floats(0.01, 0.4), st.floats(0.01, 0.4))
@settings(max_examples=150, deadline=None)
def test_what_passes_at_a_margin_passes_at_a_wider_one(differences: list[float], one: float, other: float) -> None:
    """The verdict is monotone in the margin."""
    narrow, wide = sorted((one, other))

    assert rule(differences, narrow) not in PASSING or rule(differences, wide) in PASSING


@given(DIFFERENCES)
@settings(max_examples=100, deadline=None)
def test_the_verdict_agrees_with_the_printed_interval(differences: list[float]) -> None:
    """Better means that the interval lies above 0, worse that it lies below."""
    low, high = interval(count_differences(differences))
    verdict = rule(differences)

    assert verdict is not Verdict.BETTER or low > -1e-6
    assert verdict is not Verdict.WORSE or high < 1e-6


@pytest.mark.parametrize(("margin", "cases"), [(0.05, 59), (0.10, 29), (0.02, 149), (0.5, 5)])
def test_a_loss_in_silence_needs_so_many_cases_to_rule_out(margin: float, cases: int) -> None:
    """(1 - margin)^n falls under 5% at the floor and not before."""
    assert silence_floor(margin) == cases
    assert (1 - margin) ** cases <= 0.05 < (1 - margin) ** (cases - 1)


def test_below_the_floor_a_suite_in_which_nothing_moved_does_not_pass() -> None:
    """58 tied cases are too few at 5 points, 59 pass, and so do 58 of which one was won among the tied."""
    assert rule([0.0] * 58) is Verdict.TOO_FEW_CASES
    assert rule([0.0] * 59) is Verdict.NO_WORSE
    assert rule([1.0] + [0.0] * 57) is Verdict.NO_WORSE


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([], Verdict.TOO_FEW_CASES),
        ([-1.0], Verdict.TOO_FEW_CASES),
        ([-1.0, -1.0], Verdict.TOO_FEW_CASES),
        ([-1.0] * 5, Verdict.WORSE),
        ([1.0] * 5, Verdict.BETTER),
        ([0.0] * 500, Verdict.NO_WORSE),
        ([1.0] * 36 + [-1.0] * 39 + [0.0] * 425, Verdict.NO_WORSE),
        ([1.0] + [-1.0] * 2 + [0.0] * 17, Verdict.TOO_FEW_CASES),
        ([-1.0] * 60 + [0.0] * 440, Verdict.WORSE),
        ([0.25] * 100, Verdict.BETTER),
        ([-0.02] * 500, Verdict.NO_WORSE),
    ],
)
def test_verdicts_of_worked_examples(differences: list[float], verdict: Verdict) -> None:
    """The rule on hand-made samples: one case, all equal, all lost, a real drop inside the margin."""
    assert rule(differences) is verdict


@pytest.mark.parametrize("n", [20, 46, 59, 76, 88])
def test_the_error_rates_counted_exactly(n: int) -> None:
    """With one answer a case no world passes a 5-point drop over 6.5% or calls an equal model worse over 5.5%."""
    kept, worse = [], []
    for won in range(n + 1):
        for lost in range(n + 1 - won):
            claims = claims_of(moved(won, lost, n), 0.05)
            if claims.is_up or claims.is_kept:
                kept.append((won, lost))
            elif claims.is_down:
                worse.append((won, lost))

    passed = max(_chance(kept, n, won / 100, won / 100 + 0.05) for won in range(0, 46, 5))
    alarmed = max(_chance(worse, n, moving / 100, moving / 100) for moving in range(1, 50, 6))

    assert passed <= 0.065
    assert alarmed <= 0.055


def _chance(outcomes: list[tuple[int, int]], n: int, won_share: float, lost_share: float) -> float:
    """Give the chance that (won, lost) is one of the outcomes."""
    tied_share = 1 - won_share - lost_share
    total = 0.0
    for won, lost in outcomes:
        terms = ((won, won_share), (lost, lost_share), (n - won - lost, tied_share))
        if all(share > 0 or not count for count, share in terms):
            ways = lgamma(n + 1) - sum(lgamma(count + 1) for count, _ in terms)
            total += exp(ways + sum(count * log(share) for count, share in terms if count))
    return total


@pytest.mark.parametrize(("n", "points"), [(20, 27), (50, 16), (100, 11), (300, 6)])
def test_the_smallest_margin_where_18_of_100_cases_move(n: int, points: int) -> None:
    """20 cases can clear 27 points, 300 can clear 6: the table of simulated margins, to a point."""
    assert 100 * smallest_margin(moved(9, 9, 100), n) == pytest.approx(points, abs=0.6)


@pytest.mark.parametrize("n", [30, 100])
def test_the_smallest_margin_is_cleared_four_times_in_five(n: int) -> None:
    """Counted exactly, an unchanged model that moves 18% of cases clears the smallest margin about 80% of the time."""
    margin = smallest_margin(moved(9, 9, 100), n)
    kept = [
        (won, lost)
        for won in range(n + 1)
        for lost in range(n + 1 - won)
        if (claims := claims_of(moved(won, lost, n), margin)).is_up or claims.is_kept
    ]

    assert 0.72 < _chance(kept, n, 0.09, 0.09) < 0.88


def test_cases_needed_is_where_the_smallest_margin_meets_the_margin() -> None:
    """The number of cases that would settle a suite is the first whose smallest margin is small enough."""
    needed = units_needed(moved(1, 2, 20), 0.05)

    assert needed is not None
    assert smallest_margin(moved(1, 2, 20), needed) <= 0.05 < smallest_margin(moved(1, 2, 20), needed - 1)


def test_cases_needed_is_at_least_the_floor_and_none_where_it_is_out_of_reach() -> None:
    """Where nothing moves 59 cases do; a margin of a hundredth of a point is out of reach where half the cases move."""
    assert units_needed(moved(0, 0, 20), 0.05) == 59
    assert units_needed(moved(25, 25, 100), 0.0001) is None


def test_holm_takes_what_plain_alarms_would_and_no_more() -> None:
    """Among three suites an alarm needs 1 in 60 at first; once one is taken the next needs 1 in 40."""

    def taken(*t: float) -> tuple[bool, ...]:
        return holm([((one, 99), LevelAt()) for one in t])

    assert taken(1.8, 0.0, 0.0) == (False, False, False)
    assert taken(2.3, 0.0, 0.0) == (True, False, False)
    assert taken(2.3, 2.05, 0.0) == (True, True, False)
    assert taken() == ()


@pytest.mark.parametrize("n", [5, 8, 20, 99])
def test_the_interval_of_a_median_has_the_coverage_of_the_binomial(n: int) -> None:
    """The chance that the median of any distribution lies outside is at most a tenth, and the next narrower has more."""
    found = median_interval(range(n), 0.90)

    assert found is not None
    rank = int(found[0])
    assert 2 * sum(comb(n, heads) for heads in range(rank + 1)) / 2**n <= 0.1
    assert 2 * sum(comb(n, heads) for heads in range(rank + 2)) / 2**n > 0.1


def test_four_values_have_no_interval_of_the_median_and_many_agree_with_the_exact_rank() -> None:
    """With four values even their whole range is no 90% interval; above 1,000 the rank goes on smoothly."""
    assert median_interval([1.0, 2.0, 3.0, 4.0], 0.90) is None
    exact, approximate = median_interval(range(1000), 0.90), median_interval(range(1001), 0.90)
    assert exact is not None
    assert approximate is not None
    assert abs(exact[0] - approximate[0]) <= 1


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.BETTER, Verdict.BETTER], Verdict.BETTER),
        ([Verdict.BETTER, Verdict.NO_WORSE], Verdict.NO_WORSE),
        ([Verdict.NO_WORSE, Verdict.TOO_FEW_CASES], Verdict.TOO_FEW_CASES),
        ([Verdict.INCONCLUSIVE, Verdict.TOO_FEW_CASES], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.WORSE], Verdict.WORSE),
        ([], Verdict.INCONCLUSIVE),
    ],
)
def test_the_gravest_verdict_counts(verdicts: list[Verdict], expected: Verdict) -> None:
    """Worse if any suite is, no worse if all are, better only if all are."""
    assert overall(verdicts) is expected


def test_a_verdict_must_hold_at_both_ends() -> None:
    """Where the unknown samples decide it is inconclusive; what is better at one end and no worse at the other is no worse."""
    assert same_at_both_ends(Verdict.WORSE, Verdict.WORSE) is Verdict.WORSE
    assert same_at_both_ends(Verdict.TOO_FEW_CASES, Verdict.NO_WORSE) is Verdict.INCONCLUSIVE
    assert same_at_both_ends(Verdict.WORSE, Verdict.TOO_FEW_CASES) is Verdict.INCONCLUSIVE
    assert same_at_both_ends(Verdict.NO_WORSE, Verdict.BETTER) is Verdict.NO_WORSE
