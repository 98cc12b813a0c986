"""The file of an answer store: whether one may become, or go on as, a store, seen without writing to it."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.errors import UsageFault

VERSION = 1
"""The layout of the store; a newer one is refused and left as it is."""

APPLICATION_ID = 0x4C4C4D42  # "LLMB"
BUSY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What another process that writes a file would change: its size, its time, and the size of the log beside it."""

    size: int
    changed_ns: int
    log_size: int


def check_file(path: Path, *, is_thorough: bool) -> None:
    """Check that a file may become, or go on as, an answer store; only SQLite's index of the log may be written.

    Args:
        path: the file; it need not be there.
        is_thorough: go through all its pages, which takes about a second a GB.

    Raises:
        UsageFault: it cannot be opened, is no store, is damaged, or newer.
    """
    try:
        seen = _seen(path)
        if not seen.size:
            return
        is_alone = not seen.log_size
        try:
            _look(path, is_alone=is_alone, is_thorough=is_thorough)
        except (sqlite3.Error, UsageFault):
            if not is_alone or _seen(path) == seen:
                raise
            _look(path, is_alone=False, is_thorough=is_thorough)  # it was being written
    except (sqlite3.OperationalError, OSError) as fault:
        raise UsageFault(cannot(path, "be opened", fault)) from None
    except sqlite3.Error as fault:
        raise UsageFault(cannot(path, "be read: it is damaged, or no store", fault)) from None


def cannot(path: Path, what: str, fault: Exception) -> str:
    """Give the message for what cannot be done with a store, and the way out."""
    return (
        f"{path}: the answer store cannot {what} ({fault}); name another file with --llm-answers FILE, "
        "or go without one with --llm-answers off."
    )


def _seen(path: Path) -> _Seen:
    log = Path(f"{path}-wal")
    try:
        found = path.stat()
    except FileNotFoundError:
        return _Seen(size=0, changed_ns=0, log_size=0)
    return _Seen(size=found.st_size, changed_ns=found.st_mtime_ns, log_size=log.stat().st_size if log.is_file() else 0)


def _look(path: Path, *, is_alone: bool, is_thorough: bool) -> None:
    # `immutable` makes no files beside it, but reads no log and sees nobody who writes
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_alone else ''}"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        n_tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").fetchone()[0]
        if n_tables and application != APPLICATION_ID:
            raise UsageFault(f"{path}: this SQLite file is no answer store; name another with --llm-answers FILE.")
        if version > VERSION:
            raise UsageFault(
                f"{path}: this answer store has version {version}, this pytest-llmbench reads up to {VERSION}; "
                "update it, or name another file with --llm-answers FILE."
            )
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if is_thorough else "ok"
        if found != "ok":
            raise sqlite3.DatabaseError(found.splitlines()[-1])
