"""Graders that are functions of the user's own, named `package.module:function` in the suite.

The function is called with the case and the answer, gives a `Grade`, and should be pure.
It sees the answer without its reasoning, and is not asked about an empty one.  It runs with all
rights of the process: a suite that names a function is code.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import NoReturn

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_text import EMPTY, clip, graded_unless_void, is_empty
from pytest_llmbench.grading.base import Grader, GraderKind
from pytest_llmbench.grading.fields import NoFields
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Answer, Case, Grade, Suite


class FunctionCase(Strict):
    """A case for a function: `expected` where the function reads it; the rest are inputs."""

    expected: str | tuple[str, ...] | None = None


def function_kind(name: str) -> GraderKind:
    """Describe the grader `package.module:function`; nothing is imported before a suite is built."""
    return GraderKind(name=name, case_fields=FunctionCase, suite_fields=NoFields, build=build, reads_inputs=True)


def build(suite: Suite, root: Path, *, trims: bool = True) -> Grader:
    """Import the function that the suite names as its grader; `trims` takes whitespace off the answer it gets.

    Raises:
        SuiteFault: there is no such module or function, or it cannot be called with a case and an answer.
    """
    if (folder := str(root.resolve())) not in sys.path:
        sys.path.append(folder)  # behind all others, so that a module of the project shadows none
    function = _resolved(suite)

    def grade(case: Case, answer: Answer) -> Grade:
        text = answer.text.strip() if trims else answer.text
        if is_empty(text):
            return EMPTY
        return _checked(function(case, replace(answer, text=text)), suite.grader)

    return graded_unless_void(grade)


def _checked(found: object, name: str) -> Grade:
    if not isinstance(found, Grade):
        raise TypeError(f"{name} gave {type(found).__name__} ({clip(repr(found), 80)}); it must give a Grade")
    if not 0 <= found.score <= 1:
        raise ValueError(f"{name} gave the score {found.score}; a score lies in 0..1")
    return found


def _resolved(suite: Suite) -> Callable[[Case, Answer], object]:
    module_name, _, attribute = suite.grader.partition(":")
    module = _imported(module_name, suite)
    try:
        function = reduce(getattr, attribute.split("."), module)
    except AttributeError:
        functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        near = get_close_matches(attribute, functions, n=3, cutoff=0) or ["none"]
        _fail(suite, f'"{module_name}" has no "{attribute}"; functions in it: {", ".join(near)}.')
    if not callable(function):
        _fail(
            suite,
            f'"{attribute}" is {type(function).__name__}, not a function; name one that takes a case and an answer.',
        )
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        _fail(
            suite,
            f'"{attribute}{inspect.signature(function)}" cannot be called as {attribute}(case, answer); let it be.',
        )
    return function


def _imported(module: str, suite: Suite) -> object:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name is not None and f"{module}.".startswith(f"{missing.name}."):
            _fail(
                suite,
                f'there is no module "{missing.name}" in the root directory or on the import path; install it, or put '
                "its folder on PYTHONPATH (for pytest: in its option `pythonpath`).",
            )
        _fail(suite, f'importing "{module}" failed: {missing}; install what it needs.', missing)
    except Exception as broken:  # whatever a user's module does when it is imported is the suite's fault
        _fail(suite, f'importing "{module}" failed: {type(broken).__name__}: {broken}; mend the module.', broken)


def _fail(suite: Suite, what: str, cause: BaseException | None = None) -> NoReturn:
    raise SuiteFault(f'grader "{suite.grader}": {what}', path=suite.path) from cause
