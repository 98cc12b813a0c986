"""Find a suite's database and build its read-only files.

A database is a folder: `schema.sql` creates the tables; `database.toml` names the instances and gives each its
frozen moment; an instance's rows are in `NAME.sql`, or in a folder `NAME/` as one CSV (with a header) or
Parquet file a table.  Each instance is built once into a file named after the digest of everything it is made of,
written beside and renamed, so that runs and processes share it.  The files are the suite author's own and are run
as such, but without access to anything outside their folder: the digest must see what the rows depend on.
"""

import hashlib
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.sql.terms import Instance

if TYPE_CHECKING:
    import duckdb

_FORMAT = 1  # of the built files: raise it when the way of building changes
_SUFFIXES = (".csv", ".parquet")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where one instance's rows come from: one SQL file, or one file a table."""

    name: str
    now: datetime
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database folder that was read; nothing is built yet."""

    name: str
    folder: Path
    schema: Path
    sources: tuple[Source, ...]


def find_database(name: str, *, suite_path: Path, root: Path) -> Database:
    """Find a database by its name, under the root's fixtures or beside the suite, and read its description.

    Raises `SuiteFault` for a folder that is missing or wrong.
    """
    places = [root / "fixtures" / "databases" / name, suite_path.parent / name]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        looked = " and ".join(str(place) for place in dict.fromkeys(places))
        raise SuiteFault(f'there is no database "{name}": looked for {looked}; make the folder, see docs/sql.md.', path=suite_path)
    schemas = sorted(folder.glob("schema*.sql"))
    if len(schemas) > 1:
        names = ", ".join(path.name for path in schemas)
        raise SuiteFault(f"a database has one schema and here are {len(schemas)} ({names}); keep schema.sql.", path=folder)
    schema = folder / "schema.sql"
    if schema not in schemas:
        raise SuiteFault("the database has no schema.sql; write its CREATE TABLE statements there.", path=folder)
    return Database(name=name, folder=folder, schema=schema, sources=tuple(_sources(folder)))


def _sources(folder: Path) -> Iterator[Source]:
    """Read database.toml and find each instance's rows."""
    path = folder / "database.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise SuiteFault(
            "the database has no database.toml; name its instances there, each with its now: [instances.main] now = 2024-03-05T14:37:21",
            path=folder,
        ) from None
    except UnicodeDecodeError as fault:
        raise SuiteFault("is not UTF-8; save it as UTF-8.", path=path) from fault
    try:
        described = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        line = re.search(r"at line (\d+)", str(fault))
        raise SuiteFault(f"is not TOML: {fault}.", path=path, line=int(line.group(1)) if line else None) from fault
    unknown = sorted(set(described) - {"instances"})
    if unknown:
        raise SuiteFault(f'has the unknown key "{unknown[0]}"; only [instances.NAME] tables stand here.', path=path, line=_line_of(text, unknown[0]))
    instances = described.get("instances")
    if not isinstance(instances, dict) or not instances:
        raise SuiteFault("names no instance; add one: [instances.main] now = 2024-03-05T14:37:21", path=path)
    for name, fields in instances.items():
        line = _line_of(text, name)
        now = _now(name, fields, path, line)
        yield Source(name=name, now=now, files=_files(folder, name, path, line))


def _now(name: str, fields: Any, path: Path, line: int | None) -> datetime:
    """Read an instance's frozen moment, naive UTC."""
    if not _NAME.fullmatch(name):
        raise SuiteFault(f'the instance name "{name}" has other characters than letters, digits and . _ -; rename it.', path=path, line=line)
    if not isinstance(fields, dict) or "now" not in fields:
        raise SuiteFault(f'instance "{name}" has no now; give it one: now = 2024-03-05T14:37:21', path=path, line=line)
    unknown = sorted(set(fields) - {"now"})
    if unknown:
        raise SuiteFault(f'instance "{name}" has the unknown key "{unknown[0]}"; only now stands here.', path=path, line=line)
    now = fields["now"]
    if not isinstance(now, datetime) or now.tzinfo is not None:
        raise SuiteFault(f'the now of instance "{name}" must be a date and time without a zone, in UTC: 2024-03-05T14:37:21', path=path, line=line)
    return now


def _files(folder: Path, name: str, path: Path, line: int | None) -> tuple[Path, ...]:
    """Find the rows of one instance."""
    script, tables = folder / f"{name}.sql", folder / name
    if script.is_file() and tables.is_dir():
        raise SuiteFault(f'instance "{name}" has both {name}.sql and a folder {name}; keep one.', path=path, line=line)
    if script.is_file():
        return (script,)
    files = tuple(sorted(file for file in tables.iterdir() if file.suffix.lower() in _SUFFIXES)) if tables.is_dir() else ()
    if not files:
        raise SuiteFault(
            f'instance "{name}" has no rows: looked for {script.name} and for CSV or Parquet files in {name}/; add one of them.',
            path=path,
            line=line,
        )
    stems = [file.stem.lower() for file in files]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise SuiteFault(f'table "{twice}" has two files in {name}/; keep one.', path=path, line=line)
    return files


def _line_of(text: str, word: str) -> int | None:
    """Give the line a TOML key or table name first stands on."""
    pattern = re.compile(rf'^\s*(?:\[\s*instances\s*\.\s*"?{re.escape(word)}"?\s*\]|"?{re.escape(word)}"?\s*=|\[\s*"?{re.escape(word)}"?\s*[\].])')
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)


