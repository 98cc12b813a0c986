"""`llmbench init`: a first suite, a models file, a CI workflow with its action, and settings that fix pytest's root."""

import argparse
import re
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault

_TARGETS = {
    "capitals.yaml": "cases/capitals.yaml",
    "models.toml": "fixtures/models.toml",
    "example.jsonl": "fixtures/answers/example.jsonl",
    "action.yml": ".github/actions/llmbench/action.yml",
    "run.sh": ".github/actions/llmbench/run.sh",
    "llmbench.yml": ".github/workflows/llmbench.yml",
}
"""Template in the package, and where it goes below the project."""

_ACTION = ("action.yml", "run.sh")
"""The templates that nobody edits, so that one of another version is named. In a checkout they lie at its root."""

_SETTINGS = "pytest.ini"
"""A template too, for where pytest has no settings yet: without any, its root directory hangs on its arguments."""

_OWN_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_SHARED_FILES = ("pyproject.toml", "tox.ini", "setup.cfg")
_RELEASE = re.compile(r"[0-9.]+(\.post[0-9]+)?")
_SECTION = re.compile(rb"^\s*\[(tool[.:])?pytest[].]", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaffold:
    """The files written, and those that were there already and were kept as they are.

    `outdated`: those of the kept ones that belong to the action, and are not this version's.
    """

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    outdated: tuple[Path, ...]


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
    for path in done.kept:
        renewal = "; it differs from this version's: delete it, and run llmbench init again"
        print_lines([f"kept  {path} (already there{renewal if path in done.outdated else ''})"])
    print_lines(["Next: pytest --llm-model example cases/"])
    return 0


def scaffold(root: Path) -> Scaffold:
    """Write the files that are not there yet.

    Raises:
        OSError: a folder or file cannot be written.
    """
    written, kept, outdated = [], [], []
    targets = {**_TARGETS, _SETTINGS: _settings_file(root) or _SETTINGS}
    for template, target in targets.items():
        path = root / target
        if path.exists():
            kept.append(Path(target))
            if template in _ACTION and _lines(path.read_bytes()) != _lines(_template(template)):
                outdated.append(Path(target))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_template(template))
        written.append(Path(target))
    return Scaffold(written=tuple(written), kept=tuple(kept), outdated=tuple(outdated))


def _template(name: str) -> bytes:
    """Read a template; the workflow names the version that wrote it, unless that was never released."""
    package = files("pytest_llmbench")
    path = package.joinpath("cli", "templates", name)
    if name in _ACTION and not path.is_file():  # an editable installation: the wheel's copies are made as it is built
        path = package.joinpath("..", name)
    content = path.read_bytes()
    if b'"VERSION"' not in content or name in _ACTION:
        return content
    own = version("pytest-llmbench")
    return content.replace(b'"VERSION"', f'"{own if _RELEASE.fullmatch(own) else ""}"'.encode())


def _lines(content: bytes) -> list[bytes]:
    """Split a file at its ends of lines, which git may have changed."""
    return content.splitlines()


def _settings_file(root: Path) -> str | None:
    """Name the file of a project that holds settings of pytest."""
    own = [name for name in _OWN_FILES if (root / name).exists()]
    shared = [name for name in _SHARED_FILES if (root / name).is_file() and _SECTION.search((root / name).read_bytes())]
    return next(iter((*own, *shared)), None)
