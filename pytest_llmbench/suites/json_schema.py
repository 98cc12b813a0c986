"""The JSON schema of suite files, for editors: made from the graders' own fields.

`llmbench schema` prints it; it is shipped as `suite.schema.json`.
"""

from collections.abc import Mapping
from typing import Any

from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.models.entries import SamplingKeys
from pytest_llmbench.suites.budget_keys import BudgetKeys
from pytest_llmbench.suites.checks_schema import check_schema, for_checks
from pytest_llmbench.suites.data_keys import KEYS
from pytest_llmbench.suites.datasets_rows import DatasetKeys
from pytest_llmbench.suites.loader import SUITE_KEYS, TrustKeys
from pytest_llmbench.suites.names import ID_PATTERN, RESERVED_MARKS, TAG_PATTERN
from pytest_llmbench.suites.read_keys import ReadKeys
from pytest_llmbench.suites.schema_parts import SCALAR, inlined, with_texts_as_written
from pytest_llmbench.suites.source_keys import SourceKeys
from pytest_llmbench.suites.split import SplitKeys
from pytest_llmbench.suites.tool_keys import NAME_PATTERN

_FUNCTION = "^[\\w.]+:[\\w.]+$"

_SCALARS = {"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]}

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

_SUITE = {
    **_ID,
    **_NO_MARK,
    "pattern": f"^(?!_){ID_PATTERN.pattern}$",
    "description": "The name of the suite, a pytest mark too.",
}

_PROMPT = {
    "type": "object",
    "description": "jinja2 templates over the case's inputs.",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "completion": SCALAR,
        "chat": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "additionalProperties": False,
                "properties": {
                    "role": {"enum": ["system", "developer", "user", "assistant"]},
                    "content": SCALAR,
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
        "cluster": {**SCALAR, "description": "Cases that share their luck: the gate counts them as one."},
        "split": {
            **SCALAR,
            "description": "In a suite with `split`: train or held-out, where the hash is not to decide.",
        },
        "xfail": {**SCALAR, "description": "The reason why this case is expected to fail."},
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

_OF_PROMPTS: Mapping[str, Any] = {
    "sampling": {
        **inlined(SamplingKeys),
        "description": "How a model is to generate; temperature 0 is greedy.",
    },
    "prompt": _PROMPT,
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
    "tools": {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [_TOOL, _WRAPPED_TOOL]},
        "description": "Functions that the model may call; they go with each chat prompt.",
    },
    "read": {
        "anyOf": [_READ, inlined(ReadKeys)],
        "description": "Takes the answer out of the text: the first group that matched.",
    },
}
"""What a model is asked, and what is read of its answer."""

_OF_CASES: Mapping[str, Any] = {
    "data": {
        "anyOf": [{"type": "string"}, inlined(DatasetKeys)],
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
    "split": {
        **with_texts_as_written(inlined(SplitKeys)),
        "description": "Divides the cases: a model may be trained on one side, the other decides about it.",
    },
    "source": {
        **inlined(SourceKeys),
        "description": "What the suite was imported from, as `llmbench import` writes it.",
    },
}
"""Where the cases come from."""

_OF_GATE: Mapping[str, Any] = {
    "gate": {
        "enum": ["statistical", "smoke", "advice"],
        "description": "How the suite takes part in the gate: by its score, case by case, or not at all.",
    },
    "trust": {
        **inlined(TrustKeys),
        "description": "How well the grader must agree with people before it may gate this suite.",
    },
    "budget": {
        **inlined(BudgetKeys),
        "description": "The most that an answer may cost and take; reported, and no part of any score.",
    },
}
"""What the answers decide."""


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
            "suite": _SUITE,
            "grader": {
                "description": "How answers are judged.",
                "anyOf": [{"enum": sorted(kinds)}, {"type": "string", "pattern": _FUNCTION}],
            },
            **_OF_PROMPTS,
            **_OF_CASES,
            **_OF_GATE,
        },
        "allOf": [*(_for_grader(kind) for _, kind in sorted(kinds.items())), _FOR_FUNCTION],
        "dependentSchemas": _GO_WITH_PROMPTS,
        **for_checks(SUITE_KEYS),
        "$defs": {"check": check_schema()},
    }


def _for_grader(kind: GraderKind) -> dict[str, Any]:
    case, suite = inlined(kind.case_fields), inlined(kind.suite_fields)
    fields = case["properties"]
    if kind.is_expected_text and "expected" in fields:
        text = {**SCALAR, "pattern": "\\S"}
        is_single = fields["expected"].get("type") == "string"
        fields["expected"] = text if is_single else {"anyOf": [text, {"type": "array", "minItems": 1, "items": text}]}
    for name in fields.keys() - case.get("required", ()):  # null leaves out what may be left out
        fields[name] = {"anyOf": [fields[name], {"type": "null"}]}
    for name in kind.text_fields & suite["properties"].keys():
        suite["properties"][name] = with_texts_as_written(suite["properties"][name])
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
