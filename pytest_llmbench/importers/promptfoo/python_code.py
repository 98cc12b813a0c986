"""Python assertions of a configuration as functions of a package that is written beside the suites (`--trust-code`)."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_llmbench.importers.base import NotMapped, Place, hashed_id
from pytest_llmbench.importers.promptfoo import called
from pytest_llmbench.importers.source import Folder
from pytest_llmbench.values import Json

_HEAD = '''"""Assertions in Python from {source}, written by llmbench import; checks call them by name."""

import json
from pathlib import Path

from .called import asserted, loaded

_HERE = Path(__file__).parent
'''
PYTHON = re.compile(r"(?P<file>.+\.py)(?::(?P<function>\w+(?:\.\w+)*))?")
"""A file of Python, and a function in it."""

_INDENT = re.compile(r"^(?!\s*$)\s+", re.MULTILINE)


class PythonCode:
    """Collects the functions that checks call, each named by a digest of what it does.

    `name` is that of the package.
    """

    def __init__(self, folder: Folder):
        self.name = folder.settings.code_name
        self._folder = folder
        self._functions: dict[str, str] = {}
        self._copies: dict[str, str] = {}

    def inline(self, source: str, place: Place, keys: Mapping[str, Json]) -> str:
        """Take an expression, or the body of a function of several lines; gives `package:function`.

        Args:
            source: of Python.
            place: where it stands.
            keys: what `asserted` is called with beside the function.

        Raises:
            NotMapped: it is no Python.
        """
        body = _body(source)
        name = f"check_{hashed_id([source, dict(keys)])}"
        text = f"\n\ndef _{name}(output, context):\n{body}\n\n\n{name} = {_call(f'_{name}', keys)}\n"
        try:
            ast.parse(text)
        except SyntaxError as fault:
            raise NotMapped(
                f"assert python: this is no Python: {fault.msg}; mend it, or pass --partial.", place
            ) from None
        self._functions[name] = text
        return f"{self.name}:{name}"

    def of_file(self, path: Path, function: str, place: Place, keys: Mapping[str, Json]) -> str:
        """Take a function of a file, which is copied with those of its folder that it imports.

        Raises:
            NotMapped: it is no Python, or imports a package of its folder.
        """
        copies = dict(self._with_imported(path, place))
        self._copies |= copies
        where = path.relative_to(self._folder.root).as_posix()
        name = f"check_{hashed_id([where, function, dict(keys), dict(sorted(copies.items()))])}"
        attribute = f"loaded(_HERE / {json.dumps(where)}).{function}"
        self._functions[name] = f"\n{name} = {_call(attribute, keys)}\n"
        return f"{self.name}:{name}"

    def files(self, source: str) -> dict[str, str]:
        """Give the files of the package; none where nothing is called."""
        if not self._functions:
            return {}
        text = _HEAD.format(source=source) + "".join(self._functions[name] for name in sorted(self._functions))
        own = Path(called.__file__).read_text(encoding="utf-8")
        return {"__init__.py": text, "called.py": own, **self._copies}

    def _with_imported(
        self, path: Path, place: Place, known: frozenset[Path] = frozenset()
    ) -> Iterator[tuple[str, str]]:
        text = self._folder.text(path)
        where = path.relative_to(self._folder.root).as_posix()
        if where in ("__init__.py", "called.py"):
            raise NotMapped(f'"{where}" has the name of a file that is written beside it; rename it.', place)
        yield where, text
        try:
            tree = ast.parse(text)
        except SyntaxError as fault:
            raise NotMapped(f'"{where}" is no Python: {fault.msg}; mend it, or pass --partial.', place) from None
        for name in _imported(tree):
            if (path.parent / name / "__init__.py").exists():
                raise NotMapped(f'"{where}" imports the package {name} of its folder; install it instead.', place)
            module = path.parent / f"{name}.py"
            if module.is_file() and module not in known | {path}:
                inside = module.relative_to(self._folder.root).as_posix()
                yield from self._with_imported(self._folder.file(inside, place), place, known | {path})


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _body(source: str) -> str:
    """Give the body of the function that promptfoo makes of a text."""
    if "\n" not in source:
        return f"    return {source}"
    found = _INDENT.search(source)
    indent = found[0] if found else "    "
    return "\n".join(f"{indent}{line}" for line in source.split("\n"))


def _call(function: str, keys: Mapping[str, Json]) -> str:
    given = "".join(f", {key}={value!r}" for key, value in keys.items())
    return f"asserted({function}{given})"
