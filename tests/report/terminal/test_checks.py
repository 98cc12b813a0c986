"""What the end of a run states of checks."""

import factories
from pytest_llmbench.report.terminal.checks import broken_advice_lines
from pytest_llmbench.results.records import Sample
from pytest_llmbench.values import Json


def sample_of(**keys: Json) -> Sample:
    """Give a sample with one check that passed, and one with these keys."""
    return factories.sample(
        parts={"checks": [{"name": "schema", "passed": True}, {"name": "tone", "passed": None, **keys}]}
    )


def test_advice_that_could_not_be_tried_is_named() -> None:
    """With its first cause on one line; advice that only measures, and a check that counts, are not."""
    records = [
        factories.record("a", sample_of(advice=True, explanation="similar 0.53")),
        factories.record("b", sample_of(advice=True, error="no server at\n127.0.0.1"), suite="t"),
        factories.record("c", sample_of(advice=True, error="another"), suite="t"),
        factories.record("d", sample_of(advice=True, explanation="similar 0.53"), suite="t"),
        factories.record("e", sample_of(error="it counts"), suite="u"),
    ]

    assert list(broken_advice_lines(records)) == [
        "t / m: the check tone (advice) could not be tried on 2 of 3 answers: no server at"
    ]
