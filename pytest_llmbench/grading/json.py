"""The grader `json`: the answer is JSON and is equal to what was expected, or fits a JSON schema.

`json_answer` reads the value in an answer.  Objects are equal whatever the order of their keys, numbers by value
(1 equals 1.0), texts as in `equal_texts`, and true is not 1.

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
from pytest_llmbench.grading.equal_texts import Fold, fold, folding, unseen_difference
from pytest_llmbench.grading.json_answer import inside, json_in, parse
from pytest_llmbench.grading.match import PATTERN_TIME_S, literal_grade, overtime
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Switch
from pytest_llmbench.values import Answer, Case, Grade, Reason, Suite

_Fault = Callable[[Any], str | None]
"""Describe what is wrong with a value; None if nothing is."""

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
_MAX_DIGITS = 300


class _NumberText(str):
    """An expected text that writes a number: the number is as right as the text."""

    __slots__ = ()


with warnings.catch_warnings():
    # pydantic 2 keeps a deprecated classmethod of this name; the suite format wants the word
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class JsonCase(Strict):
        """A case with the value expected, or with a schema; without either the suite's schema holds.

        A text that is JSON itself stands for the value it writes (data files hold nothing else); within objects and
        arrays, a text that writes a number stands for both.  Null is a value.
        `verbatim` where each character of a text counts.
        """

        expected: Any = None
        schema: dict[str, Any] | None = None  # type: ignore[assignment]
        verbatim: Switch = False

        @property
        def has_expected(self) -> bool:
            """Whether a value is expected, null among them, and no schema."""
            return "expected" in self.model_fields_set and self.schema is None

        @model_validator(mode="after")
        def _one_of_both(self) -> Self:
            if self.expected is not None and self.schema is not None:
                raise ValueError("a case has `expected` or `schema`, not both; take one out")
            return self

    class JsonSuite(Strict):
        """A suite that may have a schema for the cases without a value or schema of their own."""

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

    def grade(case: Case, answer: Answer) -> Grade:
        try:
            value = json_in(answer.text)
        except ValueError as fault:
            return Grade(
                score=0.0,
                passed=False,
                reason=Reason.UNPARSED,
                explanation=f'Expected {expected_text(case)}, found no JSON ({fault}): "{clip(answer.text)}".',
            )
        wrong = faults[case.id](value)
        return literal_grade(wrong is None, expected_text(case) + (f" ({wrong})" if wrong else ""), answer.text)

    return graded_unless_void(grade)


def difference(want: Any, got: Any, at: str = "$", *, fold: Fold = fold) -> str | None:
    """Describe where two JSON values differ first; None if they are equal. `fold` gives the texts that are compared."""
    if isinstance(want, dict) and isinstance(got, dict):
        wanted, found = _by_folded_key(want, fold), _by_folded_key(got, fold)
        for key, (name, _) in (wanted | found).items():
            if key not in found or key not in wanted:
                return f"at {at}: key {_written(name)} is {'missing' if key in wanted else 'too much'}"
        pairs = ((name, value, found[key][1]) for key, (name, value) in wanted.items())
        faults = (difference(value, other, f"{at}.{name}", fold=fold) for name, value, other in pairs)
        return next(filter(None, faults), None)
    if isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return f"at {at}: {len(got)} items, not {len(want)}"
        faults = (
            difference(*pair, f"{at}[{place}]", fold=fold) for place, pair in enumerate(zip(want, got, strict=True))
        )
        return next(filter(None, faults), None)
    if isinstance(want, str) and isinstance(got, str):
        if fold(want) == fold(got):
            return None
        unseen = unseen_difference(want, got)
        return f"at {at}: {clip(_written(got), 60)}, not {clip(_written(want), 60)}{f'; {unseen}' if unseen else ''}"
    if isinstance(want, _NumberText) and isinstance(got, int | float):
        want = json.loads(want)
    if want == got and isinstance(want, bool) == isinstance(got, bool):
        return None
    return f"at {at}: {clip(_written(got), 60)}, not {clip(_written(want), 60)}"


def _by_folded_key(members: dict[str, Any], fold: Fold) -> dict[str, tuple[str, Any]]:
    """Give name and value of each member by the name that is compared, unless two of them become one."""
    folded = {fold(name): (name, value) for name, value in members.items()}
    return folded if len(folded) == len(members) else {name: (name, value) for name, value in members.items()}


def expected_text(case: Case) -> str:
    """Describe a right answer: the value, or that a schema must fit."""
    rules = rules_of(case, JsonCase)
    if not rules.has_expected:
        return "JSON that fits the schema"
    return clip(rules.expected if isinstance(rules.expected, str) else _written(rules.expected))


def references(case: Case) -> tuple[str, ...]:
    """Give the value as JSON; nothing where a schema says what is right."""
    rules = rules_of(case, JsonCase)
    return (_written(_expected_value(case, rules.expected)),) if rules.has_expected else ()


def _case_fault(case: Case, shared_fault: _Fault | None) -> _Fault:
    rules = rules_of(case, JsonCase)
    if rules.schema is not None:
        return _schema_fault(rules.schema, lambda why: _fail_case(case, why))
    if rules.has_expected:
        want, fold = _expected_value(case, rules.expected), folding(is_verbatim=rules.verbatim)
        want = want if rules.verbatim else _with_numbers(want)
        return lambda got: difference(want, got, fold=fold)
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


def _with_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_numbers(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_numbers(entry) for entry in value]
    is_number = isinstance(value, str) and len(value) <= _MAX_DIGITS and _NUMBER.fullmatch(value)
    return _NumberText(value) if is_number else value


def schema_error(schema: dict[str, Any]) -> str | None:
    """Explain why an object is no JSON schema; None if it is one."""
    # jsonschema takes 0.1 s to import, and few suites need it
    from jsonschema import SchemaError, validators

    try:
        validators.validator_for(schema, default=validators.Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        return f"this is no JSON schema: {error.message} (at {error.json_path}); see json-schema.org."
    return None


def _schema_fault(schema: dict[str, Any], fail: Callable[[str], NoReturn]) -> _Fault:
    from jsonschema import validators
    from jsonschema.exceptions import best_match
    from referencing import Registry

    error = schema_error(schema)
    if error is not None:
        fail(error)
    plain = validators.validator_for(schema, default=validators.Draft202012Validator)
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
        inner = (found for outer in level for found in inside(outer))
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


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


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
    version=3,
    reasons=(Reason.CORRECT, Reason.DIFFERENT, Reason.UNPARSED),
    expected_text=expected_text,
    references=references,
)
