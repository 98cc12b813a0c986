"""SQL answers, evaluated by what they return on databases made to tell near misses apart.

A case has the `reference`, the suite names the database; docs/sql.md describes what is evaluated and by which
conventions.  The work is done in `pytest_llmbench.sql`, in a process of its own.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_text import graded_unless_void
from pytest_llmbench.grading.base import Finding, Graded, Grader, GraderKind, Severity
from pytest_llmbench.grading.fields import as_list
from pytest_llmbench.models.validation import Switch, kept
from pytest_llmbench.sql.translate.dialects import NAMES
from pytest_llmbench.values import Answer, Case, Grade, Outcome, PromptStyle, Reason, Suite

if TYPE_CHECKING:
    from pytest_llmbench.sql.protocol import Database, Instance, Question, Trial

_ORDERS = (1, 2, 3)  # the other orders of rows in which a reference must give the same


def _known_dialect(name: str | None) -> str | None:
    if name is not None and name.lower() not in NAMES:
        raise ValueError(f"unknown dialect {name!r}; known are {', '.join(sorted(NAMES))}")
    return None if name is None else name.lower()


Query = Annotated[str, Field(json_schema_extra={"pattern": r"\S"})]


class SqlCase(BaseModel):
    """The fields of a case.

    `reference` is one DuckDB query or a list of accepted ones, `now()` in it the instance's moment.
    `ordered`: rows must come in the reference's order; by default they must where it has a top-level ORDER BY.
    `extra_columns`: the answer may have columns besides. `dialect` is a hint: it is tried first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: Annotated[
        tuple[Query, ...],
        BeforeValidator(as_list, json_schema_input_type=Query | Annotated[list[Query], Field(min_length=1)]),
    ] = Field(min_length=1)
    ordered: Switch | None = None
    extra_columns: Switch = False
    dialect: str | None = None

    _dialect = field_validator("dialect")(_known_dialect)

    @field_validator("reference")
    @classmethod
    def _is_written(cls, references: tuple[str, ...]) -> tuple[str, ...]:
        if not all(reference.strip() for reference in references):
            raise ValueError("a reference is empty; write a DuckDB query")
        return references


