"""The answer store: every answer is kept in SQLite the moment it arrives, so that no run pays twice.

A request is known by the model's identity, the prompt, the sampling and the number of the
sample.  A run that did not finish is continued by the next one; errors are never kept.
Several processes may share a store: the journal is a write-ahead log, each answer its own
transaction.  After a kill of the process nothing is lost; after a loss of power the last
answers may be (`synchronous=NORMAL`), the store itself is not.
"""

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models import Identity
from pytest_llmbench.values import Answer, Json, Request

VERSION = 1
"""The layout of the store; a newer one is refused and left as it is."""

_APPLICATION_ID = 0x4C4C4D42  # "LLMB"
_BUSY_S = 30.0

_LAYOUT = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    started REAL NOT NULL,
    is_finished INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE answer (
    request TEXT NOT NULL,
    run INTEGER NOT NULL REFERENCES run (id),
    answer TEXT NOT NULL,
    PRIMARY KEY (request, run)
) WITHOUT ROWID;
"""


class Reuse(StrEnum):
    """Which stored answers are used again."""

    AUTO = "auto"
    """Those of the last run, if it did not finish."""
    ALL = "all"
    """Any with the same request, the newest first."""
    NONE = "none"


class AnswerStore:
    """One run's view of a store.

    Args:
        path: the SQLite file; made if it is not there.
        reuse: which stored answers this run may use.
        token: what the processes of one run have in common; the run is begun by the first of them.

    Raises:
        UsageFault: the file cannot be opened or written, is no store, is damaged, or newer.
    """

    def __init__(self, path: Path, *, reuse: Reuse, token: str):
        self.path = path
        self._reuse = reuse
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=16
            )
        except (OSError, sqlite3.Error) as fault:
            raise UsageFault(_cannot(path, "be opened", fault)) from None
        try:
            self._prepare()
            self._begin(token)
        except sqlite3.Error as fault:
            self._connection.close()
            what = (
                "be written" if isinstance(fault, sqlite3.OperationalError) else "be read: it is damaged, or no store"
            )
            raise UsageFault(_cannot(path, what, fault)) from None
        except UsageFault:
            self._connection.close()
            raise

    def find(self, key: str) -> Answer | None:
        """Give the stored answer of a request, marked as reused, or None."""
        if self._reuse is Reuse.NONE:
            return None
        with self._lock:
            if self._reuse is Reuse.ALL:
                row = self._connection.execute(
                    "SELECT answer FROM answer WHERE request = ? ORDER BY run DESC LIMIT 1", (key,)
                ).fetchone()
            elif self._previous is None:
                row = None
            else:
                row = self._connection.execute(
                    "SELECT answer FROM answer WHERE request = ? AND run IN (?, ?) LIMIT 1",
                    (key, self._previous, self._run),
                ).fetchone()
        return None if row is None else Answer(**{**json.loads(row[0]), "reused": True})

    def keep(self, key: str, answer: Answer) -> None:
        """Keep an answer, reused or new, as one of this run.

        Raises:
            sqlite3.Error: it cannot be written (the disk is full).
        """
        text = json.dumps({**asdict(answer), "reused": False}, ensure_ascii=True)
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", (key, self._run, text))

    def finish(self) -> None:
        """Say that this run asked all it wanted, so that the next one begins anew."""
        with self._lock:
            self._connection.execute("UPDATE run SET is_finished = 1 WHERE id = ?", (self._run,))

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA query_only = ON")
        version = execute("PRAGMA user_version").fetchone()[0]
        application = execute("PRAGMA application_id").fetchone()[0]
        tables = execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables and application != _APPLICATION_ID:
            raise UsageFault(f"{self.path}: this SQLite file is no answer store; name another with --llm-answers FILE.")
        if version > VERSION:
            raise UsageFault(
                f"{self.path}: this answer store has version {version}, this pytest-llmbench reads up to {VERSION}; "
                "update it, or name another file with --llm-answers FILE."
            )
        execute("PRAGMA query_only = OFF")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        if not tables:
            self._lay_out()

    def _lay_out(self) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        # another process may have been first
        if not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            for statement in _LAYOUT.split(";"):
                if statement.strip():
                    execute(statement)
            execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            execute(f"PRAGMA user_version = {VERSION}")
        execute("COMMIT")

    def _begin(self, token: str) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        execute("INSERT OR IGNORE INTO run (token, started) VALUES (?, ?)", (token, time.time()))
        self._run: int = execute("SELECT id FROM run WHERE token = ?", (token,)).fetchone()[0]
        before = execute(
            "SELECT id, is_finished FROM run WHERE id < ? ORDER BY id DESC LIMIT 1", (self._run,)
        ).fetchone()
        execute("COMMIT")
        self._previous: int | None = before[0] if before is not None and not before[1] else None


def request_key(identity: Identity, request: Request) -> str:
    """Give the digest that tells a request: model identity, prompt, sampling, number of the sample.

    What a server calls its model is left out, since it is known only after the first answer.
    """
    facts: Mapping[str, Json] = {
        "provider": identity.provider,
        "model": identity.model,
        "weights": identity.weights,
        "template": identity.template_sha256,
        "libraries": dict(identity.libraries),
        "settings": dict(identity.settings),
        "prompt": request.prompt.sha256,
        "sampling": asdict(request.sampling),
        "sample": request.sample,
        "choices": list(request.choices),
        "is_choice": request.is_choice,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _cannot(path: Path, what: str, fault: Exception) -> str:
    return (
        f"{path}: the answer store cannot {what} ({fault}); name another file with --llm-answers FILE, "
        "or go without one with --llm-answers off."
    )
