"""The protocols of graders, and `GraderKind`, by which the rest of the package knows one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from pytest_llmbench.values import Answer, AnswerError, Case, Grade, Json, Outcome, Prompt, PromptStyle, Sampling, Suite


class Grader(Protocol):
    """Grade an answer to a case: pure and deterministic; its time is in no latency."""

    def __call__(self, case: Case, answer: Answer) -> Grade:
        """Give the grade; an exception is an error of the harness, not a wrong answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a judge is asked about an answer, and the JSON schema of its reply.

    `place` is its number among all questions about an answer to the case, from 0, whether they are asked or not.
    """

    prompt: Prompt
    reply_schema: Mapping[str, Json]
    place: int = 0


def _no_prompt(case: Case, answer: Answer, style: PromptStyle) -> None:
    del case, answer, style


def _no_schema(case: Case) -> Mapping[str, Json]:
    del case
    return {}


def _one(case: Case) -> int:
    del case
    return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeGrader:
    """How a judge model grades the answers of a suite: pure functions, and what its requests are like.

    `prompt(case, answer, style)` gives what the judge is sent, None where an answer needs no judge.
    `grade(case, answer, replies)` reads what came back, a reply a vote (none where the judge was not
    asked): the grade, or the error that the replies give none.
    `reply_schema(case)` is the JSON schema of a reply.  `prompt_sha256` changes with the words of the prompt, not
    with case and answer.  `sampling` is the suite's; the judge's entry may override parts of it.
    `allow_self` lets a model judge its own answers.
    A grader that asks several questions about an answer gives `questions(case, answer, style)` in place of `prompt` and
    `reply_schema`, and how many there are at most for a case; `grade` gets the votes on one behind those on the other.
    """

    grade: Callable[[Case, Answer, Sequence[Answer | AnswerError]], Grade | AnswerError]
    prompt_sha256: str
    sampling: Sampling
    prompt: Callable[[Case, Answer, PromptStyle], Prompt | None] = _no_prompt
    reply_schema: Callable[[Case], Mapping[str, Json]] = _no_schema
    questions: Callable[[Case, Answer, PromptStyle], Sequence[Question]] | None = None
    most_questions: Callable[[Case], int] = _one
    votes: int = 1
    allow_self: bool = False

    def asked(self, case: Case, answer: Answer, style: PromptStyle) -> Sequence[Question]:
        """Give the questions about an answer."""
        if self.questions is not None:
            return self.questions(case, answer, style)
        prompt = self.prompt(case, answer, style)
        return () if prompt is None else (Question(prompt=prompt, reply_schema=self.reply_schema(case)),)


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A remark of a check on a case (or, without one, on its suite); `line` is where, if not where the case begins.

    `kind` is what many like it are together, in the plural, and `example` what is particular of this one: `llmbench
    validate` writes many hints of one kind as one.
    """

    severity: Severity
    message: str
    case: str | None = None
    line: int | None = None
    kind: str | None = None
    example: str = ""


class Graded(Protocol):
    """An answer's grade, as `same_result` compares it: a `Grade`, or a sample of a run."""

    @property
    def outcome(self) -> Outcome:
        """Passed or failed."""
        ...

    @property
    def explanation(self) -> str | None:
        """The sentence of the grade."""
        ...

    @property
    def parts(self) -> Mapping[str, Json]:
        """Its named details."""
        ...


