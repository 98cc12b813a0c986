"""Near misses of queries: what they are, and that the shipped database tells each of them from its reference."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml

from pytest_llmbench.sql.database.files import build, find_database
from pytest_llmbench.sql.mutation.mutants import Mutant, Operator, mutants
from pytest_llmbench.sql.pool import shared_worker
from pytest_llmbench.sql.protocol import Instance, Question

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "cases" / "sql.yaml"
GENERATOR = ROOT / "fixtures" / "databases" / "generate_events.py"
COLUMNS = ("event_id", "timestamp", "user_id", "rpc_method")
CASES: list[dict[str, Any]] = yaml.safe_load(SUITE.read_text(encoding="utf-8"))["cases"]
LISTED: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "equivalent_mutants.yaml").read_text(encoding="utf-8"))

MADE = (
    ("SELECT a FROM t WHERE b > 2", Operator.COMPARISON, "SELECT a FROM t WHERE b >= 2"),
    ("SELECT a FROM t WHERE b > 2", Operator.NUMBER, "SELECT a FROM t WHERE b > 3"),
    ("SELECT a FROM t WHERE b > 2", Operator.CONDITION, "SELECT a FROM t"),
    ("SELECT a FROM t WHERE b = 1 AND c = 2", Operator.CONDITION, "SELECT a FROM t WHERE (b = 1 OR c = 2)"),
    ("SELECT a FROM t WHERE b = 1 AND c = 2", Operator.CONDITION, "SELECT a FROM t WHERE c = 2"),
    ("SELECT a FROM t WHERE NOT b IN (1, 2)", Operator.CONDITION, "SELECT a FROM t WHERE b IN (1, 2)"),
    ("SELECT a FROM t GROUP BY a HAVING COUNT(*) > 1", Operator.CONDITION, "SELECT a FROM t GROUP BY a"),
    ("SELECT a FROM t WHERE b IN (1, 2)", Operator.TEXT, "SELECT a FROM t WHERE b IN (2)"),
    ("SELECT a FROM t WHERE b = 'x'", Operator.TEXT, "SELECT a FROM t WHERE b LIKE 'x%'"),
    ("SELECT a FROM t WHERE b LIKE '%x%'", Operator.TEXT, "SELECT a FROM t WHERE b LIKE 'x%'"),
    ("SELECT 'x' FROM t WHERE b = 'y'", Operator.TEXT, "SELECT 'x' FROM t WHERE b = 'x'"),
    ("SELECT a FROM t", Operator.DISTINCT, "SELECT DISTINCT a FROM t"),
    ("SELECT DISTINCT a FROM t", Operator.DISTINCT, "SELECT a FROM t"),
    ("SELECT a FROM t UNION SELECT b FROM t", Operator.DISTINCT, "SELECT a FROM t UNION ALL SELECT b FROM t"),
    ("SELECT COUNT(DISTINCT a) FROM t", Operator.COUNT, "SELECT COUNT(*) FROM t"),
    ("SELECT COUNT(*) FROM t WHERE a > 0", Operator.COUNT, "SELECT COUNT(DISTINCT a) FROM t WHERE a > 0"),
    ("SELECT MIN(a) FROM t", Operator.AGGREGATE, "SELECT MAX(a) FROM t"),
    ("SELECT ROUND(AVG(a), 2) FROM t", Operator.AGGREGATE, "SELECT AVG(a) FROM t"),
    ("SELECT a FROM t WHERE b > c", Operator.COLUMN, "SELECT a FROM t WHERE a > c"),
    ("SELECT a FROM t ORDER BY a LIMIT 3", Operator.ORDER, "SELECT a FROM t ORDER BY a DESC LIMIT 3"),
    ("SELECT a FROM t ORDER BY a LIMIT 3", Operator.ORDER, "SELECT a FROM t LIMIT 3"),
    ("SELECT a FROM t ORDER BY a LIMIT 3", Operator.LIMIT, "SELECT a FROM t ORDER BY a LIMIT 4"),
    ("SELECT a FROM t ORDER BY a LIMIT 3", Operator.LIMIT, "SELECT a FROM t ORDER BY a"),
    ("SELECT a FROM t WHERE b BETWEEN 1 AND 5", Operator.BETWEEN, "SELECT a FROM t WHERE (b > 1 AND b <= 5)"),
    ("SELECT a FROM t JOIN u ON t.i = u.i", Operator.JOIN, "SELECT a FROM t LEFT JOIN u ON t.i = u.i"),
    ("SELECT a FROM t LEFT JOIN u ON t.i = u.i", Operator.JOIN, "SELECT a FROM t JOIN u ON t.i = u.i"),
    ("SELECT a FROM t EXCEPT SELECT b FROM t", Operator.SET, "SELECT b FROM t EXCEPT SELECT a FROM t"),
    ("SELECT a FROM t EXCEPT SELECT b FROM t", Operator.SET, "SELECT a FROM t INTERSECT SELECT b FROM t"),
    (
        "SELECT LAG(a) OVER (PARTITION BY b ORDER BY c) FROM t",
        Operator.WINDOW,
        "SELECT LAG(a) OVER (ORDER BY c) FROM t",
    ),
    ("SELECT LAG(a) OVER (PARTITION BY b) FROM t", Operator.AGGREGATE, "SELECT LEAD(a) OVER (PARTITION BY b) FROM t"),
    ("SELECT a - b FROM t", Operator.ARITHMETIC, "SELECT b - a FROM t"),
    ("SELECT CASE WHEN a THEN 1 ELSE 2 END FROM t", Operator.CASE, "SELECT CASE WHEN a THEN 2 ELSE 1 END FROM t"),
    ("SELECT a FROM t WHERE b > NOW()", Operator.TIME, "SELECT a FROM t WHERE b > DATE_TRUNC('DAY', NOW())"),
    ("SELECT DATE_TRUNC('DAY', a) FROM t", Operator.TIME, "SELECT DATE_TRUNC('MONTH', a) FROM t"),
    (
        "SELECT a FROM t WHERE b < DATE_TRUNC('DAY', NOW())",
        Operator.TIME,
        "SELECT a FROM t WHERE b < (DATE_TRUNC('DAY', NOW()) - INTERVAL '1' DAY)",
    ),
    (
        "SELECT a FROM t WHERE b >= NOW() - INTERVAL '7' DAY",
        Operator.TIME,
        "SELECT a FROM t WHERE b >= DATE_TRUNC('WEEK', NOW())",
    ),
    ("SELECT CAST(a AS DATE) FROM t", Operator.TIME, "SELECT DAY(a) FROM t"),
    (
        "SELECT a FROM t WHERE b > c AND b <= c + INTERVAL '1' HOUR",
        Operator.COMPARISON,
        "SELECT a FROM t WHERE b > c - INTERVAL '1' HOUR AND b <= c + INTERVAL '1' HOUR",
    ),
    ("SELECT COUNT() FROM t WHERE a > 0", Operator.COUNT, "SELECT COUNT(DISTINCT a) FROM t WHERE a > 0"),
    ("SELECT a + INTERVAL '7' DAY FROM t", Operator.INTERVAL, "SELECT a + INTERVAL '8' DAY FROM t"),
    ("SELECT a + INTERVAL '7' DAY FROM t", Operator.INTERVAL, "SELECT a + INTERVAL '7' HOUR FROM t"),
    ("SELECT a + INTERVAL '30' DAY FROM t", Operator.INTERVAL, "SELECT a + INTERVAL '1' MONTH FROM t"),
)


@pytest.mark.parametrize(("query", "operator", "mutant"), MADE)
def test_operator_makes_the_near_miss(query: str, operator: Operator, mutant: str) -> None:
    """Each kind of fault is made where a query has a place for it."""
    assert (operator, mutant) in [(made.operator, made.sql) for made in mutants(query)]


def test_every_operator_is_shown() -> None:
    """The table above has an example of every operator."""
    assert {operator for _, operator, _ in MADE} == set(Operator)


@pytest.mark.parametrize("query", [query for query, _, _ in MADE])
def test_mutants_are_other_queries_each_once(query: str) -> None:
    """Mutants parse, differ from the query and from each other, and have a description of their own."""
    made = mutants(query)

    texts = [sqlglot.parse_one(mutant.sql, dialect="duckdb").sql("duckdb") for mutant in made]
    assert len({*texts, sqlglot.parse_one(query, dialect="duckdb").sql("duckdb")}) == len(made) + 1
    assert len({mutant.description for mutant in made}) == len(made)


def test_columns_are_those_given_or_those_named() -> None:
    """Columns are swapped among the given names, and without any among the query's own."""
    query = "SELECT a FROM t WHERE b > 2"

    assert "SELECT z FROM t WHERE b > 2" in [mutant.sql for mutant in mutants(query, columns=("a", "z"))]
    swapped = [mutant.sql for mutant in mutants(query) if mutant.operator is Operator.COLUMN]
    assert swapped == ["SELECT b FROM t WHERE b > 2", "SELECT a FROM t WHERE a > 2"]


