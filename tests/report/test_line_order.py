"""The order of the scoreboard's lines."""

import pytest

import factories
from pytest_llmbench.report.line_order import Order, in_order

RECORDS = (
    factories.record("a", factories.sample(0.0), suite="sql", role="zeta"),
    factories.record("a", factories.sample(1.0), suite="jokes", role="zeta"),
    factories.record("b", factories.sample(1.0), suite="jokes", role="alpha"),
    factories.record("a", factories.sample(0.0), suite="jokes", role="alpha"),
    factories.record("a", factories.sample(None), suite="sql", role="alpha"),
)


@pytest.mark.parametrize(
    ("roles", "order", "lines"),
    [
        ((), Order.SUITE, ["jokes zeta", "jokes alpha", "sql zeta", "sql alpha"]),
        (("alpha", "zeta"), Order.SUITE, ["jokes alpha", "jokes zeta", "sql alpha", "sql zeta"]),
        (("alpha", "zeta"), Order.MODEL, ["jokes alpha", "sql alpha", "jokes zeta", "sql zeta"]),
        (("alpha", "zeta"), Order.SCORE, ["jokes zeta", "jokes alpha", "sql zeta", "sql alpha"]),
        (("zeta",), Order.MODEL, ["jokes zeta", "sql zeta", "jokes alpha", "sql alpha"]),
    ],
)
def test_lines_stand_by_suite_model_or_score(roles: tuple[str, ...], order: Order, lines: list[str]) -> None:
    """Models stand as they were named, whatever came first; what has no score is behind every score, even 0."""
    found = in_order(RECORDS, roles, order)

    assert list(dict.fromkeys(f"{record.suite} {record.role}" for record in found)) == lines
    assert [record.case for record in found if record.role == "alpha" and record.suite == "jokes"] == ["b", "a"]
