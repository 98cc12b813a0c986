"""Read the `tools` of a suite file: functions that the model may call, with the JSON schemas of their arguments."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.json import schema_error
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Switch, chief_error, error_sentence
from pytest_llmbench.suites import yaml12
from pytest_llmbench.values import Tool

NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
_PROTOCOL_KEYS = {"type", "function"}


class ToolKeys(Strict):
    """The keys of a tool."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: Switch | None = None


def read_tools(table: yaml12.Table) -> tuple[Tool, ...]:
    """Give the tools of a suite file; also those that are written as OpenAI's protocol has them.

    Raises:
        SuiteFault: one is wrong, or two have the same name.
    """
    node = table.entries.get("tools")
    if node is None:
        return ()
    tools: dict[str, Tool] = {}
    for number, entry in enumerate(yaml12.items(node, table.path, "`tools`"), start=1):
        line = yaml12.line_at(node, (number - 1,))
        try:
            keys = ToolKeys.model_validate(_unwrapped(yaml12.value(entry, table.path)))
        except ValidationError as fault:
            message = f"tool {number}: {error_sentence(chief_error(fault), ToolKeys)}"
            raise SuiteFault(message, path=table.path, line=line) from None
        wrong = _schema_fault(keys.parameters)
        if wrong is not None:
            message = f"the `parameters` of tool {keys.name}: {wrong}"
            raise SuiteFault(message, path=table.path, line=line)
        if keys.name in tools:
            raise SuiteFault(f"two tools are named {keys.name}; rename one.", path=table.path, line=line)
        tools[keys.name] = Tool(**keys.model_dump())
    if not tools:
        message = "`tools` is empty; list some, or take it out."
        raise SuiteFault(message, path=table.path, line=table.key_lines["tools"])
    return tuple(tools.values())


def _unwrapped(given: Any) -> Any:
    is_wrapped = isinstance(given, Mapping) and set(given) == _PROTOCOL_KEYS and given["type"] == "function"
    return given["function"] if is_wrapped else given


def _schema_fault(schema: dict[str, Any] | None) -> str | None:
    if schema is None:
        return None
    if schema.get("type") != "object":
        return "arguments are an object; write {type: object, properties: {...}}."
    return schema_error(schema)
