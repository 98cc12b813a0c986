"""Find a suite's database and read what it is made of.

A database is a folder: `schema.sql` creates the tables; `database.toml` names the instances and gives each its
frozen moment; an instance's rows are in `NAME.sql`, or in a folder `NAME/` as one CSV (with a header) or
Parquet file a table.  Nothing is built here, and nothing about any one schema is known.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.sql.protocol import Database, Instance, Source

MAX_INSTANCES = 64
"""The worker holds all instances of a database open."""

_SUFFIXES = (".csv", ".parquet")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def find_database(name: str, *, suite_path: Path, root: Path) -> Database:
    """Find a database by its name, under the root's fixtures or beside the suite, and read its description.

    Raises `SuiteFault` for a folder that is missing or wrong.
    """
    places = [root / "fixtures" / "databases" / name, suite_path.parent / name]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        looked = " and ".join(str(place) for place in dict.fromkeys(places))
        raise SuiteFault(
            f'there is no database "{name}": looked for {looked}; make the folder, see docs/sql.md.', path=suite_path
        )
    schemas = sorted(folder.glob("schema*.sql"))
    if len(schemas) > 1:
        names = ", ".join(path.name for path in schemas)
        raise SuiteFault(
            f"a database has one schema and here are {len(schemas)} ({names}); keep schema.sql.", path=folder
        )
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
            "the database has no database.toml; name its instances there, each with its now: "
            "[instances.main] now = 2024-03-05T14:37:21",
            path=folder,
        ) from None
    except UnicodeDecodeError as fault:
        raise SuiteFault("is not UTF-8; save it as UTF-8.", path=path) from fault
    try:
        described = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        line = re.search(r"at line (\d+)", str(fault))
        raise SuiteFault(f"is not TOML: {fault}.", path=path, line=int(line.group(1)) if line else None) from fault
    except RecursionError:
        raise SuiteFault("is nested too deep; write it flatter.", path=path) from None
    unknown = sorted(set(described) - {"instances"})
    if unknown:
        raise SuiteFault(
            f'has the unknown key "{unknown[0]}"; only [instances.NAME] tables stand here.',
            path=path,
            line=_line_of(text, unknown[0]),
        )
    instances = described.get("instances")
    if not isinstance(instances, dict) or not instances:
        raise SuiteFault("names no instance; add one: [instances.main] now = 2024-03-05T14:37:21", path=path)
    if len(instances) > MAX_INSTANCES:
        raise SuiteFault(f"names {len(instances)} instances; keep the {MAX_INSTANCES} that tell most apart.", path=path)
    for name, fields in instances.items():
        place = _line_of(text, name)
        now = _now(name, fields, path, place)
        yield Source(name=name, now=now, files=_files(folder, name, path, place))


def _now(name: str, fields: Any, path: Path, line: int | None) -> datetime:
    """Read an instance's frozen moment, naive UTC."""
    if not _NAME.fullmatch(name):
        raise SuiteFault(
            f'the instance name "{name}" has other characters than letters, digits and . _ -; rename it.',
            path=path,
            line=line,
        )
    if not isinstance(fields, dict) or "now" not in fields:
        raise SuiteFault(f'instance "{name}" has no now; give it one: now = 2024-03-05T14:37:21', path=path, line=line)
    unknown = sorted(set(fields) - {"now"})
    if unknown:
        raise SuiteFault(
            f'instance "{name}" has the unknown key "{unknown[0]}"; only now stands here.', path=path, line=line
        )
    now = fields["now"]
    if isinstance(now, str):  # as "2024-03-05 14:37:21", where TOML's own has no quotes
        with suppress(ValueError):
            now = datetime.fromisoformat(now)
    if not isinstance(now, datetime) or now.tzinfo is not None:
        raise SuiteFault(
            f'the now of instance "{name}" must be a date and time without a zone, in UTC: 2024-03-05T14:37:21',
            path=path,
            line=line,
        )
    return now


def _files(folder: Path, name: str, path: Path, line: int | None) -> tuple[Path, ...]:
    """Find the rows of one instance."""
    script, tables = folder / f"{name}.sql", folder / name
    if script.is_file() and tables.is_dir():
        raise SuiteFault(f'instance "{name}" has both {name}.sql and a folder {name}; keep one.', path=path, line=line)
    if script.is_file():
        return (script,)
    files = (
        tuple(sorted(file for file in tables.iterdir() if file.suffix.lower() in _SUFFIXES)) if tables.is_dir() else ()
    )
    if not files:
        raise SuiteFault(
            f'instance "{name}" has no rows: looked for {script.name} and CSV or Parquet files in {name}/; add one.',
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
    pattern = re.compile(
        rf'^\s*(?:\[\s*instances\s*\.\s*"?{re.escape(word)}"?\s*\]|"?{re.escape(word)}"?\s*=|\[\s*"?{re.escape(word)}"?\s*[\].])'
    )
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), None)


def contents_sha256(database: Database) -> str:
    """Digest what the rows of all instances come from: names, moments, and files, whatever ends their lines.

    It is that of the files and not of what is built of them, so that another version of DuckDB gives the same.
    """
    digest = hashlib.sha256()
    parts = [("schema", (database.schema,)), *((f"{one.name} {one.now}", one.files) for one in database.sources)]
    for name, files in parts:
        digest.update(f"\n{name}\n".encode())
        for path in files:
            content = path.read_bytes()
            if path.suffix.lower() != ".parquet":
                content = content.replace(b"\r\n", b"\n")  # as git may have written them on Windows
            digest.update(f"\n{path.name} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def build(database: Database, *, order: int = 0) -> tuple[Instance, ...]:
    """Build what is not built yet and give the instances with their files.

    Args:
        database: what to build.
        order: 0 for the rows as written; 1 and up for the same rows put in in other orders.

    Raises `SuiteFault` where the schema or the rows do not load.
    """
    from pytest_llmbench.sql.database.build import built_file

    return tuple(
        Instance(name=source.name, now=source.now, file=built_file(database, source, order=order))
        for source in database.sources
    )
