"""Checks of a JSON answer: json and json_subset.

`json` is the grader of that name; `json: {}` asks for any JSON.  `json_subset` asks for some of the keys: each one that
is written must match, others are free.  A leaf may be a rule: `{regex: ...}`, `{number: 3, tolerance: 0.1}` or
`{any: true}`.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

import regex
from pydantic import ValidationError, field_validator

from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.grading.base import Finding
from pytest_llmbench.grading.checks.base import CheckKind, PathFields, Placed, Short, Test, each
from pytest_llmbench.grading.checks.behind import Behind, findings_behind, tests_behind
from pytest_llmbench.grading.checks.patterns import NumberValue
from pytest_llmbench.grading.json import KIND as GRADER
from pytest_llmbench.grading.json import JsonCase, difference
from pytest_llmbench.grading.json_answer import json_in, parse
from pytest_llmbench.grading.match import PATTERN_TIME_S, literal_grade, overtime
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Answer, Case, Grade, Json, Reason, Suite

_MOST_ITEMS = 1000
"""How many items of an answer's list are set against those wanted where their order is free."""

_RULES = (frozenset({"regex"}), frozenset({"any"}), frozenset({"number"}), frozenset({"number", "tolerance"}))

with warnings.catch_warnings():
    # pydantic 2 keeps a deprecated method of this name; the suite format wants the word
    warnings.filterwarnings("ignore", message='Field name "json"')

    class JsonFields(PathFields):
        """The answer is JSON: any, what is `expected`, or what fits a `schema`."""

        json: JsonCase  # type: ignore[assignment]


class SubsetValue(Strict):
    """What a JSON value must hold; `lists` is how its lists are compared."""

    value: Any
    lists: Literal["exact", "subset", "any_order"] = "exact"

    @field_validator("value")
    @classmethod
    def _rules_are_some(cls, value: Any) -> Any:
        check_rules(value)
        return value


class JsonSubsetFields(PathFields):
    """The answer is JSON with at least these keys and values."""

    json_subset: SubsetValue


def is_rule(want: Any) -> bool:
    """Tell whether a value that is asked for is a rule: `{regex: ...}`, `{number: ...}` or `{any: true}`.

    `{number: "17"}` is none, but an object whose key is called so.
    """
    return isinstance(want, dict) and frozenset(want) in _RULES and not _is_named_number(want)


def _is_named_number(want: Mapping[str, Any]) -> bool:
    return len(want) == 1 and isinstance(want.get("number"), str)


def check_rules(value: Any) -> None:
    """Check the rules in a value that is asked for.

    Raises:
        ValueError: one is wrong.
    """
    if is_rule(value):
        if "regex" in value:
            try:
                regex.compile(str(value["regex"]))
            except regex.error as fault:
                raise ValueError(f"{value['regex']!r} is no pattern ({fault}); write a regular expression") from None
        elif "any" in value and value["any"] is not True:
            raise ValueError("a value that may be anything is written {any: true}")
        elif "number" in value:
            _number_rule(value)
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            check_rules(inner)


