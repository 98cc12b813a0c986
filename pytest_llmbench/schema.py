"""The JSON schema of suite files, for editors: made from the graders' own fields.

`python -m pytest_llmbench.schema` prints it; it is shipped as `suite.schema.json`.
"""

import json
from collections.abc import Mapping
from typing import Any

from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.models.entries import SamplingKeys
from pytest_llmbench.suites import ID_PATTERN, TAG_PATTERN
from pytest_llmbench.values import GraderKind

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
"""A value that is taken as the text it is written as."""

_ID = {"type": ["string", "number"], "pattern": f"^{ID_PATTERN.pattern}$"}


def suite_schema(kinds: Mapping[str, GraderKind]) -> dict[str, Any]:
    """Give the JSON schema (2020-12) of a suite file with any of these graders, or a function."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-llmbench suite",
        "description": "One file of cases of one kind: prompt templates, grader, sampling, cases.",
        "type": "object",
        "required": ["suite", "grader", "prompt"],
        "properties": {
            "suite": {**_ID, "description": "The name of the suite, a pytest mark too."},
            "grader": {
                "description": "How answers are judged.",
                "anyOf": [{"enum": sorted(kinds)}, {"type": "string", "pattern": "^[\\w.]+:\\w+$"}],
            },
            "sampling": {
                **_inlined(SamplingKeys),
                "description": "How a model is to generate; temperature 0 is greedy.",
            },
            "prompt": _PROMPT,
            "data": {
                "type": "string",
                "description": "CSV, JSON lines or Parquet beside the file; each row is a case.",
            },
            "cases": {"type": "array", "items": _CASE},
        },
        "allOf": [_for_grader(kind) for _, kind in sorted(kinds.items())],
    }


_PROMPT = {
    "type": "object",
    "description": "jinja2 templates over the case's inputs.",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "completion": {"type": "string"},
        "chat": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "additionalProperties": False,
                "properties": {
                    "role": {"enum": ["system", "developer", "user", "assistant"]},
                    "content": {"type": "string"},
                },
            },
        },
    },
}

_CASE = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {**_ID, "description": "Unique in the suite, and permanent."},
        "tags": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string", "pattern": f"^{TAG_PATTERN.pattern}$"}},
            ]
        },
        "cluster": {**_SCALAR, "description": "Cases that share their luck: the gate counts them as one."},
        "xfail": {"type": "string", "description": "The reason why this case is expected to fail."},
    },
}


def _for_grader(kind: GraderKind) -> dict[str, Any]:
    case = _inlined(kind.case_fields)
    if kind.is_expected_text and "expected" in case["properties"]:
        case["properties"]["expected"] = {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}
    # other keys of a case are inputs of the template
    case.pop("additionalProperties", None)
    return {
        "if": {"properties": {"grader": {"const": kind.name}}},
        "then": {"properties": {**_inlined(kind.suite_fields)["properties"], "cases": {"items": case}}},
    }


def _inlined(fields: type[Any]) -> dict[str, Any]:
    """Give a pydantic class's schema without references, titles and the class's own docstring."""
    schema: dict[str, Any] = fields.model_json_schema()
    definitions = schema.pop("$defs", {})
    schema.setdefault("properties", {})
    return _without_titles(schema, definitions)


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


if __name__ == "__main__":
    print(json.dumps(suite_schema(BUILT_IN), indent=1, sort_keys=True))  # noqa: T201 - it is asked for
