"""148 questions of others over seven databases: every gold answer passes, every other question's fails."""

import json
from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlglot import exp, parse_one

from pytest_llmbench.grading.sql import KIND
from pytest_llmbench.sql import result_sets
from pytest_llmbench.sql.cells import plain
from pytest_llmbench.sql.result_sets import Table
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Answer, Grade, Suite

pytestmark = pytest.mark.slow

_DATA = json.loads((Path(__file__).parents[1] / "data" / "nl2sql-dev.json").read_text(encoding="utf-8"))
_ITEMS: Mapping[str, list[dict[str, Any]]] = {
    name: [item for item in _DATA["items"] if item["db"] == name] for name in _DATA["databases"]
}

_ANSWERS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "nl2sql_answers.yaml").read_text(encoding="utf-8")
)


def _references(item: Mapping[str, Any]) -> list[str]:
    """Give the gold query with every non-empty choice of its interchangeable columns."""
    alternatives = [parse_one(column, read="duckdb").sql("duckdb") for column in item["column_alternatives"]]
    if not alternatives:
        return [item["gold"]]
    found = [item["gold"]]
    tree = parse_one(item["gold"], read="duckdb")
    select = tree if isinstance(tree, exp.Select) else tree.find(exp.Select)
    assert select is not None
    kept = [column for column in select.expressions if column.unalias().sql("duckdb") not in alternatives]
    for size in range(1, len(alternatives) + 1):
        for choice in combinations(alternatives, size):
            changed = select.copy()
            changed.set(
                "expressions",
                [*(parse_one(column, read="duckdb") for column in choice), *(column.copy() for column in kept)],
            )
            found.append(changed.sql("duckdb"))
    return found


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Suite]:
    root = tmp_path_factory.mktemp("nl2sql")
    found = {}
    for name, statements in _DATA["databases"].items():
        folder = root / "fixtures" / "databases" / name
        folder.mkdir(parents=True)
        creating = [statement for statement in statements if statement.startswith("CREATE")]
        (folder / "schema.sql").write_text(";\n".join(creating) + ";\n")
        filling = [statement for statement in statements if not statement.startswith("CREATE")]
        (folder / "main.sql").write_text(";\n".join(filling) + ";\n")
        (folder / "database.toml").write_text("[instances.main]\nnow = 2024-03-05T14:37:21\n")
        cases = [
            {"id": item["id"], "question": item["question"], "reference": _references(item)} for item in _ITEMS[name]
        ]
        prompt = {"completion": "{{ question }}"}
        text = json.dumps({"suite": name, "grader": "sql", "database": name, "prompt": prompt, "cases": cases})
        path = root / "cases" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")  # JSON is YAML
        loaded = load_suite(path)
        assert loaded is not None
        found[name] = loaded.suite
    return found


@pytest.fixture(scope="module")
def grades(suites: dict[str, Suite]) -> dict[str, dict[tuple[str, str], Grade]]:
    """Judge every gold answer of a database against every question on it."""
    found: dict[str, dict[tuple[str, str], Grade]] = defaultdict(dict)
    for name, suite in suites.items():
        grade = KIND.build(suite, suite.path.parents[1])
        for item in _ITEMS[name]:
            for case in suite.cases:
                found[name][case.id, item["id"]] = grade(case, Answer(text=item["gold"]))
    return found


@pytest.mark.parametrize("database", list(_ITEMS))
def test_every_gold_answer_passes(grades: dict[str, dict[tuple[str, str], Grade]], database: str) -> None:
    """A reference, given as the answer to its own question, is correct."""
    failed = {
        item["id"]: str(grades[database][item["id"], item["id"]])
        for item in _ITEMS[database]
        if not grades[database][item["id"], item["id"]].passed
    }

    assert failed == {}


@pytest.mark.parametrize("database", list(_ITEMS))
def test_gold_answer_of_another_question_with_another_result_fails(
    grades: dict[str, dict[tuple[str, str], Grade]], database: str
) -> None:
    """An answer to another question passes only if it gives the very same rows."""
    results = _results(database)

    accepted = [
        (case, answer)
        for (case, answer), grade in grades[database].items()
        if case != answer and grade.passed and not _is_same_answer(results[case], results[answer])
    ]

    assert accepted == []


@pytest.mark.parametrize(
    "choice", [("author.name",), ("author.aid",), ("author.name", "author.aid"), ("author.aid", "author.name")]
)
def test_any_choice_of_interchangeable_columns_passes(suites: dict[str, Suite], choice: tuple[str, ...]) -> None:
    """`column_alternatives` become a list of references, and the answer may select any of their columns."""
    suite = suites["academic"]
    case = next(case for case in suite.cases if case.id == "sqleval-gen-000")
    gold = next(item["gold"] for item in _ITEMS["academic"] if item["id"] == case.id)
    answer = gold.replace("SELECT author.name, author.aid", "SELECT " + ", ".join(choice), 1)

    grade = KIND.build(suite, suite.path.parents[1])(case, Answer(text=answer))

    assert grade.passed, grade


@pytest.mark.parametrize("row", _ANSWERS, ids=[row["case"] for row in _ANSWERS])
def test_hand_made_answers_get_the_grades_of_a_fair_reader(suites: dict[str, Suite], row: dict[str, Any]) -> None:
    """Right answers in several dialects pass, and wrong ones that look right do not."""
    suite = next(suite for suite in suites.values() if row["case"] in {case.id for case in suite.cases})
    case = next(case for case in suite.cases if case.id == row["case"])
    grade = KIND.build(suite, suite.path.parents[1])

    misjudged = [
        (expected, str(found.reason), answer["sql"])
        for expected in ("correct", "wrong-result")
        for answer in row.get(expected, ())
        if (found := grade(case, Answer(text=answer["sql"]))).reason != expected
    ]

    assert misjudged == []


def test_no_reference_fails_its_check(suites: dict[str, Suite]) -> None:
    """Every reference of others runs and gives rows; ties in their small databases only warn."""
    found = [
        finding for suite in suites.values() for finding in KIND.check(suite, suite.path.parents[1], is_thorough=False)
    ]

    assert [finding for finding in found if finding.severity == "error"] == []
    ties = ("when the rows are put in differently", "with the same rank")
    assert all(any(tie in finding.message for tie in ties) for finding in found), found


def _results(database: str) -> dict[str, list[Table]]:
    """Run the references in a plain DuckDB: they are not a model's."""
    import duckdb

    with duckdb.connect() as connection:
        for statement in _DATA["databases"][database]:
            connection.execute(statement)
        found = {}
        for item in _ITEMS[database]:
            found[item["id"]] = []
            for sql in _references(item):
                cursor = connection.execute(sql)
                names = tuple(column[0] for column in cursor.description or ())
                rows = tuple(tuple(map(plain, row)) for row in cursor.fetchall())
                found[item["id"]].append(Table(names=names, rows=rows))
    return found


def _is_same_answer(want: list[Table], got: list[Table]) -> bool:
    """Tell whether the gold (the first of `got`) is, as a multiset of rows, one of the accepted results."""
    return any(next(result_sets.matches(got[0], table, is_ordered=False), None) is not None for table in want)
