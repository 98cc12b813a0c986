"""What no query may do on a connection: read other files, or change the settings that forbid it."""

import duckdb


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Lock a connection to its own file, in UTC."""
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
