"""The JSON schema of `checks` in suite files: made from the keys of each kind of check."""

from collections.abc import Set
from typing import Any

from pytest_llmbench.grading.checks.base import CheckFields
from pytest_llmbench.grading.checks.grader import ChecksSuite
from pytest_llmbench.grading.checks.registry import COMBINATIONS, KINDS, TEXT_KEYS
from pytest_llmbench.grading.checks.tree import AllFields
from pytest_llmbench.suites.schema_parts import SCALAR, inlined, or_template, with_texts_as_written

_CHECKS = {"type": "array", "items": {"$ref": "#/$defs/check"}}
_PASS_SCORE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
_CASE_CHECKS: dict[str, Any] = {
    "anyOf": [
        _CHECKS,
        {"type": "null"},
        {
            "type": "object",
            "required": ["replace"],
            "properties": {"replace": _CHECKS},
            "additionalProperties": False,
        },
    ]
}


def _turn() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["user"],
        "additionalProperties": False,
        "properties": {"user": {**SCALAR, "pattern": "\\S"}, "checks": _CASE_CHECKS},
    }


def for_checks(suite_keys: Set[str]) -> dict[str, Any]:
    """Give what holds of a suite without a grader: it or each of its cases has checks."""
    of_case = {
        "checks": _CASE_CHECKS,
        "turns": {
            "anyOf": [{"type": "array", "minItems": 1, "items": _turn()}, {"type": "null"}],
            "description": "A fixed conversation: what the user says, turn by turn.",
        },
        "stop_on_fail": {"type": ["boolean", "null"]},
        "pass_score": {"anyOf": [_PASS_SCORE, {"type": "null"}]},
    }
    return {
        "if": {"not": {"required": ["grader"]}},
        "then": {
            "propertyNames": {"enum": sorted((suite_keys | ChecksSuite.model_fields.keys()) - {"grader"})},
            "anyOf": [
                {"required": ["checks"]},
                {"required": ["data"]},
                {"properties": {"cases": {"items": {"anyOf": [{"required": ["checks"]}, {"required": ["turns"]}]}}}},
            ],
            "properties": {
                "checks": {**_CHECKS, "description": "What an answer to each case must hold to."},
                "stop_on_fail": {"type": "boolean", "description": "Turns behind one that failed count as failed."},
                "pass_score": {**_PASS_SCORE, "description": "The score from which a case passes; 1: all checks must."},
                "judge": {
                    **inlined(ChecksSuite)["properties"]["judge"],
                    "description": "How a judge model is asked about each rubric.",
                },
                "cases": {"items": {"properties": of_case}},
            },
        },
    }


def check_schema() -> dict[str, Any]:
    """Give the schema of one check: it has one kind, and the keys of that kind."""
    inner = {
        "not": ({"$ref": "#/$defs/check"}, CheckFields),
        "any": ({**_CHECKS, "minItems": 1}, CheckFields),
        "all": ({**_CHECKS, "minItems": 1}, AllFields),
    }
    kinds = {name: inlined(kind.fields)["properties"] for name, kind in KINDS.items()}
    required = {name: inlined(kind.fields).get("required", [name]) for name, kind in KINDS.items()}
    for name, (held, fields) in inner.items():
        kinds[name] = {**inlined(fields)["properties"], name: held}
        required[name] = [name]
    return {
        "type": "object",
        "oneOf": [{"required": [name]} for name in kinds],
        "allOf": [
            {
                "if": {"required": [name]},
                "then": {
                    "propertyNames": {"enum": sorted(keys)},
                    "required": required[name],
                    "properties": {key: _check_value(key, value) for key, value in keys.items()},
                },
            }
            for name, keys in kinds.items()
        ],
    }


def _check_value(key: str, value: Any) -> Any:
    if key in COMBINATIONS:
        return value
    if key in TEXT_KEYS:
        return with_texts_as_written(value)
    if key == "json":
        # a schema may be named as a file
        properties = {
            name: {} if name in ("expected", "schema") else entry for name, entry in value["properties"].items()
        }
        return or_template({**value, "properties": properties})
    return or_template(value)
