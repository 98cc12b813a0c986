"""A plan that is asked in stages: what comes next depends on the grades so far, and the rest may never be asked.

The main thread takes the parts of a stage in their order, each a sample of an item, grades them, and asks the course
for the next stage.  So a decision stands behind grading and judge, and follows from answers in the order of the plan,
not in that of their arrival.  A test waits until its own item is settled.
"""

from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pytest_llmbench.results.records import Record, outcome_of
from pytest_llmbench.runner.grade import Result
from pytest_llmbench.runner.prefetch import Prefetcher
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.runner.slots import ModelPlan, PlannedItem, Progress
from pytest_llmbench.values import Answer, AnswerError

Part = tuple[str, int]
"""The key of an item, and the number of a sample of it."""

Answers = Sequence[Answer | AnswerError]
Waiting = Callable[[Progress], None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is asked next, in its order, when everything before it is graded.

    Of the `dropped` items nothing more is asked; each has the reason, as a sentence.
    """

    parts: tuple[Part, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)


class Course(Protocol):
    """Decides step by step what of a plan is asked."""

    def steps(self, role: str, record: Callable[[str], Record | None]) -> Iterator[Step]:
        """Give the steps for a model; each is asked for when the parts of the one before are graded.

        Args:
            role: of the model.
            record: gives the record of an item as far as it has come, by its key.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAsked:
    """What an item has in place of a result, if nothing of it was asked: the reason, as a sentence."""

    reason: str


def part_key(key: str, sample: int) -> str:
    """Give the key of a part among the slots of the producers."""
    return f"{key}\n{sample}"


def apart(plans: Sequence[ModelPlan]) -> list[ModelPlan]:
    """Have each sample of an item asked by itself."""
    return [
        replace(
            plan,
            items=tuple(
                PlannedItem(key=part_key(item.key, sample), requests=(request,), needs_model=item.needs_model)
                for item in plan.items
                for sample, request in enumerate(item.requests or ())
            ),
            n_requests=sum(len(item.requests or ()) for item in plan.items),  # at most: progress counts up to that
        )
        for plan in plans
    ]


def merged(results: Sequence[Result]) -> Result:
    """Put the results of an item's samples together, in their order; of at least one."""
    samples = tuple(sample for result in results for sample in result.record.samples)
    outcome, score = outcome_of(samples)
    return Result(
        record=replace(results[0].record, samples=samples, outcome=outcome, score=score),
        answers=tuple(answer for result in results for answer in result.answers),
        grades=tuple(grade for result in results for grade in result.grades),
        is_fatal=any(result.is_fatal for result in results),
    )


class _Way:
    """How far the course of one model has come."""

    def __init__(self, steps: Iterator[Step]):
        self.steps = steps
        self.todo: deque[Part] = deque()
        self.is_over = False


class Staged:
    """The results of a plan that is asked in stages.

    Args:
        items: of the plan, by key.
        samples: of each.
        course: decides what is asked.
        answers: the producer of answers, with the parts of `apart`.
        take: waits for the answer to a part of an item, under the part's key, and grades it.
    """

    def __init__(
        self,
        items: Mapping[str, Item],
        samples: int,
        course: Course,
        *,
        answers: Prefetcher,
        take: Callable[[Item, str, Waiting], Result],
    ):
        self._items = dict(items)
        self._samples = samples
        self._course = course
        self._answers = answers
        self._take = take
        self._results: dict[str, list[Result]] = {}
        self._dropped: dict[str, str] = {}
        self._ways: dict[str, _Way] = {}

    def begin(self, role: str) -> None:
        """Begin the course of a model, so that its first step is asked ahead of the tests."""
        if role not in self._ways:
            self._ways[role] = _Way(self._course.steps(role, self.record))
            self._next_step(role)

    def deal(self, keys: Sequence[str], n_suspect: int) -> None:
        """Take what is dealt to this process: all items of a model go their course, a rest of them is asked as it is.

        A rest is what a process left that ended; what it had is not known here, so nothing is decided.
        """
        for role in dict.fromkeys(self._items[key].spec.role for key in keys):
            own = [key for key in keys if self._items[key].spec.role == role]
            if len(own) < sum(item.spec.role == role for item in self._items.values()):
                self._ways[role] = way = _Way(iter(()))
                way.todo.extend((key, sample) for sample in range(self._samples) for key in own)
                self._answers.deal([part_key(*part) for part in way.todo], n_suspect=n_suspect * self._samples)

    def result(self, key: str, while_waiting: Waiting = None) -> Result | NotAsked:
        """Wait until an item is settled; meanwhile what comes is graded, and the course goes on."""
        role = self._items[key].spec.role
        self.begin(role)
        while not self._is_settled(key):
            self._advance(role, while_waiting)
        found = self._results.get(key)
        return merged(found) if found else NotAsked(reason=self._dropped.get(key, "not asked"))

    def record(self, key: str) -> Record | None:
        """Give the record of an item as far as it has come; None if nothing of it is graded."""
        found = self._results.get(key)
        return merged(found).record if found else None

    def _is_settled(self, key: str) -> bool:
        way = self._ways[self._items[key].spec.role]
        return way.is_over or key in self._dropped or len(self._results.get(key, ())) == self._samples

    def _advance(self, role: str, while_waiting: Waiting) -> None:
        """Grade the next part, and begin the next step behind the last one."""
        way = self._ways[role]
        if way.todo:
            key, sample = way.todo[0]
            self._keep(key, sample, while_waiting)
            way.todo.popleft()
        if not way.todo:
            self._next_step(role)

    def _keep(self, key: str, sample: int, while_waiting: Waiting) -> None:
        result = self._take(self._items[key], part_key(key, sample), while_waiting)
        self._results.setdefault(key, []).append(result)

    def _next_step(self, role: str) -> None:
        way = self._ways[role]
        step = next(way.steps, None)
        if step is None:
            way.is_over = True
            self._drop(key for key, item in self._items.items() if item.spec.role == role)
            return
        self._dropped.update(step.dropped)
        self._drop(step.dropped)
        way.todo.extend(step.parts)
        self._answers.deal([part_key(*part) for part in step.parts])

    def _drop(self, keys: Iterator[str] | Mapping[str, str]) -> None:
        self._answers.drop([part_key(key, sample) for key in keys for sample in range(self._samples)])

    def release(self, key: str) -> None:
        """Release the model of an item whose test has ended."""
        for sample in range(self._samples):
            self._answers.release(part_key(key, sample))

    def keep_arrived(
        self, reported: Container[str], grade: Callable[[Item, str, Answers], Result]
    ) -> Iterator[tuple[str, Record]]:
        """Grade what arrived of items whose tests have not reported, when a run is interrupted."""
        arrived = self._answers.arrived()
        for key, item in self._items.items():
            if key in reported:
                continue
            found = list(self._results.get(key, ()))
            for sample in range(len(found), self._samples):
                own = part_key(key, sample)
                if any(isinstance(answer, Answer) for answer in arrived.get(own, ())):
                    found.append(grade(item, own, arrived[own]))
            if found:
                yield key, merged(found).record
