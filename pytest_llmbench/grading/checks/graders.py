"""Checks that a grader grades: label (`yes_no`), sql, key_points, and function."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pytest_llmbench.grading import function, yes_no
from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.grading.checks.base import CheckFields, CheckKind, PathFields, Placed, Short, Test, Written, quoted
from pytest_llmbench.grading.checks.behind import Behind, built, findings_behind, tests_behind
from pytest_llmbench.grading.key_points.grader import KIND as KEY_POINTS_GRADER
from pytest_llmbench.grading.key_points.rubric import KeyPointsCase, KeyPointsSuite
from pytest_llmbench.grading.sql import KIND as SQL_GRADER
from pytest_llmbench.grading.sql import SqlCase, SqlSuite
from pytest_llmbench.models.validation import Share, Switch, kept
from pytest_llmbench.values import Json, Suite

_SQL_OPTIONS = frozenset(SqlSuite.model_fields) - {"dialect"}
_PLAIN = frozenset({"name", "weight", "required"})


class LabelFields(PathFields):
    """The answer is this label out of `labels`, and nothing else."""

    label: Written
    labels: Annotated[tuple[Written, ...], Field(min_length=2)] = ("yes", "no")


class SqlValue(SqlCase):
    """A query that returns what the `reference` does on the `database`."""

    database: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    time_limit_s: Annotated[float, Field(gt=0, le=600), kept(int, float)] = 2.0
    begins: Literal["SELECT", "WITH"] | None = None


class SqlFields(CheckFields):
    """The answer is a query that returns the right rows."""

    sql: SqlValue


class KeyPointsValue(KeyPointsCase):
    """An explanation that makes its points, with the score from which it passes."""

    threshold: Share = KeyPointsSuite.model_fields["threshold"].default

    @model_validator(mode="after")
    def _patterns_decide(self) -> Self:
        name = next((entry.name for entry in (*self.points, *self.forbid) if not entry.any), None)
        if name is not None:
            raise ValueError(f'"{name}" has no patterns, by which this check decides; write `any`, or a rubric')
        return self


class KeyPointsFields(PathFields):
    """The answer makes the points; patterns decide, no judge model is asked."""

    key_points: KeyPointsValue


class FunctionFields(CheckFields):
    """A function of the user's own grades the answer; `trim` takes whitespace off it before."""

    function: Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$")]
    trim: Switch = True


def _label(one: Placed) -> Behind:
    rules = yes_no.YesNoSuite(labels=one.fields.labels)
    return Behind(grader=yes_no.KIND, case_rules=yes_no.YesNoCase(expected=one.fields.label), suite_rules=rules)


def _sql(one: Placed) -> Behind:
    given = one.fields.sql.model_dump(exclude_unset=True)
    case_rules = SqlCase.model_validate({key: given[key] for key in given if key in SqlCase.model_fields})
    options = {key: given[key] for key in given if key in _SQL_OPTIONS}
    return Behind(grader=SQL_GRADER, case_rules=case_rules, suite_rules=SqlSuite.model_validate(options))


def _key_points(one: Placed) -> Behind:
    fields = one.fields.key_points
    given = {key: getattr(fields, key) for key in KeyPointsCase.model_fields}
    rules = KeyPointsSuite.model_validate({"threshold": fields.threshold, "judge": False})
    return Behind(grader=KEY_POINTS_GRADER, case_rules=KeyPointsCase.model_construct(**given), suite_rules=rules)


def _functions(placed: Sequence[Placed], suite: Suite, root: Path) -> Sequence[Test]:
    first = {(one.fields.function, one.fields.trim): one.case for one in reversed(placed)}
    tests = {
        (name, trims): built(partial(function.build, trims=trims), replace(suite, grader=name), root, case)
        for (name, trims), case in first.items()
    }
    return [tests[one.fields.function, one.fields.trim] for one in placed]


def _short_of(kind: str, grader: str, fields: frozenset[str]) -> Any:
    def short(given: Mapping[str, Any], *, is_of_suite: bool) -> Short | None:
        options = {key for key, value in given.items() if (key, value) != ("fence", True)}
        if not options <= _PLAIN | {kind}:
            return None
        left_out = {"dialect"} if is_of_suite else set()
        return grader, {key: value for key, value in given[kind].items() if key in fields - left_out}

    return short


def _label_short(given: Mapping[str, Json], *, is_of_suite: bool) -> Short | None:
    del is_of_suite
    options = {key for key, value in given.items() if (key, value) != ("fence", True)}
    return ("yes_no", {"expected": given["label"]}) if options <= _PLAIN | {"label", "labels"} else None


def _function_short(given: Mapping[str, Json], *, is_of_suite: bool) -> Short | None:
    del is_of_suite
    return (str(given["function"]), {}) if set(given) <= _PLAIN | {"function"} else None


LABEL = CheckKind(
    name="label",
    fields=LabelFields,
    build=partial(tests_behind, behind=_label),
    expected=lambda fields: f"the label {quoted((fields.label,), 'or')}",
    version=yes_no.KIND.version,
    short=_label_short,
)
SQL = CheckKind(
    name="sql",
    fields=SqlFields,
    build=partial(tests_behind, behind=_sql),
    expected=lambda fields: f"SQL that returns what this does: {clip(fields.sql.reference[0])}",
    version=SQL_GRADER.version,
    is_local=False,
    short=_short_of("sql", "sql", frozenset(SqlCase.model_fields)),
    findings=partial(findings_behind, behind=_sql),
)
KEY_POINTS = CheckKind(
    name="key_points",
    fields=KeyPointsFields,
    build=partial(tests_behind, behind=_key_points),
    expected=lambda fields: f"makes the points: {'; '.join(point.name for point in fields.key_points.points)}",
    version=KEY_POINTS_GRADER.version,
    short=_short_of("key_points", "key_points", frozenset(KeyPointsCase.model_fields)),
    findings=partial(findings_behind, behind=_key_points),
)
FUNCTION = CheckKind(
    name="function",
    fields=FunctionFields,
    build=_functions,
    expected=lambda fields: f"the function {fields.function}",
    is_local=False,
    short=_function_short,
)
