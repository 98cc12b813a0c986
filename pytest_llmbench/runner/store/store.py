"""The answer store: every answer is kept in SQLite the moment it arrives, so that no run pays twice.

A request is known by the model's identity, the prompt, the sampling and the number of the
sample.  A run that did not finish is continued by the next one of the same model in the same role, and if that
does not finish either, both are by the one after it; errors are never kept.  Several processes may share a
store: the journal is a write-ahead log, each answer its own transaction.  After a kill of the process nothing
is lost; after a loss of power the last answers may be (`synchronous=NORMAL`), the store itself is not.

Several processes may be one run (they share its token).  The one that owns the run holds a lock for as long
as it lives, so that a run at work is not taken for one that did not finish; where the system has no such
locks, it is.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import Identity
from pytest_llmbench.runner.store import stop_plans
from pytest_llmbench.runner.store.file import APPLICATION_ID, BUSY_S, VERSION, cannot, check_file
from pytest_llmbench.runner.store.keys import Key, model_key, request_key
from pytest_llmbench.runner.store.locks import RunLife
from pytest_llmbench.runner.store.reuse import Reuse
from pytest_llmbench.runner.store.stop_plans import StopPlans
from pytest_llmbench.values import Answer, Request, ToolCall

T = TypeVar("T")

_NO_RUN = 2**62  # of who only looks: behind all runs

_LAYOUT = """
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    started REAL NOT NULL,
    is_finished INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS asked (
    model TEXT NOT NULL,
    role TEXT NOT NULL,
    run INTEGER NOT NULL REFERENCES run (id),
    PRIMARY KEY (model, role, run)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (
    request TEXT NOT NULL,
    run INTEGER NOT NULL REFERENCES run (id),
    role TEXT NOT NULL,
    copy INTEGER NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (request, run, role, copy)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known (
    entry TEXT PRIMARY KEY,
    model TEXT NOT NULL
) WITHOUT ROWID;
"""
_FIELDS = tuple(field.name for field in fields(Answer) if field.name != "node")  # nodes are numbered in each run

_TABLES = {"run", "asked", "answer", "known", stop_plans.TABLE}

_FIND = (
    "SELECT answer, run FROM answer WHERE request = ? AND role = ? AND copy = ? "
    "AND run IN (SELECT value FROM json_each(?)) ORDER BY run DESC LIMIT 1"
)
_FIND_ALL = (
    "SELECT answer, run FROM answer WHERE request = ? AND (run <> ? OR (role = ? AND copy = ?)) "
    "ORDER BY role = ? DESC, copy = ? DESC, run DESC LIMIT 1"
)

_PACE = (
    "SELECT avg(json_extract(answer, '$.latency_s')), "
    "avg(json_extract(answer, '$.latency_s') / json_extract(answer, '$.concurrency')) FROM ("
    "SELECT answer.answer FROM answer JOIN asked USING (run, role) WHERE asked.model = ? ORDER BY run DESC LIMIT 500)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a model answered: the mean latency, and the mean of what each answer took of the time of the run."""

    latency_s: float
    per_answer_s: float


class AnswerStore:
    """One run's view of a store.

    Once it cannot be read or written any more, nothing is found or kept, and `fault` has the reason.

    Args:
        path: the SQLite file; made if it is not there.
        reuse: which stored answers this run may use.
        token: what the processes of one run have in common; the run is begun by the first of them. None to begin
            no run: to look only.
        is_owner: this process lives as long as the run.

    Raises:
        UsageFault: the file cannot be opened or written, is no store, is damaged, or newer.
    """

    def __init__(self, path: Path, *, reuse: Reuse, token: str | None, is_owner: bool = True):
        self.path = path
        self.fault: str | None = None
        self._reuse = reuse
        self._lock = threading.Lock()
        check_file(path, is_thorough=is_owner)
        try:
            _make_folder(path.parent)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=16
            )
        except (OSError, sqlite3.Error) as fault:
            raise UsageFault(cannot(path, "be opened", fault)) from None
        try:
            self._prepare()
            self._run = _NO_RUN if token is None else self._begin(token)
            owned = self._run if is_owner and token is not None else None
            self._life = RunLife(path.with_name(f"{path.name}-runs"), owned)
        except (sqlite3.Error, OSError) as fault:
            self._connection.close()
            is_writing = isinstance(fault, sqlite3.OperationalError | OSError)
            what = "be written" if is_writing else "be read: it is damaged, or no store"
            raise UsageFault(cannot(path, what, fault)) from None

    def answers_of(self, identity: Identity, role: str, entry: str = "") -> "ModelAnswers":
        """Give what is stored of a model in a role; from now on, this run is the last that asked it.

        Args:
            identity: of the model.
            role: it plays.
            entry: what it was opened from (see `entry_key`), so that it can be looked up without opening it.
        """
        model = model_key(identity)
        previous: tuple[int, ...] = ()
        with self._lock:
            try:
                if self._reuse is Reuse.AUTO:
                    previous = self._previous(model, role)
                elif self._reuse is Reuse.NONE:  # nor are they wanted by a run that continues this one
                    self._forget(model, role, self._previous(model, role))
                self._connection.execute("INSERT OR IGNORE INTO asked VALUES (?, ?, ?)", (model, role, self._run))
                self._connection.execute("INSERT OR REPLACE INTO known VALUES (?, ?)", (entry, model))
            except sqlite3.Error as fault:
                self._give_up("be used any more", fault)
        return ModelAnswers(self, model, role, previous)

    def look_up(self, entry: str, role: str) -> tuple["ModelAnswers", Pace | None] | None:
        """Give what is stored of the model that was last opened from an entry, and its pace; None if none was."""
        with self._lock:
            try:
                row = self._connection.execute("SELECT model FROM known WHERE entry = ?", (entry,)).fetchone()
                if row is None:
                    return None
                previous = self._previous(row[0], role) if self._reuse is Reuse.AUTO else ()
                latency_s, per_answer_s = self._connection.execute(_PACE, row).fetchone()
            except sqlite3.Error as fault:
                self._give_up("be read", fault)
                return None
        answers = ModelAnswers(self, row[0], role, previous)
        if latency_s is None or per_answer_s is None:
            return answers, None
        return answers, Pace(latency_s=latency_s, per_answer_s=per_answer_s)

    def find(self, key: Key, role: str, previous: tuple[int, ...]) -> Answer | None:
        """Give a stored answer; see `ModelAnswers.find`."""
        if self._reuse is Reuse.ALL:
            # the same role first: two roles of one model in one run have answers of their own
            query = _FIND_ALL
            values: tuple[object, ...] = (key.request, self._run, role, key.copy, role, key.copy)
        else:
            query = _FIND
            values = (key.request, role, key.copy, json.dumps((self._run, *previous)))
        with self._lock:
            if self.fault is not None:
                return None
            try:
                row = self._connection.execute(query, values).fetchone()
            except sqlite3.Error as fault:
                self._give_up("be read any more", fault)
                return None
        if row is None:
            return None
        try:
            found = _answer(json.loads(row[0]))
        except (ValueError, TypeError) as fault:
            self._give_up("be read any more: it is damaged", fault)
            return None
        return found if row[1] == self._run else replace(found, reused=True)

    def keep(self, key: Key, role: str, answer: Answer) -> None:
        """Keep an answer, reused or new, as one of this run."""
        # not asdict(), which copies deeply and takes longer than the writing
        text = json.dumps({name: getattr(answer, name) for name in _FIELDS}, default=_plain)
        self._write(
            "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?)", (key.request, self._run, role, key.copy, text)
        )

    def with_plans(self, use: Callable[[StopPlans], T]) -> T | None:
        """Read or write the plans of early stops; None where the store cannot be used any more."""
        with self._lock:
            if self.fault is None:
                try:
                    return use(StopPlans(self._connection, self._run, self._life.is_alive))
                except (sqlite3.Error, ValueError, TypeError) as fault:
                    self._give_up("be used any more", fault)
        return None

    @property
    def reuse(self) -> Reuse:
        """Which stored answers are used."""
        return self._reuse

    def finish(self) -> None:
        """Mark this run as finished, so that the next one begins anew."""
        self._write("UPDATE run SET is_finished = 1 WHERE id = ?", (self._run,))

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()
            self._life.end()

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self._lock:
            if self.fault is None:
                try:
                    self._connection.execute(statement, values)
                except sqlite3.Error as fault:
                    self._give_up("be written any more", fault)

    def _give_up(self, what: str, fault: Exception) -> None:
        self.fault = (
            f"{self.path}: the answer store cannot {what} ({fault}); the run went on without it, "
            "and what was answered since then is asked again by the next one."
        )

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        tables = {name for (name,) in execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if not tables >= _TABLES:
            self._lay_out()

    def _lay_out(self) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for statement in (_LAYOUT + stop_plans.LAYOUT).split(";"):  # another process may have been first
            if statement.strip():
                execute(statement)
        execute(f"PRAGMA application_id = {APPLICATION_ID}")
        execute(f"PRAGMA user_version = {VERSION}")
        execute("COMMIT")

    def _begin(self, token: str) -> int:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        execute("INSERT OR IGNORE INTO run (token, started) VALUES (?, ?)", (token, time.time()))
        run: int = execute("SELECT id FROM run WHERE token = ?", (token,)).fetchone()[0]
        execute("COMMIT")
        return run

    def _previous(self, model: str, role: str) -> tuple[int, ...]:
        """Give the last runs before this one that asked the model and neither finished nor are at work.

        They are all looked at: one that stopped early kept only what it came to of those that it continued.
        """
        before = self._connection.execute(
            "SELECT run.id, run.is_finished FROM asked JOIN run ON run.id = asked.run "
            "WHERE asked.model = ? AND asked.role = ? AND run.id < ? ORDER BY run.id DESC",
            (model, role, self._run),
        )
        left = takewhile(lambda row: not row[1] and not self._life.is_alive(row[0]), before.fetchall())
        return tuple(run for run, _ in left)

    def _forget(self, model: str, role: str, runs: tuple[int, ...]) -> None:
        """Have some runs continued by none."""
        self._connection.execute(
            "DELETE FROM asked WHERE model = ? AND role = ? AND run IN (SELECT value FROM json_each(?))",
            (model, role, json.dumps(runs)),
        )


class ModelAnswers:
    """What is stored of one model in one role; see `AnswerStore.answers_of`."""

    def __init__(self, store: AnswerStore, model: str, role: str, previous: tuple[int, ...]):
        self._store = store
        self._model = model
        self._role = role
        self._previous = previous

    def key(self, request: Request) -> Key:
        """Give the key of a request."""
        return Key(request_key(self._model, request), request.copy)

    def find(self, key: Key) -> Answer | None:
        """Give the stored answer of a request; None if there is none that may be used.

        It is marked as reused, unless another process of this very run got it.
        """
        return self._store.find(key, self._role, self._previous)

    def keep(self, key: Key, answer: Answer) -> None:
        """Keep an answer, reused or new, as one of this run."""
        self._store.keep(key, self._role, answer)


def _plain(value: object) -> object:
    """Give what JSON can hold of a field that it does not know."""
    if isinstance(value, ToolCall):
        return {"name": value.name, "arguments": value.arguments}
    if isinstance(value, Answer):
        return {name: getattr(value, name) for name in _FIELDS}
    return dict(value)  # type: ignore[call-overload]


def _answer(found: dict[str, Any]) -> Answer:
    if "choice_logprobs" in found:  # as version 0.1 called them
        found["label_logprobs"] = found.pop("choice_logprobs")
    calls = tuple(ToolCall(**call) for call in found.pop("tool_calls", ()))
    turns = tuple(_answer(turn) for turn in found.pop("turns", ()))
    return Answer(**found, tool_calls=calls, turns=turns)


def _make_folder(folder: Path) -> None:
    """Make the folder of a store; one that is made for it is left out of version control."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("*\n")
