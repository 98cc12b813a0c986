"""The numbers of the scoreboard, against published values and the laws they keep."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.stats import mean, quantile, wilson_interval

TIMES = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(passed: int, n: int, low: float, high: float) -> None:
    """The score intervals of Newcombe (1998), table I, method 3, to four digits."""
    interval = wilson_interval(passed / n, n)

    assert interval == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 2000), st.floats(0, 1))
def test_an_interval_holds_its_rate_and_lies_within_0_and_1(n: int, rate: float) -> None:
    """However few the cases, the rate lies in it, and it is no wider than all there is."""
    low, high = wilson_interval(rate, n)

    assert 0 <= low <= rate + 1e-12
    assert rate - 1e-12 <= high <= 1


@given(st.integers(1, 500), st.integers(0, 500))
def test_an_interval_is_that_of_the_complement_mirrored(n: int, passed: int) -> None:
    """Counting what failed instead of what passed gives the same interval, seen from the other end."""
    rate = min(passed, n) / n
    low, high = wilson_interval(rate, n)

    mirrored_low, mirrored_high = wilson_interval(1 - rate, n)

    assert (low, high) == pytest.approx((1 - mirrored_high, 1 - mirrored_low), abs=1e-12)


@given(st.integers(1, 500), st.floats(0.01, 0.99))
def test_more_cases_make_an_interval_narrower(n: int, rate: float) -> None:
    """Four times the cases at the same rate say more."""
    few = wilson_interval(rate, n)
    many = wilson_interval(rate, 4 * n)

    assert many[1] - many[0] < few[1] - few[0]


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([3.0], 0.95, 3.0),
        ([1.0, 2.0], 0.5, 1.5),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.5),
        ([4.0, 1.0, 3.0, 2.0], 0.0, 1.0),
        ([4.0, 1.0, 3.0, 2.0], 1.0, 4.0),
        ([0.0, 10.0, 20.0], 0.95, 19.0),
    ],
)
def test_a_quantile_lies_between_order_statistics(values: list[float], share: float, wanted: float) -> None:
    """Linear interpolation (type 7), whatever the order of the values."""
    assert quantile(values, share) == pytest.approx(wanted)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30), st.integers(1, 99))
def test_a_quantile_is_that_of_the_standard_library(values: list[float], percent: int) -> None:
    """It agrees with `statistics.quantiles` where that includes the ends."""
    wanted = statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

    assert quantile(values, percent / 100) == pytest.approx(wanted, rel=1e-9, abs=1e-6)


@given(TIMES, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_share_gives_no_lower_quantile(values: list[float], one: float, other: float) -> None:
    """Quantiles grow with the share, from the least value to the greatest, but for rounding."""
    low, high = quantile(values, min(one, other)), quantile(values, max(one, other))

    assert min(values) <= low <= high * (1 + 1e-9) + 1e-9
    assert high <= max(values) * (1 + 1e-9) + 1e-9


@given(TIMES)
def test_the_median_of_values_mirrored_is_the_median_mirrored(values: list[float]) -> None:
    """Half of the values lie on either side."""
    assert quantile([-value for value in values], 0.5) == pytest.approx(-quantile(values, 0.5), abs=1e-6)


@given(TIMES)
def test_a_mean_is_the_exact_one_but_for_rounding(values: list[float]) -> None:
    """It agrees with the exactly rounded sum."""
    assert mean(values) == pytest.approx(math.fsum(values) / len(values))
