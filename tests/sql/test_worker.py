"""The worker process: what it survives, what it does not, and that no other answer is harmed."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_llmbench.sql.database.files import build, find_database
from pytest_llmbench.sql.protocol import Question
from pytest_llmbench.sql.worker import Worker

REFERENCE = "SELECT COUNT(*) FROM events WHERE rpc_method = 'Login'"
NORMAL = "SELECT SUM(rpc_method = 'Login') FROM events"
SLOW = "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))"

BAD = {
    "a megabyte of prose": ("word " * 200_000, "no-sql"),
    "a megabyte of one query": ("SELECT " + "1 + " * 250_000 + "1", "invalid"),
    "a megabyte of brackets": ("(" * 1_000_000, "no-sql"),
    "NUL bytes": ("\0" * 5_000, "no-sql"),
    "NUL bytes in a query": ("SELECT\0 COUNT(*)\0 FROM events", "invalid"),
    "10,000 nested brackets": ("SELECT " + "(" * 10_000 + "1" + ")" * 10_000, "invalid"),
    "3,000 nested brackets": ("SELECT " + "(" * 3_000 + "1" + ")" * 3_000, "invalid"),
    "1,000 unions": (" UNION ALL ".join(["SELECT 1"] * 400), "wrong-result"),
    "600 nested queries": ("SELECT * FROM (" * 400 + "SELECT 1" + ") t" * 400, "invalid"),
    "UTF-16 with zeros": ("\xff\xfe" + "".join(char + "\0" for char in NORMAL), "correct"),
    "UTF-16 read as text": (NORMAL.encode("utf-16").decode("utf-16"), "correct"),
    "UTF-16 read as Chinese": (NORMAL.encode("utf-16-le").decode("utf-16-be"), "no-sql"),
    "half a surrogate": ("SELECT COUNT(*) FROM events WHERE rpc_method = '\ud83d'", "invalid"),
    "quotes that never close": ("SELECT '" + "\\'" * 4_000, "invalid"),
    "long runs of spaces in a quotation": (("> " + " " * 300) * 600, "no-sql"),
    "long runs of spaces between fences": (("```\n" + " " * 300) * 600, "no-sql"),
    "nothing": ("", "empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_grade_and_harms_nothing(judge: Any, name: str) -> None:
    """Whatever a model may write is judged in time, and the next answer as ever."""
    answer, reason = BAD[name]
    start = time.monotonic()

    grade = judge(answer, REFERENCE)
    took_s = time.monotonic() - start
    after = judge(NORMAL, REFERENCE)

    assert grade.reason == reason, grade
    assert took_s < 4
    assert after.passed, after


@pytest.mark.parametrize(
    "answer",
    ["SELECT " + "x" * 7_000 + " FROM events", "SELECT " + "f" * 7_000 + "(1)", 'SELECT 1 AS "' + "n" * 7_000 + '", 2'],
)
def test_a_grade_is_short_whatever_the_answer_names(judge: Any, answer: str) -> None:
    """What the engine or the gate quotes of an answer is cut off, and so are its columns' names."""
    grade = judge(answer, REFERENCE)

    assert not grade.passed
    assert len(grade.explanation) < 600
    assert len(str(grade.parts.get("difference"))) < 1_000


@pytest.fixture
def worker() -> Any:
    found = Worker()
    yield found
    found.close()


@pytest.fixture
def question(events_root: Path) -> Question:
    database = find_database("events", suite_path=events_root / "cases" / "sql.yaml", root=events_root)
    return Question(references=(REFERENCE,), instances=build(database), limit_s=1.0)


MISSING = (
    "x BETWEEN",
    "IF()",
    "OVERLAY()",
    "ENDS_WITH()",
    "CONTAINS()",
    "LEFT()",
    "ATAN2()",
    "ARRAY_CONTAINS()",
    "POW()",
)


def test_a_fault_is_worded_alike_by_every_worker(question: Question) -> None:
    """The parser takes the first of several missing arguments from a set, whose order is that of the process."""
    found = []
    for _ in range(2):
        worker = Worker()
        found.append([worker.evaluate(f"SELECT {one} FROM events", question) for one in MISSING])
        worker.close()

    assert "Required keyword" in str(found)
    assert found[0] == found[1]


