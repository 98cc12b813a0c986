r"""Progress while a model works: shown on a terminal, and nowhere else.

It stands behind what is on the cursor's line where there is room, else on the line below, and the cursor is where
it was before and after: what pytest prints next goes on as if nothing had been there.  The sequences
are those of a VT100 and what descends from it.
"""

from typing import TextIO

from pytest_llmbench.models.base import ReplicaInfo
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.runner.slots import Progress

_SAVE, _BACK = "\x1b7", "\x1b8"
_CLEAR_REST = "\x1b[K"
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a line that is too long is cut at the edge: no wrap moves the cursor
# to the line below, which is made where this is the last: IND scrolls and keeps the column, then up again
_MAKE_BELOW, _TO_BELOW = "\x1bD\x1b[A", "\x1b[B\r"

_ROOM = 36  # characters that most of the texts need, so that they seldom move


def progress_text(progress: Progress, replicas: tuple[ReplicaInfo, ...] | None = None) -> str:
    """Describe how far a model is: answered of total, rate, time left, and how many of its replicas are at work."""
    if progress.is_opening:
        return visible(f"{progress.role}: loading, {progress.total:,} to answer")
    text = f"{progress.role}: {progress.answered:,}/{progress.total:,} answered"
    asked = progress.answered - progress.reused
    if asked and progress.elapsed_s > 0:
        rate = asked / progress.elapsed_s
        text += f", {_rate(rate)}, {_clock((progress.total - progress.answered) / rate)} left"
    if replicas is not None:
        left = [replica for replica in replicas if replica.ended is None]
        text += f", {sum(replica.opened_s is not None for replica in left)} of {len(left)} replicas"
    return visible(text)


def _rate(per_s: float) -> str:
    return f"{per_s:.1f}/s" if per_s >= 0.95 else f"{per_s * 60:.1f}/min"


def _clock(value_s: float) -> str:
    minutes, rest = divmod(round(value_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


class ProgressLine:
    """Shows progress on a terminal and takes it away again.

    Args:
        stream: of the terminal, which is this line's own where it is shown.
        is_shown: a person looks at it; else nothing is written.
    """

    def __init__(self, stream: TextIO, *, is_shown: bool):
        self._stream = stream
        self.is_shown = is_shown
        self._clearing = ""

    def show(
        self, progress: Progress, width: int, column: int, replicas: tuple[ReplicaInfo, ...] | None = None
    ) -> None:
        """Show how far a model is.

        Args:
            progress: of the model.
            width: of the terminal.
            column: where the cursor stands, from 0.
            replicas: of the model, if it has some.
        """
        if not self.is_shown or not progress.total:
            return
        text = progress_text(progress, replicas)
        if column + max(len(text), _ROOM) + 1 < width or column == 0:
            before, clearing = _SAVE + " " * (column > 0), _CLEAR_REST
        else:
            before, clearing = f"{_MAKE_BELOW}{_SAVE}{_TO_BELOW}", f"{_SAVE}{_TO_BELOW}{_CLEAR_REST}{_BACK}"
        if clearing != self._clearing:
            self.clear()
        self._clearing = clearing
        self._write(f"{_CUT}{before}{text[: width - 1]}{_CLEAR_REST}{_BACK}{_WRAP}")

    def clear(self) -> None:
        """Take the text away."""
        if self._clearing:
            self._write(self._clearing)
            self._clearing = ""

    def close(self) -> None:
        """Close the stream, if anything could be written to it."""
        if self.is_shown:
            self._stream.close()

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
