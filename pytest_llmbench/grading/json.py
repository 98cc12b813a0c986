"""The grader `json`: the answer is JSON and is equal to what was expected, or fits a JSON schema.

The whole answer must be JSON by RFC 8259 (no NaN); a code fence around all of it is taken
off, any other text beside it makes the answer `unparsed`.  Objects are equal whatever the
order of their keys, numbers by value (1 equals 1.0), and true is not 1.

Not covered: the patterns under `patternProperties` of a schema run without a time limit.
"""

import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, Self

from pydantic import model_validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_text import clip, graded_unless_void
from pytest_llmbench.grading.base import Grader, GraderKind, rules_of
from pytest_llmbench.grading.match import PATTERN_TIME_S, literal_grade, overtime
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Answer, Case, Grade, Reason, Suite

MAX_DEPTH = 50
"""Levels of arrays and objects; deeper answers would outgrow the interpreter's stack, and are `unparsed`."""

_FENCE = re.compile(r"```[ \t]*(?:json)?[ \t]*\n(.*)```", re.DOTALL | re.IGNORECASE)

_Fault = Callable[[Any], str | None]
"""Say what is wrong with a value; None if nothing is."""

with warnings.catch_warnings():
    # pydantic 2 keeps a deprecated classmethod of this name; the suite format wants the word
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class JsonCase(Strict):
        """A case with the value expected, or with a schema; without either the suite's schema holds.

        A text that is JSON itself stands for the value it writes (data files hold nothing else).
        """

        expected: Any = None
        schema: dict[str, Any] | None = None  # type: ignore[assignment]

        @model_validator(mode="after")
        def _one_of_both(self) -> Self:
            if {"expected", "schema"} <= self.model_fields_set:
                raise ValueError("a case has `expected` or `schema`, not both; take one out")
            return self

    class JsonSuite(Strict):
        """A suite that may have a schema for the cases that say nothing themselves."""

        schema: dict[str, Any] | None = None  # type: ignore[assignment]


def build(suite: Suite, root: Path) -> Grader:
    """Make the grader.

    Raises:
        SuiteFault: a schema is none, or a case has nothing to be compared with.
    """
    del root
    shared = rules_of(suite, JsonSuite).schema
    shared_fault = None if shared is None else _schema_fault(shared, lambda why: _fail_suite(suite, why))
    faults = {case.id: _case_fault(case, shared_fault) for case in suite.cases}

    def judge(case: Case, answer: Answer) -> Grade:
        try:
            value = parse(answer.text)
        except ValueError as fault:
            return Grade(
                score=0.0,
                passed=False,
                reason=Reason.UNPARSED,
                explanation=f'Expected {expected_text(case)}, found no JSON ({fault}): "{clip(answer.text)}".',
            )
        wrong = faults[case.id](value)
        return literal_grade(wrong is None, expected_text(case) + (f" ({wrong})" if wrong else ""), answer.text)

    return graded_unless_void(judge)


def parse(text: str) -> Any:
    """Parse an answer that is JSON as a whole, a code fence around it taken off.

    Raises:
        ValueError: it is not JSON, or nested deeper than `MAX_DEPTH`.
    """
    text = text.strip()
    fenced = _FENCE.fullmatch(text)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level, depth = [value], 0
    while level:
        level = [inner for outer in level for inner in _inside(outer)]
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
    return value


