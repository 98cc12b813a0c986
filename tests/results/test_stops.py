"""Plans of runs that may stop early."""

from dataclasses import replace

import pytest

from pytest_llmbench.results.stops import StopPlan

PLAN = StopPlan(
    suite="sums",
    role="new",
    mode="loss",
    rule="spending",
    units=2,
    samples=1,
    looks=(1, 2),
    levels=(0.01, 0.05),
    family=1,
    margin=0.05,
    order_of="abc",
    units_sha256="def",
    cases=("a", "b"),
)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"margin": 0.1}, "margin (0.05, now 0.1)"),
        ({"units_sha256": "xyz"}, "choice of cases"),
        ({"order_of": "xyz"}, "baseline"),
        ({"looks": (2,)}, "looks"),
    ],
)
def test_what_differs_is_named_with_values_a_person_can_read(changed: dict[str, object], words: str | None) -> None:
    """A digest explains nothing; the first difference is enough."""
    assert replace(PLAN, **changed).difference(PLAN) == words  # type: ignore[arg-type]
