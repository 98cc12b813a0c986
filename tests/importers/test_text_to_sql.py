"""Folders of Spider and BIRD: their databases become those of the grader `sql`, their queries its references."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.suites.registry import grader_of
from pytest_llmbench.values import Answer, Grade

Import = Callable[..., tuple[int, list[str]]]

SINGERS = """
CREATE TABLE "singer" ("Singer_ID" int, "Name" text, "Age" int, "Born" date, "Rate" real, PRIMARY KEY ("Singer_ID"));
INSERT INTO singer VALUES (1, 'Ann "A", Lee', 52, '1971-03-02', 1.5), (2, '', 32, '1991-11-30', 2),
  (3, 'Rose', 41, NULL, 0.25), (4, 'N', 29, '1994-01-01', NULL);
CREATE TABLE concert (id INTEGER PRIMARY KEY, singer int REFERENCES singer(Singer_ID), place varchar(20));
INSERT INTO concert VALUES (1, 1, 'Oslo'), (2, 1, 'Bergen'), (3, 3, 'Oslo');
"""
COUNT = {"db_id": "concert_singer", "question": "How many singers are there?", "query": "SELECT count(*) FROM singer"}
OLDER = {
    "db_id": "concert_singer",
    "question": "Names of singers born before 1992, the oldest first?",
    "query": """SELECT Name FROM singer WHERE strftime('%Y', Born) < "1992" ORDER BY Age / 2 DESC""",
}


def spider(tmp_path: Path, *rows: dict[str, Any], script: str = SINGERS, name: str = "concert_singer") -> Path:
    """Write a folder as Spider ships it."""
    folder = tmp_path / "source"
    database(folder / "database" / name / f"{name}.sqlite", script)
    (folder / "dev.json").write_text(json.dumps(rows or (COUNT, OLDER), indent=1), encoding="utf-8")
    (folder / "tables.json").write_text("[]", encoding="utf-8")
    return folder


def database(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def verdict(tmp_path: Path, number: int, answer: str) -> bool:
    """Grade an answer to a case of the imported suite."""
    loaded = load_suite(tmp_path / "cases" / "s.yaml")
    assert loaded is not None
    grade = grader_of(loaded, tmp_path)(loaded.suite.cases[number], Answer(text=answer))
    assert isinstance(grade, Grade)
    return grade.passed


def test_a_folder_of_spider_becomes_a_suite_with_its_database(import_of: Import, tmp_path: Path) -> None:
    """The right queries in SQLite's dialect pass, wrong ones do not; NULLs, quotes and empty texts are kept."""
    rows = {"db_id": "concert_singer", "question": "All of them", "query": "SELECT * FROM singer"}

    status, lines = import_of(spider(tmp_path, COUNT, OLDER, rows))

    assert (status, lines[:4]) == (
        0,
        [
            "wrote TMP/fixtures/databases/concert_singer",
            "wrote TMP/cases/s.yaml: 3 cases",
            "wrote TMP/cases/s.jsonl",
            lines[3],
        ],
    )
    assert verdict(tmp_path, 0, "SELECT COUNT(Singer_ID) FROM `singer`;")
    assert not verdict(tmp_path, 0, "SELECT COUNT(*) FROM concert")
    assert verdict(tmp_path, 1, OLDER["query"])
    assert not verdict(tmp_path, 1, OLDER["query"].replace("DESC", "ASC"))
    assert verdict(
        tmp_path,
        2,
        """SELECT * FROM singer WHERE Name = '' OR Name = 'N' AND Rate IS NULL OR Born IS NULL
        OR Name = 'Ann "A", Lee'""",
    )


def test_the_prompt_shows_the_schema_and_the_evidence(import_of: Import, tmp_path: Path) -> None:
    """BIRD's hints are part of the question, its difficulty is a tag, its number the id."""
    folder = tmp_path / "source"
    database(folder / "dev_databases" / "music" / "music.sqlite", SINGERS)
    row = {"question_id": 17, "db_id": "music", "question": "How many veterans?", "difficulty": "simple"}
    row |= {"evidence": "a veteran is over 40", "SQL": "SELECT COUNT(*) FROM singer WHERE Age > 40"}
    (folder / "dev.json").write_text(json.dumps([row]), encoding="utf-8")

    status, _ = import_of(folder, "--from", "bird")

    assert status == 0
    loaded = load_suite(tmp_path / "cases" / "s.yaml")
    assert loaded is not None
    (case,) = loaded.suite.cases
    assert (case.id, set(case.tags)) == ("17", {"music", "simple"})
    asked = next(iter(loaded.prompts.values()))["17"].messages[-1].content
    assert asked.startswith('CREATE TABLE "singer"')
    assert asked.endswith("Question: How many veterans?\nEvidence: a veteran is over 40")


