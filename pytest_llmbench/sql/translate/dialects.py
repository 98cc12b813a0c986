"""The dialects an answer is read in, by the names people call them."""

import re

CASCADE = (
    "duckdb",
    "postgres",
    "mysql",
    "bigquery",
    "sqlite",
    "snowflake",
    "tsql",
    "oracle",
    "spark",
    "presto",
    "redshift",
)
"""Tried in this order. ClickHouse is read only where a suite or case names it: its EXCEPT keeps duplicates."""

NAMES = {
    **{name: name for name in CASCADE},
    "clickhouse": "clickhouse",
    "postgresql": "postgres",
    "mariadb": "mysql",
    "mssql": "tsql",
    "sqlserver": "tsql",
    "databricks": "spark",
    "hive": "spark",
    "trino": "presto",
    "athena": "presto",
}
"""The values of `dialect:` in a suite or case, with the dialect each is read in."""

_ESCAPED_WILDCARD = re.compile(r"\blike\s+'(?:[^'\\]|''|\\\\)*\\[%_]", re.IGNORECASE)
_WITHOUT_ESCAPED_WILDCARD = frozenset({"bigquery", "snowflake", "redshift"})
_WITHOUT_DOUBLE_COLON = frozenset({"mysql", "bigquery", "sqlite", "tsql", "oracle", "presto"})


def order(hint: str | None, text: str) -> tuple[str, ...]:
    r"""Give the dialects to try on a text, the hinted one first.

    TIMESTAMPDIFF counts whole units everywhere but in Snowflake, where it counts boundaries: who wrote it without a
    hint meant the others.  Who wrote x::date wrote none of the dialects that have no such cast, and is not given what
    only they would make of the rest: date_diff('hour', ...) counts boundaries in DuckDB, and whole hours in Presto.
    Who wrote LIKE '100\\%' meant the sign, and no dialect in which the text is '100%'.
    """
    first = None if hint is None else NAMES[hint]
    left_out = {first} | ({"snowflake"} if "timestampdiff" in text.lower() else set())
    if "::" in text:
        left_out |= _WITHOUT_DOUBLE_COLON
    if _ESCAPED_WILDCARD.search(text):
        left_out |= _WITHOUT_ESCAPED_WILDCARD
    rest = tuple(name for name in CASCADE if name not in left_out)
    return rest if first is None else (first, *rest)
