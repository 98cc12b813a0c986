"""Keys that a person presses: single ones of a terminal, and characters of a stream that is none."""

import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO


class Reviewer(Protocol):
    """A person at a terminal, or a file in a test."""

    def key(self) -> str:
        """Give the next key pressed, in lower case; empty at the end of the input."""
        ...

    def line(self) -> str:
        """Give the next line typed, without its end."""
        ...


_END = "\x04"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -~]?|O.|.)?")
"""What an arrow or a function key sends: ESC [ A, and its A must not become a mark."""


class PipedKeys:
    """Keys from a stream that is no terminal: each character but blanks is one; a note ends with its line."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def key(self) -> str:
        """Give the next character that is no blank, in lower case; empty at the end."""
        while (read := self._stream.read(1)) and read.isspace():
            pass
        return read.lower()

    def line(self) -> str:
        """Give the rest of the line, or the next one if nothing is left of this."""
        return self._stream.readline().strip() or self._stream.readline().strip()


class TerminalKeys:
    """Keys of a terminal, without Enter. It is in its usual mode whenever nobody waits for a key."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._pressed: deque[str] = deque()

    def key(self) -> str:
        """Wait for a key; empty for Ctrl-D and Ctrl-C. What arrows and function keys send is no key."""
        while not self._pressed:
            try:
                with _single_keys(self._stream.fileno()):
                    burst = os.read(self._stream.fileno(), 64).decode("utf-8", "replace")
            except KeyboardInterrupt:
                return ""
            if not burst or burst.startswith(_END):
                return ""
            self._pressed.extend("".join(_SEQUENCE.sub("", burst).split()).lower())
        return self._pressed.popleft()

    def line(self) -> str:
        """Give a line typed, with the terminal's own editing."""
        return self._stream.readline().rstrip("\n")


@contextmanager
def _single_keys(descriptor: int) -> Iterator[None]:
    """Have a terminal give each key at once and unseen, and put it back whatever happens."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def keys_of(stream: TextIO) -> Reviewer:
    """Give the keys of a stream: single ones where it is a terminal that can do so."""
    try:
        import termios  # noqa: F401 - Windows has none; there Enter follows each key
    except ImportError:
        return PipedKeys(stream)
    return TerminalKeys(stream) if stream.isatty() else PipedKeys(stream)