def test_worker_killed_between_answers_is_replaced(worker: Worker, question: Question) -> None:
    """A worker that someone else killed is no answer's fault: the next is judged by another."""
    worker.evaluate(NORMAL, question)
    first = worker.pid
    assert first is not None
    psutil.Process(first).kill()

    verdict = worker.evaluate(NORMAL, question)

    assert verdict.reason == "correct"
    assert worker.pid != first


def test_worker_killed_while_grading_grades_again(worker: Worker, question: Question) -> None:
    """An answer whose worker is killed from outside is asked once more and gets its own verdict."""
    worker.evaluate(NORMAL, question)
    victim = worker.pid
    assert victim is not None
    threading.Timer(0.3, psutil.Process(victim).kill).start()

    verdict = worker.evaluate("SELECT COUNT(*) FROM range(1000000000000)", question)
    after = worker.evaluate(NORMAL, question)

    assert (verdict.reason, after.reason) == ("too-slow", "correct")
    assert worker.pid != victim


def test_worker_killed_twice_while_grading_is_too_slow(worker: Worker, question: Question) -> None:
    """An answer that two workers do not survive has its verdict, and the next one is judged."""
    patient = replace(question, limit_s=5.0)
    worker.evaluate(NORMAL, patient)
    stop = threading.Event()

    def kill_at_work() -> None:
        seen: set[int | None] = set()
        while not stop.wait(0.02):
            if worker.pid is not None and worker.pid not in seen:
                seen.add(worker.pid)
                stop.wait(1.5)  # it has started and runs the query
                psutil.Process(worker.pid).kill()

    killer = threading.Thread(target=kill_at_work)
    killer.start()
    try:
        verdict = worker.evaluate("SELECT COUNT(*) FROM range(1000000000000)", patient)
    finally:
        stop.set()
        killer.join()
    after = worker.evaluate(NORMAL, question)

    assert (verdict.reason, after.reason) == ("too-slow", "correct")
    assert verdict.explanation.startswith("The process that ran it ended twice (")


def test_answer_given_up_by_ctrl_c_is_not_taken_for_the_next(worker: Worker, question: Question) -> None:
    """Who interrupts the waiting for a verdict finds the next answers judged by another process, in turn."""
    worker.evaluate(NORMAL, question)
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()

    with pytest.raises(KeyboardInterrupt):
        worker.evaluate("SELECT COUNT(*) FROM range(1000000000000)", question)

    answers = (NORMAL, "SELECT 17", NORMAL)
    assert [worker.evaluate(answer, question).reason for answer in answers] == ["correct", "wrong-result", "correct"]


def test_answer_that_nothing_interrupts_is_killed(worker: Worker, question: Question) -> None:
    """What DuckDB's own limits do not stop is killed a second after its limit, and the next answer need not wait for a start."""
    worker.evaluate(NORMAL, question)
    start = time.monotonic()

    verdict = worker.evaluate(SLOW, question)
    worker.evaluate(NORMAL, question)
    took_s = time.monotonic() - start

    assert verdict.reason == "too-slow"
    assert took_s < question.limit_s + 4


