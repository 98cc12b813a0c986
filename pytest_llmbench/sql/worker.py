"""The parent's side of the worker process: start it, give it tasks, kill it when its time is up, start the next.

The process is a bare Python with this package, DuckDB and sqlglot: it imports neither the user's main
module nor pytest, and its environment holds no keys.  The parent never runs model text.  Three ways a worker ends:
killed here because an answer took longer than its limit and a second (`too-slow`); dead by itself or by
another's hand, in which case the answer is evaluated once more and only a second death counts; and replaced
because a query made it large.  The next worker is started while a late answer is still waited for.
"""

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.sql.protocol import Evaluation, Instance, Question, Trial
from pytest_llmbench.values import Reason

GRACE_S = 1.0
"""How long after its limit an answer is killed: the worker stops most queries itself."""

FAULT = 70
"""The exit status of a worker that failed of itself (see worker_main.py; importing it here would load DuckDB)."""

_PREPARATION_S = 90.0  # opening the databases and running the references, on a slow machine
_START_S = 60.0
_LATE_S = 0.15  # past the limit, when the next worker is started in case this one must be killed
_ENVIRONMENT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL")


class WorkerFaultError(LlmbenchError):
    """The worker cannot be started, or a reference cannot be used."""


def _environment() -> dict[str, str]:
    """Give the environment of the worker: what it needs of this one's, and one order of sets in all workers.

    sqlglot takes what it complains of from a set, so that with another order an explanation would be worded otherwise.
    """
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {"PYTHONHASHSEED": "0"}


class _DeadError(Exception):
    """The worker ended in the middle of a task; the argument is its exit status."""


class _LateError(Exception):
    """The worker did not answer in time."""


