"""The JSON schema of suite files, for editors: made from the graders' own fields.

`llmbench schema` prints it; it is shipped as `suite.schema.json`.
"""

import json
from collections.abc import Mapping
from typing import Any

from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.grading.checks.base import CheckFields
from pytest_llmbench.grading.checks.grader import ChecksSuite
from pytest_llmbench.grading.checks.registry import COMBINATIONS, KINDS, TEXT_KEYS
from pytest_llmbench.grading.checks.tree import AllFields
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.models.entries import SamplingKeys
from pytest_llmbench.suites.data_keys import KEYS
from pytest_llmbench.suites.datasets_rows import DatasetKeys
from pytest_llmbench.suites.loader import SUITE_KEYS, TrustKeys
from pytest_llmbench.suites.names import ID_PATTERN, RESERVED_MARKS, TAG_PATTERN
from pytest_llmbench.suites.read_keys import ReadKeys
from pytest_llmbench.suites.source_keys import SourceKeys
from pytest_llmbench.suites.split import SplitKeys
from pytest_llmbench.suites.tool_keys import NAME_PATTERN

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
"""A value that is taken as the text it is written as."""

_FUNCTION = "^[\\w.]+:[\\w.]+$"

_SCALARS = {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}

_FOR_FUNCTION = {
    "if": {"required": ["grader"], "properties": {"grader": {"type": "string", "pattern": _FUNCTION}}},
    "then": {
        "propertyNames": {"enum": sorted(SUITE_KEYS)},
        "properties": {"cases": {"items": {"properties": {"expected": _SCALARS}}}},
    },
}

_ID = {"type": ["string", "number", "boolean"], "pattern": f"^{ID_PATTERN.pattern}$"}
_TAG = f"(?!_){TAG_PATTERN.pattern}"
_NO_MARK = {"not": {"enum": sorted(RESERVED_MARKS)}}


def printed_schema(kinds: Mapping[str, GraderKind]) -> str:
    """Give the schema as the file that is shipped."""
    return json.dumps(suite_schema(kinds), indent=1, sort_keys=True)


