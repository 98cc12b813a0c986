"""Write imported databases below the project's `fixtures/databases`, where the grader `sql` looks for them."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytest_llmbench.importers.base import SourceFault

_OWN = "database.toml"
_MARKS = ("fixtures", "pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg")


def project_of(suite: Path) -> Path:
    """Give the root directory of the project that a suite file belongs to.

    That is the nearest folder round the suite which looks like a project, as far up as its path is written; else the
    one above the suite's own.
    """
    own = suite.parent
    return next((place for place in (own, *own.parents) if any((place / mark).exists() for mark in _MARKS)), own.parent)


def folder_for(suite: Path) -> Path:
    """Give `fixtures/databases` of the project that a suite file belongs to."""
    return project_of(suite) / "fixtures" / "databases"


def missing(databases: Mapping[str, Mapping[str, bytes]], folder: Path) -> list[Path]:
    """Give the folders that are not there yet.

    Raises:
        SourceFault: one is there with other tables or rows.  Instances that somebody added to it are no difference.
    """
    found = []
    for name, files in databases.items():
        path = folder / name
        if not path.exists():
            found.append(path)
            continue
        for file, content in files.items():
            if file != _OWN and (not (path / file).is_file() or (path / file).read_bytes() != content):
                raise SourceFault(f"{path} is there already and its {file} differs; move it away to import it anew.")
    return found


def write(databases: Mapping[str, Mapping[str, bytes]], paths: list[Path]) -> None:
    """Write folders that are not there yet: all, or none.

    Raises:
        SourceFault: one cannot be written.
    """
    if not paths:
        return
    folder = paths[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".llmbench-import-") as scratch:
            for path in paths:
                for file, content in databases[path.name].items():
                    place = Path(scratch) / path.name / file
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(content)
            for path in paths:
                os.replace(Path(scratch) / path.name, path)
    except OSError as fault:
        raise SourceFault(f"{fault.filename}: cannot be written: {fault.strerror}.") from None
