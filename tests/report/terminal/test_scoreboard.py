"""The scoreboard, line by line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import factories
from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.junit import case_properties
from pytest_llmbench.report.terminal.layout import Style, plain
from pytest_llmbench.report.terminal.scoreboard import (
    cut_off_lines,
    reason_lines,
    scoreboard,
    scoreboard_cells,
    scoreboard_lines,
    scoreboard_table,
    times_left_out,
)
from pytest_llmbench.results.records import (
    JudgeInfo,
    ModelInfo,
    Record,
    RunInfo,
    Sample,
    TokenPrice,
    error_sample,
    graded_sample,
    ungraded_sample,
)
from pytest_llmbench.values import Answer, AnswerError, Grade

IDENTITY = Identity(provider="p", model="m")
ERROR = error_sample(AnswerError(cause="HTTP 500"))


def sample(
    latency_s: float | None = 0.5,
    *,
    reason: str = "correct",
    ttft_s: float | None = None,
    is_format: bool | None = None,
    output_tokens: int | None = 10,
    concurrency: int = 1,
    reused: bool = False,
) -> Sample:
    passed = reason == "correct"
    answer = Answer(
        text="x",
        latency_s=latency_s,
        ttft_s=ttft_s,
        output_tokens=output_tokens,
        concurrency=concurrency,
        reused=reused,
    )
    grade = Grade(score=float(passed), passed=passed, reason=reason, explanation="", format_ok=is_format)
    return graded_sample(answer, grade)


def record(case: str, *samples: Sample, suite: str = "clickbait", role: str = "llama-13b") -> Record:
    return factories.record(case, *samples, suite=suite, role=role)


RECORDS = (
    record("a", sample(0.5, ttft_s=0.04, is_format=True)),
    record("b", sample(1.5, ttft_s=0.06, is_format=False, reason="format")),
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
        "suite      model      cases  passed   score  95% interval  format    p50    p95  TTFT  tok/s  load  tok in/out  errors",
        "clickbait  llama-13b      3       1   50.0%      9.5-90.5   50.0%  1.00s  1.45s  50ms   13.3    x1        ?/20       1",
        "jokes      llama-13b      1       1  100.0%    20.7-100.0       -  12.0s  12.0s     -    0.8    x1        ?/10       0",
        "jokes      new            1       0       -             -       -      -      -     -      -     -           -       1",
    ],
}
LAYOUTS[200] = LAYOUTS[120]


@pytest.mark.parametrize(("width", "lines"), LAYOUTS.items())
def test_the_scoreboard_drops_columns_where_the_terminal_is_narrow(width: int, lines: list[str]) -> None:
    """Suite, model, score and errors stay to the last; nothing is ever cut within a cell."""
    assert scoreboard_lines(scoreboard(RECORDS), width) == lines


def test_a_short_scoreboard_has_the_needed_columns_however_wide_the_terminal() -> None:
    """With -q the line of 60 characters is shown at 200."""
    assert [plain(line) for line in scoreboard_table(scoreboard(RECORDS), 200, is_short=True)] == LAYOUTS[60]


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
    """The score is that of answered records, the counts are those of all; a broken grader's time is not counted.

    A case of which only a sample is an error is counted with the errors, as the gate counts it.
    """
    broken = ungraded_sample(Answer(text="x", latency_s=90.0), "the grader broke")
    records = [record("a", sample(0.5), ERROR), record("b", sample(0.7, reason="different")), record("c", broken)]

    (line,) = scoreboard(records)

    assert (line.cases, line.answered, line.passed, line.errors) == (3, 2, 1, 2)
    assert (line.score, line.p50_s) == (0.5, pytest.approx(0.6))


def test_times_of_unlike_concurrency_are_in_no_one_figure() -> None:
    """The times are those of the concurrency most answers were measured under, and what is left out is said."""
    records = [
        record("a", sample(1.0, ttft_s=0.1, output_tokens=10, concurrency=8)),
        record("b", sample(3.0, ttft_s=0.3, output_tokens=90, concurrency=8)),
        record("c", sample(50.0, ttft_s=5.0, output_tokens=1, concurrency=1)),
        record("d", sample(None)),
    ]

    (line,) = scoreboard(records)

    assert (line.p50_s, line.ttft_p50_s, line.tokens_per_s) == (2.0, pytest.approx(0.2), 20.0)
    assert (line.p95_s, line.concurrency) == (pytest.approx(2.9), 8)
    assert times_left_out([line]) == (
        "Latencies count only answers measured at the usual load: 2 of 3 for clickbait / llama-13b (8 in flight)."
    )
    assert times_left_out(scoreboard(records[:2])) == ""


def test_times_of_an_earlier_run_are_in_no_figure() -> None:
    """Reused answers count for the score and not for the times; where all are reused there is no time."""
    reused = [record(case, sample(9.0, ttft_s=8.0, concurrency=8, reused=True)) for case in "abc"]

    (line,) = scoreboard([*reused, record("d", sample(1.0, ttft_s=0.5))])
    (old,) = scoreboard(reused)

    assert (line.answered, line.measured, line.concurrency) == (4, 1, 1)
    assert (line.p50_s, line.p95_s, line.ttft_p50_s) == (1.0, 1.0, 0.5)
    assert (old.p50_s, old.concurrency, times_left_out([old])) == (None, None, "")


def test_the_latency_of_a_case_is_that_of_its_new_answers_of_one_concurrency() -> None:
    """JUnit's mean holds no reused answer and none measured beside fewer others; without a new one it is left out."""
    reused = sample(9.0, concurrency=8, reused=True)
    samples = [reused, sample(1.0, concurrency=8), sample(2.0, concurrency=8), sample(50.0, concurrency=1)]

    assert dict(case_properties(record("a", *samples)))["latency_s"] == 1.5
    assert "latency_s" not in dict(case_properties(record("a", reused)))


