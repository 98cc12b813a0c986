"""Progress while a model works: what it says, and that it leaves no trace."""

import io
from collections.abc import Sequence

import pytest

from pytest_llmbench.generation import Progress
from pytest_llmbench.report.progress import ProgressLine, progress_text


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


def test_reused_answers_are_in_no_rate() -> None:
    """What was not asked took no time: it says nothing of the time left."""
    progress = Progress(role="m", answered=30, total=40, elapsed_s=5.0, reused=20)

    assert progress_text(progress) == "m: 30/40 answered, 2.0/s, 5s left"


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