def _number_rule(value: Mapping[str, Any]) -> NumberValue:
    keys = {("value" if key == "number" else key): entry for key, entry in value.items()}
    try:
        return NumberValue.model_validate(keys)
    except ValidationError as fault:
        raise ValueError(
            f"{dict(value)} is no number with a tolerance: {fault.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from None


def lacking(want: Any, got: Any, *, lists: str = "exact", at: str = "$") -> str | None:
    """Describe what a JSON value lacks of another; None if it has all.

    Args:
        want: the keys and values asked for, rules among them.
        got: the value of an answer.
        lists: `exact`, item by item; `any_order`, the same items; `subset`, at least these items.
        at: the place of both, for the description.
    """
    if is_rule(want):
        return _rule_fault(want, got, at)
    if isinstance(want, dict) and _is_named_number(want) and _is_number(got):
        # a template may have written the number of a rule
        try:
            return _rule_fault(want, got, at)
        except ValueError:
            return difference(want, got, at)
    if isinstance(want, dict) and isinstance(got, dict):
        for key, value in want.items():
            if key not in got:
                return f'at {at}: key "{key}" is missing'
            fault = lacking(value, got[key], lists=lists, at=f"{at}.{key}")
            if fault is not None:
                return fault
        return None
    if isinstance(want, list) and isinstance(got, list):
        return _list_fault(want, got, lists, at)
    if isinstance(want, str) and _is_number(got):
        # a template of a text field may have written the number
        try:
            return None if Decimal(want) == Decimal(str(got)) else difference(want, got, at)
        except InvalidOperation:
            return difference(want, got, at)
    return difference(want, got, at)


def _is_number(got: Any) -> bool:
    return isinstance(got, int | float) and not isinstance(got, bool)


def _rule_fault(rule: Mapping[str, Any], got: Any, at: str) -> str | None:
    if "any" in rule:
        return None
    if "regex" in rule:
        text = got if isinstance(got, str) else json.dumps(got, ensure_ascii=False)
        try:
            match = regex.fullmatch(str(rule["regex"]), text, timeout=PATTERN_TIME_S)
        except TimeoutError:
            raise overtime(str(rule["regex"])) from None
        return None if match else f"at {at}: {clip(repr(got), 60)} is no full match of {rule['regex']}"
    if not _is_number(got):
        return f"at {at}: {clip(repr(got), 60)} is no number"
    number = _number_rule(rule)
    if abs(Decimal(str(got)) - number.value) <= number.tolerance:
        return None
    return f"at {at}: {got}, not {number.value}{f' ± {number.tolerance}' if number.tolerance else ''}"


def _list_fault(want: Sequence[Any], got: Sequence[Any], lists: str, at: str) -> str | None:
    if lists != "subset" and len(want) != len(got):
        return f"at {at}: {len(got)} items, not {len(want)}"
    if lists == "exact":
        faults = (
            lacking(*pair, lists=lists, at=f"{at}[{place}]") for place, pair in enumerate(zip(want, got, strict=True))
        )
        return next(filter(None, faults), None)
    if len(got) > _MOST_ITEMS:
        return f"at {at}: {len(got)} items, more than the {_MOST_ITEMS} that are compared"
    fits = [[place for place, item in enumerate(got) if lacking(value, item, lists=lists) is None] for value in want]
    missing = unmatched(fits)
    if missing is None:
        return None
    return f"at {at}: no item left for {clip(json.dumps(want[missing], ensure_ascii=False, default=str), 60)}"


def unmatched(fits: Sequence[Sequence[int]]) -> int | None:
    """Give the first wanted item for which no item is left; None if each gets one of its own.

    Source: augmenting paths (Kuhn, 1955).
    """
    taken: dict[int, int] = {}

    def place(wanted: int, tried: set[int]) -> bool:
        for item in fits[wanted]:
            if item not in tried:
                tried.add(item)
                if item not in taken or place(taken[item], tried):
                    taken[item] = wanted
                    return True
        return False

    return next((wanted for wanted in range(len(fits)) if not place(wanted, set())), None)


def _read(fields: PathFields, text: str) -> Any:
    return json_in(text) if fields.fence else parse(text.strip())


def _unparsed(expected: str, fault: ValueError, text: str) -> Grade:
    explanation = f'Expected {expected}, found no JSON ({fault}): "{clip(text)}".'
    return Grade(score=0.0, passed=False, reason=Reason.UNPARSED, explanation=explanation)


def _subset_test(fields: JsonSubsetFields) -> Test:
    want = fields.json_subset
    expected = _subset_text(fields)

    def test(case: Case, answer: Answer) -> Grade:
        del case
        try:
            value = _read(fields, answer.text)
        except ValueError as fault:
            return _unparsed(expected, fault, answer.text)
        wrong = lacking(want.value, value, lists=want.lists)
        return literal_grade(wrong is None, expected + (f" ({wrong})" if wrong else ""), answer.text)

    return test


def _subset_text(fields: JsonSubsetFields) -> str:
    return f"JSON with {clip(json.dumps(fields.json_subset.value, ensure_ascii=False, default=str))}"


def _is_any(fields: JsonFields) -> bool:
    rules: Any = fields.json
    return not rules.has_expected and rules.schema is None


def _any_json(fields: JsonFields) -> Test:
    def test(case: Case, answer: Answer) -> Grade:
        del case
        try:
            _read(fields, answer.text)
        except ValueError as fault:
            return _unparsed("JSON", fault, answer.text)
        return literal_grade(True, "JSON", answer.text)

    return test


def _behind(one: Placed) -> Behind:
    return Behind(grader=GRADER, case_rules=one.fields.json, suite_rules=GRADER.suite_fields())


def _tests(placed: Sequence[Placed], suite: Suite, root: Path) -> Sequence[Test]:
    asked = [one for one in placed if not _is_any(one.fields)]
    made = iter(tests_behind(asked, suite, root, _behind))
    return [_any_json(one.fields) if _is_any(one.fields) else _unfenced(one.fields, next(made)) for one in placed]


def _unfenced(fields: JsonFields, test: Test) -> Test:
    """Have a test refuse what is not JSON as a whole, where the check asks for that."""
    if fields.fence:
        return test

    def strict(case: Case, answer: Answer) -> Grade:
        try:
            parse(answer.text.strip())
        except ValueError as fault:
            return _unparsed("JSON alone", fault, answer.text)
        return test(case, answer)

    return strict


def _findings(placed: Sequence[Placed], suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    asked = [one for one in placed if not _is_any(one.fields)]
    return findings_behind(asked, suite, root, _behind, is_thorough=is_thorough)


def _with_schema(given: Mapping[str, Json], folder: Path) -> Mapping[str, Json]:
    """Read a schema that is named as a file."""
    own = given.get("json")
    if not isinstance(own, Mapping) or not isinstance(own.get("schema"), str):
        return given
    path = folder / str(own["schema"])
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as fault:
        raise ValueError(
            f"the schema {path} cannot be read: {fault.strerror}; its path is relative to the suite"
        ) from None
    except ValueError as fault:
        raise ValueError(f"the schema {path} is not JSON: {fault}") from None
    return {**given, "json": {**own, "schema": schema}}


def _short(given: Mapping[str, Any], *, is_of_suite: bool) -> Short | None:
    options = {key for key, value in given.items() if (key, value) != ("fence", True)}
    own = given["json"]
    if not options <= {"json", "name", "weight", "required"} or not own:
        return None
    left_out = {"schema"} if is_of_suite else set()
    return GRADER.name, {key: value for key, value in own.items() if key not in left_out}


def _expected(fields: JsonFields) -> str:
    rules: Any = fields.json
    if rules.has_expected:
        return f"JSON: {clip(json.dumps(rules.expected, ensure_ascii=False, default=str))}"
    return "JSON" if rules.schema is None else "JSON that fits the schema"


JSON = CheckKind(
    name="json",
    fields=JsonFields,
    build=_tests,
    expected=_expected,
    version=GRADER.version,
    reads_json=True,
    with_files=_with_schema,
    short=_short,
    findings=_findings,
)
JSON_SUBSET = CheckKind(
    name="json_subset",
    fields=JsonSubsetFields,
    build=each(_subset_test),
    expected=_subset_text,
    reads_json=True,
)
