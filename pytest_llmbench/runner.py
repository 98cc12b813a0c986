"""The conductor: plan, answers, grades and records of one run. Knows no pytest."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from pytest_llmbench.errors import Caught, SuiteFault, UsageFault, caught
from pytest_llmbench.generation import Ask, Generation, ModelPlan, OnDemand, Progress, SharedModel
from pytest_llmbench.grading.registry import grader_kind
from pytest_llmbench.models import Model, OpenSettings
from pytest_llmbench.models.catalog import Choice
from pytest_llmbench.models.entries import RecordedEntry
from pytest_llmbench.records import (
    Facts,
    ModelFacts,
    Record,
    Sample,
    SuiteFacts,
    error_sample,
    graded_sample,
    settle,
    ungraded_sample,
)
from pytest_llmbench.store import AnswerStore, Reuse
from pytest_llmbench.stored_model import StoredModel
from pytest_llmbench.suites import LoadedSuite, load_suite
from pytest_llmbench.values import (
    Answer,
    AnswerError,
    Case,
    Finding,
    Grade,
    Grader,
    GraderKind,
    Json,
    Outcome,
    Prompt,
    PromptStyle,
    Request,
    Sampling,
    Severity,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersSettings:
    """Which answer store a run uses, and how: see `AnswerStore`."""

    path: Path
    reuse: Reuse = Reuse.AUTO
    token: str = ""
    is_owner: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What the command line says about a run.

    `root` is the project's root directory; `limit` the number of cases a suite; `answers` is None for a run
    without a store; the rest is told at the options in docs/options.md.
    """

    root: Path
    samples: int = 1
    limit: int | None = None
    is_bounded: bool = False
    open_settings: OpenSettings = field(default_factory=OpenSettings)
    options: Mapping[str, Json] = field(default_factory=dict)
    answers: AnswersSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One case put to one model; `key` tells it from all others of the run."""

    key: str
    loaded: LoadedSuite
    case: Case
    choice: Choice
    needs_model: bool = False

    def with_key(self, key: str, *, needs_model: bool) -> "Item":
        """Give the same item under another key."""
        return replace(self, key=key, needs_model=needs_model)


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
    """

    def __init__(self, settings: RunSettings, choices: Sequence[Choice], kinds: Mapping[str, GraderKind]):
        self.settings = settings
        self.choices = tuple(choices)
        self._kinds = kinds
        self._loaded: dict[Path, LoadedSuite | None] = {}
        self._graders: dict[str, Grader] = {}
        self._checked: set[str] = set()
        self._styles: dict[str, PromptStyle | None] = {}
        self._answers: Generation | OnDemand | None = None
        self._store: AnswerStore | None = None
        self._copies: Counter[Hashable] = Counter()
        self._prompts: dict[str, Prompt] = {}
        self._expected: dict[str, str] = {}
        self._rendered: dict[str, Prompt] = {}
        self._items: dict[str, Item] = {}

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

    def check_styles(self, items: Iterable[Item]) -> None:
        """See that every model can be opened, as far as that is cheap, and takes its suites' prompts.

        Raises:
            UsageFault: it cannot, or a suite lacks the prompt style of a model.
        """
        for item in items:
            role = item.choice.role
            if role not in self._styles:
                self._styles[role] = item.choice.provider.prompt_style(item.choice.entry)
            style, suite = self._styles[role], item.loaded.suite
            if style is not None and style not in item.loaded.templates:
                has = ", ".join(item.loaded.templates)
                raise UsageFault(
                    f'model "{item.choice.name}" takes {style} prompts, and the suite "{suite.name}" has only: {has}. '
                    f'Add a {style} prompt to {suite.path}, or set prompt_style = "{has}" for the model.'
                )

    def sampling_remarks(self, items: Iterable[Item]) -> dict[str, str]:
        """Name the models and suites whose samples will hardly differ: several, at temperature 0.

        Recorded answers are left out: at which temperature they were made is not known.

        Returns:
            A sentence a model and suite, by the key of the first of its items.
        """
        if self.settings.samples == 1:
            return {}
        greedy: dict[tuple[str, str], Item] = {}
        for item in items:
            if self.sampling(item).temperature == 0 and not isinstance(item.choice.entry, RecordedEntry):
                greedy.setdefault((item.choice.role, item.loaded.suite.name), item)
        return {
            item.key: f'model "{role}" is asked {self.settings.samples} times for each case of suite "{suite}" at '
            f"temperature 0, so its answers hardly differ; set a temperature in {item.loaded.suite.path} or in the "
            "model's `sampling`, or ask once."
            for (role, suite), item in greedy.items()
        }

    def start(self, items: Sequence[Item], *, is_ahead: bool = True) -> None:
        """Begin to answer a plan, in its order.

        Args:
            items: what survived selection.
            is_ahead: ask ahead of the tests; else each item is asked when its result is wanted, for a
                process that does not know which items of the plan it will get.

        Raises:
            UsageFault: see `check_styles` and `AnswerStore`.
        """
        self.check_styles(items)
        self.open_store(item.choice for item in items)
        plans: dict[str, list[Ask]] = {}
        openers: dict[str, Choice] = {}
        for item in items:
            self._items[item.key] = item
            ask = Ask(key=item.key, requests=self._requests(item), needs_model=item.needs_model)
            plans.setdefault(item.choice.role, []).append(ask)
            openers[item.choice.role] = item.choice
        model_plans = [
            ModelPlan(
                role=role,
                open=partial(self._open, openers[role]),
                asks=tuple(asks),
                through=partial(self.through_store, openers[role]),
            )
            for role, asks in plans.items()
        ]
        if is_ahead:
            self._answers = Generation(model_plans, is_bounded=self.settings.is_bounded)
            self._answers.start()
        else:
            self._answers = OnDemand(model_plans)

    def _open(self, choice: Choice) -> Model:
        return choice.provider.open(choice.entry, self.settings.open_settings)

    def open_store(self, choices: Iterable[Choice]) -> None:
        """Open the answer store, if the run has one and any of the models needs it: recorded answers are kept already.

        Raises:
            UsageFault: see `AnswerStore`.
        """
        answers = self.settings.answers
        if self._store is None and answers is not None and any(_is_stored(choice) for choice in choices):
            self._store = AnswerStore(
                answers.path, reuse=answers.reuse, token=answers.token or uuid4().hex, is_owner=answers.is_owner
            )

    def through_store(self, choice: Choice, model: Model) -> Model:
        """Put the answer store before a model, where the run has one."""
        if self._store is None or not _is_stored(choice):
            return model
        return StoredModel(model, self._store.answers_of(model.identity, choice.role))

    def _requests(self, item: Item) -> tuple[Request, ...]:
        prompt = self.prompt(item)
        sampling = self.sampling(item)
        choices, is_choice = item.loaded.kind.choices(item.loaded.suite)
        equal = (item.choice.role, prompt, sampling, choices, is_choice)
        copy = self._copies[equal]
        self._copies[equal] += 1
        return tuple(
            Request(
                suite=item.loaded.suite.name,
                case=item.case.id,
                sample=sample,
                prompt=prompt,
                # one seed for all samples would give the same answer k times
                sampling=sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + sample),
                choices=choices,
                is_choice=is_choice,
                copy=copy,
            )
            for sample in range(self.settings.samples)
        )

    def prompt(self, item: Item) -> Prompt:
        """Render the prompt of an item, in the style its model takes."""
        if item.key not in self._rendered:
            self._rendered[item.key] = self._render(item)
        return self._rendered[item.key]

    def _render(self, item: Item) -> Prompt:
        style = self._styles[item.choice.role]
        templates = item.loaded.templates
        if style is None:
            style = PromptStyle.CHAT if PromptStyle.CHAT in templates else PromptStyle.COMPLETION
        return templates[style].render(item.case.inputs)

    def sampling(self, item: Item) -> Sampling:
        """Give the suite's sampling with the model's own keys over it."""
        own = item.choice.entry.sampling.model_dump(exclude_none=True)
        return replace(item.loaded.suite.sampling, **own)

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
        return self._settle(self._items[key], answers)

    def keep_arrived(self) -> tuple[tuple[str, Record], ...]:
        """Grade and keep what arrived and no test took, when a run is interrupted."""
        if self._answers is None:
            return ()
        arrived = self._answers.arrived()
        answered = {k: v for k, v in arrived.items() if any(isinstance(answer, Answer) for answer in v)}
        return tuple((key, self._settle(self._items[key], answers).record) for key, answers in answered.items())

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
        if self._answers is not None:
            self._answers.close()

    def end(self, *, is_finished: bool) -> None:
        """Close the answer store, after `close`; a run that did not finish is continued by the next one."""
        if self._store is not None:
            if is_finished:
                self._store.finish()
            self._store.close()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user must know of the run beside its records, a sentence each."""
        return (self._store.fault,) if self._store is not None and self._store.fault is not None else ()

    def _settle(self, item: Item, answers: tuple[Answer | AnswerError, ...]) -> Result:
        graded = [self._sample(item, answer) for answer in answers]
        samples = tuple(sample for sample, _ in graded)
        outcome, score = settle(samples)
        prompt = self.prompt(item)
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
        return Result(record=record, answers=answers, grades=tuple(grade for _, grade in graded), is_fatal=is_fatal)

    def _expect(self, item: Item) -> None:
        """Keep what a right answer to a case is, as far as its grader can say."""
        if item.case.sha256 not in self._expected:
            told = caught(lambda: item.loaded.kind.expected_text(item.case))
            self._expected[item.case.sha256] = told if isinstance(told, str) else ""

    def _sample(self, item: Item, answer: Answer | AnswerError) -> tuple[Sample, Grade | None]:
        if isinstance(answer, AnswerError):
            return error_sample(answer), None
        grader = self._graders[item.loaded.suite.name]
        grade = caught(lambda: _valid(grader(item.case, answer)))
        if isinstance(grade, Caught):
            return ungraded_sample(answer, f"the grader broke: {grade.cause}\n{grade.details}"), None
        return graded_sample(answer, grade), grade

    # -- the run

    def facts(self) -> Facts:
        """Give what the run was made with, as far as it has come."""
        identities = self._answers.identities if self._answers is not None else {}
        used: dict[str, dict[str, Sampling]] = {}
        suites: dict[str, LoadedSuite] = {}
        for item in self._items.values():
            used.setdefault(item.choice.role, {})[item.loaded.suite.name] = self.sampling(item)
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
        )


def _valid(grade: object) -> Grade:
    """Let a grade pass that can be counted.

    Raises:
        TypeError, ValueError: it is none, or its score is no share.
    """
    if not isinstance(grade, Grade):
        raise TypeError(f"it gave {type(grade).__name__}; a grader must give a Grade")
    if not 0 <= grade.score <= 1:
        raise ValueError(f"it gave the score {grade.score}; a score lies in 0..1")
    return grade


def _is_stored(choice: Choice) -> bool:
    return not isinstance(choice.entry, RecordedEntry)


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
