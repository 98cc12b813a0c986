"""Tools and the calls of them as text, for terminal and HTML alike."""

import json
from collections.abc import Iterator, Mapping, Sequence

from pytest_llmbench.values import Tool, ToolCall


def call_lines(calls: Sequence[ToolCall]) -> Iterator[str]:
    """Write each call in a line: `search({"text": "refund"})`; what is no JSON as it came."""
    for call in calls:
        arguments = call.arguments
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False, default=str) if arguments else ""
        yield f"{call.name}({arguments})"


def tool_lines(tools: Sequence[Tool]) -> Iterator[str]:
    """Write each tool in a line: its name, its arguments and what it is for."""
    for tool in tools:
        taken = (tool.parameters or {}).get("properties")
        names = ", ".join(map(str, taken)) if isinstance(taken, Mapping) else ""
        yield f"{tool.name}({names}){f': {tool.description}' if tool.description else ''}"
