"""The child process of `importers.trusted_code`: call one function of a file, and write what it gave as JSON.

Started with `python -I -m pytest_llmbench.importers.trusted_child RESULT`, the call as JSON on its standard input.
"""

import asyncio
import importlib.util
import inspect
import json
import sys
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_llmbench.errors import Caught, caught


def loaded(path: Path) -> ModuleType:
    """Import a file as promptfoo does, its folder first on the import path.

    Raises whatever it raises.
    """
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is no Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def called(module: ModuleType, function: str, arguments: list[Any]) -> Any:
    """Call a function or method of a module, also one that is a coroutine."""
    callee: Any = reduce(getattr, function.split("."), module)
    found = callee(*arguments)
    return asyncio.run(found) if inspect.iscoroutine(found) else found


def _answer(asked: dict[str, Any]) -> str:
    return json.dumps({"result": called(loaded(Path(asked["file"])), asked["function"], asked["arguments"])})


def main() -> None:
    """Write `{"result": ...}`, or `{"error": "..."}`."""
    found = caught(_answer, json.load(sys.stdin))
    text = json.dumps({"error": found.cause[:500]}) if isinstance(found, Caught) else found
    Path(sys.argv[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
