"""Which runs are at work: each holds a lock for as long as its process lives, which no kill can leave behind."""

import contextlib
import os
from pathlib import Path


class RunLife:
    """Distinguishes runs at work from those that ended: each locks a byte of a file.

    Args:
        path: the file.
        run: the run this process owns, if any.
    """

    def __init__(self, path: Path, run: int | None):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        if run is not None:
            _lock(self._file, run)

    def is_alive(self, run: int) -> bool:
        """Return whether the process that owns a run still lives."""
        if not _lock(self._file, run):
            return True
        _unlock(self._file, run)
        return False

    def end(self) -> None:
        """Close the file, and with it the lock; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _lock(file: int, place: int) -> bool:
    """Lock a byte of a file; False if another process has it. Without such locks every run seems to have ended."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _unlock(file: int, place: int) -> None:
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_UN, 1, place)
