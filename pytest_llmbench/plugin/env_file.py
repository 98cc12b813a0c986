"""`--llm-env-file`: variables from a file, such as API keys. Their names are shown, their values nowhere.

Only a file that was named is read.  What the environment already has stays as it is.
"""

import os
import re
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.report.safe_text import visible

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_VALUES = (
    re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?'),
    re.compile(r"'([^']*)'\s*(?:#.*)?"),
    re.compile(r"(?!['\"])(|[^#\s](?:\S|\s+(?!#)\S)*)\s*(?:#.*)?"),
)
"""How a value is written: in double quotes with escapes, in single quotes, without; a comment may follow a blank."""

_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read_env_file(path: Path) -> dict[str, str]:
    """Read a file of `NAME=value` lines; of a name that stands twice, the last value.

    Raises:
        UsageFault: it cannot be read, or a line is broken; the message names the line and quotes nothing of it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageFault(f"--llm-env-file={path}: it is not UTF-8 text.") from None
    except OSError as fault:
        raise UsageFault(f"--llm-env-file={path}: it cannot be read: {fault.strerror}.") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            name, value = _parsed(stripped, f"{path}:{number}")
            found[name] = value
    return found


def _parsed(line: str, where: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if match is None or "\0" in line:
        raise UsageFault(f"{where}: a line must be NAME=value, a comment (# ...) or empty.")
    name, written = match.groups()
    for kind in _VALUES:
        quoted = kind.fullmatch(written)
        if quoted is not None:
            is_escaped = written.startswith('"')
            return name, _ESCAPED.sub(_unescaped, quoted[1]) if is_escaped else quoted[1]
    raise UsageFault(f"{where}: the value of {name} has a quote that is not closed on its line, or text behind it.")


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1])


class EnvFile:
    """Sets the variables of a file until the end of the run, and names them in the header.

    Args:
        path: of the file.
        config: of the session.

    Raises:
        UsageFault: the file is broken.
    """

    def __init__(self, path: Path, config: pytest.Config):
        self._path = path
        found = read_env_file(path)
        self._set = [name for name in found if name not in os.environ]
        self._left = [name for name in found if name in os.environ]
        os.environ.update({name: found[name] for name in self._set})
        config.add_cleanup(self._unset)

    def _unset(self) -> None:
        for name in self._set:
            os.environ.pop(name, None)

    def pytest_report_header(self) -> str:
        """Name the variables."""
        parts = [f"set {', '.join(self._set)}"] if self._set else []
        parts += [f"already in the environment: {', '.join(self._left)}"] if self._left else []
        return visible(f"llmbench: {self._path}: {'; '.join(parts) or 'no variables'}")
