"""A database folder: what is read from it, and what is said of a wrong one."""

import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Finding
from pytest_llmbench.grading.sql import KIND
from pytest_llmbench.sql.database.files import build, contents_sha256, find_database
from pytest_llmbench.sql.pool import shared_worker
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import Case, Suite

SCHEMA = "CREATE TABLE fruit (name VARCHAR NOT NULL, price DOUBLE NOT NULL);\n"
TOML = "[instances.main]\nnow = 2024-03-05T14:37:21\n"
ROWS = "INSERT INTO fruit VALUES ('apple', 1.5), ('pear', 2.25), ('plum', 0.75);\n"
GOOD = {"schema.sql": SCHEMA, "database.toml": TOML, "main.sql": ROWS}

Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a database called shop below a fresh root, and give the root."""

    def make(files: Mapping[str, str]) -> Path:
        folder = tmp_path / "fixtures" / "databases" / "shop"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


def suite_of(root: Path, *references: str, **rules: Any) -> Suite:
    cases = tuple(
        Case(suite="shop", id=f"case-{place}", inputs={}, rules=KIND.case_fields(reference=reference))
        for place, reference in enumerate(references)
    )
    return Suite(
        name="shop",
        path=root / "cases" / "shop.yaml",
        grader="sql",
        cases=cases,
        rules=KIND.suite_fields(database="shop", **rules),
    )


def rows_of(file: Path, query: str = "SELECT * FROM fruit") -> list[Any]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_rows_may_be_sql_or_csv_or_parquet(write: Write) -> None:
    """The same rows come out of a script, a CSV file and a Parquet file."""
    root = write(
        {
            "schema.sql": SCHEMA,
            "database.toml": "".join(
                f"[instances.{name}]\nnow = {now}\n"
                for name, now in {
                    "script": "2024-03-05T14:37:21",
                    "text": "2024-03-05 14:37:21",
                    "columns": '"2024-03-05 14:37:21"',
                }.items()
            ),
            "script.sql": ROWS,
            "text/fruit.csv": "price,name\n1.5,apple\n2.25,pear\n0.75,plum\n",
            "columns/note.txt": "not a table",
        }
    )
    target = root / "fixtures" / "databases" / "shop" / "columns" / "fruit.parquet"
    duckdb.execute(
        f"COPY (SELECT * FROM (VALUES ('apple', 1.5), ('pear', 2.25), ('plum', 0.75)) t(name, price)) TO '{target}'"
    )

    built = build(find_database("shop", suite_path=root / "cases" / "shop.yaml", root=root))

    assert [instance.name for instance in built] == ["script", "text", "columns"]
    assert [rows_of(instance.file) for instance in built] == [[("apple", 1.5), ("pear", 2.25), ("plum", 0.75)]] * 3


def test_database_may_stand_beside_the_suite(write: Write) -> None:
    """A folder of the database's name beside the suite file is found as well."""
    root = write(GOOD)

    found = find_database("shop", suite_path=root / "fixtures" / "databases" / "suite.yaml", root=root / "elsewhere")

    assert found.folder == root / "fixtures" / "databases" / "shop"


