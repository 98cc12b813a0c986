"""The scoreboard, line by line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.records import Record, Sample, error_sample, graded_sample, settle, ungraded_sample
from pytest_llmbench.report.scoreboard import reason_lines, scoreboard, scoreboard_lines
from pytest_llmbench.values import Answer, AnswerError, Grade

ERROR = error_sample(AnswerError(cause="HTTP 500"))


def sample(
    latency_s: float | None = 0.5,
    *,
    reason: str = "correct",
    ttft_s: float | None = None,
    is_format: bool | None = None,
    output_tokens: int | None = 10,
    concurrency: int = 1,
) -> Sample:
    passed = reason == "correct"
    answer = Answer(text="x", latency_s=latency_s, ttft_s=ttft_s, output_tokens=output_tokens, concurrency=concurrency)
    grade = Grade(score=float(passed), passed=passed, reason=reason, explanation="", format_ok=is_format)
    return graded_sample(answer, grade)


def record(case: str, *samples: Sample, suite: str = "clickbait", role: str = "llama-13b") -> Record:
    outcome, score = settle(samples)
    return Record(
        suite=suite,
        case=case,
        case_sha256="",
        model=role,
        role=role,
        prompt_style="chat",
        prompt_sha256="",
        grader="exact",
        score=score,
        outcome=outcome,
        samples=samples,
    )


RECORDS = (
    record("a", sample(0.5, ttft_s=0.04, is_format=True)),
    record("b", sample(1.5, ttft_s=0.06, is_format=False, reason="format", concurrency=4)),
    record("c", ERROR),
    record("a", sample(12.0), suite="jokes"),
    record("a", ERROR, suite="jokes", role="new"),
)

# -- the scoreboard

LAYOUTS = {
    40: [
        "suite      model       score  errors",
        "clickbait  llama-13b   50.0%       1",
        "jokes      llama-13b  100.0%       0",
        "jokes      new             -       1",
    ],
    60: [
        "suite      model       score  95% interval    p50  errors",
        "clickbait  llama-13b   50.0%      9.5-90.5  1.00s       1",
        "jokes      llama-13b  100.0%    20.7-100.0  12.0s       0",
        "jokes      new             -             -      -       1",
    ],
    80: [
        "suite      model      cases   score  95% interval  format    p50    p95  errors",
        "clickbait  llama-13b      3   50.0%      9.5-90.5   50.0%  1.00s  1.45s       1",
        "jokes      llama-13b      1  100.0%    20.7-100.0       -  12.0s  12.0s       0",
        "jokes      new            1       -             -       -      -      -       1",
    ],
    120: [
        "suite      model      cases  passed   score  95% interval  format    p50    p95  TTFT  tok/s    at  errors",
        "clickbait  llama-13b      3       1   50.0%      9.5-90.5   50.0%  1.00s  1.45s  50ms   13.3  x1-4       1",
        "jokes      llama-13b      1       1  100.0%    20.7-100.0       -  12.0s  12.0s     -    0.8    x1       0",
        "jokes      new            1       0       -             -       -      -      -     -      -     -       1",
    ],
}
LAYOUTS[200] = LAYOUTS[120]


@pytest.mark.parametrize(("width", "lines"), LAYOUTS.items())
def test_the_scoreboard_drops_columns_where_the_terminal_is_narrow(width: int, lines: list[str]) -> None:
    """Suite, model, score and errors stay to the last; nothing is ever cut within a cell."""
    assert scoreboard_lines(scoreboard(RECORDS), width) == lines


def test_a_short_scoreboard_has_the_needed_columns_however_wide_the_terminal() -> None:
    """With -q the line of 60 characters is shown at 200."""
    assert scoreboard_lines(scoreboard(RECORDS), 200, is_short=True) == LAYOUTS[60]


def test_names_longer_than_the_terminal_are_shown_whole() -> None:
    """Where even the last columns do not fit, the terminal wraps them."""
    name = "a-suite-with-a-name-of-forty-characters.."

    lines = scoreboard_lines(scoreboard([record("a", sample(), suite=name)]), 20)

    assert lines == [f"{'suite'.ljust(41)}  model       score", f"{name}  llama-13b  100.0%"]


@given(st.integers(0, 250))
def test_no_line_is_wider_than_the_terminal_if_the_last_columns_fit(width: int) -> None:
    """At every width the lines fit, or nothing but suite, model and score is left."""
    lines = scoreboard_lines(scoreboard(RECORDS), width)

    assert max(map(len, lines)) <= width or lines[0].split() == ["suite", "model", "score"]


def test_errors_are_no_part_of_score_and_times() -> None:
    """The score is that of answered records, the counts are those of all; a broken grader's time is not counted."""
    broken = ungraded_sample(Answer(text="x", latency_s=90.0), "the grader broke")
    records = [record("a", sample(0.5), ERROR), record("b", sample(0.7, reason="different")), record("c", broken)]

    (line,) = scoreboard(records)

    assert (line.cases, line.answered, line.passed, line.errors) == (3, 2, 1, 1)
    assert (line.score, line.p50_s) == (0.5, pytest.approx(0.6))


def test_names_of_a_file_cannot_act_on_the_terminal() -> None:
    """A run file may come from anywhere: what stands in it as a suite, role or reason is escaped."""
    records = [record("a", sample(reason="\x07bell"), suite="\x1b[2J", role="\u202em")]

    lines = [*scoreboard_lines(scoreboard(records), 60), *reason_lines(records)]

    assert lines[1].split()[:2] == [r"\x1b[2J", r"\u202em"]
    assert lines[2] == r"\x1b[2J \u202em: 1 \x07bell"


def test_reasons_are_counted_by_suite_and_model() -> None:
    """Each sample counts, the most frequent first; an error is one of its own."""
    records = [
        record("a", sample(), sample()),
        record("b", sample(reason="format"), ERROR),
        record("c", sample(), suite="jokes"),
    ]

    assert reason_lines(records) == ["clickbait llama-13b: 2 correct, 1 format, 1 error", "jokes llama-13b: 1 correct"]