def difference(want: Any, got: Any, at: str = "$") -> str | None:
    """Say where two JSON values differ first; None if they are equal."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in (*want, *got):
            if key not in got or key not in want:
                return f"at {at}: key {json.dumps(key)} is {'missing' if key in want else 'too much'}"
        found = (difference(want[key], got[key], f"{at}.{key}") for key in want)
        return next((text for text in found if text), None)
    if isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return f"at {at}: {len(got)} items, not {len(want)}"
        found = (difference(*pair, f"{at}[{place}]") for place, pair in enumerate(zip(want, got, strict=True)))
        return next((text for text in found if text), None)
    if want == got and isinstance(want, bool) == isinstance(got, bool):
        return None
    return f"at {at}: {clip(_written(got), 60)}, not {clip(_written(want), 60)}"


def expected_text(case: Case) -> str:
    """Say what a right answer is: the value, or that a schema must fit."""
    rules = rules_of(case, JsonCase)
    if "expected" not in rules.model_fields_set:
        return "JSON that fits the schema"
    return clip(rules.expected if isinstance(rules.expected, str) else _written(rules.expected))


def _case_fault(case: Case, shared_fault: _Fault | None) -> _Fault:
    rules = rules_of(case, JsonCase)
    if rules.schema is not None:
        return _schema_fault(rules.schema, lambda why: _fail_case(case, why))
    if "expected" in rules.model_fields_set:
        want = _expected_value(case, rules.expected)
        return lambda got: difference(want, got)
    if shared_fault is None:
        _fail_case(case, "there is no `expected` and no `schema`, here or in the suite; write one of them.")
    return shared_fault


def _expected_value(case: Case, expected: Any) -> Any:
    if not isinstance(expected, str):
        return expected
    try:
        return parse(expected)
    except ValueError as fault:
        if expected.lstrip().startswith(("{", "[")):
            _fail_case(case, f"`expected` is not JSON ({fault}); mend it, or write it as YAML.")
        return expected


def _schema_fault(schema: dict[str, Any], fail: Callable[[str], NoReturn]) -> _Fault:
    # jsonschema takes 0.1 s to import, and few suites need it
    from jsonschema import SchemaError, validators
    from jsonschema.exceptions import best_match
    from referencing import Registry

    plain = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        plain.check_schema(schema)
    except SchemaError as error:
        fail(f"this is no JSON schema: {error.message} (at {error.json_path}); see json-schema.org.")
    timed: Any = validators.extend(plain, {"pattern": _check_pattern})  # type: ignore[no-untyped-call]
    for ref in _dangling(schema):
        fail(f"it refers to {ref}, which is not in it; nothing is fetched, so write it under $defs.")
    # a registry of our own: jsonschema's default one would fetch what a $ref names from the network
    validator = timed(schema, registry=Registry())

    def fault(value: Any) -> str | None:
        worst = best_match(validator.iter_errors(value))
        return None if worst is None else f"at {worst.json_path}: {clip(worst.message)}"

    return fault


def _dangling(schema: dict[str, Any]) -> Iterator[str]:
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resource = Resource.from_contents(schema, default_specification=DRAFT202012)
    base = resource.id() or ""
    resolver = Registry().with_resource(base, resource).crawl().resolver(base)
    level: list[Any] = [schema]
    while level:
        for ref in (found.get("$ref") for found in level if isinstance(found, dict)):
            if isinstance(ref, str):
                try:
                    resolver.lookup(ref)
                except Unresolvable:
                    yield ref
        # below an $id of its own a reference has another base: those show when an answer meets them
        inner = (found for outer in level for found in _inside(outer))
        level = [found for found in inner if not (isinstance(found, dict) and "$id" in found)]


def _check_pattern(validator: Any, pattern: str, value: object, schema: object) -> Any:
    import regex
    from jsonschema import ValidationError

    del validator, schema
    if not isinstance(value, str):
        return
    try:
        match = regex.search(pattern, value, timeout=PATTERN_TIME_S)
    except TimeoutError:
        raise overtime(pattern) from None
    if not match:
        yield ValidationError(f"{clip(value, 60)!r} does not match {pattern!r}")


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _fail_case(case: Case, why: str) -> NoReturn:
    raise SuiteFault(f'case "{case.id}": {why}', path=case.path, line=case.line)


def _fail_suite(suite: Suite, why: str) -> NoReturn:
    raise SuiteFault(f"the suite's `schema`: {why}", path=suite.path)


KIND = GraderKind(
    name="json",
    case_fields=JsonCase,
    suite_fields=JsonSuite,
    build=build,
    is_expected_text=False,
    reasons=(Reason.CORRECT, Reason.DIFFERENT, Reason.UNPARSED),
    expected_text=expected_text,
)
