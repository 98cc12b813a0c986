"""One `llmbench tune` at a time in a folder: also one whose stage outlives the command that started it."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_llmbench.errors import UsageFault

FILE = ".llmbench-tune"


@contextlib.contextmanager
def locked(folder: Path, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold a folder; gives the file that a stage keeps open, so that it is held until the stage has ended too.

    Args:
        folder: what is held; made if it is not there.
        waiting: called where the stage of a command that was killed is still at its last step.

    Raises:
        UsageFault: another command is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _lock(file, is_patient=False):
            owner = (folder / FILE).read_text(encoding="utf-8", errors="replace").strip()
            if _is_alive(owner):
                raise UsageFault(
                    f"another llmbench tune (process {owner}) is at work in {folder}; wait for it or end it."
                )
            waiting()
            _lock(file, is_patient=True)
        (folder / FILE).write_text(str(os.getpid()), encoding="utf-8")
        yield file
    finally:
        os.close(file)


def _lock(file: int, *, is_patient: bool) -> bool:
    """Lock a file; without such locks every folder is free."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if is_patient else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def _is_alive(owner: str) -> bool:
    if not owner.isdecimal():
        return False
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
