"""From the answers of an item to its result: graded, with its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from pytest_llmbench.errors import Caught, LlmbenchError, caught
from pytest_llmbench.grading.answer_text import refused
from pytest_llmbench.grading.base import Grader
from pytest_llmbench.results.records import Record, Sample, error_sample, graded_sample, outcome_of, ungraded_sample
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.runner.trained import TrainedCases
from pytest_llmbench.values import (
    CUT_OFF,
    Answer,
    AnswerError,
    Grade,
    Json,
    Outcome,
    Prompt,
    Sampling,
)

if TYPE_CHECKING:
    from pytest_llmbench.runner.judge_requests import JudgeRequests


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of an item: its record, and the answers and grades it was made of.

    `grades` has None where a sample is an error.  `is_fatal`: the model can answer nothing more.
    """

    record: Record
    answers: tuple[Answer | AnswerError, ...]
    grades: tuple[Grade | None, ...]
    is_fatal: bool = False

    @property
    def shown(self) -> int | None:
        """The sample to show: the first that failed, else the first with a grade; None if all are errors."""
        graded = [index for index, grade in enumerate(self.grades) if grade is not None]
        failed = (index for index in graded if self.record.samples[index].outcome is Outcome.FAILED)
        return next(failed, graded[0] if graded else None)

    @property
    def shown_pair(self) -> tuple[Answer, Grade]:
        """The answer and grade of the sample to show.

        Raises:
            LookupError: every sample is an error.
        """
        index = self.shown
        answer = None if index is None else self.answers[index]
        grade = None if index is None else self.grades[index]
        if not isinstance(answer, Answer) or grade is None:
            raise LookupError("no sample has a grade")
        return answer, grade


Grades: TypeAlias = list[tuple[Grade | AnswerError | Caught, Mapping[str, Json]]]
"""The grades of an item's answers; beside each stands what its sample is to hold of the judge."""