class _Child:
    """One worker process. A thread reads its lines, so that waiting has a limit on every platform."""

    def __init__(self) -> None:
        package = str(Path(__file__).resolve().parents[2])
        path = [entry for entry in sys.path if entry and os.path.isdir(entry)]
        # -P -s -S: no user's site, no .pth files, nothing of the current folder before the standard library
        code = f"import sys; sys.path += {[*path, package]!r}; from pytest_llmbench.sql.worker_main import main; main()"
        self.pid_of_parent = os.getpid()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
            [sys.executable, "-P", "-s", "-S", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=os.name == "posix",  # Ctrl-C is the parent's to deal with
        )
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._last_words = b""
        self._is_ready = False
        self._reader = threading.Thread(target=self._read, name="sql-worker-reader", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Pass on the lines, then see the process off, so that none stays behind as a zombie."""
        process = self._process
        if process.stdout is None or process.stderr is None or process.stdin is None:
            raise AssertionError("opened with pipes")
        for line in process.stdout:
            try:
                self._lines.put(json.loads(line))
            except ValueError:
                break  # cut off in the middle of a line
        self._last_words = process.stderr.read()[-4000:]
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):  # stdin of a dead process may hold what was never read
                pipe.close()
        self._lines.put(None)

    def wait_until_ready(self) -> None:
        """Wait until it has imported what it needs."""
        if not self._is_ready:
            self.next_line(_START_S)
            self._is_ready = True

    def ask(self, task: Mapping[str, Any]) -> None:
        """Send one task."""
        self.wait_until_ready()
        if self._process.stdin is None:
            raise AssertionError("opened with pipes")
        try:
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as end:
            raise _DeadError(self._status()) from end

    def next_line(self, timeout_s: float) -> dict[str, Any]:
        """Wait for its next line."""
        try:
            line = self._lines.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            raise _LateError from None
        if line is None:
            self._lines.put(None)  # for whoever asks again
            raise _DeadError(self._status())
        return line

    def _status(self) -> int | None:
        self._reader.join(timeout=5)
        return self._process.returncode

    @property
    def last_words(self) -> str:
        """What it wrote to stderr in the end: the reason, where it could not start."""
        return self._last_words.decode(errors="replace").strip().rpartition("\n")[2]

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def kill(self, *, is_waiting: bool = False) -> None:
        """End it at once; its memory may take most of a second to be given back, so by default nobody waits."""
        if os.getpid() != self.pid_of_parent:
            return  # a fork of the parent has the handle and not the child
        self._process.kill()
        if is_waiting:
            self._reader.join(timeout=10)


class Worker:
    """Gives tasks to a worker process and keeps one alive. Safe to use from several threads, one task at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._spare: _Child | None = None
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """The process id of the worker at work, None if none was started yet."""
        return self._child.pid if self._child is not None else None

    def start_early(self) -> None:
        """Start the process in the background, to be ready when the first answer is."""
        with self._lock:
            self._current()

    def evaluate(self, answer: str, question: Question) -> Evaluation:
        """Evaluate one answer."""
        task = {"do": "evaluate", "answer": answer, "question": question.to_json()}
        with self._turn():
            for attempt in (1, 2):
                try:
                    return self._evaluate(task, question)
                except _DeadError as end:
                    status = end.args[0]
                    words = self._child.last_words if self._child is not None else ""
                    self._drop()
                    if status == FAULT:
                        raise WorkerFaultError(
                            f"The SQL worker itself failed on this answer ({words}); please report it."
                        ) from end
                    is_cpu_limit = status == -getattr(signal, "SIGXCPU", 0)
                    if is_cpu_limit or attempt == 2:
                        return _died(status)
        raise AssertionError("two attempts")

    def trials(self, sql: str, instances: Sequence[Instance], limit_s: float) -> tuple[Trial, ...]:
        """Run one reference on each instance."""
        task = {
            "do": "try",
            "sql": sql,
            "limit_s": limit_s,
            "instances": [instance.to_json() for instance in instances],
        }
        line = self._line(task, _PREPARATION_S)
        return tuple(Trial.from_json(trial) for trial in line["trials"])

    def survivors(self, queries: Sequence[str], question: Question) -> tuple[int, ...]:
        """Give the places of the queries that no instance tells from the references."""
        task = {"do": "survive", "queries": list(queries), "question": question.to_json()}
        line = self._line(task, _PREPARATION_S + question.limit_s * len(queries))
        return tuple(line["survivors"])

    def close(self) -> None:
        """End the process; the next task would start another."""
        with self._lock:
            for child in (self._child, self._spare):
                if child is not None:
                    child.kill(is_waiting=True)
            self._child = self._spare = None

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one task at a time be waited for; a process whose task was given up would answer out of turn."""
        with self._lock:
            is_done = False
            try:
                yield
                is_done = True
            except WorkerFaultError:
                is_done = True
                raise
            finally:
                if not is_done:  # Ctrl-C in the middle
                    self._drop()

    def _evaluate(self, task: Mapping[str, Any], question: Question) -> Evaluation:
        child = self._current()
        self._ask(child, task)
        try:
            _checked(child.next_line(_PREPARATION_S))
        except _LateError:
            self._drop()
            raise WorkerFaultError(
                f"The references took longer than {_PREPARATION_S:g} s; ask for less, or use smaller data."
            ) from None
        deadline = time.monotonic() + question.limit_s + GRACE_S
        try:
            try:
                line = child.next_line(question.limit_s + _LATE_S)
            except _LateError:
                self._spare = self._spare or _Child()
                line = child.next_line(deadline - time.monotonic())
        except _LateError:
            self._drop()
            return Evaluation(
                reason=Reason.TOO_SLOW, explanation=f"It ran longer than {question.limit_s:g} s and was killed."
            )
        if line.get("is_spent"):
            self._drop()
            self._current()
        return Evaluation.from_json(_checked(line)["evaluation"])

    def _line(self, task: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """Ask for one line; a death or a delay is the fault of what was asked, which is the user's own."""
        with self._turn():
            child = self._current()
            try:
                self._ask(child, task)
                return _checked(child.next_line(timeout_s))
            except (_DeadError, _LateError) as end:
                self._drop()
                raise WorkerFaultError("A reference ran out of time or memory; make it cheaper.") from end

    def _ask(self, child: _Child, task: Mapping[str, Any]) -> None:
        """Send a task; a process that cannot even start is the harness' fault and no answer's."""
        try:
            child.wait_until_ready()
        except (_DeadError, _LateError) as end:
            self._drop()
            words = child.last_words or f"status {end.args[0] if end.args else None}"
            raise WorkerFaultError(
                f"The SQL worker process did not start ({words}); check that duckdb and sqlglot can be imported."
            ) from end
        child.ask(task)

    def _current(self) -> _Child:
        """Give the worker, the spare one, or a new one; after a fork the parent's is left alone."""
        if self._child is None or self._child.pid_of_parent != os.getpid():
            is_ours = self._spare is not None and self._spare.pid_of_parent == os.getpid()
            self._child = self._spare if is_ours and self._spare is not None else _Child()
            self._spare = None
        return self._child

    def _drop(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None


def _checked(line: dict[str, Any]) -> dict[str, Any]:
    """Give a line unless it reports a fault of a reference."""
    if "fault" in line:
        raise WorkerFaultError(line["fault"])
    return line


def _died(status: int | None) -> Evaluation:
    """Give the evaluation of an answer that ended two workers."""
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    return Evaluation(
        reason=Reason.TOO_SLOW,
        explanation=f"The process that ran it ended twice ({how}), most likely for want of memory.",
    )
