"""DuckDB as the worker holds it: read-only files, every way out shut, each query bounded in time.

The settings and their order were measured on DuckDB 2.0.0 against 118 attack strings.  External access goes off by
SET after connecting: in the connect options it is applied before temp_directory and the connect
fails.  The time zone belongs to the ICU extension and cannot be an option either.  The lock comes last.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import duckdb

from pytest_llmbench.sql.cells import plain
from pytest_llmbench.sql.database.lock import lock
from pytest_llmbench.sql.protocol import Instance, Schema
from pytest_llmbench.sql.result_sets import Table

MAX_ROWS = 10_000
"""A result with more rows is compared no further."""

_MAX_MESSAGE_CHARS = 400  # DuckDB quotes what it does not understand, whole
_MAX_CONNECTIONS = 64  # each keeps some 5 MB; a database has no more instances

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "allow_persistent_secrets": "false",
    "memory_limit": "256MB",
    "threads": "1",
    "async_threads": "1",  # eight by default, each with a stack that counts as address space
    "temp_directory": "",
    "max_temp_directory_size": "0B",
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
}


class TooSlowError(Exception):
    """A query ran out of its time or of memory."""


class FailedError(Exception):
    """DuckDB did not run a query; the message is its own, in one line."""


class Alarm:
    """Interrupt a cursor when its time is up: one thread for all queries, a timer each would cost as much as one.

    The thread sleeps to the deadline it saw last, and then looks which one holds: to wake it for each query would have
    it take turns with the thread that runs them.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._deadline = 0.0
        self._wakes_at = math.inf
        self._is_over = False
        self._thread = threading.Thread(target=self._watch, name="alarm", daemon=True)
        self._thread.start()

    @contextmanager
    def set(self, cursor: duckdb.DuckDBPyConnection, deadline: float) -> Iterator[None]:
        """Interrupt the cursor at the deadline (of time.monotonic) while the block runs."""
        with self._condition:
            self._cursor, self._deadline = cursor, deadline
            if deadline < self._wakes_at:
                self._condition.notify()
        try:
            yield
        finally:
            with self._condition:
                self._cursor = None

    def close(self) -> None:
        """End the thread; none may be left that holds DuckDB when the interpreter ends."""
        with self._condition:
            self._is_over = True
            self._condition.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._condition:
            while not self._is_over:
                now = time.monotonic()
                if self._cursor is not None and now >= self._deadline:
                    self._cursor.interrupt()
                    self._wakes_at = now + 0.05  # once is not always enough: the next pipeline starts anew
                else:
                    self._wakes_at = math.inf if self._cursor is None else self._deadline
                self._condition.wait(None if self._wakes_at == math.inf else self._wakes_at - now)


