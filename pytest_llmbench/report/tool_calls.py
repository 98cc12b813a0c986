"""Tools as text, for terminal and HTML alike."""

from collections.abc import Iterator, Mapping, Sequence

from pytest_llmbench.values import Tool


def tool_lines(tools: Sequence[Tool]) -> Iterator[str]:
    """Write each tool in a line: its name, its arguments and what it is for."""
    for tool in tools:
        taken = (tool.parameters or {}).get("properties")
        names = ", ".join(map(str, taken)) if isinstance(taken, Mapping) else ""
        yield f"{tool.name}({names}){f': {tool.description}' if tool.description else ''}"
