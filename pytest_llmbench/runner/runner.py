"""One run from its plan to its records: requests, answers, grades. Knows no pytest."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.grading.parallel import allow_at_once
from pytest_llmbench.models.base import Identity
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.embedders import EmbedderSpec, shared_embedders
from pytest_llmbench.results.records import (
    Collected,
    EmbeddingUse,
    JudgeCheck,
    JudgeInfo,
    ModelInfo,
    Record,
    RunInfo,
    SuiteInfo,
)
from pytest_llmbench.results.stops import StopPlan
from pytest_llmbench.runner.budget import token_price
from pytest_llmbench.runner.calls import SharedModel, first_fatal
from pytest_llmbench.runner.grade import Grades, ItemGrader, Result
from pytest_llmbench.runner.prefetch import Prefetcher
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.settings import AnswersSettings, Item, RunSettings
from pytest_llmbench.runner.slots import Progress
from pytest_llmbench.runner.staged import Course, NotAsked, Staged, apart, part_key
from pytest_llmbench.runner.trained import TrainedCases
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import Answer, AnswerError, GateKind, Sampling

if TYPE_CHECKING:
    from pytest_llmbench.runner.ahead import GradingAhead
    from pytest_llmbench.runner.judge import Judge
    from pytest_llmbench.runner.judge_check import Judged
    from pytest_llmbench.runner.judge_requests import JudgeRequests

__all__ = ["AnswersSettings", "Item", "Result", "RunSettings", "Runner"]


class Runner:
    """One run: load suites, plan items, give each its result, and the run at the end.

    `has_fatal`: a model, or the judge, could answer nothing more at some point.

    Args:
        settings: of the run.
        specs: the models, by role.
        kinds: graders of other packages by name.
        judge: the model for graders that ask a judge.
    """

    def __init__(
        self,
        settings: RunSettings,
        specs: Sequence[ModelSpec],
        kinds: Mapping[str, GraderKind],
        *,
        judge: ModelSpec | None = None,
    ):
        self.settings = settings
        self.suites = SuiteRegistry(settings.root, kinds, has_judge=judge is not None)
        self.builder = RequestBuilder(settings)
        self.judge_requests = None if judge is None else self._judge_requests(judge)
        self.specs = tuple(specs)
        self.has_fatal = False
        self._broken: dict[str, str] = {}
        self._trained = TrainedCases()
        self._item_grader = ItemGrader(self.builder, self.suites.graders, self.judge_requests, self._trained)
        self._answers: Prefetcher | None = None
        self._judge: Judge | None = None
        self._ahead: GradingAhead | None = None
        self._staged: Staged | None = None
        self._stop_plans: tuple[StopPlan, ...] = ()
        self._items: dict[str, Item] = {}
        self._judged: list[Judged] = []
        self._judge_check: Mapping[str, JudgeCheck] = {}

    @property
    def all_specs(self) -> tuple[ModelSpec, ...]:
        """The models, and the judge behind them."""
        return self.specs if self.judge_requests is None else (*self.specs, self.judge_requests.spec)

    def _judge_requests(self, judge: ModelSpec) -> "JudgeRequests":
        from pytest_llmbench.runner.judge_requests import JudgeRequests

        return JudgeRequests(judge, self.builder, self.suites.judge_graders)

    # -- the plan

    def start(
        self,
        items: Sequence[Item],
        *,
        is_dealt: bool = False,
        course: Course | None = None,
        stop_plans: Sequence[StopPlan] = (),
    ) -> None:
        """Begin to answer a plan, in its order or as its course decides.

        Args:
            items: what survived selection.
            is_dealt: ask only for what is dealt to this process, or wanted, not for the whole plan.
            course: decides in stages what is asked; None to ask everything.
            stop_plans: by which it does, to be recorded.

        Raises:
            UsageFault: see `RequestBuilder.plans`, `JudgeRequests.plan` and `AnswerStore`; a training manifest
                cannot be read.
        """
        self._trained.read(items)
        model_plans = self.builder.plans(items)
        for embedder in self._used_embedders({item.loaded.suite.name for item in items}):
            self.builder.check_embedder(embedder)
        self._items.update((item.key, item) for item in items)
        self._stop_plans = tuple(stop_plans)
        is_staged, judge = course is not None, self.judge_requests
        samples, parts = self.settings.samples, None
        if is_staged:
            model_plans = apart(model_plans)
            parts = {part_key(item.key, sample): (item, sample) for item in items for sample in range(samples)}
        plan = None if judge is None else judge.plan(items, self._identity, is_dealt=is_dealt or is_staged, parts=parts)
        self.builder.open_store([*(item.spec for item in items), *([judge.spec] if judge and plan else [])])
        if plan is not None:
            from pytest_llmbench.runner.judge import Judge

            self._judge = Judge(plan)
            self._judge.start()
        # a judge that waits for the end of a model's work would wait for ever for tests that wait for it
        is_bounded = self.settings.is_bounded and not (plan is not None and plan.alone_with) and not is_staged
        self._ahead = self._grading_ahead(_by_key(items, parts))
        listener = self._ahead or self._judge
        self._answers = Prefetcher(
            model_plans, is_bounded=is_bounded, is_dealt=is_dealt or is_staged, listener=listener
        )
        if course is not None:
            self._staged = Staged(self._items, samples, course, answers=self._answers, take=self._take)
            if not is_dealt and items:
                self._staged.begin(items[0].spec.role)
        if any(self.suites.embedders.values()):
            shared_embedders().further = self._arrived_texts
            shared_embedders().paid = self.builder.pay_embedder
        self._answers.start()

    def _arrived_texts(self) -> Iterator[str]:
        """Give the answers that came and will be embedded as they are, so that they are embedded together."""
        arrived = {} if self._answers is None else self._answers.arrived()
        for key, answers in arrived.items():
            item = self._items.get(key)
            if item is not None and item.loaded.suite.part is None and self.suites.embedders[item.loaded.suite.name]:
                yield from (one.text.strip() for one in answers if isinstance(one, Answer) and not one.turns)

    def _grading_ahead(self, items: Mapping[str, Item]) -> "GradingAhead | None":
        """Give what grades the items, by key, that may be graded several at once; None where there are none."""
        parallel = {key: item for key, item in items.items() if self._item_grader.is_parallel(item)}
        if not parallel or self.settings.graders <= 1:
            return None
        from pytest_llmbench.runner.ahead import GradingAhead

        allow_at_once(self.settings.graders)
        return GradingAhead(parallel, self._item_grader.grades, self.settings.graders, self._judge)

    def deal(self, keys: Sequence[str], *, n_suspect: int = 0) -> None:
        """Have items of the plan asked in this process; see `Prefetcher.deal`."""
        own = [key for key in keys if key in self._items]
        if self._staged is not None:
            self._staged.deal(own, n_suspect)
        elif self._answers is not None:
            self._answers.deal(own, n_suspect=n_suspect)

    def _identity(self, role: str) -> Identity | None:
        """Give what the model of a role is, once it is opened."""
        return None if self._answers is None else self._answers.identities.get(role)

    @property
    def is_started(self) -> bool:
        """Return whether a plan was started."""
        return self._answers is not None

    def is_planned(self, key: str) -> bool:
        """Return whether a plan with this item was started."""
        return self._answers is not None and key in self._items

    # -- results

    def result(self, key: str, while_waiting: Callable[[Progress], None] | None = None) -> Result | NotAsked:
        """Wait for the answers of an item, grade them, and keep the record; or give why it is not asked."""
        if self._answers is None:
            raise RuntimeError("a result was asked for before the plan was started")
        item = self._items[key]
        found = (
            self._take(item, key, while_waiting) if self._staged is None else self._staged.result(key, while_waiting)
        )
        if self.settings.n_judged_again and isinstance(found, Result):
            from pytest_llmbench.runner.judge_check import judged_answers

            self._judged += judged_answers(item, found)
        return found

    def _take(self, item: Item, key: str, while_waiting: Callable[[Progress], None] | None = None) -> Result:
        """Wait for the answers under a key, an item's or that of a part of it, and grade them."""
        if self._answers is None:
            raise RuntimeError("answers were asked for before the plan was started")
        answers = self._answers.take(key, while_waiting)
        replies = () if self._judge is None else self._judge.take(key, while_waiting)
        fatal = first_fatal((*answers, *replies))
        if fatal is not None:
            self.has_fatal = True
            self._broken.setdefault(item.spec.role, fatal.cause)
        return self._item_grader.grade(item, answers, replies, self._graded(key, while_waiting))

    def _arrived(self, item: Item, key: str, answers: Sequence[Answer | AnswerError]) -> Result:
        """Grade answers that arrived before a run was interrupted."""
        replies = () if self._judge is None else self._judge.arrived(key)
        return self._item_grader.grade(item, answers, replies, self._graded(key))

    def _graded(self, key: str, while_waiting: Callable[[Progress], None] | None = None) -> Grades | None:
        """Take the grades of answers that were graded ahead; None for any other."""
        if self._ahead is None or self._answers is None:
            return None
        answers = self._answers
        return self._ahead.take(key, None if while_waiting is None else lambda: while_waiting(answers.progress))

    def keep_arrived(self, reported: Container[str]) -> Iterator[tuple[str, Record]]:
        """Grade what arrived, when a run is interrupted, one item after another.

        Args:
            reported: the keys of items whose tests have reported; these are left out.
        """
        if self._staged is not None:
            yield from self._staged.keep_arrived(reported, self._arrived)
            return
        arrived = {} if self._answers is None else self._answers.arrived()
        for key, answers in arrived.items():
            if key not in reported and any(isinstance(answer, Answer) for answer in answers):
                yield key, self._arrived(self._items[key], key, answers).record

    def lost(self, item: Item, cause: str) -> Result:
        """Make the result of an item that another process was to answer, and did not."""
        self.builder.check_styles([item])
        return self._item_grader.grade(item, (AnswerError(cause=cause),) * self.settings.samples)

    def is_trained(self, item: Item) -> bool:
        """Return whether the model of an item was trained on its case, as far as that is known.

        Raises:
            UsageFault: see `RequestBuilder.check_styles` and `TrainedCases.read`.
        """
        self.builder.check_styles([item])
        return bool(self._trained.why(item, self.builder.prompt(item)))

    def note(self, item: Item) -> None:
        """Keep the prompt of an item whose own process ended without passing it on."""
        self.builder.check_styles([item])
        self._item_grader.note(item)

    def model(self, item: Item) -> SharedModel:
        """Give the opened model of an item that needs it."""
        if self._answers is None:
            raise RuntimeError("a model was asked for before the plan was started")
        return self._answers.model(item.spec.role)

    def release(self, key: str) -> None:
        """Release the model of an item whose test has ended."""
        item = self._items.get(key)
        if item is None or not item.needs_model:
            return
        if self._staged is not None:
            self._staged.release(key)
        elif self._answers is not None:
            self._answers.release(key)

    def finish(self, while_waiting: Callable[[Progress], None] | None = None) -> None:
        """Wait for the checks of the models and of the judge, if there are any, after the last test."""
        if self._answers is not None and self.settings.n_checked:
            self._answers.finish(while_waiting)
        if not self.settings.n_judged_again:
            return
        from pytest_llmbench.runner.judge_check import drawn, judge_again

        again = drawn(self._judged, self.settings.n_judged_again)
        if self.judge_requests is not None and again:
            self.close()  # a judge that needs the whole machine is opened once more
            self._judge_check = judge_again(again, self.judge_requests, self.builder, while_waiting)
        else:
            self.builder.remark("--llm-check-judge: no answer has a grade of the judge, so none was judged again.")

    def close(self) -> None:
        """Stop sending requests, and grading ahead."""
        if self._ahead is not None:
            self._ahead.close()
        if self._judge is not None:
            self._judge.close()
        if self._answers is not None:
            self._answers.close()

    # -- the run

    def facts(self) -> RunInfo:
        """Give what the run was made with, as far as it has come."""
        identities = self._answers.identities if self._answers is not None else {}
        used: dict[str, dict[str, Sampling]] = {}
        suites: dict[str, LoadedSuite] = {}
        for item in self._items.values():
            used.setdefault(item.spec.role, {})[item.loaded.suite.name] = self.builder.sampling(item)
            suites[item.loaded.suite.name] = item.loaded
        return RunInfo(
            models=tuple(
                ModelInfo(
                    role=spec.role,
                    model=spec.name,
                    identity=identities[spec.role],
                    sampling=used.get(spec.role, {}),
                    replicas=self.builder.replicas(spec.role),
                    price=token_price(spec.entry.price),
                )
                for spec in self.specs
                if spec.role in identities
            ),
            suites=tuple(
                SuiteInfo(
                    suite=name,
                    sha256=loaded.suite.sha256,
                    grader=loaded.suite.grader,
                    grader_version=loaded.kind.version,
                    path=str(loaded.suite.path),
                    trust=loaded.suite.trust,
                    gate=loaded.suite.gate,
                    cases=_held_cases(loaded),
                    n_cases=len(loaded.suite.cases),
                    split=loaded.suite.split,
                    source=loaded.suite.source,
                    embedders=self._embedders(name),
                    budget=loaded.suite.budget,
                    grader_settings=loaded.kind.settings(loaded.suite),
                    data_sha256=self.suites.data_digests[name] or None,
                )
                for name, loaded in suites.items()
            ),
            options=self.settings.options,
            prompts=dict(self._item_grader.prompts),
            expected=self._item_grader.expected,
            judge=self._judge_facts(),
            broken=dict(self._broken),
            stop_plans=self._stop_plans,
            judge_check=self._judge_check,
            embedding=self._embedding(suites),
            collected=None
            if self.settings.paths is None
            else Collected(paths=self.settings.paths, suites=self.suites.names),
        )

    def _embedders(self, suite: str) -> Mapping[str, Identity] | None:
        """Give what the embedders of a suite are; None where none was opened."""
        known = {one.name: shared_embedders().identity(one) for one in self.suites.embedders.get(suite, ())}
        return {name: identity for name, identity in known.items() if identity is not None} or None

    def _used_embedders(self, suites: Iterable[str]) -> Iterator[EmbedderSpec]:
        """Give the embedders of some suites, each once."""
        named = {one.name: one for suite in suites for one in self.suites.embedders.get(suite, ())}
        return iter(named.values())

    def _embedding(self, suites: Iterable[str]) -> dict[str, EmbeddingUse]:
        """Give what the embedders behind an API were given."""
        found: dict[str, EmbeddingUse] = {}
        for one in self._used_embedders(suites):
            work = shared_embedders().work(one)
            if work is not None:
                price = token_price(one.entry.price)
                found[one.name] = EmbeddingUse(texts=work.texts, input_tokens=work.input_tokens, price=price)
        return found

    def _judge_facts(self) -> JudgeInfo | None:
        if self.judge_requests is None:
            return None
        return self.judge_requests.facts(self._items.values(), None if self._judge is None else self._judge.identity)


def _by_key(items: Sequence[Item], parts: Mapping[str, tuple[Item, int]] | None) -> dict[str, Item]:
    """Give the items by the keys under which their answers come."""
    return {item.key: item for item in items} if parts is None else {key: item for key, (item, _) in parts.items()}


def _held_cases(loaded: LoadedSuite) -> tuple[str, ...] | None:
    """Name the cases that a suite's file holds, where the gate must know which are gone from it."""
    return tuple(case.id for case in loaded.suite.cases) if loaded.suite.gate is GateKind.SMOKE else None
