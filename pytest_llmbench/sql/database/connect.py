"""The database of a suite, for tests that look into it themselves.

The connections are read-only, with access to files and settings locked.  They have no limit of
time or memory: a model's SQL is run by the grader, in a process of its own, not here.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from pytest_llmbench.sql.database.files import build, find_database
from pytest_llmbench.sql.database.lock import lock
from pytest_llmbench.sql.protocol import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDatabase:
    """A database folder, built: the same tables filled differently, each with its own frozen now."""

    name: str
    instances: tuple[Instance, ...]

    def connect(self, instance: str | None = None) -> duckdb.DuckDBPyConnection:
        """Open an instance read-only, the first one by default; the caller closes it.

        Raises:
            LookupError: there is no instance of that name.
        """
        named = [found for found in self.instances if instance in (None, found.name)]
        if not named:
            known = ", ".join(found.name for found in self.instances)
            raise LookupError(f'database "{self.name}" has no instance "{instance}"; it has: {known}')
        connection = duckdb.connect(str(named[0].file), read_only=True)
        # a file is opened once in a process: a further connection finds the settings made, and locked
        if not connection.sql("SELECT current_setting('lock_configuration')").fetchall()[0][0]:
            lock(connection)
        return connection


def open_database(name: str, *, suite_path: Path, root: Path) -> OpenDatabase:
    """Find and build a database.

    Raises:
        SuiteFault: it is not there, or wrong.
    """
    return OpenDatabase(name=name, instances=build(find_database(name, suite_path=suite_path, root=root)))