def build(database: Database, *, order: int = 0) -> tuple[Instance, ...]:
    """Build what is not built yet and give the instances with their files.

    Args:
        database: what to build.
        order: 0 for the rows as written; 1 and up for the same rows inserted in other orders.

    Raises `SuiteFault` where the schema or the rows do not load.
    """
    cache = _cache_folder()
    built = []
    for source in database.sources:
        target = cache / f"{_digest(database, source, order)}.duckdb"
        if not target.exists():
            _build_file(database, source, target, order)
        built.append(Instance(name=source.name, now=source.now, file=target))
    return tuple(built)


def _cache_folder() -> Path:
    """Give the folder for built files: the user's own, below the system's temporary one."""
    user = str(os.getuid()) if hasattr(os, "getuid") else "files"
    folder = Path(tempfile.gettempdir()) / f"pytest-llmbench-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022):
        # someone else made it first, in a folder that all may write to
        return Path(tempfile.mkdtemp(prefix="pytest-llmbench-"))
    return folder


def _digest(database: Database, source: Source, order: int) -> str:
    """Digest everything a built file depends on."""
    import duckdb

    digest = hashlib.sha256(f"{_FORMAT} {duckdb.__version__} {order}".encode())
    for path in (database.schema, *source.files):
        content = path.read_bytes()
        digest.update(f"\n{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:40]


def _build_file(database: Database, source: Source, target: Path, order: int) -> None:
    """Build one instance beside its place and move it there."""
    import duckdb

    with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-", ignore_cleanup_errors=True) as scratch:
        file = Path(scratch) / "database.duckdb"
        with closing(duckdb.connect(str(file))) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            if source.files[0].parent != database.folder:
                connection.execute(f"SET allowed_directories = ['{_quoted(str(source.files[0].parent))}']")
            connection.execute("SET enable_external_access = false")
            _run_script(connection, database.schema)
            names = _table_names(connection, database.schema)
            for path in source.files:
                if path.suffix.lower() == ".sql":
                    _run_script(connection, path)
                else:
                    _load(connection, path, names)
            if order:
                _reorder(connection, order)
        with suppress(PermissionError):  # Windows: another process has put the same file there and opened it
            os.replace(file, target)


def _run_script(connection: "duckdb.DuckDBPyConnection", path: Path) -> None:
    """Run a SQL file statement by statement, so that a fault has a line."""
    import duckdb

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise SuiteFault("is not UTF-8; save it as UTF-8.", path=path) from fault
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as fault:
        line = re.search(r"LINE (\d+):", str(fault))
        raise SuiteFault(f"does not parse: {_first_line(fault)}", path=path, line=int(line.group(1)) if line else None) from fault
    position = 0
    for statement in statements:
        start = text.find(statement.query.strip(), position)
        try:
            connection.execute(statement)
        except duckdb.Error as fault:
            line = text.count("\n", 0, start) + 1 if start >= 0 else None
            raise SuiteFault(f"fails: {_first_line(fault)}", path=path, line=line) from fault
        position = max(start, position)


def _table_names(connection: "duckdb.DuckDBPyConnection", schema: Path) -> dict[str, str]:
    """Give the tables of the main schema, lower case to as written; there must be some, and no others."""
    rows = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
    elsewhere = sorted(f"{place}.{name}" for place, name in rows if place != "main")
    if elsewhere:
        raise SuiteFault(f"creates {elsewhere[0]} outside the main schema; a database has one schema.", path=schema)
    if not rows:
        raise SuiteFault("creates no table; add its CREATE TABLE statements.", path=schema)
    return {name.lower(): name for _, name in rows}


def _load(connection: "duckdb.DuckDBPyConnection", path: Path, names: dict[str, str]) -> None:
    """Load one table from its CSV or Parquet file; the columns must be the table's, in any order."""
    import duckdb

    table = names.get(path.stem.lower())
    if table is None:
        known = ", ".join(sorted(names.values()))
        raise SuiteFault(f'is for a table "{path.stem}" that schema.sql does not create (it creates {known}); rename the file.', path=path)
    described = connection.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND NOT internal", [table]).fetchall()
    kinds = dict(described)
    is_csv = path.suffix.lower() == ".csv"
    reader = f"read_csv('{_quoted(str(path))}', header = true, all_varchar = true)" if is_csv else f"read_parquet('{_quoted(str(path))}')"
    try:
        found = [name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()]
        if sorted(map(str.lower, found)) != sorted(map(str.lower, kinds)):
            wrong = f"has the columns {', '.join(found)} where table {table} has {', '.join(kinds)}; make them the same."
            raise SuiteFault(wrong, path=path, line=1 if is_csv else None)
        columns = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in found)
        connection.execute(f'INSERT INTO "{table}" ({columns}) SELECT {columns} FROM {reader}')
    except duckdb.Error as fault:
        line = re.search(r"[Ll]ine:? (\d+)", str(fault)) if is_csv else None
        raise SuiteFault(f"does not load: {_first_line(fault)}", path=path, line=int(line.group(1)) if line else None) from fault


def _reorder(connection: "duckdb.DuckDBPyConnection", order: int) -> None:
    """Put the same rows in again, backwards for order 1, else shuffled by a digest of their place."""
    sort = "rowid DESC" if order == 1 else f"hash(rowid + {order * 7919}), rowid"
    tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()]
    for table in tables:
        connection.execute(f'CREATE TEMP TABLE reordered AS SELECT * FROM main."{table}" ORDER BY {sort}')
        connection.execute(f'DELETE FROM main."{table}"')
        connection.execute(f'INSERT INTO main."{table}" SELECT * FROM temp.reordered')
        connection.execute("DROP TABLE temp.reordered")


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _first_line(fault: Exception) -> str:
    return str(fault).partition("\n")[0].strip()
