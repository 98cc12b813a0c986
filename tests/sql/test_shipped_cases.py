"""The shipped SQL suite and its database: what must hold so that a verdict means something."""

import csv
import json
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml
from sqlglot import exp

from pytest_llmbench.sql.database.files import build, find_database
from pytest_llmbench.sql.pool import shared_worker
from pytest_llmbench.sql.protocol import Instance, Question
from pytest_llmbench.values import Reason

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "cases" / "sql.yaml"
DATABASES = ROOT / "fixtures" / "databases"
EVENTS = DATABASES / "events"
CASES: list[dict[str, Any]] = yaml.safe_load(SUITE.read_text(encoding="utf-8"))["cases"]
NAMES = tuple(tomllib.loads((EVENTS / "database.toml").read_text(encoding="utf-8"))["instances"])
PUBLISHED = {
    "llama-7b": "wrong-result",
    "llama-13b": "wrong-result",
    "llama-33b": "wrong-result",
    "chatgpt": "correct",
}
TRIVIAL = (
    "SELECT 0",
    "SELECT 1",
    "SELECT NULL",
    "SELECT 42",
    "SELECT now()",
    "SELECT * FROM events",
    "SELECT DISTINCT user_id FROM events",
    "SELECT timestamp::DATE, COUNT(*) FROM events GROUP BY ALL ORDER BY ALL",
)


def references(case: dict[str, Any]) -> tuple[str, ...]:
    return (case["reference"],) if isinstance(case["reference"], str) else tuple(case["reference"])


@cache
def instances(order: int = 0) -> tuple[Instance, ...]:
    return build(find_database("events", suite_path=SUITE, root=ROOT), order=order)


def question(case: dict[str, Any]) -> Question:
    return Question(
        references=references(case),
        instances=instances(),
        is_ordered=case.get("ordered"),
        may_have_extra_columns=case.get("extra_columns", False),
    )


def rows(name: str) -> list[tuple[int, datetime, int, str]]:
    with (EVENTS / name / "events.csv").open(encoding="utf-8", newline="") as file:
        return [
            (int(line["event_id"]), datetime.fromisoformat(line["timestamp"]), int(line["user_id"]), line["rpc_method"])
            for line in csv.DictReader(file)
        ]


def now(name: str) -> datetime:
    return next(instance.now for instance in instances() if instance.name == name)


def is_ordered(reference: str) -> bool:
    return sqlglot.parse_one(reference, dialect="duckdb").args.get("order") is not None


def test_suite_holds_enough_of_each_difficulty() -> None:
    """The suite has at least 64 cases, each marked with one difficulty, and at least 20 hard ones."""
    counts = Counter(tag for case in CASES for tag in case["tags"] if tag in ("easy", "medium", "hard"))

    assert sum(counts.values()) == len(CASES) >= 64
    assert min(counts["easy"], counts["medium"], counts["hard"]) >= 20


def test_generator_writes_the_committed_files(tmp_path: Path) -> None:
    """Running the generator gives every file of the shipped database, byte for byte, and no other."""
    subprocess.run([sys.executable, DATABASES / "generate_events.py", "--into", tmp_path], check=True)

    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    shipped = {path.relative_to(EVENTS): path.read_bytes() for path in EVENTS.rglob("*") if path.is_file()}
    assert written == shipped


@pytest.mark.parametrize("name", NAMES)
def test_counts_have_no_ties(name: str) -> None:
    """Users, methods, dates and hours of the day each have an order by number of requests without ties."""
    table = rows(name)

    for keys in (
        [user for _, _, user, _ in table],
        [method for _, _, _, method in table],
        [at.date() for _, at, _, _ in table],
        [at.hour for _, at, _, _ in table],
    ):
        counts = Counter(keys).values()
        assert len(set(counts)) == len(counts)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_lies_on_an_edge(name: str) -> None:
    """No request is in the future, on a full minute, or a whole number of minutes from now or from another of its user."""
    moments: dict[int, set[int]] = {}
    for _, at, user, _ in rows(name):
        assert at < now(name)
        assert at.second not in (0, now(name).second)
        assert at.second not in moments.setdefault(user, set())
        moments[user].add(at.second)


@pytest.mark.parametrize("name", NAMES)
def test_half_hours_count_alike_in_minutes_and_seconds(name: str) -> None:
    """Whether a pause of a user exceeds 30 or 60 minutes is the same by seconds and by a difference of clock minutes."""
    history: dict[int, list[datetime]] = {}
    for _, at, user, _ in sorted(rows(name), key=lambda row: row[1]):
        history.setdefault(user, []).append(at)

    for moments in history.values():
        for early, late in pairwise(moments):
            minutes = (late.replace(second=0) - early.replace(second=0)) // timedelta(minutes=1)
            for limit in (30, 60):
                assert (minutes <= limit) == (late - early <= timedelta(minutes=limit))


