"""The references said a second time, in plain Python over the rows: both must give the same on every shipped instance."""

import csv
import statistics
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
import sqlglot
import yaml

from pytest_llmbench.sql.cells import plain
from pytest_llmbench.sql.result_sets import Table, matches

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "cases" / "sql.yaml"
EVENTS = ROOT / "fixtures" / "databases" / "events"
HALF_HOUR, HOUR, DAY = timedelta(minutes=30), timedelta(hours=1), timedelta(days=1)


class Event(NamedTuple):
    at: datetime
    event_id: int
    user: int
    method: str

    @property
    def day(self) -> date:
        return self.at.date()


Rows = list[Event]  # in the order of time
Formulation = Callable[[Rows, datetime], Iterable[tuple[Any, ...]]]
FORMULATIONS: dict[str, Formulation] = {}


def says(case_id: str) -> Callable[[Formulation], Formulation]:
    """Register a formulation of a case."""

    def register(formulation: Formulation) -> Formulation:
        FORMULATIONS[case_id] = formulation
        return formulation

    return register


def histories(rows: Rows) -> dict[int, Rows]:
    """Split the rows by user, each in the order of time."""
    split: defaultdict[int, Rows] = defaultdict(list)
    for row in rows:
        split[row.user].append(row)
    return dict(split)


def sessions(rows: Rows) -> Iterator[Rows]:
    """Cut each user's history where more than half an hour passes."""
    for history in histories(rows).values():
        session = history[:1]
        for before, row in pairwise(history):
            if row.at - before.at > HALF_HOUR:
                yield session
                session = []
            session.append(row)
        yield session


def neighbours(rows: Rows) -> Iterator[tuple[Event, Event]]:
    """Yield each request with the next one of the same user."""
    for history in histories(rows).values():
        yield from pairwise(history)


def since(rows: Rows, now: datetime, days: int, until: int = 0) -> Rows:
    return [row for row in rows if now - days * DAY <= row.at < now - until * DAY]


def per_day(rows: Rows) -> list[tuple[date, int]]:
    return sorted(Counter(row.day for row in rows).items())


def users(rows: Iterable[Event], *methods: str) -> set[int]:
    return {row.user for row in rows if not methods or row.method in methods}


@says("users-over-ten")
def _(rows: Rows, now: datetime) -> Any:
    return [(user,) for user, history in histories(rows).items() if history[10:]]


@says("users-with-six-last-month")
def _(rows: Rows, now: datetime) -> Any:
    return [(user, len(recent)) for user, recent in histories(since(rows, now, 30)).items() if len(recent) > 5]


@says("login-without-logout")
def _(rows: Rows, now: datetime) -> Any:
    return [(user,) for user in users(rows, "Login") - users(rows, "Logout")]


@says("users-without-login")
def _(rows: Rows, now: datetime) -> Any:
    return [(user,) for user in users(rows) - users(rows, "Login")]


@says("methods-unused-last-month")
def _(rows: Rows, now: datetime) -> Any:
    return [(method,) for method in {row.method for row in rows} - {row.method for row in since(rows, now, 30)}]


@says("widest-method-last-week")
def _(rows: Rows, now: datetime) -> Any:
    pairs = {(row.method, row.user) for row in since(rows, now, 7)}
    return [(Counter(method for method, _ in pairs).most_common(1)[0][0],)]


@says("weekend-requests")
def _(rows: Rows, now: datetime) -> Any:
    return [(sum(row.at.weekday() >= 5 for row in rows),)]


@says("median-requests-per-user")
def _(rows: Rows, now: datetime) -> Any:
    return [(statistics.median(map(len, histories(rows).values())),)]


@says("search-without-checkout-last-month")
def _(rows: Rows, now: datetime) -> Any:
    recent = since(rows, now, 30)
    return [(user,) for user in users(recent, "Search") - users(recent, "Checkout")]


@says("dormant-users")
def _(rows: Rows, now: datetime) -> Any:
    return [(user,) for user in users(rows) - users(since(rows, now, 7))]


@says("new-users-last-week")
def _(rows: Rows, now: datetime) -> Any:
    return [(len(users(rows) - users(row for row in rows if row.at < now - 7 * DAY)),)]


@says("returning-users")
def _(rows: Rows, now: datetime) -> Any:
    return [(len(users(since(rows, now, 7)) & users(since(rows, now, 14, until=7))),)]


@says("mean-daily-users")
def _(rows: Rows, now: datetime) -> Any:
    return [(round(len({(row.day, row.user) for row in rows}) / len({row.day for row in rows}), 2),)]


@says("users-above-mean")
def _(rows: Rows, now: datetime) -> Any:
    split = histories(rows)
    return [(user,) for user, history in split.items() if len(history) * len(split) > len(rows)]


