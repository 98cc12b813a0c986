"""Pieces of the JSON schema of suite files: pydantic classes and values as editors are to see them."""

from collections.abc import Mapping
from typing import Any

SCALAR = {"type": ["string", "number", "boolean", "null"]}
"""A value that is taken as the text it is written as."""

TEMPLATE = {"type": "string", "pattern": "\\{\\{"}
"""A text with a template, which may stand for a value of any type."""


def or_template(node: Any) -> Any:
    """Let a template stand for a number, a switch, a list or an object, as deep as they stand."""
    if not isinstance(node, dict):
        return node
    found = dict(node)
    if isinstance(node.get("properties"), dict):
        found["properties"] = {key: or_template(entry) for key, entry in node["properties"].items()}
    if isinstance(node.get("items"), dict):
        found["items"] = or_template(node["items"])
    if "anyOf" in node:
        return {**found, "anyOf": [*node["anyOf"], TEMPLATE]}
    return {"anyOf": [found, TEMPLATE]} if node.get("type") not in (None, "string") else found


def with_texts_as_written(node: Any) -> Any:
    """Let a scalar of any kind stand where a text does: the loader takes it as it is written."""
    if isinstance(node, list):
        return [with_texts_as_written(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    found = {key: with_texts_as_written(entry) for key, entry in node.items()}
    return {**found, **SCALAR} if found.get("type") == "string" else found


def inlined(fields: type[Any]) -> dict[str, Any]:
    """Give a pydantic class's schema without references, titles and the class's own docstring."""
    schema: dict[str, Any] = fields.model_json_schema()
    definitions = schema.pop("$defs", {})
    schema.setdefault("properties", {})
    found: dict[str, Any] = _without_titles(schema, definitions)
    return found


def _without_titles(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_without_titles(entry, definitions) for entry in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _without_titles(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
    is_table_of_names = node.get("type") is None and all(isinstance(entry, dict) for entry in node.values())
    return {
        key: _without_titles(entry, definitions)
        for key, entry in node.items()
        if is_table_of_names or not (key in ("title", "description") and isinstance(entry, str))
    }
