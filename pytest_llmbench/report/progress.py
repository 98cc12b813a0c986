"""Progress while a model works: shown on a terminal, and nowhere else."""

from typing import TextIO

from pytest_llmbench.generation import Progress


def progress_text(progress: Progress) -> str:
    """Tell how far a model is: answered of total, rate, and time left."""
    text = f"{progress.role}: {progress.answered}/{progress.total} answered"
    asked = progress.answered - progress.reused
    if asked and progress.elapsed_s > 0:
        rate = asked / progress.elapsed_s
        left_s = (progress.total - progress.answered) / rate
        text += f", {rate:.1f}/s, {_clock(left_s)} left"
    return text


def _clock(value_s: float) -> str:
    minutes, rest = divmod(round(value_s), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


class ProgressLine:
    """Shows progress behind what stands on a terminal's line, and takes it away again; silent elsewhere."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._is_shown = False

    def show(self, progress: Progress, width: int) -> None:
        """Show how far a model is, in at most `width` characters."""
        if self._is_terminal and width > 0 and progress.total:
            # save the cursor, write, clear what an earlier text left, go back
            self._stream.write(f"\x1b7 {progress_text(progress)[: width - 1]}\x1b[K\x1b8")
            self._stream.flush()
            self._is_shown = True

    def clear(self) -> None:
        """Take the text away."""
        if self._is_shown:
            self._stream.write("\x1b[K")
            self._stream.flush()
            self._is_shown = False