@says("one-user-methods")
def _(rows: Rows, now: datetime) -> Any:
    callers = {method: users(rows, method) for method in {row.method for row in rows}}
    return [(method, *found) for method, found in callers.items() if len(found) == 1]


@says("favourite-method-per-user")
def _(rows: Rows, now: datetime) -> Any:
    for user, history in histories(rows).items():
        counts = Counter(row.method for row in history)
        yield user, min(counts, key=lambda method: (-counts[method], method))


@says("last-method-per-user")
def _(rows: Rows, now: datetime) -> Any:
    return {row.user: row.method for row in rows}.items()


@says("running-total-per-date")
def _(rows: Rows, now: datetime) -> Any:
    return [(day, n, sum(row.day <= day for row in rows)) for day, n in per_day(rows)]


@says("change-per-date")
def _(rows: Rows, now: datetime) -> Any:
    return [(day, n - before) for (_, before), (day, n) in pairwise(per_day(rows))]


@says("session-count")
def _(rows: Rows, now: datetime) -> Any:
    return [(sum(1 for _ in sessions(rows)),)]


@says("sessions-per-user")
def _(rows: Rows, now: datetime) -> Any:
    return Counter(session[0].user for session in sessions(rows)).items()


@says("longest-session")
def _(rows: Rows, now: datetime) -> Any:
    return [(max(map(len, sessions(rows))),)]


@says("mean-session-size")
def _(rows: Rows, now: datetime) -> Any:
    return [(round(statistics.mean(map(len, sessions(rows))), 2),)]


@says("search-to-checkout-users")
def _(rows: Rows, now: datetime) -> Any:
    return [(len({search.user for search, _ in _conversions(rows)}),)]


@says("searches-before-checkout")
def _(rows: Rows, now: datetime) -> Any:
    return [(len({search.event_id for search, _ in _conversions(rows)}),)]


def _conversions(rows: Rows) -> Iterator[tuple[Event, Event]]:
    for history in histories(rows).values():
        for early, late in combinations(history, 2):
            if (early.method, late.method) == ("Search", "Checkout") and late.at - early.at <= HOUR:
                yield early, late


@says("logins-followed-by-logout")
def _(rows: Rows, now: datetime) -> Any:
    return [([(one.method, two.method) for one, two in neighbours(rows)].count(("Login", "Logout")),)]


@says("seconds-to-first-checkout")
def _(rows: Rows, now: datetime) -> Any:
    for user, history in histories(rows).items():
        bought = [row.at for row in history if row.method == "Checkout"]
        if bought:
            yield user, int((bought[0] - history[0].at).total_seconds())


@says("next-date-retention")
def _(rows: Rows, now: datetime) -> Any:
    return [(sum(any(row.day == history[0].day + DAY for row in history) for history in histories(rows).values()),)]


@says("cohort-activity")
def _(rows: Rows, now: datetime) -> Any:
    born = {user: f"{history[0].day:%Y-%m}" for user, history in histories(rows).items()}
    active = users(since(rows, now, 7))
    for month in sorted(set(born.values())):
        cohort = {user for user, began in born.items() if began == month}
        yield month, len(cohort), len(cohort & active)


@says("method-percentages")
def _(rows: Rows, now: datetime) -> Any:
    return [(method, round(100 * n / len(rows), 1)) for method, n in Counter(row.method for row in rows).most_common()]


@says("moving-mean")
def _(rows: Rows, now: datetime) -> Any:
    days = per_day(rows)
    for place, (day, _) in enumerate(days):
        near = [n for _, n in days[max(place - 2, 0) : place + 1]]
        yield day, round(sum(near) / len(near), 2)


@says("median-gap")
def _(rows: Rows, now: datetime) -> Any:
    return [(statistics.median((two.at - one.at).total_seconds() for one, two in neighbours(rows)),)]


@says("same-date-checkout-pairs")
def _(rows: Rows, now: datetime) -> Any:
    bought = sorted({(row.day, row.user) for row in rows if row.method == "Checkout"})
    return {(user, other) for (day, user), (same, other) in combinations(bought, 2) if day == same}


@says("three-date-streak")
def _(rows: Rows, now: datetime) -> Any:
    for user, history in histories(rows).items():
        days = {row.day for row in history}
        if any({day + DAY, day + 2 * DAY} <= days for day in days):
            yield (user,)


@says("repeated-method")
def _(rows: Rows, now: datetime) -> Any:
    return [(sum(one.method == two.method for one, two in neighbours(rows)),)]


@says("longest-pause")
def _(rows: Rows, now: datetime) -> Any:
    one, two = max(neighbours(rows), key=lambda pair: pair[1].at - pair[0].at)
    return [(one.user, int((two.at - one.at).total_seconds()))]


