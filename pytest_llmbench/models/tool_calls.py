"""Read the tool calls of a reply: of a server that speaks OpenAI's protocol, an application, or a file.

Servers agree on little: arguments come as a text of JSON or as a table (Ollama); the pieces of a stream are told apart
by `index`, which some leave out and some give as 0 for several calls (Gemini), so that an id of its own begins a call
too; old ones have a single `function_call`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pytest_llmbench.values import ToolCall


def tool_call(name: str, arguments: object) -> ToolCall:
    """Make a call. Arguments are a table, or a text that should hold one and is kept where it does not."""
    if arguments is None or arguments == "":
        return ToolCall(name=name)
    if isinstance(arguments, Mapping):
        return ToolCall(name=name, arguments=arguments)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    try:
        value = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return ToolCall(name=name, arguments=text)
    return ToolCall(name=name, arguments=value if isinstance(value, dict) else text)


def no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's parser takes for JSON."""
    raise ValueError(f"{name} is not JSON")


def has_tool_calls(message: Mapping[str, Any]) -> bool:
    """Tell whether a message, or a piece of one, has any."""
    return bool(message.get("tool_calls") or message.get("function_call"))


def calls_in(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """Give the calls of a whole message."""
    pieces = CallPieces()
    for call in _listed(message):
        pieces.begin(call)
    return pieces.calls


@dataclass(slots=True, kw_only=True)
class _Begun:
    """A call of which pieces have come."""

    id: object
    name: str = ""
    table: Mapping[str, Any] | None = None
    texts: list[str] = field(default_factory=list)

    def add(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function", piece)
        function = function if isinstance(function, Mapping) else {}
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str) and name != self.name:  # some repeat it in each piece
            self.name += name
        if isinstance(arguments, str):
            self.texts.append(arguments)
        elif arguments is not None:
            self.table = arguments if isinstance(arguments, Mapping) else None
            self.texts.append(json.dumps(arguments))

    @property
    def call(self) -> ToolCall:
        return tool_call(self.name, self.table if self.table is not None else "".join(self.texts))


class CallPieces:
    """Puts calls together from the pieces of a stream."""

    def __init__(self) -> None:
        self._calls: list[_Begun] = []
        self._by_index: dict[object, _Begun] = {}

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls so far, in their order."""
        return tuple(begun.call for begun in self._calls)

    def begin(self, piece: Mapping[str, Any]) -> None:
        """Take a piece as the first of a call."""
        begun = _Begun(id=piece.get("id"))
        self._calls.append(begun)
        self._by_index[piece.get("index")] = begun
        begun.add(piece)

    def take(self, delta: Mapping[str, Any]) -> None:
        """Take the pieces of an event."""
        for piece in _listed(delta):
            begun = self._by_index.get(piece.get("index"))
            is_other = begun is not None and piece.get("id") and begun.id and piece["id"] != begun.id
            # without an index, what has a name begins a call
            function = piece.get("function")
            is_named = isinstance(function, Mapping) and bool(function.get("name"))
            is_next = piece.get("index") is None and "function_call" not in delta and is_named
            if begun is None or is_other or is_next:
                self.begin(piece)
            else:
                begun.add(piece)


def _listed(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = message.get("tool_calls")
    if not listed and message.get("function_call"):
        listed = [{"function": message["function_call"]}]
    return [call for call in listed if isinstance(call, Mapping)] if isinstance(listed, list) else []
