"""The function an application is: imported, and called with the arguments it asks for by name."""

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from types import MappingProxyType
from typing import Any

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.app_request import last_user_message, messages_of, new_session, sampling_of, tools_of
from pytest_llmbench.models.python.entry import PythonEntry
from pytest_llmbench.values import Request

ARGUMENTS: Mapping[str, Callable[[Request], Any]] = MappingProxyType(
    {
        "prompt": lambda request: last_user_message(request.prompt),
        "messages": lambda request: messages_of(request.prompt),
        # copies: what an application does to them must not reach the graders
        "inputs": lambda request: copy.deepcopy(dict(request.inputs)),
        "session": new_session,
        "sampling": sampling_of,
        "tools": lambda request: copy.deepcopy(tools_of(request.prompt)),
    }
)
"""What a function may ask for, by the names of its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function, and what it is called with: `positional` in order, `named` by name, of `ARGUMENTS`."""

    function: Callable[..., Any]
    positional: tuple[str, ...]
    named: tuple[str, ...]

    @property
    def is_async(self) -> bool:
        """Whether a call gives a coroutine."""
        called = getattr(self.function, "__call__", None)  # noqa: B004 - an object whose call is async is one too
        return inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(called)

    def __call__(self, request: Request) -> Any:
        """Call the function with what it takes of a request."""
        return self.function(
            *(ARGUMENTS[name](request) for name in self.positional),
            **{name: ARGUMENTS[name](request) for name in self.named},
        )


def load_target(entry: PythonEntry) -> Target:
    """Import the function of an entry, and see what it is called with.

    Raises:
        ModelFault: there is no such function, or it asks for what there is not. What its module raises is passed on.
    """
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as missing:
        if missing.name is None or not f"{entry.module}.".startswith(f"{missing.name}."):
            raise
        raise ModelFault(f'there is no module "{missing.name}"; correct target = "{entry.target}".') from None
    try:
        function = reduce(getattr, entry.function.split("."), module)
    except AttributeError:
        functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        near = ", ".join(get_close_matches(entry.function, functions, n=3, cutoff=0)) or "none"
        raise ModelFault(f'"{entry.module}" has no "{entry.function}"; functions in it: {near}.') from None
    if not callable(function):
        raise ModelFault(f'"{entry.target}" is {type(function).__name__}, not a function; name one that can be called.')
    return bound(function, entry.target)


def bound(function: Callable[..., Any], name: str) -> Target:
    """See what a function is called with.

    Args:
        function: of the application.
        name: of it, for messages.

    Raises:
        ModelFault: it asks for what there is not.
    """
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):  # some functions written in C have none
        return Target(function=function, positional=("prompt",), named=())
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    plain = [one for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    needed = [one for one in plain if one.default is one.empty]
    unknown = [one for one in needed if one.name not in ARGUMENTS]
    if len(needed) == 1 and unknown and unknown[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        known = [one.name for one in plain if one.name in ARGUMENTS and one.kind is one.KEYWORD_ONLY]
        return Target(function=function, positional=("prompt",), named=tuple(known))
    if unknown:
        raise ModelFault(
            f'"{name}" asks for "{unknown[0].name}"; an application can ask for: {", ".join(ARGUMENTS)}. The fields of '
            "the case are in inputs."
        )
    used = [one for one in plain if one.name in ARGUMENTS]
    if not used and not takes_any:
        raise ModelFault(f'"{name}" takes nothing; it can take: {", ".join(ARGUMENTS)}.')
    positional = tuple(one.name for one in used if one.kind is one.POSITIONAL_ONLY)
    return Target(
        function=function,
        positional=positional,
        named=tuple(
            name for name in (ARGUMENTS if takes_any else [one.name for one in used]) if name not in positional
        ),
    )