def suite_schema(kinds: Mapping[str, GraderKind]) -> dict[str, Any]:
    """Give the JSON schema (2020-12) of a suite file with any of these graders, or a function."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-llmbench suite",
        "description": "One file of cases of one kind: prompt templates, grader, sampling, cases.",
        "type": "object",
        "required": ["suite"],
        "anyOf": [{"required": ["cases"], "properties": {"cases": {"minItems": 1}}}, {"required": ["data"]}],
        "dependentRequired": {key: ["data"] for key in KEYS},
        "properties": {
            "suite": {
                **_ID,
                **_NO_MARK,
                "pattern": f"^(?!_){ID_PATTERN.pattern}$",
                "description": "The name of the suite, a pytest mark too.",
            },
            "grader": {
                "description": "How answers are judged.",
                "anyOf": [{"enum": sorted(kinds)}, {"type": "string", "pattern": _FUNCTION}],
            },
            "sampling": {
                **_inlined(SamplingKeys),
                "description": "How a model is to generate; temperature 0 is greedy.",
            },
            "prompt": _PROMPT,
            "data": {
                "anyOf": [{"type": "string"}, _inlined(DatasetKeys)],
                "description": "CSV, JSON lines or Parquet beside the file, or a data set; each row is a case.",
            },
            "delimiter": {
                "type": "string",
                "pattern": r'^([^"\r\n]|tab|\\t)$',
                "description": "What separates the fields of a CSV file: one character, or tab; a comma by default.",
            },
            "columns": {
                "type": "object",
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
                "description": "Fields of a case whose column in the data file has another name.",
            },
            "cases": {"type": "array", "items": _CASE},
            "gate": {
                "enum": ["statistical", "smoke", "advice"],
                "description": "How the suite takes part in the gate: by its score, case by case, or not at all.",
            },
            "examples": {
                "type": "object",
                "required": ["template", "rows"],
                "additionalProperties": False,
                "properties": {
                    "template": {**_PROMPT, "description": "jinja2 templates of one example, over its fields."},
                    "rows": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                },
                "description": "Few-shot examples, the same in all prompts.",
            },
            "read": {
                "anyOf": [_READ, _inlined(ReadKeys)],
                "description": "Takes the answer out of the text: the first group that matched.",
            },
            "split": {
                **_with_texts_as_written(_inlined(SplitKeys)),
                "description": "Divides the cases: a model may be trained on one side, the other decides about it.",
            },
            "tools": {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [_TOOL, _WRAPPED_TOOL]},
                "description": "Functions that the model may call; they go with each chat prompt.",
            },
            "source": {
                **_inlined(SourceKeys),
                "description": "What the suite was imported from, as `llmbench import` writes it.",
            },
            "trust": {
                **_inlined(TrustKeys),
                "description": "How well the grader must agree with people before it may gate this suite.",
            },
        },
        "allOf": [*(_for_grader(kind) for _, kind in sorted(kinds.items())), _FOR_FUNCTION],
        "dependentSchemas": _GO_WITH_PROMPTS,
        **_for_checks(),
        "$defs": {"check": _check()},
    }


_PROMPT = {
    "type": "object",
    "description": "jinja2 templates over the case's inputs.",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "completion": _SCALAR,
        "chat": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "additionalProperties": False,
                "properties": {
                    "role": {"enum": ["system", "developer", "user", "assistant"]},
                    "content": _SCALAR,
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
        "inputs": {"description": "The inputs of the templates; without it, they are all keys that are no field."},
        "tags": {
            "anyOf": [
                {"type": ["integer", "boolean", "null"]},
                {"type": "string", "pattern": f"^[\\s,;]*({_TAG}([\\s,;]+|$))*$"},
                {
                    "type": "array",
                    "items": {
                        "type": ["string", "integer", "boolean", "null"],
                        "pattern": f"^{_TAG}$",
                        **_NO_MARK,
                    },
                },
            ]
        },
        "cluster": {**_SCALAR, "description": "Cases that share their luck: the gate counts them as one."},
        "split": {
            **_SCALAR,
            "description": "In a suite with `split`: train or held-out, where the hash is not to decide.",
        },
        "xfail": {**_SCALAR, "description": "The reason why this case is expected to fail."},
    },
}


_GO_WITH_PROMPTS = {
    "tools": {"properties": {"prompt": {"required": ["chat"]}}},
    "examples": {
        "required": ["prompt"],
        "allOf": [
            {
                "if": {"properties": {"prompt": {"required": [style]}}},
                "then": {"properties": {"examples": {"properties": {"template": {"required": [style]}}}}},
            }
            for style in ("chat", "completion")
        ],
    },
}
"""What goes with a prompt has its styles."""

_READ = {"type": "string", "minLength": 1}

_TOOL = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": NAME_PATTERN},
        "description": {"type": ["string", "null"]},
        "parameters": {
            "anyOf": [
                {"type": "object", "required": ["type"], "properties": {"type": {"const": "object"}}},
                {"type": "null"},
            ],
            "description": "The JSON schema of its arguments.",
        },
        "strict": {"type": ["boolean", "null"]},
    },
}

_WRAPPED_TOOL = {
    "type": "object",
    "required": ["type", "function"],
    "additionalProperties": False,
    "properties": {"type": {"const": "function"}, "function": _TOOL},
}


def _for_grader(kind: GraderKind) -> dict[str, Any]:
    case, suite = _inlined(kind.case_fields), _inlined(kind.suite_fields)
    fields = case["properties"]
    if kind.is_expected_text and "expected" in fields:
        text = {**_SCALAR, "pattern": "\\S"}
        is_single = fields["expected"].get("type") == "string"
        fields["expected"] = text if is_single else {"anyOf": [text, {"type": "array", "minItems": 1, "items": text}]}
    for name in fields.keys() - case.get("required", ()):  # null leaves out what may be left out
        fields[name] = {"anyOf": [fields[name], {"type": "null"}]}
    for name in kind.text_fields & suite["properties"].keys():
        suite["properties"][name] = _with_texts_as_written(suite["properties"][name])
    # other keys of a case are inputs of the template
    case.pop("additionalProperties", None)
    return {
        "if": {"required": ["grader"], "properties": {"grader": {"const": kind.name}}},
        "then": {
            # not unevaluatedProperties, which also complains of all of these where one of them is wrong
            "propertyNames": {"enum": sorted(SUITE_KEYS | suite["properties"].keys())},
            "required": suite.get("required", []),
            "properties": {**suite["properties"], "cases": {"items": case}},
        },
    }


_CHECKS = {"type": "array", "items": {"$ref": "#/$defs/check"}}
_PASS_SCORE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
_TEMPLATE = {"type": "string", "pattern": "\\{\\{"}
"""A text with a template, which may stand for a value of any type."""


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
        "properties": {"user": {**_SCALAR, "pattern": "\\S"}, "checks": _CASE_CHECKS},
    }


def _for_checks() -> dict[str, Any]:
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
            "propertyNames": {"enum": sorted((SUITE_KEYS | ChecksSuite.model_fields.keys()) - {"grader"})},
            "anyOf": [
                {"required": ["checks"]},
                {"required": ["data"]},
                {"properties": {"cases": {"items": {"anyOf": [{"required": ["checks"]}, {"required": ["turns"]}]}}}},
            ],
            "properties": {
                "checks": {**_CHECKS, "description": "What an answer to each case must hold to."},
                "stop_on_fail": {"type": "boolean", "description": "Turns behind one that failed count as failed."},
                "pass_score": {**_PASS_SCORE, "description": "The score from which a case passes; 1: all checks must."},
                "cases": {"items": {"properties": of_case}},
            },
        },
    }


def _check() -> dict[str, Any]:
    """Give the schema of one check: it has one kind, and the keys of that kind."""
    inner = {
        "not": ({"$ref": "#/$defs/check"}, CheckFields),
        "any": ({**_CHECKS, "minItems": 1}, CheckFields),
        "all": ({**_CHECKS, "minItems": 1}, AllFields),
    }
    kinds = {name: _inlined(kind.fields)["properties"] for name, kind in KINDS.items()}
    required = {name: _inlined(kind.fields).get("required", [name]) for name, kind in KINDS.items()}
    for name, (held, fields) in inner.items():
        kinds[name] = {**_inlined(fields)["properties"], name: held}
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
        return _with_texts_as_written(value)
    if key == "json":
        # a schema may be named as a file
        properties = {
            name: {} if name in ("expected", "schema") else entry for name, entry in value["properties"].items()
        }
        return _or_template({**value, "properties": properties})
    return _or_template(value)


def _or_template(node: Any) -> Any:
    """Let a template stand for a number, a switch, a list or an object, as deep as they stand."""
    if not isinstance(node, dict):
        return node
    found = dict(node)
    if isinstance(node.get("properties"), dict):
        found["properties"] = {key: _or_template(entry) for key, entry in node["properties"].items()}
    if isinstance(node.get("items"), dict):
        found["items"] = _or_template(node["items"])
    if "anyOf" in node:
        return {**found, "anyOf": [*node["anyOf"], _TEMPLATE]}
    return {"anyOf": [found, _TEMPLATE]} if node.get("type") not in (None, "string") else found


def _with_texts_as_written(node: Any) -> Any:
    """Let a scalar of any kind stand where a text does: the loader takes it as it is written."""
    if isinstance(node, list):
        return [_with_texts_as_written(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    found = {key: _with_texts_as_written(entry) for key, entry in node.items()}
    return {**found, **_SCALAR} if found.get("type") == "string" else found


def _inlined(fields: type[Any]) -> dict[str, Any]:
    """Give a pydantic class's schema without references, titles and the class's own docstring."""
    schema: dict[str, Any] = fields.model_json_schema()
    definitions = schema.pop("$defs", {})
    schema.setdefault("properties", {})
    inlined: dict[str, Any] = _without_titles(schema, definitions)
    return inlined


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
    print(printed_schema(BUILT_IN))  # noqa: T201 - it is asked for
