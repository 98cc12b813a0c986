"""What graders share in reading their own fields of cases and suites."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Answer, AnswerError, Case, Grade, Json, Prompt, PromptStyle, Sampling, Suite


class Grader(Protocol):
    """Judge an answer to a case: pure and deterministic; its time is in no latency."""

    def __call__(self, case: Case, answer: Answer) -> Grade:
        """Give the grade; an exception is an error of the harness, not a wrong answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How a suite has its answers judged by a model: two pure functions, and how that model is to be asked.

    `prompt(case, answer, style)` gives what the judge is sent, None where an answer needs no judge.
    `grade(case, answer, replies)` reads what came back, a reply a vote (none where the judge was not
    asked): the grade, or the error that the replies give none.
    `reply_schema(case)` is the JSON schema of a reply.  `prompt_sha256` changes with the words of the prompt, not
    with case and answer.  `sampling` is the suite's; the judge's entry may override parts of it.
    `allow_self` lets a model judge its own answers.
    """

    prompt: Callable[[Case, Answer, PromptStyle], Prompt | None]
    grade: Callable[[Case, Answer, Sequence[Answer | AnswerError]], Grade | AnswerError]
    reply_schema: Callable[[Case], Mapping[str, Json]]
    prompt_sha256: str
    sampling: Sampling
    votes: int = 1
    allow_self: bool = False


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a check has to say about a case (or, without one, about its suite)."""

    severity: Severity
    message: str
    case: str | None = None


def no_findings(suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    """Find nothing: the check of a grader that has none."""
    del suite, root, is_thorough
    return ()


def no_labels(suite: Suite) -> tuple[tuple[str, ...], bool]:
    """Ask for no labels: those of a grader that reads only text."""
    del suite
    return (), False


def no_judging(suite: Suite, root: Path) -> Judging | None:
    """Ask no judge: the grader does all by itself."""
    del suite, root
    return None


def plain_expected(case: Case) -> str:
    """Say what was expected of a case with an `expected` text."""
    return case.expected if isinstance(case.expected, str) else ", ".join(case.expected or ())


class Check(Protocol):
    """Look at a loaded suite before any model is asked."""

    def __call__(self, suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
        """Give what there is to say; `is_thorough` in `llmbench validate`, not in a run.

        `root` is the root directory of the project, below which `fixtures/` lies.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderKind:
    """How suites use one grader. Other packages add theirs with the hook `pytest_llmbench_graders`.

    `case_fields` and `suite_fields` are pydantic classes that forbid unknown keys; their
    fields are what a case and a suite may say to the grader.  `build(suite, root)` gives
    the grader of a suite and raises `SuiteFault` for rules that cannot work.
    `is_expected_text` is False where `expected` keeps its YAML type.
    `has_format` says whether `format_ok` means something for its grades.
    `expected_text` says in a line or few what a right answer to a case is.
    `version` changes when the same answer may get another grade.
    `labels` gives the texts of a suite whose probability as the answer is wanted, and whether the likeliest
    of them is to be the answer (`Request.labels`, `Request.picks_label`).
    `judging(suite, root)` says how a judge model is asked in place of `build`'s grader where one is named; None for
    a suite that asks none.
    """

    name: str
    case_fields: type[Any]
    suite_fields: type[Any]
    build: Callable[[Suite, Path], Grader]
    check: Check = no_findings
    is_expected_text: bool = True
    has_format: bool = False
    expected_text: Callable[[Case], str] = plain_expected
    version: int = 1
    labels: Callable[[Suite], tuple[tuple[str, ...], bool]] = no_labels
    judging: Callable[[Suite, Path], Judging | None] = no_judging


Fields = TypeVar("Fields")


class NoFields(Strict):
    """A suite that has nothing to say to its grader."""


def rules_of(owner: Case | Suite, fields: type[Fields]) -> Fields:
    """Give the grader's checked fields of a case or suite.

    Raises:
        TypeError: it was loaded for another grader.
    """
    if not isinstance(owner.rules, fields):
        name = owner.id if isinstance(owner, Case) else owner.name
        raise TypeError(f'"{name}" holds {type(owner.rules).__name__}, this grader reads {fields.__name__}')
    return owner.rules
