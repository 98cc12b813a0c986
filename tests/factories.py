"""Samples and records for tests: whatever a test does not name has a plain value."""

from dataclasses import replace

from pytest_llmbench.results.records import Record, Sample, outcome_of
from pytest_llmbench.values import Outcome


def sample(score: float | None = 1.0, answer: str | None = "x", **others: object) -> Sample:
    """Make a sample without times: passed at score 1, an error without a score, else failed."""
    outcome = Outcome.ERROR if score is None else Outcome.PASSED if score == 1 else Outcome.FAILED
    made = Sample(
        answer=answer, outcome=outcome, score=score, reason=None, explanation=None, format_ok=None, parts={},
        latency_s=None, ttft_s=None, input_tokens=None, output_tokens=None, finish_reason=None, concurrency=None,
    )  # fmt: skip
    return replace(made, **others)  # type: ignore[arg-type]


def record(case: str, *samples: Sample, suite: str = "s", role: str = "m", **others: object) -> Record:
    """Make a record of samples, of one that passed where none are given; the model is called as its role."""
    several = samples or (sample(),)
    outcome, score = outcome_of(several)
    made = Record(
        suite=suite, case=case, case_sha256="c", model=role, role=role, prompt_style="chat", prompt_sha256="p",
        grader="exact", score=score, outcome=outcome, samples=several,
    )  # fmt: skip
    return replace(made, **others)  # type: ignore[arg-type]
