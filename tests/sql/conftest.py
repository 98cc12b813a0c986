"""A small events database for the tests of the judge, apart from the shipped one.

Five instances of some 150 rows around five odd moments: window edges that cross a month's end and a leap
day, users a minute inside and outside each edge, repeated logins, methods whose names hold "Login", no ties
among the counts the questions sort by, nothing in the future, nothing NULL.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.grading.sql import KIND
from pytest_llmbench.models.reasoning import AUTO
from pytest_llmbench.models.separated import without_reasoning
from pytest_llmbench.sql.pool import shared_worker
from pytest_llmbench.values import Answer, Case, Grade, Suite

NOWS = {
    "spring": datetime(2024, 3, 5, 14, 37, 21),
    "feb29": datetime(2024, 2, 29, 9, 12, 47),
    "autumn": datetime(2023, 11, 8, 17, 53, 9),
    "summer": datetime(2024, 7, 4, 6, 21, 33),
    "newyear": datetime(2025, 1, 4, 21, 5, 58),
}
METHODS = ("Login", "Logout", "LoginStatus", "AdminLogin", "GetUser", "ListFiles", "ForceLogout")
WEIGHTS = (34, 17, 9, 6, 21, 12, 4)
SCHEMA = """CREATE TABLE events (
    event_id BIGINT NOT NULL,
    timestamp TIMESTAMP NOT NULL,
    user_id BIGINT NOT NULL,
    rpc_method VARCHAR NOT NULL
);
"""

Row = tuple[int, datetime, int, str]


def directed_rows(now: datetime, seed: int) -> list[Row]:
    """Make the rows of one instance."""
    chance = random.Random(seed)
    minute, day = timedelta(minutes=1), timedelta(days=1)
    midnight = now.replace(hour=0, minute=0, second=0)
    made: list[tuple[datetime, int, str]] = []
    for window in (day, 7 * day, 30 * day):
        for user, method in ((21, "Login"), (22, "Logout"), (23, "GetUser")):
            made.append((now - window + minute * chance.randint(1, 9), user + window.days, method))
            made.append((now - window - minute * chance.randint(1, 9), user + 3 + window.days, method))
    made.append((midnight - 6 * day - minute * 7, 28, "Login"))  # before the calendar window, inside the trailing one
    made += [
        (midnight - 7 * day + minute * 13, 19, "Login"),
        (now - 45 * day, 20, "Login"),
        (now - 3 * day, 20, "GetUser"),
    ]
    made += [(now - timedelta(hours=chance.randint(2, 160)), 30, "LoginStatus"), (now - 2 * day, 31, "AdminLogin")]
    for step in range(11):  # exactly ten and eleven requests in 30 days, the eleventh of user 2 just outside
        made.append((now - day * (2.3 * step + 0.7), 1, "GetUser"))
        made.append((now - (30 * day + 2 * minute if step == 10 else day * (2.1 * step + 0.4)), 2, "ListFiles"))
    made.append((now - 39 * day, 2, "ListFiles"))  # so that the two do not tie
    while len(made) < 150:
        user = min(int(chance.expovariate(0.22)) + 3, 18)
        method = chance.choices(METHODS, WEIGHTS)[0]
        made.append((now - timedelta(seconds=int(40 * 86400 * chance.random() ** 1.7) + 40), user, method))
    chance.shuffle(made)
    ids = chance.sample(range(1000, 9999), len(made))
    return [
        (event_id, at.replace(microsecond=0), user, method)
        for event_id, (at, user, method) in zip(ids, made, strict=True)
    ]


def has_unique_orders(rows: list[Row]) -> bool:
    """Tell whether the counts that questions sort by have no tie at their top."""
    for key, depth in (
        (lambda row: row[2], 6),
        (lambda row: row[3], 7),
        (lambda row: row[1].hour, 2),
        (lambda row: row[1].date(), 2),
    ):
        counts = [number for _, number in Counter(map(key, rows)).most_common(depth + 1)]
        if len(set(counts[: depth + 1])) != len(counts[: depth + 1]):
            return False
    return len(rows) % len({row[2] for row in rows}) != 0


def write_events(folder: Path) -> Path:
    """Write the database folder."""
    folder.mkdir(parents=True)
    (folder / "schema.sql").write_text(SCHEMA)
    (folder / "database.toml").write_text(
        "".join(f"[instances.{name}]\nnow = {now.isoformat()}\n" for name, now in NOWS.items())
    )
    for place, (name, now) in enumerate(NOWS.items()):
        rows = next(
            rows
            for seed in range(place * 10_000, place * 10_000 + 10_000)
            if has_unique_orders(rows := directed_rows(now, seed))
        )
        values = ",\n".join(f"({event_id}, '{at}', {user}, '{method}')" for event_id, at, user, method in rows)
        (folder / f"{name}.sql").write_text(f"INSERT INTO events VALUES\n{values};\n")
    return folder


@pytest.fixture(scope="session")
def events_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    write_events(root / "fixtures" / "databases" / "events")
    return root


@pytest.fixture(scope="session", autouse=True)
def worker_closed() -> Iterator[None]:
    yield
    shared_worker().close()


Judged = Callable[..., Grade]


def judge_in(root: Path, *, database: str = "events", time_limit_s: float = 2.0) -> Judged:
    """Give judge(answer, reference, **case_fields) on a database below a root."""
    rules = KIND.suite_fields(database=database, time_limit_s=time_limit_s)
    suite = Suite(name="sql", path=root / "cases" / "sql.yaml", grader="sql", cases=(), rules=rules)
    grade = KIND.build(suite, root)

    def judge(answer: str, reference: str | list[str], **fields: Any) -> Grade:
        case = Case(suite="sql", id="case", inputs={}, rules=KIND.case_fields(reference=reference, **fields))
        given = without_reasoning(Answer(text=answer), AUTO)  # as a run hands it to the grader
        assert isinstance(given, Answer)
        return grade(case, given)

    return judge


@pytest.fixture(scope="session")
def judge(events_root: Path) -> Judged:
    return judge_in(events_root)


@pytest.fixture(scope="session")
def make_judge() -> Callable[..., Judged]:
    return judge_in