def test_file_is_built_once_and_again_when_the_rows_change(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built files are shared by what they are made of."""
    root = write(GOOD)
    monkeypatch.setattr(tempfile, "tempdir", str(root))  # other processes build in the common folder
    suite_path = root / "cases" / "shop.yaml"
    (first,) = build(find_database("shop", suite_path=suite_path, root=root))
    inode = first.file.stat().st_ino

    (second,) = build(find_database("shop", suite_path=suite_path, root=root))
    write({"main.sql": "INSERT INTO fruit VALUES ('fig', 9);"})
    (third,) = build(find_database("shop", suite_path=suite_path, root=root))

    assert (second.file, second.file.stat().st_ino) == (first.file, inode)
    assert rows_of(third.file) == [("fig", 9.0)]
    assert not [path for path in first.file.parent.iterdir() if path.name.startswith("building-")]


def test_files_nobody_asked_for_in_a_month_are_removed(write: Write) -> None:
    """Built files do not pile up for ever."""
    root = write(GOOD)
    suite_path = root / "cases" / "shop.yaml"
    (first,) = build(find_database("shop", suite_path=suite_path, root=root))
    month_ago = time.time() - 31 * 86400
    os.utime(first.file, (month_ago, month_ago))

    write({"main.sql": f"INSERT INTO fruit VALUES ('fig', {time.time()});"})
    (second,) = build(find_database("shop", suite_path=suite_path, root=root))

    assert not first.file.exists()
    assert second.file.exists()


def test_other_orders_hold_the_same_rows(write: Write) -> None:
    """A copy in another order differs in the order of its rows alone."""
    root = write(GOOD)
    database = find_database("shop", suite_path=root / "cases" / "shop.yaml", root=root)

    (straight,), (backwards,) = build(database), build(database, order=1)

    assert rows_of(backwards.file) == rows_of(straight.file)[::-1]


def test_tables_with_keys_and_views_have_other_orders(write: Write) -> None:
    """Rows that point at rows of other tables load in whatever order the files stand, and can be put in differently."""
    root = write(
        {
            "schema.sql": "CREATE TABLE tree (id BIGINT PRIMARY KEY, name VARCHAR NOT NULL);\n"
            "CREATE TABLE apple (id BIGINT PRIMARY KEY, tree_id BIGINT NOT NULL REFERENCES tree(id));\n"
            "CREATE VIEW crop AS SELECT name, COUNT(*) AS apples FROM tree JOIN apple ON tree.id = tree_id GROUP BY name;\n",
            "database.toml": TOML,
            "main/apple.csv": "id,tree_id\n1,1\n2,1\n3,2\n",
            "main/tree.csv": "id,name\n1,old\n2,young\n",
        }
    )
    database = find_database("shop", suite_path=root / "cases" / "shop.yaml", root=root)

    built = [build(database, order=order)[0] for order in (0, 1, 2)]

    ids = [rows_of(instance.file, "SELECT id FROM apple") for instance in built]
    assert ids[1] == ids[0][::-1] == [(3,), (2,), (1,)]
    assert sorted(ids[2]) == ids[0]
    crops = [rows_of(instance.file, "SELECT * FROM crop ORDER BY name") for instance in built]
    assert crops == [[("old", 2), ("young", 1)]] * 3


FAULTS: list[tuple[dict[str, str | None], str]] = [
    ({"schema.sql": None}, r"shop: the database has no schema\.sql"),
    ({"schema2.sql": SCHEMA}, r"shop: a database has one schema and here are 2 \(schema\.sql, schema2\.sql\)"),
    ({"schema.sql": "CREATE SCHEMA other; CREATE TABLE other.fruit (name VARCHAR);"}, r"schema\.sql: creates other\.fruit outside the main schema"),
    ({"schema.sql": "SELECT 1;"}, r"schema\.sql: creates no table"),
    ({"schema.sql": "-- fruit\nCREATE TABLE fruit (name VARCHAR,, price DOUBLE);"}, r"schema\.sql:2: does not parse: Parser Error"),
    ({"database.toml": None}, r"shop: the database has no database\.toml"),
    ({"database.toml": "[instances.main\n"}, r"database\.toml:1: is not TOML"),
    ({"database.toml": f"instances = {'[' * 10_000}{']' * 10_000}"}, r"database\.toml: is nested too deep; write it flatter"),
    ({"database.toml": "instances = 3\n"}, r"database\.toml: names no instance"),
    ({"database.toml": "title = 'x'\n" + TOML}, r'database\.toml:1: has the unknown key "title"'),
    ({"database.toml": "# moments\n[instances.main]\n"}, r'database\.toml:2: instance "main" has no now; give it one: now = 2024'),
    ({"database.toml": "[instances.main]\nnow = 'today'\n"}, r'the now of instance "main" must be a date and time without a zone'),
    ({"database.toml": "[instances.main]\nnow = 2024-03-05T14:37:21Z\n"}, r'the now of instance "main" must be'),
    ({"database.toml": "[instances.main]\nnow = '2024-03-05T14:37:21Z'\n"}, r'the now of instance "main" must be'),
    ({"database.toml": TOML + "zone = 'UTC'\n"}, r'instance "main" has the unknown key "zone"'),
    ({"main.sql": None}, r'database\.toml:1: instance "main" has no rows: looked for main\.sql and CSV or Parquet files in main/'),
    ({"main/fruit.csv": "name,price\n"}, r'instance "main" has both main\.sql and a folder main'),
    ({"main.sql": "-- rows\nINSERT INTO fruit VALUES ('apple', 1);\nINSERT INTO tree VALUES (1);\n"}, r"main\.sql:3: fails: Catalog Error"),
    ({"main.sql": "COPY fruit FROM '/etc/passwd';"}, r"main\.sql:1: fails: Permission Error"),
    ({"main.sql": None, "main/fruit.csv": "name,cost\napple,1\n"}, r"fruit\.csv:1: has the columns name, cost where table fruit has name, price"),
    ({"main.sql": None, "main/fruit.csv": "name,price\napple,cheap\n"}, r"fruit\.csv.*: does not load: Conversion Error"),
    (
        {
            "schema.sql": "CREATE TABLE tree (id BIGINT PRIMARY KEY);\nCREATE TABLE fruit (id BIGINT REFERENCES tree(id));",
            "main.sql": None, "main/fruit.csv": "id\n7\n", "main/tree.csv": "id\n1\n",
        },
        r"fruit\.csv: does not load: Constraint Error: .* does not exist .*; fill the other table or leave the key out of schema\.sql\.",
    ),
    ({"main.sql": None, "main/tree.csv": "name\noak\n"}, r'tree\.csv: is for a table "tree" that schema\.sql does not create \(it creates fruit\)'),
    ({"main.sql": None, "main/fruit.csv": "name,price\n", "main/Fruit.csv": "name,price\n"}, r'table "fruit" has two files in main/'),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), FAULTS)
def test_fault_names_the_file_and_the_way_out(write: Write, changes: dict[str, str | None], message: str) -> None:
    """Every wrong database is a fault that says where and what to do."""
    files = {name: text for name, text in (GOOD | changes).items() if text is not None}
    root = write(files)

    with pytest.raises(SuiteFault) as raised:
        KIND.build(suite_of(root, "SELECT name FROM fruit"), root)

    assert re.search(message, str(raised.value)), str(raised.value)


def test_missing_folder_lists_where_it_was_looked_for(tmp_path: Path) -> None:
    """A database that is nowhere is a fault of the suite that names it."""
    with pytest.raises(SuiteFault) as raised:
        KIND.build(suite_of(tmp_path, "SELECT 1"), tmp_path)

    places = f"{tmp_path / 'fixtures' / 'databases' / 'shop'} and {tmp_path / 'cases' / 'shop'}"
    expected = f'{tmp_path}/cases/shop.yaml: there is no database "shop": looked for {places}; make the folder, see docs/sql.md.'
    assert str(raised.value) == expected


def found_in(root: Path, reference: str, *, is_thorough: bool) -> tuple[Finding, ...]:
    return KIND.check(suite_of(root, reference), root, is_thorough=is_thorough)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("SELECT colour FROM fruit", "the reference does not run on instance main: Binder Error"),
        ("SELECT name FROM", "the reference does not run on instance main: "),
        ("DELETE FROM fruit", "the reference does not run on instance main: it is not a query (DELETE)"),
        ("SELECT random()", "the reference does not run on instance main: it calls rand"),
    ],
)
def test_reference_that_fails_is_an_error_even_in_a_run(write: Write, reference: str, message: str) -> None:
    """A reference must run on every instance."""
    root = write(GOOD)

    (finding,) = found_in(root, reference, is_thorough=False)

    assert (finding.severity, finding.case) == ("error", "case-0")
    assert finding.message.startswith(message), finding.message


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("SELECT name FROM fruit WHERE price > 100", "the reference gives no row on instance main"),
        (
            "SELECT name FROM fruit ORDER BY length(name) LIMIT 1",
            "the reference has a tie on instance main: LIMIT 1 takes 1 of 2 rows with the same rank, and any of them is accepted",
        ),
        ("SELECT first(name) FROM fruit", "the reference gives other rows on instance main when the rows"),
    ],
)
def test_empty_or_tied_reference_warns_in_a_run_and_is_an_error_when_validated(
    write: Write, reference: str, message: str
) -> None:
    """A reference that an empty or a lucky answer equals cannot be judged by."""
    root = write(GOOD)

    (warned,) = found_in(root, reference, is_thorough=False)
    (failed,) = found_in(root, reference, is_thorough=True)

    assert (warned.severity, failed.severity) == ("warning", "error")
    assert warned.message == failed.message
    assert warned.message.startswith(message)


def n_at_work() -> int:
    """Count the processes of the pool, any of which may be the one that is asked: earlier tests may have made several."""
    return sum(worker.pid is not None for worker in shared_worker()._workers)


def test_references_are_tried_again_only_when_something_changed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reference does is remembered: collecting a suite again asks no worker, until a query or the data change."""
    root = write(GOOD)
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    reference = "SELECT name FROM fruit ORDER BY length(name) LIMIT 1"

    first = found_in(root, reference, is_thorough=False)
    shared_worker().close()
    second = found_in(root, reference, is_thorough=False)
    asked_again = n_at_work()
    write({"main.sql": "INSERT INTO fruit VALUES ('fig', 9), ('apple', 1);"})
    third = found_in(root, reference, is_thorough=False)

    assert (len(first), asked_again) == (1, 0)
    assert (second, third) == (first, ())
    assert n_at_work() == 1


def test_damaged_memory_of_references_is_made_anew(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remembered file that was cut off does no harm."""
    root = write(GOOD)
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    reference = "SELECT name FROM fruit WHERE price > 100"
    first = found_in(root, reference, is_thorough=False)
    files = list(root.glob("pytest-llmbench-*/*.trials.json"))
    for file in files:
        file.write_text('{"SELECT', encoding="utf-8")

    second = found_in(root, reference, is_thorough=False)

    assert len(files) == 4
    assert (len(first), second) == (1, first)


def test_order_that_ties_warns_where_it_counts(write: Write) -> None:
    """A sorted reference with equal keys fixes no order of rows, unless the case says that order does not count."""
    root = write(GOOD | {"main.sql": "INSERT INTO fruit VALUES ('fig', 1), ('yam', 1), ('apple', 2);"})

    (finding,) = found_in(root, "SELECT name FROM fruit ORDER BY length(name)", is_thorough=False)

    assert finding.message.startswith("the reference gives its rows in another order on instance main")


def test_surviving_near_misses_are_advice(write: Write) -> None:
    """Small changes to a reference that no instance notices are listed when a suite is validated."""
    root = write(GOOD)

    found = found_in(root, "SELECT name FROM fruit WHERE price > 1", is_thorough=True)

    assert {finding.severity for finding in found} == {"advice"}
    assert any("price >= 1" in finding.message for finding in found), found


def test_good_reference_has_no_findings(write: Write) -> None:
    """A reference that runs, gives rows and has no tie is not talked about in a run."""
    root = write(GOOD)

    assert found_in(root, "SELECT name FROM fruit ORDER BY price DESC LIMIT 2", is_thorough=False) == ()


def test_answer_to_an_empty_reference_is_a_fault_of_the_suite(write: Write) -> None:
    """Two empty results are no agreement: such a case errs and nobody passes."""
    root = write(GOOD)
    suite = suite_of(root, "SELECT name FROM fruit WHERE price > 100")
    grade = KIND.build(suite, root)

    from pytest_llmbench.values import Answer

    with pytest.raises(SuiteFault, match="gives no row on any instance"):
        grade(suite.cases[0], Answer(text="SELECT name FROM fruit WHERE false"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "reference"),
        ({"reference": []}, "reference"),
        ({"reference": " "}, "a reference is empty"),
        ({"reference": "SELECT 1", "dialect": "klingon"}, "unknown dialect 'klingon'; known are"),
        ({"reference": "SELECT 1", "refrence": "x"}, "refrence"),
    ],
)
def test_wrong_case_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    """What a case may say is checked when the suite is loaded."""
    with pytest.raises(ValueError, match=message):
        KIND.case_fields(**fields)


def test_the_digest_of_a_database_is_that_of_its_content(write: Write) -> None:
    """Another row, another moment or another instance gives another one; other ends of lines do not."""

    def digest(rows: str, toml: str = TOML) -> str:
        root = write({"schema.sql": SCHEMA, "database.toml": toml, "main.sql": rows})
        return contents_sha256(find_database("shop", suite_path=root / "cases" / "shop.yaml", root=root))

    rows = "INSERT INTO fruit VALUES ('apple', 1);\n"
    plain = digest(rows)
    windows = digest(rows.replace("\n", "\r\n"))
    others = [digest(rows.replace("1", "2")), digest(rows, TOML.replace("14:", "15:"))]

    assert windows == plain
    assert len({plain, *others}) == 3


@pytest.mark.parametrize(
    "grader", ["grader: sql\ndatabase: shop", "checks: [sql: {database: shop, reference: SELECT 1}]"]
)
def test_the_databases_of_a_suite_are_known_by_their_content(grader: str, write: Write) -> None:
    """Whether the suite has a grader or checks."""
    root = write(GOOD)
    case = "{id: one, reference: SELECT 1}" if "grader" in grader else "{id: one}"
    (root / "s.yaml").write_text(f"suite: s\n{grader}\nprompt: {{completion: x}}\ncases: [{case}]\n")
    registry = SuiteRegistry(root, {})

    registry.load(root / "s.yaml")

    shop = find_database("shop", suite_path=root / "s.yaml", root=root)
    assert registry.data_digests == {"s": {"shop": contents_sha256(shop)}}
