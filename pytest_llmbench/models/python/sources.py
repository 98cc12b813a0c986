"""Which code an application is: a digest of the files of its modules, found without importing them."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from pytest_llmbench.errors import ModelFault

_PASSED_OVER = frozenset({"__pycache__", "node_modules"})
_CHUNK = 1 << 20


def import_from(root: Path) -> None:
    """Have modules of the project's root directory found, as `python -m pytest` there does."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


def digest_of(names: Sequence[str]) -> str | None:
    """Give the digest of modules, packages, files and folders.

    Args:
        names: absolute paths, or names of modules; the name of a package stands for all files below it.

    Returns:
        The digest; None where a single module is built in, and has no file.

    Raises:
        ModelFault: there is no such module or file, or it cannot be read.
    """
    digest, n_files = hashlib.sha256(), 0
    for name in names:
        for place in [Path(name)] if os.path.isabs(name) else _places(name):
            for file, label in _files(place):
                digest.update(f"{label}\0".encode(errors="surrogateescape"))
                _add(digest, file)
                n_files += 1
    return f"sha256:{digest.hexdigest()}" if n_files else None


def _places(module: str) -> list[Path]:
    """Find the file or the folders of a module. Its parents are not imported."""
    top, *below = module.split(".")
    try:
        spec: ModuleSpec | None = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: a module that was made by hand
        spec = None
    name = top
    for part in below:
        if spec is None or spec.submodule_search_locations is None:
            break
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    if spec is None or name != module:
        if module.endswith(".py"):
            raise ModelFault(
                f'there is no file "{module}" in the folder of the models file; write the module without ".py", or a '
                'path from there, as "../my_app.py", in "version_of".'
            )
        raise ModelFault(
            f'there is no module "{module}" in the root directory or on the import path; check its name, or put its '
            "folder into pytest's option `pythonpath`."
        )
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.has_location and spec.origin else []


def _files(place: Path) -> Iterator[tuple[Path, str]]:
    """Give the files of a place in a fixed order, each with its path below the place."""
    if place.is_file():
        yield place, place.name
        return
    if not place.is_dir():
        raise ModelFault(f'{place}: there is no such file or folder; correct it in "version_of".')
    for folder, folders, names in os.walk(place):
        is_kept = (name for name in folders if not (name.startswith(".") or name in _PASSED_OVER))
        folders[:] = sorted(name for name in is_kept if not Path(folder, name, "pyvenv.cfg").is_file())
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and file.is_file():
                yield file, f"{place.name}/{file.relative_to(place).as_posix()}"


def _add(digest: "hashlib._Hash", file: Path) -> None:
    content = hashlib.sha256()
    try:
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                content.update(chunk)
    except OSError as fault:
        raise ModelFault(f"{file}: this file cannot be read: {fault.strerror}.") from None
    digest.update(content.digest())
