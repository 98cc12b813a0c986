"""Measure the SQL judge: time to grade, time lost to a runaway query, memory of the worker.

    python benchmarks/sql_judge.py

Prints one line a figure: what, measured, aim.  Uses a database of its own, of five instances of 150 rows, in a
temporary folder, and a limit of 1 s.
"""

import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from pytest_llmbench.grading.sql import KIND
from pytest_llmbench.sql.pool import shared_worker
from pytest_llmbench.values import Answer, Case, Grade, Suite

LIMIT_S = 1.0
REFERENCE = (
    "SELECT COUNT(DISTINCT user_id) FROM events WHERE rpc_method = 'Login' AND timestamp >= now() - INTERVAL 7 DAY"
)
RIGHT = (
    "SELECT COUNT(DISTINCT user_id) FROM events "
    'WHERE rpc_method = "Login" AND timestamp >= DATE_SUB(NOW(), INTERVAL {} HOUR)'
)
WRONG = "SELECT COUNT(*) FROM events WHERE rpc_method = 'Login' AND timestamp >= NOW() - INTERVAL '{} hours'"
RUNAWAYS = {
    "interrupted": "SELECT COUNT(*) FROM range(1000000000000)",
    "killed": "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))",
}
HUNGRY = (
    "SELECT len(printf('%1000000000d', 1))",
    "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))",
    "SELECT len(CAST(to_json(range(30000000)) AS VARCHAR))",
    "SELECT len(list_sort(list_transform(range(30000000), x -> hash(x))))",
    "SELECT bit_count(CAST(repeat('10', 100000000) AS BIT))",
)


def write_database(root: Path) -> None:
    """Write five instances of 150 rows."""
    folder = root / "fixtures" / "databases" / "bench"
    folder.mkdir(parents=True)
    columns = (
        "event_id BIGINT NOT NULL, timestamp TIMESTAMP NOT NULL, user_id BIGINT NOT NULL, rpc_method VARCHAR NOT NULL"
    )
    (folder / "schema.sql").write_text(f"CREATE TABLE events ({columns});\n")
    described = []
    for place in range(5):
        chance = random.Random(place)
        now = datetime(2024, 3, 5, 14, 37, 21) + timedelta(days=61 * place)
        rows = [
            f"({number}, '{now - timedelta(seconds=chance.randrange(40 * 86400))}', {chance.randrange(30)}, "
            f"'{chance.choice(('Login', 'Logout', 'GetUser'))}')"
            for number in range(150)
        ]
        (folder / f"i{place}.sql").write_text(f"INSERT INTO events VALUES {', '.join(rows)};\n")
        described.append(f"[instances.i{place}]\nnow = {now.isoformat()}\n")
    (folder / "database.toml").write_text("".join(described))


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Watch the resident memory of every worker while the block runs; gives the largest seen, in bytes."""
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            for child in psutil.Process().children():
                try:
                    peak[0] = max(peak[0], child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: peak[0]
    finally:
        done.set()
        watcher.join()


def timed_ms(grade: Callable[[str], Grade], answer: str) -> float:
    """Grade one answer and give the milliseconds it took."""
    start = time.perf_counter()
    grade(answer)
    return (time.perf_counter() - start) * 1000


def say(what: str, measured: str, aim: str) -> None:
    """Print one figure."""
    sys.stdout.write(f"{what:<52} {measured:>12}   aim {aim}\n")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_database(root)
        rules = KIND.suite_fields(database="bench", time_limit_s=LIMIT_S)
        case = Case(suite="bench", id="users", inputs={}, rules=KIND.case_fields(reference=REFERENCE))
        suite = Suite(name="bench", path=root / "suite.yaml", grader="sql", cases=(case,), rules=rules)
        start = time.perf_counter()
        grader = KIND.build(suite, root)

        def grade(answer: str) -> Grade:
            return grader(case, Answer(text=answer))

        grade(RIGHT.format(168))
        say("first answer, database built and worker started", f"{time.perf_counter() - start:.2f} s", "-")
        first = [timed_ms(grade, RIGHT.format(168) + f" /* {number} */") for number in range(100)]
        say("median, the first reading decides, 5 instances", f"{statistics.median(first):.1f} ms", "under 15 ms")
        every = [timed_ms(grade, WRONG.format(number)) for number in range(200)]
        say("median, every reading is tried, 5 instances", f"{statistics.median(every):.1f} ms", "under 60 ms")
        start = time.perf_counter()
        for number in range(1000):
            grade((RIGHT if number % 2 else WRONG).format(168 + number))
        say("1,000 answers in one run", f"{time.perf_counter() - start:.1f} s", "-")
        for how, runaway in RUNAWAYS.items():
            lost = (timed_ms(grade, runaway) + timed_ms(grade, RIGHT.format(168))) / 1000
            say(f"runaway ({how}) to the next answer graded", f"{lost:.2f} s", f"under {LIMIT_S + 1.5:.1f} s")
        with peak_memory() as peak:
            for query in HUNGRY:
                grade(query)
        say("resident memory of a worker at its worst", f"{peak() / 2**20:.0f} MiB", "under 1638 MiB")
        shared_worker().close()


if __name__ == "__main__":
    main()
