"""Records: what their samples make of them, and samples of answers, errors and odd measurements."""

import math
from dataclasses import replace

import pytest

import factories
from pytest_llmbench.results.records import Sample, error_sample, graded_sample, outcome_of, ungraded_sample
from pytest_llmbench.values import Answer, AnswerError, Grade, Outcome

SAMPLE = factories.sample(
    1.0,
    "Paris",
    reason="correct",
    explanation="As expected.",
    latency_s=0.25,
    input_tokens=9,
    output_tokens=2,
    finish_reason="stop",
    concurrency=1,
)
WRONG = replace(SAMPLE, outcome=Outcome.FAILED, score=0.25, answer="Rome")
ERROR = error_sample(AnswerError(cause="HTTP 500", attempts=4, concurrency=2))


@pytest.mark.parametrize(
    ("samples", "outcome", "score"),
    [
        ([SAMPLE], Outcome.PASSED, 1.0),
        ([WRONG], Outcome.FAILED, 0.25),
        ([SAMPLE, SAMPLE, WRONG, WRONG], Outcome.FAILED, 0.625),
        ([ERROR, SAMPLE], Outcome.PASSED, 1.0),
        ([WRONG, ERROR], Outcome.FAILED, 0.25),
        ([ERROR, ERROR], Outcome.ERROR, None),
    ],
)
def test_the_answered_samples_decide_a_record(samples: list[Sample], outcome: Outcome, score: float | None) -> None:
    """It is an error if every sample is, passed if every answered one passed; its score is the mean of the answered."""
    assert outcome_of(samples) == (outcome, score)


def test_an_error_keeps_its_cause_and_attempts() -> None:
    """A request without an answer has no text, no score and no times."""
    assert (ERROR.outcome, ERROR.error, ERROR.attempts, ERROR.concurrency) == (Outcome.ERROR, "HTTP 500", 4, 2)
    assert (ERROR.answer, ERROR.score, ERROR.reason, ERROR.latency_s) == (None, None, None, None)


def test_an_ungraded_answer_is_an_error_that_keeps_the_answer() -> None:
    """Where the grader broke, text and times are kept."""
    sample = ungraded_sample(Answer(text="Paris", latency_s=0.5, attempts=2), "the grader broke: KeyError")

    assert (sample.outcome, sample.error, sample.score) == (Outcome.ERROR, "the grader broke: KeyError", None)
    assert (sample.answer, sample.latency_s, sample.attempts) == ("Paris", 0.5, 2)


@pytest.mark.parametrize("tokens", [-5, 10**400])
def test_what_nobody_can_have_counted_is_not_counted(tokens: int) -> None:
    """What a server says of tokens is kept where it can be, so that a run it answered can be read back."""
    sample = ungraded_sample(Answer(text="x", input_tokens=tokens, output_tokens=tokens), "broke")

    assert (sample.input_tokens, sample.output_tokens) == (None, None)


@pytest.mark.parametrize("latency_s", [math.nan, math.inf, -math.inf, -0.1, 1e300])
def test_what_no_clock_can_have_measured_is_not_measured(latency_s: float) -> None:
    """A time that is negative or no number is as if nobody had measured, for pytest-benchmark averages what it gets."""
    answer = Answer(text="x", latency_s=latency_s, ttft_s=latency_s)
    grade = Grade(score=1.0, passed=True, reason="correct", explanation="")

    samples = (graded_sample(answer, grade), ungraded_sample(answer, "broke"))

    assert [(sample.latency_s, sample.ttft_s) for sample in samples] == [(None, None)] * 2