def no_findings(suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    """Find nothing: the check of a grader that has none."""
    del suite, root, is_thorough
    return ()


def no_result(old: Graded, new: Graded) -> bool | None:
    """Compare nothing: the answers of this grader have no result beside their text."""
    del old, new
    return None


def no_labels(suite: Suite) -> tuple[tuple[str, ...], bool]:
    """Ask for no labels: those of a grader that reads only text."""
    del suite
    return (), False


def no_judge_grader(suite: Suite, root: Path) -> JudgeGrader | None:
    """Ask no judge: the grader works by itself."""
    del suite, root
    return None


def no_data(_suite: Suite, _root: Path) -> Mapping[str, str]:
    """Give the digests of the data of a grader that reads none."""
    return {}


def no_need(suite: Suite) -> "Finding | None":
    """Need no judge: the suite is graded without one too."""
    del suite
    return None


def no_references(case: Case) -> tuple[str, ...]:
    """Know no right answer: that of a grader that only tests one."""
    del case
    return ()


def expected_reference(case: Case) -> tuple[str, ...]:
    """Give the expected text as the right answer."""
    return (case.expected,) if isinstance(case.expected, str) else ()


def no_wrong_answers(suite: Suite, case: Case) -> tuple[str, ...]:
    """Know no wrong answer."""
    del suite, case
    return ()


def nothing_begun(suite: Suite) -> str | None:
    """Tell that the prompts of a suite begin no answer."""
    del suite
    return None


def plain_expected(case: Case) -> str:
    """Give what was expected of a case with an `expected` text."""
    return case.expected if isinstance(case.expected, str) else ", ".join(case.expected or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Texts of a case that a model is to compare, each written behind its prompt and the delimiter."""

    texts: tuple[str, ...]
    delimiter: str


def no_choices(suite: Suite, case: Case) -> Choices | None:
    """Have a model compare nothing: its text is graded."""
    del suite, case
    return None


def nothing_of_the_suite(of_suite: Any) -> Mapping[str, Json]:
    """Take nothing of a suite into the digests of its cases."""
    del of_suite
    return {}


class Check(Protocol):
    """Look at a loaded suite before any model is asked."""

    def __call__(self, suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
        """Give the findings; `is_thorough` in `llmbench validate`, not in a run.

        `root` is the root directory of the project, below which `fixtures/` lies.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderKind:
    """How suites use one grader. Other packages add theirs with the hook `pytest_llmbench_graders`.

    `case_fields` and `suite_fields` are pydantic classes that forbid unknown keys: the fields of a
    case and of a suite that this grader reads.  `build(suite, root)` gives the grader of a suite and
    raises `SuiteFault` for fields that cannot work.
    `is_expected_text` is False where `expected` keeps its YAML type.  `text_fields` are further fields of the
    case or the suite whose values are the texts they are written as (`labels: [yes, no]`).
    `reads_inputs` is True where the grader reads the inputs of a case, so that one that no prompt template uses may
    still be meant.
    `expected_text` describes in a line or few what a right answer to a case is.
    `version` changes when the same answer may get another grade.
    `is_parallel` is True where several answers may be graded at once, in threads that mostly wait (`--llm-graders`).
    `reasons` are the words its grades give beside `empty` and `refusal`; empty where they are not fixed.
    `labels` gives the texts of a suite whose probability as the answer is wanted, and whether the likeliest
    of them is to be the answer (`Request.labels`, `Request.picks_label`).
    `choices(suite, case)` gives the texts of a case that a model compares in place of writing (`Request.delimiter`);
    None where it writes.
    `in_digest(of_suite)` gives what of the suite's fields belongs to the digest of each of its cases, so that runs
    measured with other values are not compared.
    `uncounted` names the fields of a suite that change no grade, such as what a report shows; runs that differ in
    others are not compared.
    `same_result(old, new)` compares what two answers to one case lead to, such as the rows of their queries, where
    that is more than their text; None where there is nothing to compare.
    `references(case)` gives texts that are right answers, `wrong_answers(suite, case)` such as are surely wrong, as
    training data needs them.  `begun_word(suite)` is the word of an answer that the completion prompts of a suite end
    in, so that an answer goes on behind it; None where they begin none.
    `data_digests(suite, root)` gives the digests of what the grades depend on beside the suite, such as a database, by
    name; runs in which one differs are not compared.
    `judge_grader(suite, root)` gives how a judge model is asked in place of `build`'s grader where one is named; None
    for a suite that asks none.  `needs_judge(suite)` explains why a suite cannot be graded without one.
    """

    name: str
    case_fields: type[Any]
    suite_fields: type[Any]
    build: Callable[[Suite, Path], Grader]
    check: Check = no_findings
    is_expected_text: bool = True
    text_fields: frozenset[str] = frozenset()
    reads_inputs: bool = False
    expected_text: Callable[[Case], str] = plain_expected
    version: int = 1
    is_parallel: bool = False
    reasons: tuple[str, ...] = ()
    labels: Callable[[Suite], tuple[tuple[str, ...], bool]] = no_labels
    choices: Callable[[Suite, Case], Choices | None] = no_choices
    in_digest: Callable[[Any], Mapping[str, Json]] = nothing_of_the_suite
    uncounted: frozenset[str] = frozenset()
    same_result: Callable[[Graded, Graded], bool | None] = no_result
    judge_grader: Callable[[Suite, Path], JudgeGrader | None] = no_judge_grader
    needs_judge: Callable[[Suite], Finding | None] = no_need
    references: Callable[[Case], tuple[str, ...]] = no_references
    wrong_answers: Callable[[Suite, Case], tuple[str, ...]] = no_wrong_answers
    begun_word: Callable[[Suite], str | None] = nothing_begun
    data_digests: Callable[[Suite, Path], Mapping[str, str]] = no_data

    def settings(self, suite: Suite) -> Mapping[str, Json]:
        """Give the fields of a suite that decide its grades, without those that have their default."""
        if not isinstance(suite.rules, self.suite_fields):
            return {}
        given = suite.rules.model_dump(mode="json", exclude_defaults=True, exclude=set(self.uncounted))
        return cast("Mapping[str, Json]", given)

    @property
    def asks_judge(self) -> bool:
        """Whether suites of this grader may ask a judge model."""
        return self.judge_grader is not no_judge_grader

    @property
    def case_keys(self) -> frozenset[str]:
        """The names of the fields of a case."""
        return frozenset(self.case_fields.model_fields)

    @property
    def suite_keys(self) -> frozenset[str]:
        """The names of the fields of a suite."""
        return frozenset(self.suite_fields.model_fields)


Fields = TypeVar("Fields")


def rules_of(owner: Case | Suite, fields: type[Fields]) -> Fields:
    """Give the grader's checked fields of a case or suite.

    Raises:
        TypeError: it was loaded for another grader.
    """
    if not isinstance(owner.rules, fields):
        name = owner.id if isinstance(owner, Case) else owner.name
        raise TypeError(f'"{name}" holds {type(owner.rules).__name__}, this grader reads {fields.__name__}')
    return owner.rules
