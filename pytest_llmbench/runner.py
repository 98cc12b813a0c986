"""The conductor: plan, answers, grades and records of one run. Knows no pytest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.asking import AnswersSettings, Asking, Item, RunSettings
from pytest_llmbench.asking_judge import JudgeAsking
from pytest_llmbench.errors import Caught, SuiteFault, caught
from pytest_llmbench.generation import Generation, Progress, SharedModel
from pytest_llmbench.grading.registry import grader_kind
from pytest_llmbench.judging import Judge
from pytest_llmbench.models import Identity
from pytest_llmbench.models.catalog import Choice
from pytest_llmbench.records import (
    Facts,
    JudgeFacts,
    ModelFacts,
    Record,
    Sample,
    SuiteFacts,
    error_sample,
    graded_sample,
    settle,
    ungraded_sample,
)
from pytest_llmbench.suites import LoadedSuite, load_suite
from pytest_llmbench.values import (
    Answer,
    AnswerError,
    Case,
    Finding,
    Grade,
    Grader,
    GraderKind,
    Outcome,
    Prompt,
    Sampling,
    Severity,
)

__all__ = ["AnswersSettings", "Item", "Result", "RunSettings", "Runner", "fault_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of an item: its record, and the answers and grades it was made of.

    `grades` has None where a sample is an error.  `is_fatal` says that the model can answer nothing more.
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


class Runner:
    """One run: load suites, plan items, give each its result, and the run at the end.

    Args:
        settings: what the command line says.
        choices: the models, by role.
        kinds: graders of other packages by name.
        judge: the model for graders that ask a judge.
    """

    def __init__(
        self,
        settings: RunSettings,
        choices: Sequence[Choice],
        kinds: Mapping[str, GraderKind],
        *,
        judge: Choice | None = None,
    ):
        self.settings = settings
        self.asking = Asking(settings)
        self.judge_asking = None if judge is None else JudgeAsking(judge, self.asking)
        self.choices = tuple(choices)
        self._kinds = kinds
        self._loaded: dict[Path, LoadedSuite | None] = {}
        self._graders: dict[str, Grader] = {}
        self._checked: set[str] = set()
        self._answers: Generation | None = None
        self._judge: Judge | None = None
        self._prompts: dict[str, Prompt] = {}
        self._expected: dict[str, str] = {}
        self._items: dict[str, Item] = {}

    @property
    def asked(self) -> tuple[Choice, ...]:
        """The models, and the judge behind them."""
        return self.choices if self.judge_asking is None else (*self.choices, self.judge_asking.choice)

    # -- suites

    def load(self, path: Path) -> LoadedSuite | None:
        """Load a suite file once and build its grader; None for YAML of another kind.

        Raises:
            SuiteFault: the suite, its data or its database is wrong.
        """
        path = path.resolve()
        if path not in self._loaded:
            try:
                loaded = load_suite(_shown(path), self._find_kind, _read_parquet)
            except RecursionError:
                message = "this file is nested too deep, or an alias stands within what it names; write it out."
                raise SuiteFault(message, path=_shown(path)) from None
            if loaded is not None:
                self._refuse_twin(loaded)
                self._graders[loaded.suite.name] = loaded.kind.build(loaded.suite, self.settings.root)
                if self.judge_asking is not None:
                    self.judge_asking.add(loaded.suite.name, loaded.kind.judging(loaded.suite, self.settings.root))
            self._loaded[path] = loaded
        return self._loaded[path]

    def check(self, loaded: LoadedSuite, *, is_thorough: bool) -> tuple[Finding, ...]:
        """Let the grader of a suite look at it; in a run an error is raised and each suite is looked at once.

        Raises:
            SuiteFault: not `is_thorough`, and a finding is an error.
        """
        if is_thorough:
            return loaded.kind.check(loaded.suite, self.settings.root, is_thorough=True)
        if loaded.suite.name in self._checked:
            return ()
        findings = loaded.kind.check(loaded.suite, self.settings.root, is_thorough=False)
        for finding in findings:
            if finding.severity is Severity.ERROR:
                raise fault_of(finding, loaded)
        self._checked.add(loaded.suite.name)
        return findings

    def cases(self, loaded: LoadedSuite) -> tuple[Case, ...]:
        """Give the cases of a suite that `--llm-limit` leaves."""
        return loaded.suite.cases[: self.settings.limit]

    def _find_kind(self, name: str) -> GraderKind:
        return grader_kind(name, self._kinds)

    def _refuse_twin(self, loaded: LoadedSuite) -> None:
        for path, other in self._loaded.items():
            if other is not None and other is not loaded and other.suite.name == loaded.suite.name:
                message = f'the suite name "{loaded.suite.name}" is taken by {_shown(path)}; give one of them another.'
                raise SuiteFault(message, path=loaded.suite.path, line=1)

    # -- the plan

    def start(self, items: Sequence[Item], *, is_dealt: bool = False) -> None:
        """Begin to answer a plan, in its order.

        Args:
            items: what survived selection.
            is_dealt: ask only for what is dealt to this process, or wanted, not for the whole plan.

        Raises:
            UsageFault: see `Asking.plans` and `JudgeAsking.plan`.
        """
        model_plans = self.asking.plans(items)
        self._items.update((item.key, item) for item in items)
        asking = self.judge_asking
        plan = None if asking is None else asking.plan(items, self._identity, is_dealt=is_dealt)
        if plan is not None:
            self._judge = Judge(plan)
            self._judge.start()
        # a judge that waits for the end of a model's work would wait for ever for tests that wait for it
        is_bounded = self.settings.is_bounded and not (plan is not None and plan.alone_with)
        self._answers = Generation(model_plans, is_bounded=is_bounded, is_dealt=is_dealt, listener=self._judge)
        self._answers.start()

    def deal(self, keys: Sequence[str], *, n_suspect: int = 0) -> None:
        """Have items of the plan asked in this process; see `Generation.deal`."""
        if self._answers is not None:
            self._answers.deal([key for key in keys if key in self._items], n_suspect=n_suspect)

    def _identity(self, role: str) -> Identity | None:
        """Give what the model of a role is, once it is opened."""
        return None if self._answers is None else self._answers.identities.get(role)

    @property
    def is_started(self) -> bool:
        """Tell whether a plan was started."""
        return self._answers is not None

    # -- results

    def result(self, key: str, while_waiting: Callable[[Progress], None] | None = None) -> Result:
        """Wait for the answers of an item, grade them, and keep the record."""
        if self._answers is None:
            raise RuntimeError("a result was asked for before the plan was started")
        answers = self._answers.take(key, while_waiting)
        if self._judge is None:
            return self._settle(self._items[key], answers)
        return self._settle(self._items[key], answers, self._judge.take(key, while_waiting))

    def keep_arrived(self) -> tuple[tuple[str, Record], ...]:
        """Grade and keep what arrived and no test took, when a run is interrupted."""
        if self._answers is None:
            return ()
        arrived = self._answers.arrived()
        answered = {k: v for k, v in arrived.items() if any(isinstance(answer, Answer) for answer in v)}
        return tuple(
            (
                key,
                self._settle(self._items[key], answers, () if self._judge is None else self._judge.arrived(key)).record,
            )
            for key, answers in answered.items()
        )

    def lost(self, item: Item, cause: str) -> Result:
        """Make the result of an item that another process was to answer, and did not."""
        self.asking.check_styles([item])
        return self._settle(item, (AnswerError(cause=cause),) * self.settings.samples)

    def note(self, item: Item) -> None:
        """Keep what an item was asked, where the process that asked it cannot tell any more."""
        self.asking.check_styles([item])
        prompt = self.asking.prompt(item)
        self._prompts.setdefault(prompt.sha256, prompt)
        self._expect(item)

    def model(self, item: Item) -> SharedModel:
        """Give the opened model of an item that needs it."""
        if self._answers is None:
            raise RuntimeError("a model was asked for before the plan was started")
        return self._answers.model(item.choice.role)

    def release(self, key: str) -> None:
        """Say that an item is done with its model."""
        if self._answers is not None and key in self._items:
            self._answers.release(key)

    def close(self) -> None:
        """Stop asking."""
        if self._judge is not None:
            self._judge.close()
        if self._answers is not None:
            self._answers.close()

    def _settle(
        self, item: Item, answers: Sequence[Answer | AnswerError], replies: Sequence[Answer | AnswerError] = ()
    ) -> Result:
        graded = [
            _sample(answer, grade) for answer, grade in zip(answers, self._grades(item, answers, replies), strict=True)
        ]
        samples = tuple(sample for sample, _ in graded)
        outcome, score = settle(samples)
        prompt = self.asking.prompt(item)
        digest = prompt.sha256
        self._prompts.setdefault(digest, prompt)
        self._expect(item)
        record = Record(
            suite=item.loaded.suite.name,
            case=item.case.id,
            case_sha256=item.case.sha256,
            model=item.choice.name,
            role=item.choice.role,
            prompt_style=prompt.style,
            prompt_sha256=digest,
            grader=item.loaded.suite.grader,
            score=score,
            outcome=outcome,
            samples=samples,
            cluster=item.case.cluster,
        )
        is_fatal = any(isinstance(answer, AnswerError) and answer.is_fatal for answer in answers)
        return Result(
            record=record, answers=tuple(answers), grades=tuple(grade for _, grade in graded), is_fatal=is_fatal
        )

    def _expect(self, item: Item) -> None:
        """Keep what a right answer to a case is, as far as its grader can say."""
        if item.case.sha256 not in self._expected:
            told = caught(lambda: item.loaded.kind.expected_text(item.case))
            self._expected[item.case.sha256] = told if isinstance(told, str) else ""

    def _grades(
        self, item: Item, answers: Sequence[Answer | AnswerError], replies: Sequence[Answer | AnswerError]
    ) -> list[Grade | AnswerError | Caught]:
        """Grade the answers of an item, by what its judge replied or by its grader; what breaks is caught."""
        judge = self.judge_asking
        if judge is not None and judge.judges(item):
            each = caught(lambda: judge.by_answer(item, answers, replies))
            if isinstance(each, Caught):
                return [each] * len(answers)
            return [
                caught(lambda answer=answer, own=own: _valid(judge.grade(item, answer, own)))  # type: ignore[misc]
                for answer, own in zip(answers, each, strict=True)
            ]
        grader = self._graders[item.loaded.suite.name]

        def graded(answer: Answer | AnswerError) -> Grade | AnswerError:
            return answer if isinstance(answer, AnswerError) else grader(item.case, answer)

        return [caught(lambda answer=answer: _valid(graded(answer))) for answer in answers]  # type: ignore[misc]

    # -- the run

    def facts(self) -> Facts:
        """Give what the run was made with, as far as it has come."""
        identities = self._answers.identities if self._answers is not None else {}
        used: dict[str, dict[str, Sampling]] = {}
        suites: dict[str, LoadedSuite] = {}
        for item in self._items.values():
            used.setdefault(item.choice.role, {})[item.loaded.suite.name] = self.asking.sampling(item)
            suites[item.loaded.suite.name] = item.loaded
        return Facts(
            models=tuple(
                ModelFacts(
                    role=choice.role,
                    model=choice.name,
                    identity=identities[choice.role],
                    sampling=used.get(choice.role, {}),
                )
                for choice in self.choices
                if choice.role in identities
            ),
            suites=tuple(
                SuiteFacts(
                    suite=name,
                    sha256=loaded.suite.sha256,
                    grader=loaded.suite.grader,
                    grader_version=loaded.kind.version,
                    path=str(loaded.suite.path),
                    trust=loaded.suite.trust,
                )
                for name, loaded in suites.items()
            ),
            options=self.settings.options,
            prompts=dict(self._prompts),
            expected={digest: text for digest, text in self._expected.items() if text},
            judge=self._judge_facts(),
        )

    def _judge_facts(self) -> JudgeFacts | None:
        if self.judge_asking is None:
            return None
        return self.judge_asking.facts(None if self._judge is None else self._judge.identity)


def _sample(answer: Answer | AnswerError, grade: Grade | AnswerError | Caught) -> tuple[Sample, Grade | None]:
    if isinstance(answer, AnswerError):
        return error_sample(answer), None
    if isinstance(grade, AnswerError):
        return ungraded_sample(answer, grade.cause), None
    if isinstance(grade, Caught):
        return ungraded_sample(answer, f"the grader broke: {grade.cause}\n{grade.details}"), None
    return graded_sample(answer, grade), grade


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


def fault_of(finding: Finding, loaded: LoadedSuite) -> SuiteFault:
    """Make a fault of a finding, with the place of its case."""
    case = next((case for case in loaded.suite.cases if case.id == finding.case), None)
    if case is None:
        return SuiteFault(finding.message, path=loaded.suite.path, line=1)
    return SuiteFault(f'case "{case.id}": {finding.message}', path=case.path, line=case.line)


def _shown(path: Path) -> Path:
    """Give a path as people write it: relative to the working directory where it lies below."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def _read_parquet(path: Path) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    from pytest_llmbench.sql.parquet import read_parquet

    return read_parquet(path)