class SqlSuite(BaseModel):
    """The fields of a suite.

    `database` is the folder of its data, `time_limit_s` the time that an answer's queries have together, `dialect`
    one to try first.  `begins` is the word of the statement that the prompt ends in, SELECT or WITH: an answer goes on
    behind it.  Left out, it is taken from the end of the completion template.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    database: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    time_limit_s: Annotated[float, Field(gt=0, le=600), kept(int, float)] = 2.0
    dialect: str | None = None
    begins: Literal["SELECT", "WITH"] | None = None

    _dialect = field_validator("dialect")(_known_dialect)


def build(suite: Suite, root: Path) -> Grader:
    """Give the grader of a suite, its database built; the worker process starts meanwhile."""
    from pytest_llmbench.sql.database import files
    from pytest_llmbench.sql.pool import shared_worker
    from pytest_llmbench.sql.worker import WorkerFaultError

    rules = _suite_rules(suite)
    worker = shared_worker()
    worker.start_early()
    instances = files.build(_database(suite, root))
    begins = begun_word(suite)

    def grade(case: Case, answer: Answer) -> Grade:
        """Evaluate one answer; a reference that cannot be used is a fault of the suite."""
        question = _question(_case_rules(case), rules, instances, begins)
        try:
            evaluation = worker.evaluate(answer.text, question)
        except WorkerFaultError as fault:
            raise SuiteFault(
                f'the reference of case "{case.id}" cannot be used: {fault}',
                path=case.path,
                line=case.line or None,
            ) from fault
        is_correct = evaluation.reason is Reason.CORRECT
        return Grade(
            score=1.0 if is_correct else 0.0,
            passed=is_correct,
            reason=evaluation.reason,
            explanation=evaluation.explanation,
            parts=evaluation.parts,
        )

    return graded_unless_void(grade)


def expected_text(case: Case) -> str:
    """Give the first accepted query, and how many others there are."""
    first, *others = _case_rules(case).reference
    return f"{first.strip()}\n({len(others)} more are accepted)" if others else first.strip()


def references(case: Case) -> tuple[str, ...]:
    """Give the accepted queries."""
    return tuple(reference.strip() for reference in _case_rules(case).reference)


def data_digests(suite: Suite, root: Path) -> Mapping[str, str]:
    """Give the digest of the database, by its name."""
    from pytest_llmbench.sql.database import files

    return {_suite_rules(suite).database: files.contents_sha256(_database(suite, root))}


def begun_word(suite: Suite) -> str | None:
    """Give the word of a statement that the completion prompts end in."""
    return _suite_rules(suite).begins or _begun_word(suite)


def check(suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    """Run every reference on every instance, as written and with the rows in other orders."""
    from pytest_llmbench.sql.database import files
    from pytest_llmbench.sql.mutation.trials import TrialMemory
    from pytest_llmbench.sql.worker import WorkerFaultError

    database = _database(suite, root)
    instances = files.build(database)
    memories = [TrialMemory(files.build(database, order=order)) for order in (0, *_ORDERS)]
    names = [instance.name for instance in instances]
    limit_s = _suite_rules(suite).time_limit_s
    found: list[Finding] = []
    for case in suite.cases:
        for place, reference in enumerate(_case_rules(case).reference):
            label = f"reference {place + 1}" if len(_case_rules(case).reference) > 1 else "the reference"
            try:
                tried = [memory.trials(reference, limit_s) for memory in memories]
            except WorkerFaultError as fault:
                message = f"{label} does not run: {fault}"
                found.append(Finding(severity=Severity.ERROR, message=message, case=case.id))
            else:
                found.extend(_reference_findings(case, label, names, tried, is_thorough=is_thorough))
    for memory in memories:
        memory.save()
    if is_thorough and (sys.platform == "darwin" or find_spec("resource") is None):
        message = "this platform cannot limit the memory of the process that runs answers; see docs/sql.md"
        found.append(Finding(severity=Severity.ADVICE, message=message))
    word = None if _suite_rules(suite).begins else _begun_word(suite)
    if is_thorough and word is not None:
        message = (
            f"the completion prompt ends in {word}: an answer is read as what goes on behind it; "
            f'confirm it with begins: "{word}" in the suite'
        )
        found.append(Finding(severity=Severity.ADVICE, message=message))
    if is_thorough and not any(finding.severity is Severity.ERROR for finding in found):
        found.extend(_mutant_findings(suite, instances))
    return tuple(found)


def _suite_rules(suite: Suite) -> SqlSuite:
    if not isinstance(suite.rules, SqlSuite):
        raise TypeError(f"suite {suite.name} was loaded without the rules of the grader sql")
    return suite.rules


def _case_rules(case: Case) -> SqlCase:
    if not isinstance(case.rules, SqlCase):
        raise TypeError(f"case {case.id} was loaded without the rules of the grader sql")
    return case.rules


def _database(suite: Suite, root: Path) -> "Database":
    from pytest_llmbench.sql.database.files import find_database

    return find_database(_suite_rules(suite).database, suite_path=suite.path, root=root)


def _begun_word(suite: Suite) -> str | None:
    """Give the word of a statement that the completion template ends in."""
    text = "".join(template for _, template in suite.prompt_source.get(PromptStyle.COMPLETION, ()))
    word = re.search(r"\b(SELECT|WITH)\s*\Z", text)
    return None if word is None else word.group(1)


def _question(
    case: SqlCase, suite: SqlSuite, instances: "tuple[Instance, ...]", begins: str | None = None
) -> "Question":
    from pytest_llmbench.sql.protocol import Question

    return Question(
        references=case.reference,
        instances=instances,
        is_ordered=case.ordered,
        may_have_extra_columns=case.extra_columns,
        dialect=case.dialect or suite.dialect,
        limit_s=suite.time_limit_s,
        begins=begins,
    )


def _reference_findings(
    case: Case, label: str, names: "list[str]", tried: "list[tuple[Trial, ...]]", *, is_thorough: bool
) -> Iterator[Finding]:
    """Look at one reference: it must run, give rows, and give the same whatever order the rows were put in.

    `tried` holds its trials on the instances as written, then on the same with the rows in other orders.
    """
    grave = Severity.ERROR if is_thorough else Severity.WARNING
    failed = next(((name, trial) for name, trial in zip(names, tried[0], strict=True) if trial.fault), None)
    if failed is not None:
        yield Finding(
            severity=Severity.ERROR,
            message=f"{label} does not run on instance {failed[0]}: {failed[1].fault}",
            case=case.id,
        )
        return
    empty = [name for name, trial in zip(names, tried[0], strict=True) if trial.n_rows == 0]
    if empty:
        message = (
            f"{label} gives no row on instance {', '.join(empty)}; change the data so that an empty answer is wrong."
        )
        yield Finding(severity=grave, message=message, case=case.id)
    if is_thorough and tried[0][0].is_loose:
        message = (
            f"{label} selects a column that nothing groups by; it is read as the group's value where it has only one, "
            "else as NULL, or taken from the row of the only MIN or MAX"
        )
        yield Finding(severity=Severity.ADVICE, message=message, case=case.id)
    way_out = "sort by more columns or change the data"
    for name, *trials in zip(names, *tried, strict=True):
        tie = trials[0].tie
        what = _dependence(trials, is_ordered=_case_rules(case).ordered)
        if tie is not None:
            message = f"{label} has a tie on instance {name}: {tie}, and any of them is accepted; {way_out}."
        elif what is not None:
            message = f"{label} gives {what} on instance {name} when the rows are put in differently: a tie; {way_out}."
        else:
            continue
        yield Finding(severity=grave, message=message, case=case.id)
        break


def _dependence(trials: "list[Trial]", *, is_ordered: bool | None) -> str | None:
    """Describe what depends on the order of the rows in the tables: what comes out, or its order where that counts."""
    if len({trial.rows_sha256 for trial in trials}) > 1:
        return "other rows"
    counts = trials[0].is_sorted if is_ordered is None else is_ordered
    if counts and len({trial.ordered_rows_sha256 for trial in trials}) > 1:
        return "its rows in another order"
    return None


def _mutant_findings(suite: Suite, instances: "tuple[Instance, ...]") -> Iterator[Finding]:
    """Name the small changes to each reference that no instance tells from it."""
    from pytest_llmbench.sql.mutation.mutants import mutants
    from pytest_llmbench.sql.pool import shared_worker

    for case in suite.cases:
        question = _question(_case_rules(case), _suite_rules(suite), instances)
        for reference in question.references:
            made = mutants(reference)
            for place in shared_worker().survivors(tuple(mutant.sql for mutant in made), question):
                message = (
                    f"no instance tells the reference from a near miss ({made[place].description}): {made[place].sql}"
                )
                yield Finding(
                    severity=Severity.ADVICE,
                    message=message,
                    case=case.id,
                    kind="near misses that no instance tells from their reference",
                    example=made[place].description,
                )


def same_result(old: Graded, new: Graded) -> bool | None:
    """Tell whether two queries returned the same; None where neither ran."""
    results = _result(old), _result(new)
    return None if results == (None, None) else results[0] == results[1]


def _result(graded: Graded) -> str | None:
    """Describe what a query returned, as far as its grade knows; None if it did not run.

    That is the reference's result, or how it departs from it: where, in how many rows, and the first of those.
    """
    if graded.outcome is Outcome.PASSED:
        return f"reference {graded.parts.get('reference')}"
    if graded.parts.get("difference") is None:
        return None
    departure = (graded.parts.get("instance"), graded.explanation, graded.parts["difference"])
    return json.dumps(departure, sort_keys=True, default=str)


KIND = GraderKind(
    name="sql",
    case_fields=SqlCase,
    suite_fields=SqlSuite,
    build=build,
    check=check,
    expected_text=expected_text,
    version=3,
    is_parallel=True,
    reasons=(
        Reason.CORRECT,
        Reason.WRONG_RESULT,
        Reason.INVALID,
        Reason.UNSAFE,
        Reason.TOO_SLOW,
        Reason.NO_SQL,
    ),
    same_result=same_result,
    references=references,
    begun_word=begun_word,
    data_digests=data_digests,
)
