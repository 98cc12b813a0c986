"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.report.format import (
    counted,
    dollars,
    interval,
    listed,
    percent,
    seconds,
    short_commit,
    signed_points,
)


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0"),
        (7e-05, "$0.00007"),
        (0.00012345, "$0.00012"),
        (0.012, "$0.012"),
        (0.0999, "$0.1"),
        (0.1, "$0.10"),
        (0.5, "$0.50"),
        (7.68, "$7.68"),
        (1234.5, "$1,234.50"),
    ],
)
def test_money_has_no_exponent(usd: float, text: str) -> None:
    """Cents from ten cents on, below two significant digits: 7e-05 is nothing anybody reads."""
    assert dollars(usd) == text


@given(st.floats(min_value=1e-12, max_value=1e9))
def test_money_is_the_number_it_was(usd: float) -> None:
    """What is written reads back within what the digits allow."""
    assert float(dollars(usd)[1:].replace(",", "")) == pytest.approx(usd, rel=0.051)


@pytest.mark.parametrize(("count", "text"), [(0, "no cases"), (1, "1 case"), (2, "2 cases"), (12_345, "12,345 cases")])
def test_a_count_has_the_plural_of_its_noun(count: int, text: str) -> None:
    """One is singular, none may be a word, thousands are grouped."""
    assert counted(count, "case", none="no") == text


def test_of_many_names_the_rest_is_counted() -> None:
    """A list is whole up to its limit."""
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed(["a", "b", "c"]) == "a, b, c"


def test_shares_are_percentages_and_their_differences_points() -> None:
    """What is missing is a dash; no change has no minus."""
    assert (percent(0.834, 0), percent(0.834), percent(None)) == ("83%", "83.4%", "-")
    assert interval((0.2071, 1.0)) == "20.7-100.0"
    assert (signed_points(-0.004, 0), signed_points(-0.004, 1), signed_points(0.05, 0)) == ("+0", "-0.4", "+5")


def test_durations_have_three_digits() -> None:
    """Milliseconds below a tenth of a second."""
    assert [seconds(value) for value in (0.02, 0.25, 12.04)] == ["20ms", "0.25s", "12.0s"]


def test_a_commit_that_is_not_known_is_left_out() -> None:
    """pytest-benchmark writes `unversioned` and `unknown` where there is none."""
    assert [short_commit(commit) for commit in ("0123456789", "unknown", "unversioned", "")] == ["0123456", "", "", ""]
