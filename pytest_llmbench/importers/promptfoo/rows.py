"""Tests that stand in rows: the columns of CSV that are no variables, and lines of JSON.

Source: promptfoo 0.121.20, `src/csv.ts`.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_llmbench.importers.base import Place, SourceFault, not_json
from pytest_llmbench.importers.source import Value
from pytest_llmbench.suites.data_files import allow_long_fields
from pytest_llmbench.values import Json

_ASSERTION = re.compile(r"(?P<type>(?:not-)?[a-z][a-z-]*)(?:\((?P<threshold>\d+(?:\.\d+)?)\))?(?::(?P<value>[\s\S]*))?")
_KNOWN = frozenset(
    [
        "answer-relevance",
        "bleu",
        "classifier",
        "contains",
        "contains-all",
        "contains-any",
        "contains-html",
        "contains-json",
        "contains-sql",
        "contains-xml",
        "context-faithfulness",
        "context-recall",
        "context-relevance",
        "conversation-relevance",
        "cost",
        "equals",
        "factuality",
        "finish-reason",
        "g-eval",
        "gleu",
        "guardrails",
        "icontains",
        "icontains-all",
        "icontains-any",
        "is-html",
        "is-json",
        "is-refusal",
        "is-sql",
        "is-valid-function-call",
        "is-valid-openai-function-call",
        "is-valid-openai-tools-call",
        "is-xml",
        "javascript",
        "latency",
        "levenshtein",
        "llm-rubric",
        "meteor",
        "model-graded-closedqa",
        "model-graded-factuality",
        "moderation",
        "perplexity",
        "perplexity-score",
        "pi",
        "python",
        "regex",
        "rouge-n",
        "ruby",
        "similar",
        "starts-with",
        "tool-call-f1",
        "webhook",
        "word-count",
    ]
)
_WITH_THRESHOLD = frozenset(
    [
        "answer-relevance",
        "classifier",
        "context-faithfulness",
        "context-recall",
        "context-relevance",
        "cost",
        "latency",
        "levenshtein",
        "perplexity-score",
        "perplexity",
        "rouge-n",
        "similar",
    ]
)
_CONFIG = re.compile(r"__config:__expected(?P<number>[1-9]\d*)?:threshold")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


def csv_tests(text: str, path: Path) -> Iterator[Value]:
    """Give the tests of a table, whose columns `__expected` and the like are no variables."""
    allow_long_fields()
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        for row in reader:
            start, line = line + 1, reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise SourceFault(f"{path}:{start}: this row has {len(row)} fields, the header has {len(header)}.")
            yield _csv_test(dict(zip(header, row, strict=True)), Place(path=path, line=start))
    except csv.Error as fault:
        raise SourceFault(f"{path}:{line}: this is not CSV: {fault}.") from None


def _csv_test(row: Mapping[str, str], place: Place) -> Value:
    test: dict[str, Any] = {"metadata": {}, "vars": {}}
    assertions: list[dict[str, Json]] = []
    thresholds: dict[int, float] = {}
    for key, cell in row.items():
        own = _CONFIG.fullmatch(key)
        if own is not None:
            if _NUMBER.fullmatch(cell.strip()):
                thresholds[int(own["number"] or 1) - 1] = float(cell)
        elif key.startswith("__expected"):
            if cell.strip():
                assertions.append(assertion_of(cell.strip()))
        elif key.startswith("__"):
            _special(test, key, cell)
        else:
            test["vars"][key] = cell
    metric = test.pop("metric", None)
    for number, assertion in enumerate(assertions):
        assertion |= {"metric": metric} if metric else {}
        assertion |= {"threshold": thresholds[number]} if number in thresholds else {}
    return placed({**test, "assert": assertions}, place)


def _special(test: dict[str, Any], key: str, cell: str) -> None:
    """Put what a column with two underscores holds into a test; one that nobody knows stays, to be refused."""
    if key == "__threshold":
        test["threshold"] = float(cell) if _NUMBER.fullmatch(cell.strip()) else None
    elif key.startswith("__metadata:"):
        if cell.strip():
            words = [word.strip().replace("\\,", ",") for word in re.split(r"(?<!\\),", cell)]
            name = key.removeprefix("__metadata:")
            test["metadata"][name.removesuffix("[]")] = words if name.endswith("[]") else cell
    elif key in ("__prefix", "__suffix"):
        test.setdefault("options", {})[key.strip("_")] = cell
    elif key in ("__description", "__metric"):
        test[key.strip("_")] = cell or None
    else:
        test[key] = cell or None


def assertion_of(cell: str) -> dict[str, Json]:
    """Read an assertion as a cell of `__expected` writes it; without a kind in front it is `equals`."""
    for prefix, kind in (
        ("javascript:", "javascript"),
        ("fn:", "javascript"),
        ("eval:", "javascript"),
        ("grade:", "llm-rubric"),
        ("llm-rubric:", "llm-rubric"),
        ("python:", "python"),
    ):
        if cell.startswith(prefix):
            return {"type": kind, "value": cell.removeprefix(prefix).strip()}
    if cell.startswith("file://"):
        return {"type": "python" if ".py" in cell else "javascript", "value": cell}
    found = _ASSERTION.fullmatch(cell)
    if found is None or found["type"].removeprefix("not-") not in _KNOWN:
        return {"type": "equals", "value": cell}
    kind, value = found["type"].removeprefix("not-"), found["value"]
    if kind in ("contains-json", "is-json") or kind.endswith(("-all", "-any")):
        return {"type": found["type"], "value": value}
    made: dict[str, Json] = {"type": found["type"], "value": None if value is None else value.strip()}
    if kind in _WITH_THRESHOLD:
        default = 0.8 if kind == "similar" else 0.75
        made["threshold"] = float(found["threshold"]) if found["threshold"] else default
    return made


def from_json(line: str, place: Place) -> Value:
    """Read a line of JSON.

    Raises:
        SourceFault: it is not JSON.
    """
    try:
        return placed(json.loads(line), place)
    except (ValueError, RecursionError) as fault:
        raise SourceFault(f"{place.path}:{place.line}: {not_json(fault)}.") from None


def placed(given: Any, place: Place) -> Value:
    """Give a plain value, all of it at one place."""
    if isinstance(given, dict):
        return Value({str(key): placed(value, place) for key, value in given.items()}, place)
    return Value([placed(entry, place) for entry in given] if isinstance(given, list) else given, place)
