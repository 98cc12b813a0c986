"""The planned early stop: order, looks, levels, and what may be claimed at a look."""

import pytest

from pytest_llmbench.gate.early import (
    LevelAt,
    StopMode,
    holm,
    is_hopeless,
    levels_at,
    levels_of,
    looks_of,
    unit_order,
)
from pytest_llmbench.gate.early_share import expected_share
from pytest_llmbench.gate.rule import claims_of
from pytest_llmbench.gate.score_test import Differences, Levels, interval

UNITS = [f"c{i}" for i in range(500)]


def moved(won: int, lost: int, n: int) -> Differences:
    counts = ((-1.0, lost), (0.0, n - won - lost), (1.0, won))
    return Differences(counts=tuple((value, count) for value, count in counts if count))


def test_a_cluster_may_be_named_by_half_a_character() -> None:
    """As an escape of JSON can hold it; it has its place in the order."""
    assert sorted(unit_order(["a", "\ud800"], "s", "digest")) == ["a", "\ud800"]


def test_the_order_is_that_of_the_baseline_and_the_suite_alone() -> None:
    """Whatever order the cases are given in, they are asked in one; another baseline or suite gives another."""
    order = unit_order(UNITS, "s", "digest")

    assert order == unit_order(reversed(UNITS), "s", "digest")
    assert sorted(order) == sorted(UNITS)
    assert order != unit_order(UNITS, "s", "another") != unit_order(UNITS, "t", "another")
    # cases that are left out change nothing in the order of the others
    assert [unit for unit in order if unit != "c7"] == unit_order([u for u in UNITS if u != "c7"], "s", "digest")


@pytest.mark.parametrize(
    ("units", "samples", "looks"),
    [
        (500, 1, tuple(range(50, 501, 50))),
        (156, 1, (32, 47, 63, 78, 94, 110, 125, 141, 156)),
        (100, 1, tuple(range(20, 101, 10))),
        (100, 4, tuple(range(40, 401, 40))),
        (99, 1, (99,)),
        (60, 4, (240,)),
    ],
)
def test_a_look_comes_with_every_tenth_of_the_calls(units: int, samples: int, looks: tuple[int, ...]) -> None:
    """Tenths with under 20 units are left out, and all but the last below 100 units."""
    assert looks_of(units, samples) == looks


@pytest.mark.parametrize(
    ("error_rate", "percents"),
    [
        (0.05, (0.046, 0.077, 0.133, 0.225, 0.376, 0.620, 1.009, 1.627, 2.600, 4.120)),
        (0.01, (0.009, 0.015, 0.025, 0.042, 0.069, 0.113, 0.183, 0.293, 0.467, 0.740)),
    ],
)
def test_the_levels_are_those_of_the_published_spending(error_rate: float, percents: tuple[float, ...]) -> None:
    """Ten equal steps have the levels of Hwang, Shih and DeCani's function with gamma -4."""
    assert [100 * level for level in levels_of(looks_of(500), error_rate)] == pytest.approx(percents, abs=0.0006)


def test_one_look_alone_is_the_plain_rule() -> None:
    """A suite that is looked at once is judged as one without a plan."""
    levels = levels_at((60,), 0, StopMode.LOSS, 0.05)

    assert (levels.kept, levels.loss, levels.is_last) == (0.05, pytest.approx(0.05, abs=1e-9), True)
    for won in range(12):
        for lost in range(12):
            assert claims_of(moved(won, lost, 60), 0.05, levels) == claims_of(moved(won, lost, 60), 0.05)


def test_an_early_alarm_needs_a_loss_beyond_the_margin() -> None:
    """Of 1,000 cases a shown loss of 4 points stops nothing early at a margin of 5, and counts at the end."""
    seen = moved(5, 45, 1000)
    early, last = (Levels(kept=None, loss=0.01, is_last=is_last) for is_last in (False, True))

    assert not claims_of(seen, 0.05, early).is_down
    assert claims_of(seen, 0.05, last).is_down
    assert claims_of(moved(5, 60, 1000), 0.05, early).is_down


def test_a_plan_that_stops_at_losses_tests_no_worse_once() -> None:
    """Before the end nothing passes; at the end the level of passing is the whole 5%."""
    looks = looks_of(500)

    assert [levels_at(looks, place, StopMode.LOSS, 0.05).kept for place in range(10)] == [None] * 9 + [0.05]
    assert levels_at(looks, 9, StopMode.DECIDED, 0.05).kept == pytest.approx(0.0412, abs=0.0001)


def test_no_pass_in_silence_before_the_level_has_cases_for_it() -> None:
    """Without a win, 63 cases are the fewest that can pass at the level of the last look; 59 are without a plan."""
    levels = levels_at(looks_of(500), 9, StopMode.DECIDED, 0.05)

    assert claims_of(moved(0, 0, 63), 0.05, levels).is_kept
    assert not claims_of(moved(0, 0, 62), 0.05, levels).is_kept


@pytest.mark.parametrize(
    ("seen", "place", "percents"),
    [((8, 29, 150), 2, (-26.8, -1.8)), ((36, 39, 500), 9, (-3.7, 2.4))],
)
def test_the_interval_agrees_with_the_look(
    seen: tuple[int, int, int], place: int, percents: tuple[float, float]
) -> None:
    """It is wider than one that was looked at once, and holds 0 where nothing was shown."""
    levels = levels_at(looks_of(500), place, StopMode.DECIDED, 0.05)

    ends = interval(moved(*seen), levels)

    assert [100 * end for end in ends] == pytest.approx(percents, abs=0.06)
    assert claims_of(moved(*seen), 0.05, levels).is_down == (ends[1] < 0)


def test_what_can_hardly_be_decided_is_hopeless() -> None:
    """With 27 won and 27 lost of 300 the rest of 500 may decide; with 3 points lost of 90 in 100 it hardly can."""
    assert not is_hopeless(moved(27, 27, 300), 0.05, looks_of(500))
    assert is_hopeless(moved(9, 12, 90), 0.05, looks_of(100))
    assert not is_hopeless(moved(9, 12, 40), 0.05, looks_of(100))  # before half the units
    assert not is_hopeless(moved(9, 12, 100), 0.05, looks_of(100))  # at the end there is nothing to stop


def test_a_loss_counts_among_all_suites_by_the_look_that_it_stopped_at() -> None:
    """Holm in rounds: once one suite is taken, the next is held to the level of one suite fewer."""
    early, last = LevelAt(looks=looks_of(500), place=2), LevelAt(looks=looks_of(500), place=9)

    assert holm([((4.0, 149), early), ((1.0, 499), last), ((2.2, 499), last)]) == (True, False, True)
    assert holm([((1.0, 149), early), ((1.0, 499), last), ((2.2, 499), last)]) == (False, False, False)
    assert holm([((1.7, 499), LevelAt())]) == (True,)


@pytest.mark.parametrize(
    ("units", "mode", "percents"),
    [
        (500, StopMode.DECIDED, (75, 87, 78, 44, 21, 40)),
        (500, StopMode.LOSS, (99, 96, 78, 44, 21, 100)),
        (2000, StopMode.DECIDED, (39, 64, 55, 18, 10, 16)),
        (99, StopMode.DECIDED, (100, 100, 100, 100, 100, 100)),
    ],
)
def test_the_expected_share_is_within_three_points(units: int, mode: StopMode, percents: tuple[int, ...]) -> None:
    """What `--llm-plan` announces is close to what counting gives."""
    changes = (0.0, -0.02, -0.05, -0.10, -0.20, 0.05)

    assert [100 * expected_share(units, change, mode) for change in changes] == pytest.approx(percents, abs=3)
