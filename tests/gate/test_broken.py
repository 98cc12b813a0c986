"""What is broken in a run, and what only was not asked; how many errors are too many."""

from dataclasses import replace

import pytest

import factories
from pytest_llmbench.gate.broken import too_many_errors, why_broken
from pytest_llmbench.results.records import NOT_ASKED, Record, Run, RunInfo, error_sample
from pytest_llmbench.values import AnswerError


def record(case: str, error: str | None = None, *, suite: str = "s") -> Record:
    made = factories.sample() if error is None else error_sample(AnswerError(cause=error))
    return factories.record(case, made, suite=suite, model="gpt")


def run(*records: Record) -> Run:
    return Run(records=records, facts=RunInfo())


DEAD = (record("a", "Connection refused.\nmore"), record("b", "Connection refused."))


def test_a_run_without_any_answer_could_not_be_asked() -> None:
    """Its first error is the cause, without its further lines."""
    assert why_broken(run(*DEAD)) == "gpt could not be asked (Connection refused)"


def test_a_suite_without_any_answer_is_named() -> None:
    """Where the model answered another suite, the cause names the one without answers."""
    found = why_broken(run(*DEAD, record("a", suite="t")))

    assert found == "gpt could not be asked (no answer in suite s: Connection refused)"


def test_a_model_that_broke_on_the_way_is_broken() -> None:
    """A key that is refused half way leaves answers behind, and the run is not judged for all that."""
    half = replace(run(record("a"), record("b", "HTTP 401")), facts=RunInfo(broken={"m": "HTTP 401: refused"}))

    assert why_broken(half, owner="the baseline's ") == "the baseline's gpt could not be asked (HTTP 401: refused)"


@pytest.mark.parametrize(
    "asked",
    [
        run(record("a"), record("b", "HTTP 500")),
        run(record("a", f"{NOT_ASKED}--llm-max-cost 1"), record("b", f"{NOT_ASKED}--llm-max-cost 1")),
        replace(run(record("a", "HTTP 500")), stopped="-x"),
        run(),
    ],
    ids=["one answer", "a cost limit", "stopped", "an empty shard"],
)
def test_what_answered_or_was_not_asked_on_purpose_is_not_broken(asked: Run) -> None:
    """One answer in the suite is enough, and a limit, a stop or an empty part of a matrix break nothing."""
    assert why_broken(asked) is None


@pytest.mark.parametrize(
    ("errors", "cases", "most", "is_too_many"),
    [(1, 3, 0.0, False), (2, 100, 0.02, False), (3, 100, 0.02, True), (2, 2, 1.0, False), (2, 50, 0.0, True)],
)
def test_more_errors_than_the_share_are_too_many(errors: int, cases: int, most: float, is_too_many: bool) -> None:
    """One error never is; else the share of the suite's cases decides, the share itself being tolerated."""
    records = [record(f"c{i}", "HTTP 500" if i < errors else None) for i in range(cases)]

    assert bool(too_many_errors(run(*records), most)) is is_too_many
