"""The dialects an answer is read in, by the names people call them."""

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
"""What `dialect:` in a suite or case may say, with the dialect it is read in."""


def order(hint: str | None) -> tuple[str, ...]:
    """Give the dialects to try, the hinted one first."""
    if hint is None:
        return CASCADE
    first = NAMES[hint]
    return (first, *(name for name in CASCADE if name != first))