@says("users-per-first-method")
def _(rows: Rows, now: datetime) -> Any:
    return Counter(history[0].method for history in histories(rows).values()).items()


@says("busiest-date-per-method")
def _(rows: Rows, now: datetime) -> Any:
    for method in {row.method for row in rows}:
        days = Counter(row.day for row in rows if row.method == method)
        yield method, min(days, key=lambda day: (-days[day], day))


@says("logins-without-later-logout")
def _(rows: Rows, now: datetime) -> Any:
    left = {row.user: row.at for row in rows if row.method == "Logout"}
    return [(row.event_id,) for row in rows if row.method == "Login" and row.at > left.get(row.user, datetime.min)]


@says("two-latest-per-user")
def _(rows: Rows, now: datetime) -> Any:
    return [(user, row.event_id) for user, history in histories(rows).items() for row in history[-2:]]


@says("third-request-per-user")
def _(rows: Rows, now: datetime) -> Any:
    return [(user, history[2].at) for user, history in histories(rows).items() if len(history) > 2]


@says("top-three-users-percentage")
def _(rows: Rows, now: datetime) -> Any:
    return [(round(100 * sum(sorted(map(len, histories(rows).values()))[-3:]) / len(rows), 2),)]


@says("cumulative-users")
def _(rows: Rows, now: datetime) -> Any:
    return [(day, len(users(row for row in rows if row.day <= day))) for day, _ in per_day(rows)]


@says("all-methods-of-user-42")
def _(rows: Rows, now: datetime) -> Any:
    wanted = {row.method for row in rows if row.user == 42}
    used = {user: {row.method for row in history} for user, history in histories(rows).items() if user != 42}
    return [(user,) for user, methods in used.items() if wanted <= methods]


@says("mean-login-to-logout")
def _(rows: Rows, now: datetime) -> Any:
    stays = [two.at - one.at for one, two in neighbours(rows) if (one.method, two.method) == ("Login", "Logout")]
    return [(round(statistics.mean(stay.total_seconds() for stay in stays), 1),)]


@says("three-step-funnel")
def _(rows: Rows, now: datetime) -> Any:
    reached = Counter[int]()
    for history in histories(rows).values():
        steps = ["Login", "Search", "Checkout"]  # the earliest of each after the one before is the best choice
        for row in history:
            if steps and row.method == steps[0]:
                steps.pop(0)
                reached[len(steps)] += 1
    return [(reached[2], reached[1], reached[0])]


@says("method-ranks")
def _(rows: Rows, now: datetime) -> Any:
    widths = {method: len(users(rows, method)) for method in {row.method for row in rows}}
    return [(method, 1 + sum(other > width for other in widths.values())) for method, width in widths.items()]


def _read_rows(name: str) -> Rows:
    with (EVENTS / name / "events.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    rows = [
        Event(
            datetime.fromisoformat(line["timestamp"]), int(line["event_id"]), int(line["user_id"]), line["rpc_method"]
        )
        for line in lines
    ]
    return sorted(rows)


@cache
def _filled(name: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute((EVENTS / "schema.sql").read_text(encoding="utf-8"))
    connection.execute(f"INSERT INTO events FROM read_csv('{EVENTS / name / 'events.csv'}')")
    return connection


def _result(name: str, sql: str) -> Table:
    found = _filled(name).execute(sql)
    names = tuple(column[0] for column in found.description)
    return Table(names=names, rows=tuple(tuple(map(plain, row)) for row in found.fetchall()))


@pytest.mark.parametrize("case_id", FORMULATIONS)
def test_reference_and_second_formulation_give_the_same(case_id: str) -> None:
    """A reference and a formulation of the same question in Python give the same rows on every instance."""
    cases = yaml.safe_load(SUITE.read_text(encoding="utf-8"))["cases"]
    reference = next(case["reference"] for case in cases if case["id"] == case_id)
    nows = tomllib.loads((EVENTS / "database.toml").read_text(encoding="utf-8"))["instances"]
    is_ordered = sqlglot.parse_one(reference, dialect="duckdb").args.get("order") is not None

    for name, now in ((name, fields["now"]) for name, fields in nows.items()):
        want = _result(name, reference.replace("now()", f"TIMESTAMP '{now}'"))
        said = FORMULATIONS[case_id](_read_rows(name), now)
        got = Table(names=want.names, rows=tuple(tuple(map(plain, row)) for row in said))
        assert list(matches(got, want, is_ordered=is_ordered)), name


def test_every_hard_case_is_said_twice() -> None:
    """Each case marked hard has a second formulation."""
    cases = yaml.safe_load(SUITE.read_text(encoding="utf-8"))["cases"]

    assert {case["id"] for case in cases if "hard" in case["tags"]} <= set(FORMULATIONS)
