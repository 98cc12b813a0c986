"""What runs inside the worker process: one line of JSON in, a few lines out, for as long as the parent lives.

Model text is parsed and run here and nowhere else.  The process has limits of its own on memory, CPU time
and files where the platform has them (POSIX); everywhere the parent kills it when its time is up.
A thread waits for the end of stdin, so that the process ends with its parent even in
the middle of a query that nothing else stops.
"""

import gc
import json
import logging
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any

from pytest_llmbench.sql.evaluate import Evaluator, ReferenceFaultError
from pytest_llmbench.sql.protocol import Instance, Question

FAULT, OUT_OF_MEMORY = 70, 71
"""With what status the process ends over a fault of its own, and for want of memory."""

MEMORY_BYTES = 1024 * 2**20
"""What an answer may take beyond what the open databases hold: DuckDB's own limit ends at scalar functions."""

_SPENT_BYTES = 500 * 2**20  # what a process has used once it may keep: the next answer gets a new one


def main() -> None:
    """Serve the parent until it goes away."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(silence, descriptor)  # nothing but our lines goes to the parent
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(source, tasks), name="lifeline", daemon=True).start()
    confine()
    sys.excepthook = _end
    logging.getLogger("sqlglot").disabled = True  # it reports to people what is a value here
    evaluator = Evaluator()
    _collect_seldom()
    _send(sink, {"ready": True})
    while True:
        task = json.loads(tasks.get())
        _release()
        try:
            for message in _TASKS[task["do"]](evaluator, task):
                _send(sink, message)
        except ReferenceFaultError as fault:
            _send(sink, {"fault": str(fault)})


def _collect_seldom() -> None:
    """Leave what was imported out of garbage collection, and look through the rest less often: a tree is a cycle.

    With Python's own threshold of 700 objects a tenth of the time goes there; so many are a few MB.
    """
    gc.freeze()
    gc.set_threshold(20_000)


def _end(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """End the process over a fault of our own, with a line for the parent; running out of memory is the answer's."""
    place = traceback.extract_tb(trace)[-1] if trace is not None else None
    where = f" at {os.path.basename(place.filename)}:{place.lineno}" if place is not None else ""
    os.write(2, f"{kind.__name__}: {fault}{where}".encode(errors="backslashreplace")[:2000])
    os._exit(OUT_OF_MEMORY if issubclass(kind, MemoryError) else FAULT)


def confine() -> bool:
    """Forbid this process files and core dumps; False where the platform cannot."""
    try:
        import resource
    except ImportError:  # Windows: the kill and the length cap remain
        return False
    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(kind, (0, 0))
    return True


def _release() -> None:
    """Lift the limits of the last answer: what comes before the next is the suite's own, and timed by the parent."""
    try:
        import resource
    except ImportError:
        return
    for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (hard, hard))


def _allow(limit_s: float) -> None:
    """Give the next answer its share of memory and processor: nets under the engine's limits and the parent's kill.

    Memory is the address space: what is taken now, stacks of DuckDB's threads and all, and a share on top.
    """
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + limit_s) + 6, hard))
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            taken = int(statm.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, hard))
    except (OSError, ValueError):  # macOS has no /proc, and refuses the limit
        return


def _listen(source: IO[bytes], tasks: "queue.SimpleQueue[bytes]") -> None:
    """Pass on the parent's lines; end the process when there will be no more."""
    for line in source:
        tasks.put(line)
    os._exit(0)


def _send(sink: IO[str], message: dict[str, Any]) -> None:
    sink.write(json.dumps(message) + "\n")
    sink.flush()


def _is_spent() -> bool:
    """Tell whether the process has ever used so much memory that the next answer should have another."""
    return _peak_bytes() > _SPENT_BYTES


def _peak_bytes() -> int:
    """Give the most memory the process has used; 0 where it is not known."""
    try:
        # not ru_maxrss: on Linux a new process takes over its parent's, and ours may have a model loaded
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _evaluate(evaluator: Evaluator, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Evaluate one answer: first the references are prepared, then the answer's time begins."""
    question = Question.from_json(task["question"])
    references = evaluator.prepare(question)
    yield {"prepared": True}
    _allow(question.limit_s)
    evaluation = evaluator.evaluate(task["answer"], question, references)
    yield {"evaluation": evaluation.to_json(), "is_spent": _is_spent()}


def _try(evaluator: Evaluator, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Run one reference on some instances."""
    instances = tuple(Instance.from_json(instance) for instance in task["instances"])
    yield {"trials": [asdict(trial) for trial in evaluator.trials(task["sql"], instances, task["limit_s"])]}


def _survive(evaluator: Evaluator, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Find the queries that no instance tells from the references."""
    question = Question.from_json(task["question"])
    yield {"survivors": evaluator.survivors(task["queries"], question, evaluator.prepare(question))}


_TASKS = {"evaluate": _evaluate, "try": _try, "survive": _survive}