def test_order_without_limit_stays() -> None:
    """An ORDER BY that no LIMIT needs is turned round but not dropped: without it, the order is the engine's luck."""
    texts = [mutant.sql for mutant in mutants("SELECT a FROM t ORDER BY a")]

    assert "SELECT a FROM t ORDER BY a DESC" in texts
    assert "SELECT a FROM t" not in texts


def test_text_that_does_not_parse_has_no_mutants() -> None:
    """A query that does not parse is an error, not a query without mutants."""
    with pytest.raises(sqlglot.errors.SqlglotError):
        mutants("SELECT FROM WHERE")


def near_misses(case: dict[str, Any]) -> Iterator[tuple[str, Mutant]]:
    """Yield the mutants of all references of a case with the name each is listed by."""
    references = [case["reference"]] if isinstance(case["reference"], str) else case["reference"]
    for number, reference in enumerate(references):
        for mutant in mutants(reference, columns=COLUMNS):
            yield (f"{number}: {mutant.description}" if number else mutant.description), mutant


def alive(case: dict[str, Any], made: list[tuple[str, Mutant]], on: tuple[Instance, ...]) -> set[str]:
    """Give the names of the mutants that a judge would call right."""
    question = Question(
        references=(case["reference"],) if isinstance(case["reference"], str) else tuple(case["reference"]),
        instances=on,
        is_ordered=case.get("ordered"),
        may_have_extra_columns=case.get("extra_columns", False),
    )
    places = shared_worker().survivors([mutant.sql for _, mutant in made], question)
    return {made[place][0] for place in places}


