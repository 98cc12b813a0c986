"""Assertions of promptfoo in Python as functions that `checks` call: a copy of this file stands beside those imported.

They run in the process of the run, with all its rights.  As at promptfoo, an assertion that raises fails, and so does
one that gives neither a truth value, a number nor an object with `pass`, `score` and `reason`.
Source: promptfoo 0.121.20, `src/assertions/python.ts`, `src/assertions/scriptResultNormalization.ts`.
"""

import asyncio
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_llmbench import Answer, Case, Grade, Reason

VARIABLES = "promptfoo_vars"
"""The input of a case that holds the variables of its test."""

_NUMBER = re.compile(r"\s*([+-]?(?:Infinity|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?))")


_GIVEN_OR_NOT = frozenset({"config", "vars", "test"})
"""What a context may have, and of which promptfoo too may give none."""


class NotKnown(Exception):
    """An assertion asks for something of promptfoo that a case here does not have."""


class Context(dict[str, Any]):
    """What an assertion is given beside the output: `vars`, `config`, and `vars` again in `test`."""

    def __missing__(self, key: str) -> Any:
        raise NotKnown(f"context[{key!r}] is not known here; only vars, config and test['vars'] are")

    def get(self, key: str, default: Any = None) -> Any:
        """Give a value; the default stands for none that is not known."""
        return self[key] if key not in _GIVEN_OR_NOT else super().get(key, default)


def loaded(path: Path) -> ModuleType:
    """Import a file, its folder first on the import path meanwhile, and last on it from then on."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path.name} is no Python")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    sys.path.append(folder)
    return module


def asserted(
    function: Callable[..., Any], *, threshold: float | None = None, inverse: bool = False, config: Any = None
) -> Callable[[Case, Answer], Grade]:
    """Make a function of a check from one of promptfoo.

    Args:
        function: called with the output and the context.
        threshold: from which score a number passes; without one it is above 0.
        inverse: for `not-python`.
        config: of the assertion.
    """

    def grade(case: Case, answer: Answer) -> Grade:
        variables: Any = case.inputs[VARIABLES]
        own = {} if config is None else {"config": config}
        context = Context(vars=variables, test=Context(vars=variables), **own)
        try:
            found = function(answer.text, context)
            found = asyncio.run(found) if inspect.iscoroutine(found) else found
            passed, score, why = _read(json.loads(json.dumps(found)), threshold)
        except NotKnown:
            raise
        except Exception as fault:
            passed, score, why = inverse, 0.0, f"Python code execution failed: {type(fault).__name__}: {fault}"
        passed = passed != inverse
        score = float(passed) if score is None else min(1.0, max(0.0, score))
        score = 0.0 if score == 1 and not passed else score  # what fails is not all right
        reason = Reason.CORRECT if passed else Reason.DIFFERENT
        return Grade(
            score=score, passed=passed, reason=reason, explanation=why or f"The code gave {passed != inverse}."
        )

    return grade


def _read(found: Any, threshold: float | None) -> tuple[bool, float | None, str]:
    """Give whether a result passes, its score (None: 1 or 0), and its reason; raises `ValueError` for any other."""
    if isinstance(found, str) and found.lower() in ("true", "false"):
        found = found.lower() == "true"
    if isinstance(found, str) and found.startswith("{"):
        found = json.loads(found)
    if isinstance(found, bool):
        return found, None, ""
    if isinstance(found, dict):
        return _of_object(found, threshold)
    number = found if isinstance(found, int | float) else _parsed(str(found))
    return (number > 0 if threshold is None else number >= threshold), float(number), ""


def _of_object(found: dict[str, Any], threshold: float | None) -> tuple[bool, float, str]:
    passed, score, reason = found.get("pass", found.get("pass_")), found.get("score"), found.get("reason")
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    if not isinstance(passed, bool) or not is_number or not isinstance(reason, str):
        raise ValueError("the assertion gave neither a truth value, a number nor an object with pass, score and reason")
    number = float(score or 0)
    return passed and (threshold is None or number >= threshold), number, reason


def _parsed(text: str) -> float:
    """Read the number at the beginning of a text, as JavaScript's parseFloat does."""
    found = _NUMBER.match(text)
    if found is None:
        raise ValueError(f"the assertion gave {text!r}")
    return float(found[1])