@pytest.mark.parametrize("name", NAMES)
def test_names_are_told_apart_by_more_than_case(name: str) -> None:
    """No two methods differ only in case, event_ids are unique, and one user is known by his number."""
    table = rows(name)
    methods = {method for _, _, _, method in table}

    assert len({method.lower() for method in methods}) == len(methods)
    assert len({event_id for event_id, *_ in table}) == len(table)
    assert 42 in {user for _, _, user, _ in table}


def test_moments_are_odd() -> None:
    """The five moments are all different dates, none a Monday, none within an hour of midnight or on a full minute."""
    moments = [now(name) for name in NAMES]

    assert len({moment.date() for moment in moments}) == len(moments) == 5
    assert all(moment.weekday() != 0 and 1 <= moment.hour <= 22 and moment.second for moment in moments)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_reference_gives_rows_that_do_not_hang_on_their_order(case: dict[str, Any]) -> None:
    """A reference gives rows on every instance, the same ones when the table is filled in another order."""
    for reference in references(case):
        shipped = shared_worker().trials(reference, instances(), 2.0)
        digest = "ordered_rows_sha256" if is_ordered(reference) else "rows_sha256"

        assert all(trial.fault is None and trial.n_rows for trial in shipped)
        for order in (1, 2, 3, 4):
            refilled = shared_worker().trials(reference, instances(order), 2.0)
            assert [getattr(trial, digest) for trial in shipped] == [getattr(trial, digest) for trial in refilled]


def test_results_differ_between_instances() -> None:
    """No reference gives the same result on all instances, and hardly one gives fewer than three different ones."""
    few = []
    for case in CASES:
        for reference in references(case):
            different = len({trial.rows_sha256 for trial in shared_worker().trials(reference, instances(), 2.0)})
            assert different > 1, case["id"]
            few += [case["id"]] * (different < 3)

    assert len(few) <= 8, few


def test_no_two_cases_and_no_trivial_query_have_the_same_answer() -> None:
    """No query that knows nothing of the question, and no reference of another case, gives a case's rows everywhere."""
    asked = [(case["id"], reference) for case in CASES for reference in references(case)]
    asked += [(query, query) for query in TRIVIAL]

    answers: dict[tuple[str, ...], str] = {}
    for name, query in asked:
        digests = tuple(trial.rows_sha256 for trial in shared_worker().trials(query, instances(), 2.0))
        assert answers.setdefault(digests, name) == name

    assert len(answers) == len(asked)


@pytest.mark.parametrize(
    "case", [case for case in CASES if "round(" in str(case["reference"]).lower()], ids=lambda case: case["id"]
)
def test_rounding_is_never_from_the_middle(case: dict[str, Any]) -> None:
    """No rounded result stands near the middle of two roundings, where binary and decimal fractions part."""
    tree = sqlglot.parse_one(case["reference"], dialect="duckdb")
    (column,) = tree.find_all(exp.Round)
    number = f"({column.this.sql('duckdb')}) * {10 ** int(column.args['decimals'].name)}"
    column.replace(sqlglot.parse_one(f"abs({number} - floor({number}) - 0.5) < 1e-6 AS is_middle", dialect="duckdb"))

    trials = shared_worker().trials(f"SELECT 1 FROM ({tree.sql('duckdb')}) AS t WHERE is_middle", instances(), 2.0)

    assert [(trial.fault, trial.n_rows) for trial in trials] == [(None, 0)] * len(NAMES)


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_answer_gets_its_grade(model: str) -> None:
    """Of the four published answers to the one question, three are wrong and the last one is right."""
    file = ROOT / "fixtures" / "answers" / f"{model}-published.jsonl"
    (line,) = file.read_text(encoding="utf-8").splitlines()
    case = next(case for case in CASES if case["id"] == json.loads(line)["case"])

    verdict = shared_worker().evaluate(json.loads(line)["answer"], question(case))

    assert verdict.reason is Reason(PUBLISHED[model])


def test_readings_of_the_published_question_differ() -> None:
    """The accepted readings of the published question are four different questions: on some instance each two part."""
    case = next(case for case in CASES if case["id"] == "login-users-last-week")

    results = [shared_worker().trials(reference, instances(), 2.0) for reference in references(case)]

    assert len(set(results)) == len(results) == 4