def test_threads_take_turns(worker: Worker, question: Question) -> None:
    """Several threads may ask one worker."""
    verdicts = []

    def ask() -> None:
        verdicts.extend(worker.evaluate(NORMAL, question).reason for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert verdicts == ["correct"] * 20


def test_closed_worker_leaves_nothing_behind_and_starts_again(worker: Worker, question: Question) -> None:
    """Closing ends the process and reaps it; another task would start another."""
    worker.evaluate(NORMAL, question)
    first = worker.pid
    assert first is not None

    worker.close()

    assert not psutil.pid_exists(first)
    assert worker.evaluate(NORMAL, question).reason == "correct"


def test_worker_has_neither_keys_nor_pytest(
    worker: Worker, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's environment holds none of the user's variables, and its command starts no module of the user's."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")

    worker.evaluate(NORMAL, question)

    assert worker.pid is not None
    process = psutil.Process(worker.pid)
    assert "secret" not in process.environ().values()
    assert "pytest_llmbench.sql.worker_main" in process.cmdline()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of another process")
def test_worker_has_limits(worker: Worker, question: Question) -> None:
    """Memory, CPU time, file size and core dumps of the worker are limited."""
    worker.evaluate(NORMAL, question)
    process = psutil.Process(worker.pid)

    limits = {name: process.rlimit(getattr(psutil, f"RLIMIT_{name}"))[0] for name in ("AS", "CPU", "FSIZE", "CORE")}

    assert 2**30 < limits["AS"] < 3 * 2**30
    assert 0 < limits["CPU"] < 30
    assert (limits["FSIZE"], limits["CORE"]) == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of another process")
def test_limits_of_an_answer_end_with_it(worker: Worker, question: Question) -> None:
    """References, and the near misses of them, are not stopped by what is left of the last answer's time and memory."""
    worker.evaluate(NORMAL, question)

    worker.trials(REFERENCE, question.instances, 1.0)

    process = psutil.Process(worker.pid)
    limits = [process.rlimit(getattr(psutil, f"RLIMIT_{name}")) for name in ("AS", "CPU")]
    assert [soft for soft, _ in limits] == [hard for _, hard in limits]


_SCRIPT = """
import sys, time
from pathlib import Path
from pytest_llmbench.sql.database.files import build, find_database
from pytest_llmbench.sql.protocol import Question
from pytest_llmbench.sql.pool import shared_worker

root = Path(sys.argv[1])
instances = build(find_database("events", suite_path=root / "cases" / "sql.yaml", root=root))
worker = shared_worker()
question = Question(references=("SELECT COUNT(*) FROM events",), instances=instances, limit_s=30.0)
print(worker.evaluate("SELECT COUNT(*) FROM events", question).reason, worker.pid, flush=True)
if sys.argv[2] == "large":
    kept, first = bytearray(600 * 2**20), worker.pid
    kept[:: 4096] = b"x" * len(kept[:: 4096])
    worker.close()
    worker.evaluate("SELECT COUNT(*) FROM events", question)
    started = worker.pid
    print(worker.evaluate("SELECT COUNT(*) FROM events", question).reason, started == worker.pid != first)
if sys.argv[2] == "busy":
    worker.evaluate("SELECT COUNT(*) FROM range(1000000000000)", question)
"""


def _run_script(root: Path, mode: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _SCRIPT, str(root), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def _is_gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        threading.Event().wait(0.05)
    return False


def test_process_that_ends_takes_its_worker_along(events_root: Path) -> None:
    """At the interpreter's exit the worker is ended, without a warning or a word."""
    with _run_script(events_root, "done") as process:
        out, err = process.communicate(timeout=60)

    reason, pid = out.split()
    assert (reason, process.returncode, err) == ("correct", 0, "")
    assert _is_gone(int(pid), 5)


def test_memory_of_the_parent_is_not_the_workers(events_root: Path) -> None:
    """A worker that a process with a loaded model starts judges more than one answer."""
    with _run_script(events_root, "large") as process:
        out, _ = process.communicate(timeout=60)

    assert out.splitlines()[1] == "correct True"


def test_parent_that_is_killed_takes_its_worker_along(events_root: Path) -> None:
    """A worker in the middle of an endless query ends with a parent that had no time to say so."""
    with _run_script(events_root, "busy") as process:
        assert process.stdout is not None
        _, pid = process.stdout.readline().split()
        threading.Event().wait(0.5)  # the query is running

        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)

    assert _is_gone(int(pid), 10)


def test_suites_with_other_limits_share_a_database(worker: Worker, question: Question) -> None:
    """Two suites on one database, each with its own limit, take turns in one worker."""
    limits = (1.0, 0.5, 1.0)

    verdicts = [worker.evaluate(NORMAL, replace(question, limit_s=limit)).reason for limit in limits]

    assert verdicts == ["correct"] * 3
