"""What the commands print."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.report.safe_text import visible


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; if the reader has gone (`| head`), discard the rest, so that the exit status stays right.

    What makes the lines is run to its end all the same, and its own faults pass through.

    Raises:
        UsageFault: they cannot be written, as on a full disk.
    """
    for line in lines:
        with written():
            print(line)  # noqa: T201 - a command speaks by printing
    with written():
        sys.stdout.flush()


@contextmanager
def written() -> Iterator[None]:
    """Print something to stdout; if its reader has gone, this and all that follows is discarded.

    Raises:
        UsageFault: it cannot be written, as on a full disk.
    """
    try:
        yield
    except OSError as fault:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(fault, BrokenPipeError):
            raise UsageFault(
                f"the output cannot be written: {fault.strerror}; make room, or write elsewhere."
            ) from None


def warn(message: str) -> None:
    """Print a message to stderr, with control characters escaped."""
    print(f"llmbench: {visible(message)}", file=sys.stderr)  # noqa: T201 - a command speaks by printing
