"""Build the read-only files of a database's instances.

Each instance is built once into a file named after the digest of everything it is made of, written beside
and renamed, so that runs and processes share it.  The sources are the suite author's own and are run as such, but
without access to anything outside their folder: the digest must see what the rows depend on.
"""

import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import duckdb

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.sql.protocol import Database, Source

_KEPT_S = 30 * 86400
_FORMAT = 2  # of the built files: raise it when the way of building changes


def built_file(database: Database, source: Source, *, order: int) -> Path:
    """Give the file of one instance, built if it is not there yet; see `databases.build`."""
    target = _cache_folder() / f"{_digest(database, source, order)}.duckdb"
    if target.exists():
        os.utime(target)  # in use: see _forget_old
    else:
        _forget_old(target.parent)
        _build_file(database, source, target, order)
    return target


def _forget_old(folder: Path) -> None:
    """Remove built files that nobody has asked for in a month."""
    for path in (*folder.glob("*.duckdb"), *folder.glob("*.trials.json")):
        with suppress(OSError):  # another process was quicker, or Windows has it open
            if path.stat().st_mtime < time.time() - _KEPT_S:
                path.unlink()


def _cache_folder() -> Path:
    """Give the folder for built files: the user's own, below the system's temporary one."""
    user = str(os.getuid()) if hasattr(os, "getuid") else "files"
    folder = Path(tempfile.gettempdir()) / f"pytest-llmbench-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if hasattr(os, "getuid") and (
        found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022
    ):
        # someone else made it first, in a folder that all may write to
        return Path(tempfile.mkdtemp(prefix="pytest-llmbench-"))
    return folder


def _digest(database: Database, source: Source, order: int) -> str:
    """Digest everything a built file depends on."""
    digest = hashlib.sha256(f"{_FORMAT} {duckdb.__version__} {order}".encode())
    for path in (database.schema, *source.files):
        content = path.read_bytes()
        digest.update(f"\n{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:40]


def _build_file(database: Database, source: Source, target: Path, order: int) -> None:
    """Build one instance beside its place and move it there."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-", ignore_cleanup_errors=True) as scratch:
        file = Path(scratch) / "database.duckdb"
        with closing(duckdb.connect(str(file))) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            if source.files[0].parent != database.folder:
                connection.execute(f"SET allowed_directories = ['{_quoted(str(source.files[0].parent))}']")
            connection.execute("SET enable_external_access = false")
            _run_script(connection, database.schema)
            names = _table_names(connection, database.schema)
            if source.files[0].suffix.lower() == ".sql":
                _run_script(connection, source.files[0])
            else:
                _load_all(connection, source.files, names)
        if order:
            file = _reordered(file, order)
        with suppress(PermissionError):  # Windows: another process has put the same file there and opened it
            os.replace(file, target)


def _run_script(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Run a SQL file statement by statement, so that a fault has a line."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise SuiteFault("is not UTF-8; save it as UTF-8.", path=path) from fault
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as fault:
        line = re.search(r"LINE (\d+):", str(fault))
        raise SuiteFault(
            f"does not parse: {_first_line(fault)}", path=path, line=int(line.group(1)) if line else None
        ) from fault
    position = 0
    for statement in statements:
        start = text.find(statement.query.strip(), position)
        try:
            connection.execute(statement)
        except duckdb.Error as fault:
            first = text.count("\n", 0, start) + 1 if start >= 0 else None
            raise SuiteFault(f"fails: {_first_line(fault)}", path=path, line=first) from fault
        position = max(start, position)


def _table_names(connection: duckdb.DuckDBPyConnection, schema: Path) -> dict[str, str]:
    """Give the tables of the main schema, lower case to as written; there must be some, and no others."""
    rows = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
    elsewhere = sorted(f"{place}.{name}" for place, name in rows if place != "main")
    if elsewhere:
        raise SuiteFault(f"creates {elsewhere[0]} outside the main schema; a database has one schema.", path=schema)
    if not rows:
        raise SuiteFault("creates no table; add its CREATE TABLE statements.", path=schema)
    return {name.lower(): name for _, name in rows}


def _load_all(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], names: dict[str, str]) -> None:
    """Load every table; one whose foreign keys point to a table that is still empty waits for it."""
    waiting = list(files)
    while waiting:
        postponed: dict[Path, SuiteFault] = {}
        for path in waiting:
            try:
                _load(connection, path, names)
            except SuiteFault as fault:
                if not isinstance(fault.__cause__, duckdb.ConstraintException):
                    raise
                postponed[path] = fault
        if len(postponed) == len(waiting):
            raise postponed[waiting[0]]
        waiting = list(postponed)


def _load(connection: duckdb.DuckDBPyConnection, path: Path, names: dict[str, str]) -> None:
    """Load one table from its CSV or Parquet file; the columns must be the table's, in any order."""
    table = names.get(path.stem.lower())
    if table is None:
        known = ", ".join(sorted(names.values()))
        raise SuiteFault(
            f'is for a table "{path.stem}" that schema.sql does not create (it creates {known}); rename the file.',
            path=path,
        )
    described = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND NOT internal", [table]
    ).fetchall()
    kinds = dict(described)
    is_csv = path.suffix.lower() == ".csv"
    reader = (
        f"read_csv('{_quoted(str(path))}', header = true, all_varchar = true)"
        if is_csv
        else f"read_parquet('{_quoted(str(path))}')"
    )
    try:
        found = [name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()]  # noqa: S608 - a file's name, quoted
        if sorted(map(str.lower, found)) != sorted(map(str.lower, kinds)):
            wrong = (
                f"has the columns {', '.join(found)} where table {table} has {', '.join(kinds)}; make them the same."
            )
            raise SuiteFault(wrong, path=path, line=1 if is_csv else None)
        columns = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in found)
        connection.execute(f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM {reader}')  # noqa: S608 - same
    except duckdb.Error as fault:
        line = re.search(r"[Ll]ine:? (\d+)", str(fault)) if is_csv else None
        way_out = "; fill the other table or leave the key out of schema.sql" if "foreign key" in str(fault) else ""
        raise SuiteFault(
            f"does not load: {_first_line(fault)}{way_out}.", path=path, line=int(line.group(1)) if line else None
        ) from fault


def _reordered(straight: Path, order: int) -> Path:
    """Give a copy with the same rows put in backwards for order 1, else shuffled by a digest of their place.

    The copy has no keys: rows that point at rows could not be put in in every order.
    """
    sort = "rowid DESC" if order == 1 else f"hash(rowid + {order * 7919}), rowid"
    copy = straight.with_name("reordered.duckdb")
    with closing(duckdb.connect(str(copy))) as connection:
        connection.execute(f"ATTACH '{_quoted(str(straight))}' AS straight (READ_ONLY)")
        connection.execute("SET enable_external_access = false")
        here = "WHERE NOT internal AND database_name = 'straight' ORDER BY"
        for (table,) in connection.execute(f"SELECT table_name FROM duckdb_tables() {here} table_oid").fetchall():  # noqa: S608 - ours
            # the names are those of the catalogue, quoted; the order is ours
            name = '"' + table.replace('"', '""') + '"'
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM straight.main.{name} ORDER BY {sort}")  # noqa: S608
        for (view,) in connection.execute(f"SELECT sql FROM duckdb_views() {here} view_oid").fetchall():  # noqa: S608
            connection.execute(view)
        connection.execute("DETACH straight")
    return copy


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _first_line(fault: Exception) -> str:
    return str(fault).partition("\n")[0].strip()
