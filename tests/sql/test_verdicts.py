"""Verdicts on answers that were once misjudged, and on more of each kind."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmbench.grading.base import Finding
from pytest_llmbench.grading.sql import KIND
from pytest_llmbench.values import Answer, Case, Grade, PromptStyle, Suite

DATA = Path(__file__).parents[1] / "data" / "sql-verdicts"
VERDICTS = [
    row
    for line in (DATA.parent / "wrong-verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    if (row := json.loads(line))["grader"] == "sql"
]
READINGS = yaml.safe_load((Path(__file__).parent / "readings.yaml").read_text(encoding="utf-8"))
ROME = "SELECT COUNT(*) FROM orders WHERE city = 'Rome'"


def suite_of(case: Mapping[str, Any], prompt: str = "{{ question }}", **rules: Any) -> Suite:
    """Make a suite of one case, its database in the test data."""
    made = Case(suite="verdicts", id="case", inputs={}, rules=KIND.case_fields(**case))
    return Suite(
        name="verdicts",
        path=DATA / "cases" / "sql.yaml",
        grader="sql",
        cases=(made,),
        rules=KIND.suite_fields(**rules),
        prompt_source={PromptStyle.COMPLETION: (("", prompt),)},
    )


def graded(suite: Suite, answer: str) -> Grade:
    (case,) = suite.cases
    return KIND.build(suite, DATA)(case, Answer(text=answer))


def checked(suite: Suite) -> list[str]:
    found: tuple[Finding, ...] = KIND.check(suite, DATA, is_thorough=True)
    return [finding.message for finding in found if "near miss" not in finding.message]


@pytest.mark.parametrize("row", VERDICTS, ids=[row["id"] for row in VERDICTS])
def test_answer_that_was_graded_wrongly_gets_its_grade(row: dict[str, Any]) -> None:
    """Each answer on the list of wrong verdicts passes or fails as it must."""
    suite = suite_of(row["case"], row.get("prompt", "{{ question }}"), **row["suite"])

    grade = graded(suite, row["answer"])

    assert grade.passed is (row["expect"] == "passed"), grade


@pytest.mark.parametrize("row", READINGS, ids=[f"{place}-{row['reason']}" for place, row in enumerate(READINGS)])
def test_answer_gets_its_reason(row: dict[str, Any]) -> None:
    """Arguments, clauses, types, groups, ties and the choice of the query: each answer gets the reason it deserves."""
    case = {key: row[key] for key in ("reference", "dialect") if key in row}

    grade = graded(suite_of(case, database=row.get("database", "vet")), row["answer"])

    assert grade.reason == row["reason"], grade


@pytest.mark.parametrize(
    ("word", "answer", "reason"),
    [
        ("SELECT", " COUNT(*) FROM orders WHERE city = 'Rome'", "correct"),
        ("SELECT", " COUNT(*)\nFROM orders\nWHERE city = 'Rome'\n\nThis counts the rows.", "correct"),
        ("SELECT", ROME, "correct"),
        ("SELECT", f"Here is the query:\n\n{ROME}", "correct"),
        ("SELECT", f"```sql\n{ROME}\n```", "correct"),
        ("SELECT", " COUNT(*) FROM orders WHERE city = 'Rome'; DROP TABLE orders", "unsafe"),
        ("WITH", " r AS (SELECT * FROM orders WHERE city = 'Rome') SELECT COUNT(*) FROM r;", "correct"),
    ],
)
def test_answer_goes_on_behind_the_word_that_the_suite_begins_with(word: str, answer: str, reason: str) -> None:
    """With `begins:` an answer is the rest of the statement, unless it begins one itself."""
    suite = suite_of({"reference": ROME}, database="shop", begins=word)

    assert graded(suite, answer).reason == reason


def test_validate_remarks_that_the_prompt_begins_the_statement() -> None:
    """A completion template that ends in SELECT is remarked on, until `begins:` confirms it."""
    case = {"reference": ROME}

    found = checked(suite_of(case, "{{ question }}\nSELECT", database="shop"))
    confirmed = checked(suite_of(case, "{{ question }}\nSELECT", database="shop", begins="SELECT"))

    remark = (
        "the completion prompt ends in SELECT: an answer is read as what goes on behind it; "
        'confirm it with begins: "SELECT" in the suite'
    )
    assert remark in found
    assert remark not in confirmed


@pytest.mark.parametrize(
    ("reference", "tie"),
    [
        (
            "SELECT visit_id FROM visits GROUP BY visit_id ORDER BY count(*) DESC LIMIT 1",
            "LIMIT 1 takes 1 of 5 rows with the same rank",
        ),
        ("SELECT visit_id FROM visits ORDER BY fee > 25 LIMIT 1 OFFSET 1", "LIMIT 1 OFFSET 1 takes 1 of 2 rows"),
        ("SELECT name FROM dogs ORDER BY owner_id LIMIT 4", "LIMIT 4 takes 1 of 3 rows with the same rank"),
        ("SELECT DISTINCT name, owner_id FROM dogs ORDER BY owner_id LIMIT 1", "LIMIT 1 takes 1 of 2 rows"),
        (
            "SELECT name FROM dogs WHERE dog_id = (SELECT visit_id FROM visits ORDER BY fee > 0 LIMIT 1)",
            "LIMIT 1 takes 1 of 5 rows with the same rank",
        ),
        ("SELECT name FROM dogs LIMIT 2", "LIMIT 2 takes 2 of 6 rows with the same rank"),
    ],
)
def test_validate_finds_every_limit_that_cuts_a_tie(reference: str, tie: str) -> None:
    """A LIMIT that takes some of several rows with the same rank is found, over dense whole numbers too."""
    (found,) = checked(suite_of({"reference": reference}, database="vet"))

    assert found.startswith(f"the reference has a tie on instance a: {tie}")


@pytest.mark.parametrize(
    "reference",
    [
        "SELECT visit_id FROM visits ORDER BY fee DESC LIMIT 1",
        "SELECT country FROM owners ORDER BY country DESC LIMIT 1",  # the tied rows are alike
        "SELECT name FROM dogs ORDER BY owner_id, name LIMIT 4",
        "SELECT owner_id, count(*) FROM dogs GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1",
        "SELECT count(*) FROM (SELECT name FROM dogs ORDER BY owner_id LIMIT 4)",  # whichever are taken
    ],
)
def test_validate_finds_no_tie_where_the_result_is_one(reference: str) -> None:
    """A LIMIT whose result does not depend on luck is no finding."""
    assert checked(suite_of({"reference": reference}, database="vet")) == []


def test_run_says_that_the_reference_is_tied() -> None:
    """A right answer to a tied reference says what is tied."""
    reference = "SELECT visit_id FROM visits GROUP BY visit_id ORDER BY count(*) DESC LIMIT 1"

    grade = graded(suite_of({"reference": reference}, database="vet"), "SELECT max(visit_id) FROM visits")

    assert grade.explanation == (
        "The result equals the reference's on 1 instance. The reference is tied (LIMIT 1 takes 1 of 5 rows with the same "
        "rank on instance a); any of these rows is accepted."
    )


def test_reference_with_a_loose_group_is_read_like_an_answer() -> None:
    """A reference may select a column that nothing groups by, and `validate` remarks on it."""
    reference = "SELECT o.last_name, count(*) FROM owners o JOIN dogs d ON o.owner_id = d.owner_id GROUP BY o.owner_id"
    suite = suite_of({"reference": reference}, database="vet")

    grade = graded(suite, reference.replace("GROUP BY o.owner_id", "GROUP BY o.last_name"))

    assert grade.passed
    assert checked(suite) == [
        "the reference selects a column that nothing groups by; it is read as the group's value where it has only one, "
        "else as NULL, or taken from the row of the only MIN or MAX"
    ]


def test_primary_key_in_group_by_lets_its_table_s_columns_stand(tmp_path: Path) -> None:
    """Postgres groups by a primary key alone, also where a cast leaves no other dialect to read the answer in."""
    folder = tmp_path / "fixtures" / "databases" / "sales"
    folder.mkdir(parents=True)
    (folder / "schema.sql").write_text(
        "CREATE TABLE c (id INTEGER PRIMARY KEY, name VARCHAR); CREATE TABLE o (cid INTEGER, x DOUBLE);"
    )
    (folder / "one.sql").write_text(
        "INSERT INTO c VALUES (1, 'a'), (2, 'b'); INSERT INTO o VALUES (1, 2), (1, 3), (2, 4);"
    )
    (folder / "database.toml").write_text("[instances.one]\nnow = 2024-03-05T14:37:21\n")
    reference = "SELECT c.name, SUM(x) FROM c JOIN o ON c.id = o.cid GROUP BY c.id, c.name"
    case = Case(suite="s", id="c", inputs={}, rules=KIND.case_fields(reference=reference))
    suite = Suite(
        name="s", path=tmp_path / "s.yaml", grader="sql", cases=(case,), rules=KIND.suite_fields(database="sales")
    )

    grade = KIND.build(suite, tmp_path)
    by_key, by_other = (
        grade(case, Answer(text=f"SELECT c.name, SUM(x)::numeric FROM c JOIN o ON c.id = o.cid GROUP BY {key}"))
        for key in ("c.id", "o.cid")
    )

    assert by_key.passed, by_key
    assert by_other.reason == "invalid", by_other


def test_the_near_misses_of_a_suite_are_of_one_kind() -> None:
    """So that `llmbench validate` writes many as one line, each with what was changed."""
    found = KIND.check(
        suite_of({"reference": "SELECT city, COUNT(*) FROM orders GROUP BY city"}, database="shop"),
        DATA,
        is_thorough=True,
    )

    kinds = {(finding.kind, bool(finding.example)) for finding in found if "near miss" in finding.message}
    assert kinds == {("near misses that no instance tells from their reference", True)}