class ItemGrader:
    """Makes results, and keeps what they were made of.

    `prompts` are those of the results so far, by digest.

    Args:
        builder: what items are asked.
        graders: those of the suites, by name.
        judge: how a judge is asked, where there is one.
        trained: what the models were trained on.
    """

    def __init__(
        self,
        builder: RequestBuilder,
        graders: Mapping[str, Grader],
        judge: "JudgeRequests | None",
        trained: TrainedCases,
    ):
        self._trained = trained
        self.prompts: dict[str, Prompt] = {}
        self._builder = builder
        self._graders = graders
        self._judge = judge
        self._expected: dict[str, str] = {}

    def grade(
        self,
        item: Item,
        answers: Sequence[Answer | AnswerError],
        replies: Sequence[Answer | AnswerError] = (),
        grades: Grades | None = None,
    ) -> Result:
        """Grade the answers of an item and make its record.

        Args:
            item: which.
            answers: one a sample.
            replies: of the judge, where the item has one.
            grades: what `grades` gave for the answers, where they were graded before.
        """
        each = self._judged(item, answers, replies) if grades is None else grades
        graded = [
            _sample(answer, self._with_ending(item, answer, grade), of_judge)
            for answer, (grade, of_judge) in zip(answers, each, strict=True)
        ]
        samples = tuple(sample for sample, _ in graded)
        outcome, score = outcome_of(samples)
        prompt, digest = self._noted(item)
        record = Record(
            suite=item.loaded.suite.name,
            case=item.case.id,
            case_sha256=item.case.sha256,
            model=item.spec.name,
            role=item.spec.role,
            prompt_style=prompt.style,
            prompt_sha256=digest,
            grader=item.loaded.suite.grader,
            score=score,
            outcome=outcome,
            samples=samples,
            cluster=item.case.cluster,
            trained=self._trained.why(item, prompt),
        )
        is_fatal = any(isinstance(answer, AnswerError) and answer.is_fatal for answer in answers)
        return Result(
            record=record, answers=tuple(answers), grades=tuple(grade for _, grade in graded), is_fatal=is_fatal
        )

    def note(self, item: Item) -> None:
        """Keep the prompt of an item, and what a right answer to it is as far as its grader knows."""
        self._noted(item)

    def _noted(self, item: Item) -> tuple[Prompt, str]:
        prompt = self._builder.prompt(item)
        digest = prompt.sha256  # made anew with each reading
        self.prompts.setdefault(digest, prompt)
        if item.case.sha256 not in self._expected:
            text = caught(item.loaded.kind.expected_text, item.case)
            self._expected[item.case.sha256] = text if isinstance(text, str) else ""
        return prompt, digest

    @property
    def expected(self) -> dict[str, str]:
        """The texts of right answers, by the digest of their case."""
        return {digest: text for digest, text in self._expected.items() if text}

    def _judged(
        self, item: Item, answers: Sequence[Answer | AnswerError], replies: Sequence[Answer | AnswerError]
    ) -> Grades:
        """Grade the answers of an item by what its judge replied, if it has one, else by its grader."""
        judge = self._judge
        if judge is None or not judge.judges(item):
            return self.grades(item, answers)
        each = caught(judge.by_answer, item, answers, replies)
        if isinstance(each, Caught):
            return [(each, {})] * len(answers)

        def judged(answer: Answer | AnswerError, own: Sequence[Answer | AnswerError]) -> Grade | AnswerError:
            return _valid(judge.grade(item, answer, own))

        return [
            (caught(judged, answer, own), {} if isinstance(answer, AnswerError) else judge.parts(own))
            for answer, own in zip(answers, each, strict=True)
        ]

    def is_parallel(self, item: Item) -> bool:
        """Return whether `grades` may be called for an item in another thread, beside others."""
        return item.loaded.kind.is_parallel and (self._judge is None or not self._judge.judges(item))

    def grades(self, item: Item, answers: Sequence[Answer | AnswerError]) -> Grades:
        """Grade the answers of an item by its grader; what breaks is caught."""
        grader = self._graders[item.loaded.suite.name]

        def graded(answer: Answer | AnswerError) -> Grade | AnswerError:
            try:
                return answer if isinstance(answer, AnswerError) else _valid(grader(item.case, answer))
            except LlmbenchError as fault:  # its message is complete; a traceback adds nothing
                return AnswerError(cause=str(fault))

        return [(caught(graded, answer), {}) for answer in answers]

    def _with_ending(
        self, item: Item, answer: Answer | AnswerError, grade: Grade | AnswerError | Caught
    ) -> Grade | AnswerError | Caught:
        """Have a grade say how its answer ended, where that explains much: refused, filtered, or cut off."""
        if not isinstance(answer, Answer) or not isinstance(grade, Grade):
            return grade
        ended = grade if answer.turns else refused(grade, answer)  # of a conversation each turn has its own
        if ended is grade and answer.finish_reason == CUT_OFF:
            limit = _limit(item, self._builder.sampling(item))
            return replace(grade, explanation=f"{grade.explanation} It was cut off at {limit}.")
        return ended


def _limit(item: Item, sampling: Sampling) -> str:
    """Name the limit that ends an item's answers."""
    if item.spec.traits.is_recorded:
        return "its limit of tokens, when it was recorded"
    room = f" + reasoning_tokens = {sampling.reasoning_tokens}" if sampling.reasoning_tokens else ""
    return f"max_tokens = {sampling.max_tokens}{room}"


def _sample(
    answer: Answer | AnswerError, grade: Grade | AnswerError | Caught, of_judge: Mapping[str, Json]
) -> tuple[Sample, Grade | None]:
    if isinstance(answer, AnswerError):
        return error_sample(answer), None
    if isinstance(grade, Grade):
        whole = replace(grade, parts={**grade.parts, **of_judge}) if of_judge else grade
        return graded_sample(answer, whole), whole
    cause = grade.cause if isinstance(grade, AnswerError) else f"the grader broke: {grade.cause}\n{grade.details}"
    return replace(ungraded_sample(answer, cause), parts=of_judge), None


def _valid(grade: object) -> Grade | AnswerError:
    """Let a grade pass that can be counted, and an error that stands for none.

    Raises:
        TypeError, ValueError: it is neither, or its score is no share.
    """
    if isinstance(grade, AnswerError):
        return grade
    if not isinstance(grade, Grade):
        raise TypeError(f"it gave {type(grade).__name__}; a grader must give a Grade")
    if not 0 <= grade.score <= 1:
        raise ValueError(f"it gave the score {grade.score}; a score lies in 0..1")
    return grade
