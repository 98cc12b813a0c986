"""What is refused: nothing here may run. Each string goes through the whole judge, never to a plain DuckDB."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

REFERENCE = "SELECT COUNT(*) FROM events WHERE rpc_method = 'Login'"
NORMAL = "SELECT SUM(rpc_method = 'Login') FROM events"

WRITES = [
    "DELETE FROM events",
    "DELETE FROM events WHERE rpc_method = 'Login' RETURNING *",
    "DROP TABLE events",
    "DROP SCHEMA main CASCADE",
    "TRUNCATE TABLE events",
    "UPDATE events SET rpc_method = 'Login'",
    "INSERT INTO events VALUES (1, now(), 1, 'Login')",
    "INSERT INTO events SELECT * FROM events",
    "MERGE INTO events USING events e ON true WHEN MATCHED THEN DELETE",
    "REPLACE INTO events VALUES (1, now(), 1, 'Login')",
    "ALTER TABLE events RENAME TO gone",
    "ALTER TABLE events DROP COLUMN user_id",
    "CREATE TABLE stolen AS SELECT * FROM events",
    "CREATE TEMP TABLE events AS SELECT 1 AS user_id",
    "CREATE OR REPLACE VIEW events AS SELECT 1",
    "CREATE TEMP MACRO count(x) AS 17",
    "CREATE FUNCTION now() AS timestamp '2000-01-01'",
    "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "SELECT * INTO stolen FROM events",
    "WITH d AS (DELETE FROM events RETURNING *) SELECT COUNT(*) FROM d",
    "WITH d AS (UPDATE events SET user_id = 1 RETURNING *) SELECT COUNT(*) FROM d",
    "WITH i AS (INSERT INTO events VALUES (1, now(), 1, 'Login') RETURNING *) SELECT COUNT(*) FROM i",
    "WITH d AS (SELECT 1) DELETE FROM events",
    "WITH d AS (SELECT 1) UPDATE events SET user_id = 1",
    "WITH d AS (SELECT * FROM events) INSERT INTO events SELECT * FROM d",
    f"{REFERENCE}; DROP TABLE events",
    f"{REFERENCE};\n-- tidy up\nDELETE FROM events;",
    f"```sql\n{REFERENCE};\n\nDROP TABLE events;\n```",
    "BEGIN; DELETE FROM events; COMMIT;",
    "SELECT COUNT(*) FROM events FOR UPDATE",
    "GRANT ALL ON events TO public",
    "COMMENT ON TABLE events IS 'gone'",
]
FILES = [
    "COPY events TO '/tmp/stolen.csv'",
    "COPY (SELECT 1) TO '/tmp/stolen.parquet' (FORMAT parquet)",
    "COPY events FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/stolen'",
    "IMPORT DATABASE '/tmp/stolen'",
    "ATTACH '/tmp/other.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH events",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE events",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT COUNT(*) FROM 'events.csv'",
    "SELECT content FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd', header = false)",
    "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT (SELECT content FROM read_text('/etc/passwd')) FROM events",
    "SELECT COUNT(*) FROM events WHERE rpc_method IN (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT * FROM parquet_scan('x.parquet')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM query_table('events')",
    "FROM events JOIN LATERAL read_text('/etc/passwd') ON true",
    "SELECT load_file('/etc/passwd')",
    "SELECT pg_read_file('/etc/passwd')",
    "EXEC xp_cmdshell 'dir'",
    'WITH "/etc/passwd" AS (SELECT 1) SELECT * FROM "/etc/passwd"',
]
SETTINGS = [
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "RESET memory_limit",
    "PRAGMA disable_verification",
    "PRAGMA database_list",
    "SET search_path = 'other'",
    "SET VARIABLE x = 1",
    "USE other",
    "CALL pragma_version()",
    "CALL duckdb_settings()",
    "SHOW TABLES",
    "DESCRIBE events",
    "SUMMARIZE events",
    "EXPLAIN SELECT * FROM events",
    "EXPLAIN ANALYZE SELECT * FROM events",
    "VACUUM",
    "CHECKPOINT",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
]
CATALOGUES = [
    "SELECT path FROM duckdb_databases()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pragma_version()",
    "SELECT * FROM (WITH duckdb_tables AS (SELECT 1) SELECT 1), duckdb_tables",
    "SELECT current_setting('home_directory')",
    "SELECT getvariable('x')",
    "SELECT getenv('HOME')",
    "SELECT current_user",
    "SELECT current_database()",
    "SELECT version()",
    "SELECT @@version",
    "SELECT json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT json_serialize_sql('SELECT 1')",
    "SELECT nextval('seq')",
    "SELECT random()",
    "SELECT COUNT(*) FROM events WHERE random() < 2",
    "SELECT uuid()",
    "SELECT gen_random_uuid()",
    "SELECT COUNT(*) FROM events USING SAMPLE 100%",
    "SELECT sleep_ms(100)",
    "SELECT pg_sleep(1)",
    "SELECT SLEEP(5)",
    "SELECT write_log('x')",
    "SELECT 'x'.write_log()",
    "SELECT list_transform([1], x -> random())",
    'SELECT "random"()',
    "SELECT error('x')",
]
_LISTED = yaml.safe_load((Path(__file__).parent / "attacks.yaml").read_text(encoding="utf-8"))
FAMILIES = {
    "writes": WRITES,
    "files": FILES,
    "settings": SETTINGS,
    "catalogues": CATALOGUES,
    "listed": _LISTED["unsafe"],
}
MALFORMED = [
    *_LISTED["fails"],
    "SELECT COUNT(*) FROM (DELETE FROM events RETURNING *)",
    "SELECT UTL_HTTP.REQUEST('http://example.org') FROM dual",
    "SELECT * FROM events INTO OUTFILE '/tmp/stolen'",
    "SELECT 1 UNION DELETE FROM events",
    "SELECT * FROM events; SELECT * FROM read_text('/etc/passwd')",
    "SELECT $$x$$; $$",
]

HARMLESS = [
    f"{REFERENCE} -- DROP TABLE events",
    f"{REFERENCE} /* read_text('/etc/passwd'); DELETE FROM events */",
    f"{REFERENCE} AND rpc_method <> 'DROP TABLE events; --'",
    f"{REFERENCE} AND rpc_method NOT LIKE '%read_csv(%'",
    f"{REFERENCE};;;",
    "WITH load AS (SELECT * FROM events) SELECT COUNT(*) FROM load WHERE rpc_method = 'Login'",
    "WITH events AS (SELECT * FROM events WHERE rpc_method = 'Login') SELECT COUNT(*) FROM events",
    "WITH copy(delete, method) AS (SELECT user_id, rpc_method FROM events) SELECT COUNT(delete) FROM copy WHERE method = 'Login'",
    "SELECT COUNT(*) AS \"update\" FROM events AS attach WHERE attach.rpc_method = 'Login'",
    "SELECT COUNT(*) AS glob FROM events WHERE rpc_method = 'Login'",
]


@pytest.mark.parametrize(
    "attacks",
    [
        pytest.param(attacks, id=family, marks=[pytest.mark.slow] if family == "listed" else [])
        for family, attacks in FAMILIES.items()
    ],
)
def test_attacks_are_refused_and_leave_nothing_behind(
    judge: Any, subtests: pytest.Subtests, attacks: Sequence[str]
) -> None:
    """What writes, reads elsewhere, changes settings or hangs on chance is unsafe; the next answer is judged right."""
    for attack in attacks:
        with subtests.test(attack):
            grade = judge(attack, REFERENCE)

            assert (grade.reason, grade.passed) == ("unsafe", False), grade
            assert "sql" not in grade.parts

    grade = judge(NORMAL, REFERENCE)
    assert grade.passed, grade
    assert not list(Path("/tmp").glob("stolen*"))


def test_the_attacks_are_many() -> None:
    """At least 300, none twice."""
    attacks = [attack for family in FAMILIES.values() for attack in family]

    assert len(set(attacks)) == len(attacks) >= 300


def test_attacks_that_are_not_even_sql_fail(judge: Any, subtests: pytest.Subtests) -> None:
    """What no dialect can read fails, whatever it was meant to do."""
    for attack in MALFORMED:
        with subtests.test(attack):
            grade = judge(attack, REFERENCE)

            assert grade.reason in ("invalid", "no-sql", "wrong-result", "unsafe"), grade
            assert not grade.passed


@pytest.mark.parametrize("answer", HARMLESS)
def test_words_of_attacks_in_harmless_places_are_no_attack(judge: Any, answer: str) -> None:
    """Comments, strings, aliases and common tables may hold any word."""
    grade = judge(answer, REFERENCE)

    assert grade.passed, grade


def test_attack_in_one_dialect_wins_over_a_harmless_reading_in_another(judge: Any) -> None:
    """What the model wrote is unsafe as it stands, whatever a later dialect makes of it."""
    answer = "SELECT * INTO stolen FROM events"

    grades = [judge(answer, REFERENCE, dialect=dialect) for dialect in (None, "tsql", "bigquery", "mysql")]

    assert {grade.reason for grade in grades} == {"unsafe"}