class Engine:
    """The open databases of a worker."""

    def __init__(self) -> None:
        self._connections: dict[Path, tuple[duckdb.DuckDBPyConnection, int]] = {}
        self._schemas: dict[Path, Schema] = {}
        self._alarm = Alarm()

    def close(self) -> None:
        """Close the databases; a worker does not need it, for its process ends with it."""
        for connection, _ in self._connections.values():
            connection.close()
        self._connections.clear()
        self._alarm.close()

    def open(self, instance: Instance, limit_s: float) -> None:
        """Open an instance's file with a limit for each query; the file unused for longest gives way to it.

        DuckDB opens a file once in a process and the limit is locked, so another limit means another opening.
        """
        limit_ms = max(1, round(limit_s * 1000))
        known = self._connections.pop(instance.file, None)
        if known is not None and known[1] == limit_ms:
            self._connections[instance.file] = known  # the most recently used stands last
            return
        if known is not None:
            known[0].close()
        elif len(self._connections) >= _MAX_CONNECTIONS:
            self._connections.pop(next(iter(self._connections)))[0].close()
        config = _SETTINGS | {"max_execution_time": str(limit_ms)}
        connection = duckdb.connect(str(instance.file), read_only=True, config=config)
        lock(connection)
        self._connections[instance.file] = (connection, limit_ms)

    def schema(self, instance: Instance) -> Schema:
        """Give the tables of an opened instance."""
        if instance.file not in self._schemas:
            self._schemas[instance.file] = _schema(self._connections[instance.file][0])
        return self._schemas[instance.file]

    @cached_property
    def functions(self) -> frozenset[str]:
        """The names of every function the engine has, allowed or not; a database must be open."""
        connection, _ = next(iter(self._connections.values()))
        rows = connection.execute("SELECT DISTINCT lower(function_name) FROM duckdb_functions()").fetchall()
        return frozenset(name for (name,) in rows)

    def run(self, sql: str, instance: Instance, *, deadline: float, has_single: bool = False) -> Table:
        """Run one checked query on an opened instance, on a cursor of its own.

        Args:
            sql: text that passed the gate, its moment put in.
            instance: opened before.
            deadline: when to stop, of time.monotonic.
            has_single: the query computes with single precision (REAL).

        Raises `TooSlowError` or `FailedError`.
        """
        if time.monotonic() >= deadline:
            raise TooSlowError("time")
        cursor = self._connections[instance.file][0].cursor()
        try:
            with self._alarm.set(cursor, deadline):
                return _fetched(cursor, sql, has_single=has_single)
        except duckdb.InterruptException as stop:
            raise TooSlowError("time") from stop
        except (duckdb.OutOfMemoryException, MemoryError) as full:
            raise TooSlowError("memory") from full
        except (duckdb.Error, ValueError, OverflowError, RuntimeError) as fault:  # half a surrogate is a RuntimeError
            message = str(fault).partition("\n")[0].strip()[:_MAX_MESSAGE_CHARS]
            is_late = "max_execution_time" in message or "exceeded the maximum execution" in message.lower()
            raise (TooSlowError("time") if is_late else FailedError(message)) from fault
        finally:
            cursor.close()


def _fetched(cursor: duckdb.DuckDBPyConnection, sql: str, *, has_single: bool) -> Table:
    """Run and bring the values to plain ones."""
    cursor.execute(sql)
    kinds = [str(column[1]) for column in cursor.description or ()]
    names = tuple(str(column[0]) for column in cursor.description or ())
    if any("WITH TIME ZONE" in kind for kind in kinds):
        # fetched as such it needs pytz; the session's zone is UTC, so the naive value is the same moment
        casts = ", ".join(_naive(index, kind) for index, kind in enumerate(kinds))
        columns = ", ".join(f"c{index}" for index in range(len(kinds)))
        cursor.execute(f"SELECT {casts} FROM ({sql}) AS result({columns})")  # noqa: S608 - checked text
    rows = cursor.fetchmany(MAX_ROWS + 1)
    if any("MAP(" in kind or "TUPLE(" in kind for kind in kinds):
        types = [column[1] for column in cursor.description or ()]
        cells = tuple(tuple(map(plain, row, types)) for row in rows)
    else:
        cells = tuple(tuple(map(plain, row)) for row in rows)
    return Table(names=names, rows=cells, is_single=tuple(_is_single(kind, has_single=has_single) for kind in kinds))


def _is_single(kind: str, *, has_single: bool) -> bool:
    """Tell whether a column holds single precision: a REAL, or a DOUBLE made in a query that has one."""
    return kind == "FLOAT" or (has_single and kind == "DOUBLE")


def _naive(index: int, kind: str) -> str:
    """Cast one result column that has a time zone; one with zones inside a list or a struct becomes text."""
    if "WITH TIME ZONE" not in kind:
        return f"c{index}"
    plain_kind = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "TIME WITH TIME ZONE": "TIME"}.get(kind, "VARCHAR")
    return f"CAST(c{index} AS {plain_kind})"


def _schema(connection: duckdb.DuckDBPyConnection) -> Schema:
    """Read the tables and views of a database."""
    rows = connection.execute(
        "SELECT lower(table_name), lower(column_name), data_type FROM duckdb_columns() "
        "WHERE NOT internal AND schema_name = 'main' ORDER BY table_name, column_index"
    ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, {})[column] = kind
    keys = connection.execute(
        "SELECT lower(table_name), constraint_column_names FROM duckdb_constraints() "
        "WHERE constraint_type = 'PRIMARY KEY' AND schema_name = 'main'"
    ).fetchall()
    return Schema(tables=tables, primary_keys={table: tuple(map(str.lower, columns)) for table, columns in keys})
