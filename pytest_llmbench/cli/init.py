"""`llmbench init`: a first suite, a models file and a CI workflow, and pytest settings that fix the root directory."""

import argparse
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault

_TARGETS = {
    "capitals.yaml": "cases/capitals.yaml",
    "models.toml": "fixtures/models.toml",
    "example.jsonl": "fixtures/answers/example.jsonl",
    "llmbench.yml": ".github/workflows/llmbench.yml",
}
"""Template in the package, and where it goes below the project."""

_SETTINGS = "pytest.ini"
"""A template too, for where pytest has no settings yet: without any, its root directory hangs on its arguments."""

_OWN_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_SHARED_FILES = ("pyproject.toml", "tox.ini", "setup.cfg")
_SECTION = re.compile(rb"^\s*\[(tool[.:])?pytest[].]", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaffold:
    """The files written, and those that were there already and were kept as they are."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command: none."""


def run(options: argparse.Namespace) -> int:
    """Write the files and list them; gives the exit status."""
    del options
    try:
        done = scaffold(Path())
    except OSError as fault:
        raise UsageFault(f"{fault.filename}: cannot be written: {fault.strerror}.") from None
    print_lines(f"wrote {path}" for path in done.written)
    print_lines(f"kept  {path} (already there)" for path in done.kept)
    print_lines(["Next: pytest --llm-model example cases/"])
    return 0


def scaffold(root: Path) -> Scaffold:
    """Write the files that are not there yet.

    Raises:
        OSError: a folder or file cannot be written.
    """
    written, kept = [], []
    targets = {**_TARGETS, _SETTINGS: _settings_file(root) or _SETTINGS}
    for template, target in targets.items():
        path = root / target
        if path.exists():
            kept.append(Path(target))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            files("pytest_llmbench.cli").joinpath("templates", template).read_text(encoding="utf-8"), encoding="utf-8"
        )
        written.append(Path(target))
    return Scaffold(written=tuple(written), kept=tuple(kept))


def _settings_file(root: Path) -> str | None:
    """Name the file of a project that holds settings of pytest."""
    own = [name for name in _OWN_FILES if (root / name).exists()]
    shared = [name for name in _SHARED_FILES if (root / name).is_file() and _SECTION.search((root / name).read_bytes())]
    return next(iter((*own, *shared)), None)