def test_colours_say_what_to_look_at() -> None:
    """Errors are bad, a format that is not always kept is doubtful, the rest has no colour."""
    table = scoreboard_table(scoreboard(RECORDS), 80)

    found = {(span.text, span.style) for line in table for span in line if span.style is not Style.PLAIN}
    assert {text for text, style in found if style is Style.TITLE} == set(LAYOUTS[80][0].split()) - {
        "95%",
        "interval",
    } | {"95% interval"}
    assert {found for found in found if found[1] is not Style.TITLE} == {("50.0%", Style.DOUBTFUL), ("1", Style.BAD)}


def test_for_a_page_the_columns_that_say_something_are_given_whole() -> None:
    """However wide: what is unknown in every line is no column."""
    titles, rows = scoreboard_cells(scoreboard([record("a", sample(None)), record("b", ERROR)]))

    assert titles == ["suite", "model", "cases", "passed", "score", "95% interval", "tok in/out", "errors"]
    assert rows == [["clickbait", "llama-13b", "2", "1", "100.0%", "20.7-100.0", "?/10", "1"]]


PRICE = TokenPrice(input_per_million=0.15, output_per_million=0.6)
FACTS = RunInfo(
    models=(ModelInfo(role="new", model="gpt", identity=IDENTITY, price=PRICE),),
    judge=JudgeInfo(model="j", identity=None, suites={}, price=TokenPrice(input_per_million=10, output_per_million=10)),
)


def test_tokens_and_cost_are_the_models_and_apart_from_them_the_judges() -> None:
    """Of a model without a price the tokens are known, and no cost; what the judge takes is in no column of the model."""
    counted = factories.sample(input_tokens=40_000, output_tokens=1_000, parts={"judge_tokens": [9_000, 500]})
    records = [factories.record("a", counted, role=role) for role in ("old", "new")]

    titles, old, new = map(str.split, scoreboard_lines(scoreboard(records, FACTS), 200))

    assert titles[-8:] == ["tok", "in/out", "cost", "judge", "in/out", "judge", "cost", "errors"]
    assert old[-5:] == ["40k/1,000", "-", "9,000/500", "$0.095", "0"]
    assert new[-5:] == ["40k/1,000", "$0.0066", "9,000/500", "$0.095", "0"]


@pytest.mark.parametrize(
    ("sample", "cost"),
    [
        (factories.sample(input_tokens=1_000_000, output_tokens=0), "$0.15"),
        (factories.sample(input_tokens=1_000_000, output_tokens=0, cost_usd=0.02), "$0.02"),
        (factories.sample(input_tokens=1_000_000), ">$0.15"),
        (factories.sample(None, None), "$0.15"),
    ],
    ids=["priced", "an application's own cost", "one not counted", "an error"],
)
def test_a_cost_that_is_not_known_whole_says_so(sample: Sample, cost: str) -> None:
    """What an application returned goes before the price; an answer whose tokens nobody counted may have cost more."""
    first = factories.sample(input_tokens=1_000_000, output_tokens=0)
    samples = (first, sample) if cost in (">$0.15", "$0.15") and sample != first else (sample,)

    titles, rows = scoreboard_cells(scoreboard([factories.record("a", *samples, role="new")], FACTS))

    assert rows[0][titles.index("cost")] == cost


def test_names_of_a_file_cannot_act_on_the_terminal() -> None:
    """A run file may come from anywhere: what stands in it as a suite, role or reason is escaped."""
    records = [record("a", sample(reason="\x07bell"), suite="\x1b[2J", role="\u202em")]

    lines = [*scoreboard_lines(scoreboard(records), 60), *map(plain, reason_lines(records))]

    assert lines[1].split()[:2] == [r"\x1b[2J", r"\u202em"]
    assert lines[2] == r"\x1b[2J \u202em: 1 \x07bell"


def test_reasons_are_counted_by_suite_and_model() -> None:
    """Each sample counts, the most frequent first; an error is one of its own."""
    records = [
        record("a", sample(), sample()),
        record("b", sample(reason="format"), ERROR),
        record("c", sample(), ERROR, ERROR, suite="jokes"),
    ]

    assert [plain(line) for line in reason_lines(records)] == [
        "clickbait llama-13b: 2 correct, 1 format, 1 error",
        "jokes llama-13b: 2 errors, 1 correct",
    ]


# -- answers that were cut off


def cut(*, reasoning: str | None = None, finish_reason: str = "length") -> Sample:
    answer = Answer(text="x", finish_reason=finish_reason, reasoning=reasoning)
    return graded_sample(answer, Grade(score=0.0, passed=False, reason="unparsed", explanation=""))


@pytest.mark.parametrize(
    ("n_cut", "reasoning", "said"),
    [
        (0, None, []),
        (1, None, ["clickbait / llama-13b: cut off 1 of 6."]),
        (
            2,
            None,
            [
                "clickbait / llama-13b: cut off 2 of 6 answers at their limit of tokens; "
                "raise max_tokens in the sampling of the suite."
            ],
        ),
        (
            6,
            "hm",
            [
                "clickbait / llama-13b: cut off 6 of 6 answers at their limit of tokens; "
                "raise reasoning_tokens in the model's entry."
            ],
        ),
    ],
)
def test_answers_that_were_cut_off(n_cut: int, reasoning: str | None, said: list[str]) -> None:
    """Answers that ended at their limit are counted; from a fifth on, the key to raise is named."""
    samples = [cut(reasoning=reasoning)] * n_cut + [cut(finish_reason="stop")] * (6 - n_cut)
    records = [record("a", *samples)]

    assert cut_off_lines(scoreboard(records), records) == said