@pytest.fixture(scope="module")
def shipped() -> tuple[Instance, ...]:
    return build(find_database("events", suite_path=SUITE, root=ROOT))


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.slow
def test_no_separable_mutant_survives(case: dict[str, Any], shipped: tuple[Instance, ...]) -> None:
    """On the five shipped instances only those near misses pass that are listed as meaning the same."""
    survivors = alive(case, list(near_misses(case)), shipped)

    assert survivors == set(LISTED["mutants"].get(case["id"], ()))


@pytest.mark.slow
def test_listed_mutants_mean_the_same_on_other_data(tmp_path: Path) -> None:
    """What is listed as meaning the same passes on dozens of other instances of the generator, too."""
    folder = tmp_path / "fixtures" / "databases" / "others"
    subprocess.run([sys.executable, GENERATOR, "--others", "--into", folder], check=True)
    others = build(find_database("others", suite_path=SUITE, root=tmp_path))
    assert len(others) >= 20

    for start in range(0, len(others), 25):  # the worker holds no more than 32 databases open
        for case in CASES:
            listed = LISTED["mutants"].get(case["id"], {})
            made = [(name, mutant) for name, mutant in near_misses(case) if name in listed]
            assert alive(case, made, others[start : start + 25]) == set(listed), case["id"]


def test_every_listed_mutant_has_a_known_reason() -> None:
    """Each reason of the list is explained, and each explained reason is used."""
    used = {reason for names in LISTED["mutants"].values() for reason in names.values()}

    assert used == set(LISTED["reasons"])
