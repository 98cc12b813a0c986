"""Turn a query of SQLite into the DuckDB reference of a case, proven on the database: both return the same rows."""

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.importers.base import NotMapped, Place
from pytest_llmbench.importers.text_to_sql.tables import Exported, opened
from pytest_llmbench.sql import result_sets, ties
from pytest_llmbench.sql.cells import plain
from pytest_llmbench.sql.database.files import build, find_database
from pytest_llmbench.sql.engine import MAX_ROWS, Engine, FailedError, TooSlowError
from pytest_llmbench.sql.protocol import Instance
from pytest_llmbench.sql.result_sets import Table
from pytest_llmbench.sql.translate import frozen_clock, quotes
from pytest_llmbench.sql.translate.manner import Manner
from pytest_llmbench.sql.translate.translate import NoReading, Reading, Translator

LIMIT_S = 10.0
"""The time of a query, here and in the suite."""

_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_SQLITE_STEPS = 100_000  # between two looks at the clock
_WAY_OUT = "mend the query, or leave the case out with --partial"


class Proof:
    """A database in both engines.

    Raises:
        NotMapped: DuckDB does not build it.
    """

    def __init__(self, database: Exported, engine: Engine):
        self.database = database
        self._instance = _built(database)
        self._engine = engine
        self._engine.open(self._instance, LIMIT_S)
        self._schema = self._engine.schema(self._instance)
        self._translator = Translator(self._schema, self._engine.functions)

    def reference(self, query: str, place: Place) -> str:
        """Give the DuckDB query that returns what a query returns in SQLite.

        Raises:
            NotMapped: there is none, or no answer could be told right by it.
        """
        text = query.strip().rstrip(";").strip()
        want = self._rows(text, place)
        if not want.rows:
            raise NotMapped(f"its query returns no row, so that no answer can be told right; {_WAY_OUT}.", place)
        if len(want.rows) > MAX_ROWS:
            raise NotMapped(f"its query returns over {MAX_ROWS:,} rows; {_WAY_OUT}.", place)
        self._engine.open(self._instance, LIMIT_S)  # it may have given way to others
        first = self._read(text, "sqlite", Manner(is_hinted=True), place)
        if frozen_clock.at(first.sql, self._instance.now) != first.sql:
            raise NotMapped(f"its query asks for the present moment, so its rows change; {_WAY_OUT}.", place)
        found = self._read(first.sql, "duckdb", Manner(), place)
        same = tuple(range(len(want.names)))
        for table in self._accepted(found, place):
            is_as_wide = len(table.names) == len(want.names)
            if is_as_wide and result_sets.rows_match(want, table, same, is_ordered=found.is_sorted):
                return first.sql
        raise NotMapped(f"its query returns other rows in DuckDB than in SQLite; {_WAY_OUT}.", place)

    def _read(self, text: str, dialect: str, manner: Manner, place: Place) -> Reading:
        found = self._translator.read(quotes.resolve(text, self._schema), dialect, manner)
        lost = None if isinstance(found, NoReading) else self._translator.dropped(found)
        if isinstance(found, NoReading) or lost is not None:
            why = found.message if isinstance(found, NoReading) else f'"{lost}" has no counterpart in DuckDB'
            raise NotMapped(f"its query cannot be read as DuckDB's ({why[:200]}); {_WAY_OUT}.", place)
        return found

    def _accepted(self, reading: Reading, place: Place) -> tuple[Table, ...]:
        deadline = time.monotonic() + LIMIT_S

        def run(text: str) -> Table:
            return self._engine.run(text, self._instance, deadline=deadline, has_single=reading.has_single)

        def tried(text: str) -> Table | None:
            try:
                return run(text)
            except (TooSlowError, FailedError):
                return None

        try:
            own = run(reading.sql)
        except TooSlowError:
            raise NotMapped(f"its query takes over {LIMIT_S:g} s in DuckDB; {_WAY_OUT}.", place) from None
        except FailedError as fault:
            raise NotMapped(f"DuckDB does not run its query ({str(fault)[:200]}); {_WAY_OUT}.", place) from None
        return ties.accepted(reading.sql, own, tried).tables if ties.has_order_or_limit(reading.sql) else (own,)

    def _rows(self, query: str, place: Place) -> Table:
        """Run a query in SQLite, which may read tables and nothing else."""
        end = time.monotonic() + LIMIT_S
        with closing(opened(self.database.path)) as connection:
            connection.set_authorizer(_authorized)
            connection.set_progress_handler(lambda: int(time.monotonic() > end), _SQLITE_STEPS)
            try:
                cursor = connection.execute(query)
                rows = cursor.fetchmany(MAX_ROWS + 1)
            except (sqlite3.Error, sqlite3.Warning, ValueError) as fault:
                raise NotMapped(f"SQLite does not run its query ({fault}); {_WAY_OUT}.", place) from None
        names = tuple(str(column[0]) for column in cursor.description or ())
        return Table(names=names, rows=tuple(tuple(plain(cell) for cell in row) for row in rows))


def _authorized(action: int, _one: str | None, name: str | None, *_: str | None) -> int:
    is_function = action == sqlite3.SQLITE_FUNCTION and str(name).lower() != "load_extension"
    return sqlite3.SQLITE_OK if action in _ALLOWED or is_function else sqlite3.SQLITE_DENY


def _built(database: Exported) -> Instance:
    """Build a database as a run does; the files that it is made of are not needed afterwards."""
    with tempfile.TemporaryDirectory(prefix="llmbench-import-") as scratch:
        for name, content in database.files.items():
            path = Path(scratch) / "database" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            (instance,) = build(find_database("database", suite_path=Path(scratch) / "suite.yaml", root=Path(scratch)))
        except SuiteFault as fault:
            message = str(fault).replace(scratch, "").splitlines()[0]
            raise NotMapped(f"DuckDB does not build this database ({message}).", Place(path=database.path)) from None
    return instance