REFUSED = {
    "a cell": (
        {"script": "CREATE TABLE t (a int); INSERT INTO t VALUES (1), ('x');"},
        "concert_singer.sqlite: t.a, row 2: 'x' is no INT, and a column has one type here; mend the cell, or leave the "
        "cases of the database out.",
    ),
    "a mixed column": (
        {"script": "CREATE TABLE t (a); INSERT INTO t VALUES ('x'), (1);"},
        "concert_singer.sqlite: t.a, row 1: 'x' is no value of its column, and a column has one type here; mend the "
        "cell, or leave the cases of the database out.",
    ),
    "no table": ({"script": ""}, "concert_singer.sqlite: this database has no table; copy the whole benchmark."),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_database_that_does_not_fit_is_refused(
    changes: dict[str, str], message: str, import_of: Import, tmp_path: Path
) -> None:
    """One line for the database, however many cases need it, and nothing is written."""
    status, lines = import_of(spider(tmp_path, **changes))

    assert (status, lines) == (1, [message, "nothing written: 1 construct not mapped; no case is left"])
    assert not (tmp_path / "cases").exists()
    assert not (tmp_path / "fixtures").exists()


QUERIES = {
    "SELECT Name FROM singer WHERE Age > 99": "its query returns no row, so that no answer can be told right",
    "SELECT Name FROM singers": "SQLite does not run its query (no such table: singers)",
    "DELETE FROM singer": "SQLite does not run its query (not authorized)",
    "ATTACH 'x.db' AS x": "SQLite does not run its query (not authorized)",
    "SELECT date('now')": "its query asks for the present moment, so its rows change",
    "SELECT typeof(Age) FROM singer": "its query returns other rows in DuckDB than in SQLite",
    "SELECT Name, random() FROM singer": "its query cannot be read as DuckDB's",
}


@pytest.mark.parametrize(("query", "message"), QUERIES.items(), ids=list(QUERIES))
def test_a_query_that_proves_nothing_is_refused(query: str, message: str, import_of: Import, tmp_path: Path) -> None:
    """Each with the line of its question; `--partial` leaves it out."""
    folder = spider(tmp_path, COUNT, {**COUNT, "question": "?", "query": query})

    status, lines = import_of(folder)

    assert status == 1
    assert lines[0].startswith(f"dev.json:7: {message}")
    assert len(lines) == 2
    assert import_of(folder, "--partial")[0] == 0


def test_the_same_source_gives_the_same_bytes(import_of: Import, tmp_path: Path) -> None:
    """A database that is there is kept; one that differs is not written over."""
    folder = spider(tmp_path)
    import_of(folder)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    shutil.rmtree(tmp_path / "fixtures")
    shutil.rmtree(tmp_path / "cases")

    assert import_of(folder)[0] == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == files

    (tmp_path / "fixtures" / "databases" / "concert_singer" / "schema.sql").write_text("-- mine", encoding="utf-8")
    status, lines = import_of(folder, "--update")
    assert (status, lines) == (
        2,
        [
            "llmbench: TMP/fixtures/databases/concert_singer is there already and its schema.sql differs; "
            "move it away to import it anew."
        ],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", ":1: this is no list of questions; Spider and BIRD write one."),
        ("[1]", ":1: this is no question; an object is needed."),
        ("[\n{", ":2: this is not JSON"),
        ("version https://git-lfs.github.com/spec/v1", ":1: this is a pointer of Git LFS"),
    ],
)
def test_questions_that_are_none(text: str, message: str, import_of: Import, tmp_path: Path) -> None:
    """The file and its line are named."""
    folder = spider(tmp_path)
    (folder / "dev.json").write_text(text, encoding="utf-8")

    status, lines = import_of(folder)

    assert (status, len(lines)) == (2, 1)
    assert lines[0].startswith(f"llmbench: TMP/source/dev.json{message}")


def test_a_database_that_is_a_link_out_of_the_folder_is_refused(import_of: Import, tmp_path: Path) -> None:
    """So are names that climb out of it, and those of databases that are not there."""
    folder = spider(tmp_path, COUNT, {**COUNT, "db_id": "../x"}, {**COUNT, "db_id": "none"})
    path = folder / "database" / "concert_singer" / "concert_singer.sqlite"
    path.rename(tmp_path / "outside.sqlite")
    path.symlink_to(tmp_path / "outside.sqlite")

    status, lines = import_of(folder)

    assert status == 1
    assert lines[:3] == [
        'dev.json:2: "database/concert_singer/concert_singer.sqlite" leaves the folder of the source; copy it there.',
        'dev.json:7: the `db_id` "../x" is no name of a folder; use letters, digits and . _ -',
        'dev.json:12: there is no file "database/none/none.sqlite"; the path is relative to the source.',
    ]


@pytest.mark.slow
def test_an_imported_suite_runs_and_is_valid(tmp_path: Path) -> None:
    """Recorded answers, one right and one wrong, through pytest; the references hold under `llmbench validate`."""
    spider(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = "import sys; from pytest_llmbench.cli import main; sys.exit(main(sys.argv[1:]))"
    imported = subprocess.run(
        [sys.executable, "-c", command, "import", "source", "-o", "cases/s.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (imported.returncode, imported.stderr) == (0, "")
    findings = subprocess.run(
        [sys.executable, "-c", command, "validate"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "1 suite, 2 cases: no errors" in findings.stdout
    assert "[warning]" not in findings.stdout
    loaded = load_suite(tmp_path / "cases" / "s.yaml")
    assert loaded is not None
    first, second = (case.id for case in loaded.suite.cases)
    answers = [{"case": first, "answer": COUNT["query"]}, {"case": second, "answer": "SELECT Name FROM singer"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, answers)), encoding="utf-8")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--llm-model", "recorded:a.jsonl", "cases/s.yaml", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 failed, 1 passed" in run.stdout
    assert "wrong-result" in run.stdout


def test_questions_that_are_a_link_out_of_the_folder_are_refused(import_of: Import, tmp_path: Path) -> None:
    """Nothing outside the folder is read."""
    path = spider(tmp_path) / "dev.json"
    path.rename(tmp_path / "outside.json")
    path.symlink_to(tmp_path / "outside.json")

    status, lines = import_of(path.parent)

    assert (status, lines) == (
        2,
        ['llmbench: dev.json: "dev.json" leaves the folder of the source; copy it there.'],
    )
