"""What the terminal shows, line by line."""

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.generation import Progress
from pytest_llmbench.records import Record, Sample, error_sample, graded_sample, settle, ungraded_sample
from pytest_llmbench.report.terminal import (
    ProgressLine,
    clipped,
    progress_text,
    reason_lines,
    scoreboard,
    scoreboard_lines,
    seconds,
    visible,
)
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


# -- texts from outside

HOSTILE = {
    "colour": ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
    "eight-bit escape": ("\x9b31m", r"\x9b31m"),
    "title": ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
    "overwritten": ("secret\rpublic", r"secret\rpublic"),
    "rubbed out": ("passw\x08\x08", r"passw\x08\x08"),
    "nul and delete": ("\x00\x7f", r"\x00\x7f"),
    "next line": ("a\x85b\x0bc\x0cd", r"a\x85b\x0bc\x0cd"),
    "right to left": ("\u202etxt.exe\u2069", r"\u202etxt.exe\u2069"),
    "marks": ("\u200e\u200f\u061c", r"\u200e\u200f\u061c"),
    "zero width": ("a\u200bb\ufeffc\u2060d\u00ade", r"a\u200bb\ufeffc\u2060d\xade"),
    "separators": ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
    "tags": ("\U000e0041", r"\U000e0041"),
    "half a character": ("\ud83d", r"\ud83d"),
    "interlinear": ("\ufff9x\ufffb", r"\ufff9x\ufffb"),
    "lines and tabs": ("a\n\tb", "a\n\tb"),
    "accents, signs, emoji": ("naïve 日本 🙂 “ok” \\x1b", "naïve 日本 🙂 “ok” \\x1b"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_what_could_act_on_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    """Controls, bidirectional and invisible characters become their escapes; letters, line breaks and tabs stay."""
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_what_is_shown_can_be_printed_anywhere(text: str) -> None:
    """The result encodes as UTF-8, holds no control but line break and tab, and is its own result."""
    shown = visible(text)

    shown.encode()
    assert not {character for character in shown if ord(character) < 32 or 127 <= ord(character) < 160} - {"\n", "\t"}
    assert visible(shown) == shown


def test_a_long_text_is_cut_in_its_middle() -> None:
    """Beginning and end stay, and what is left out is counted."""
    assert clipped("a" * 600 + "b" * 1200 + "c" * 600, 1200) == f"{'a' * 600} [... 1,200 characters ...] {'c' * 600}"
    assert clipped("abcdef", 5) == "ab [... 2 characters ...] ef"


@given(st.text(max_size=30), st.integers(1, 30))
def test_a_text_that_fits_is_not_cut(text: str, limit: int) -> None:
    """At most the limit of its characters are kept, all of them where they fit."""
    found = clipped(text, limit)

    assert (found == text) == (len(text) <= limit)
    assert found.startswith(text[: limit // 2])


@pytest.mark.parametrize(
    ("value_s", "shown"),
    [
        (0.0, "0ms"),
        (0.00012, "0.12ms"),
        (0.0123, "12.3ms"),
        (0.0994, "99.4ms"),
        (0.0995, "0.10s"),
        (0.25, "0.25s"),
        (9.99, "9.99s"),
        (9.996, "10.0s"),
        (123.456, "123.5s"),
    ],
)
def test_a_duration_has_the_digits_that_matter(value_s: float, shown: str) -> None:
    """Milliseconds below a tenth of a second, then seconds."""
    assert seconds(value_s) == shown


# -- progress


@pytest.mark.parametrize(
    ("answered", "total", "elapsed_s", "text"),
    [
        (0, 40, 3.0, "m: 0/40 answered"),
        (10, 40, 5.0, "m: 10/40 answered, 2.0/s, 15s left"),
        (10, 4000, 100.0, "m: 10/4000 answered, 0.1/s, 665m00s left"),
        (1, 3, 30.0, "m: 1/3 answered, 0.0/s, 1m00s left"),
        (40, 40, 5.0, "m: 40/40 answered, 8.0/s, 0s left"),
        (1, 2, 0.0, "m: 1/2 answered"),
    ],
)
def test_progress_tells_rate_and_time_left(answered: int, total: int, elapsed_s: float, text: str) -> None:
    """Before the first answer there is no rate to tell."""
    assert progress_text(Progress(role="m", answered=answered, total=total, elapsed_s=elapsed_s)) == text


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


PROGRESS = Progress(role="m", answered=1, total=2, elapsed_s=1.0)


def written(stream: io.StringIO, shown: Sequence[tuple[Progress, int]], clears: int = 0) -> str:
    line = ProgressLine(stream)
    for progress, width in shown:
        line.show(progress, width)
    for _ in range(clears):
        line.clear()
    return stream.getvalue()


def test_progress_leaves_the_cursor_where_it_was() -> None:
    """It saves the cursor, writes behind it, clears the rest of the line and goes back; it is cleared once."""
    text = written(Terminal(), [(PROGRESS, 80)], clears=2)

    assert text == "\x1b7 m: 1/2 answered, 1.0/s, 1s left\x1b[K\x1b8" + "\x1b[K"


def test_progress_keeps_to_the_rest_of_the_line() -> None:
    """With 8 columns left, a blank and seven characters are written, and with none nothing."""
    assert written(Terminal(), [(PROGRESS, 8), (PROGRESS, 0), (PROGRESS, -3)]) == "\x1b7 m: 1/2 \x1b[K\x1b8"


@pytest.mark.parametrize(
    ("stream", "progress"),
    [(io.StringIO(), PROGRESS), (Terminal(), Progress(role="", answered=0, total=0, elapsed_s=0.0))],
    ids=["no terminal", "nothing asked yet"],
)
def test_progress_is_silent_where_there_is_nothing_to_show_or_nobody_to_see(
    stream: io.StringIO, progress: Progress
) -> None:
    """Into a file, and before a model is at work, nothing is written."""
    assert written(stream, [(progress, 80)], clears=1) == ""
