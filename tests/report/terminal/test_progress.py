"""Progress while a model works: what it says, and that it leaves no trace."""

import io
from dataclasses import dataclass, replace

import pyte
import pytest

from pytest_llmbench.models.base import ReplicaInfo
from pytest_llmbench.report.terminal.progress import ProgressLine, progress_text
from pytest_llmbench.runner.slots import Progress


@pytest.mark.parametrize(
    ("answered", "total", "elapsed_s", "text"),
    [
        (0, 40, 3.0, "m: 0/40 answered"),
        (10, 40, 5.0, "m: 10/40 answered, 2.0/s, 15s left"),
        (10, 4000, 100.0, "m: 10/4,000 answered, 6.0/min, 11h05m left"),
        (1, 3, 30.0, "m: 1/3 answered, 2.0/min, 1m00s left"),
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


def test_while_a_model_is_loaded_that_is_said() -> None:
    """Weights may take a minute, in which nothing is answered."""
    progress = Progress(role="m", answered=0, total=4000, elapsed_s=0.0, is_opening=True)

    assert progress_text(progress) == "m: loading, 4,000 to answer"


def test_replicas_at_work_are_counted() -> None:
    """Of those that have not ended: one that opens is not at work yet."""
    lost = ReplicaInfo(node=1, gpu=None, cpu=None, answers=3, opened_s=1.0, ended="lost")
    open_one, coming = replace(lost, ended=None), replace(lost, ended=None, opened_s=None)
    progress = Progress(role="m", answered=30, total=40, elapsed_s=15)

    text = progress_text(progress, (lost, open_one, open_one, coming))

    assert text == "m: 30/40 answered, 2.0/s, 5s left, 2 of 3 replicas"


PROGRESS = Progress(role="m", answered=1, total=2, elapsed_s=1.0)
TEXT = "m: 1/2 answered, 1.0/s, 1s left"


@dataclass(frozen=True)
class Screen:
    """An emulated terminal, and what is shown on it."""

    screen: pyte.Screen
    stream: pyte.Stream

    @classmethod
    def of(cls, columns: int, lines: int, before: str) -> "Screen":
        screen = pyte.Screen(columns, lines)
        stream = pyte.Stream(screen)
        stream.feed(before)
        return cls(screen, stream)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def cursor(self) -> tuple[int, int]:
        return self.screen.cursor.y, self.screen.cursor.x


PLACES = {
    "behind dots": (60, "tests.py ...", ["tests.py ... " + TEXT, "", ""]),
    "at the beginning of a line": (60, "", [TEXT, "", ""]),
    "below a line that is full": (
        40,
        "tests.py::test_one PASSED        [ 50%]",
        ["tests.py::test_one PASSED        [ 50%]", TEXT, ""],
    ),
    "below a line without room": (40, "tests.py ..........", ["tests.py ..........", TEXT, ""]),
    "below the last line": (40, "a\r\nb\r\ntests.py ..........", ["b", "tests.py ..........", TEXT]),
    "cut where even a line is too short": (20, "tests.py ..........", ["tests.py ..........", TEXT[:19], ""]),
}


@pytest.mark.parametrize(("columns", "before", "shown"), PLACES.values(), ids=PLACES)
def test_progress_stands_where_there_is_room_and_leaves_no_trace(columns: int, before: str, shown: list[str]) -> None:
    """Behind what is on the line, else below it; shown twice it stands once, and cleared it is gone."""
    terminal = Screen.of(columns, 3, before)
    column = terminal.cursor[1]
    stream = io.StringIO()
    line = ProgressLine(stream, is_shown=True)

    line.show(replace(PROGRESS, answered=0, elapsed_s=0.0), columns, column)
    line.show(PROGRESS, columns, column)
    terminal.stream.feed(stream.getvalue())

    assert terminal.lines == shown
    assert terminal.cursor[1] == column

    stream.truncate(0), stream.seek(0)
    line.clear()
    line.clear()
    terminal.stream.feed(stream.getvalue())

    assert terminal.lines == [text.removesuffix(TEXT[: columns - 1]).rstrip() for text in shown]
    assert terminal.cursor[1] == column


@pytest.mark.parametrize(
    ("is_shown", "progress"),
    [(False, PROGRESS), (True, Progress(role="", answered=0, total=0, elapsed_s=0.0))],
    ids=["nobody looks", "nothing asked yet"],
)
def test_progress_is_silent_where_there_is_nothing_to_show_or_nobody_to_see(is_shown: bool, progress: Progress) -> None:
    """Into a file, and before a model is at work, nothing is written."""
    stream = io.StringIO()
    line = ProgressLine(stream, is_shown=is_shown)

    line.show(progress, 80, 0)
    line.clear()

    assert stream.getvalue() == ""


def test_a_role_from_outside_cannot_act() -> None:
    """It is of the command line or the models file, and escaped all the same."""
    assert progress_text(replace(PROGRESS, role="\x1b[2J")).startswith(r"\x1b[2J: 1/2")
