"""A plan asked in stages: in the order of its course, behind grades and judge, and no further than that goes."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_llmbench.models.base import STOPPED, Identity, Opened, OpenSettings
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.entries import Entry
from pytest_llmbench.results.records import Record
from pytest_llmbench.runner.runner import Item, Result, Runner, RunSettings
from pytest_llmbench.runner.staged import NotAsked, Step
from pytest_llmbench.values import Answer, AnswerError, Arrived, Outcome, PromptStyle, Request

CASES = tuple("abcdefgh")
POINTS = "points: [{name: money, any: [cash]}]"
SUITE = 'suite: jokes\ngrader: key_points\nprompt: {completion: "{{ joke }}"}\ncases:\n' + "".join(
    f'  - {{id: {case}, joke: "joke {case}", {POINTS}}}\n' for case in CASES
)


class Scripted(Opened):
    """A model that answers every request with one text, or with an error where it has one; it keeps what it was asked."""

    concurrency = 3

    def __init__(self, text: str, fault: AnswerError | None = None, fault_at: str = ""):
        self.identity = Identity(provider="scripted", model=text[:8])
        self.asked: list[tuple[str, int]] = []
        self._text, self._fault, self._fault_at = text, fault, fault_at

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        found: list[Answer | AnswerError] = []
        for index, request in enumerate(requests):
            if halt is not None and halt.is_set():
                return (*found, *(AnswerError(cause=STOPPED) for _ in requests[index:]))
            self.asked.append((request.case, request.sample))
            is_fault = self._fault is not None and request.case == self._fault_at
            found.append(self._fault if is_fault and self._fault else Answer(text=self._text, latency_s=0.5))
            if arrived is not None:
                arrived(index, found[-1])
        return tuple(found)


@dataclass
class Provider:
    """Opens one model."""

    model: Scripted
    entry_type: type[Entry] = Entry
    target_field: str = "provider"

    def prompt_style(self, entry: Entry) -> PromptStyle:
        return PromptStyle.COMPLETION

    def open(self, entry: Entry, settings: OpenSettings) -> Scripted:
        return self.model


@dataclass
class Course:
    """Asks in two stages, and then drops the rest if the grades so far are as `stops` wants them."""

    first: Sequence[str]
    second: Sequence[str]
    stops: Callable[[list[Record]], bool]
    samples: int = 1

    def steps(self, role: str, record: Callable[[str], Record | None]) -> Iterator[Step]:
        yield Step(parts=tuple((case, sample) for sample in range(self.samples) for case in self.first))
        seen = [found for case in self.first if (found := record(case)) is not None]
        if self.stops(seen):
            yield Step(dropped=dict.fromkeys(CASES, "not asked: enough"))
            return
        yield Step(parts=tuple((case, sample) for sample in range(self.samples) for case in self.second))


def spec(name: str, model: Scripted) -> ModelSpec:
    return ModelSpec(role=name, name=name, entry=Entry(provider=f"scripted-{name}"), provider=Provider(model))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Runner]]:
    """Start a run of the suite: `start(model, course, judge=...)`."""
    runners: list[Runner] = []

    def begin(model: Scripted, course: Course, judge: Scripted | None = None) -> Runner:
        (path := tmp_path / "jokes.yaml").write_text(SUITE)
        settings = RunSettings(root=tmp_path, samples=course.samples)
        runner = Runner(settings, [spec("m", model)], {}, judge=None if judge is None else spec("j", judge))
        runners.append(runner)
        loaded = runner.suites.load(path)
        assert loaded is not None
        items = [Item(key=case.id, loaded=loaded, case=case, spec=runner.specs[0]) for case in loaded.suite.cases]
        runner.start(items, course=course)
        return runner

    yield begin
    for runner in runners:
        runner.close()


def outcomes(runner: Runner) -> dict[str, str]:
    """Take all results in the order of the file."""
    found = {case: runner.result(case) for case in CASES}
    return {case: str(own.record.outcome) if isinstance(own, Result) else own.reason for case, own in found.items()}


def test_the_course_orders_the_requests_and_the_rest_is_not_asked(start: Callable[..., Runner]) -> None:
    """Whichever test asks first, requests go out as the course wants; items it drops have its reason."""
    model = Scripted("no money")
    runner = start(model, Course("hc", "abdefg", lambda seen: all(r.outcome is Outcome.FAILED for r in seen)))

    found = outcomes(runner)

    assert model.asked == [("h", 0), ("c", 0)]
    assert found == {case: "failed" if case in "hc" else "not asked: enough" for case in CASES}
    assert isinstance(runner.result("a"), NotAsked)


def test_a_course_that_goes_on_asks_everything(start: Callable[..., Runner]) -> None:
    """In its order, and every item has its result."""
    model = Scripted("cash")
    runner = start(model, Course("hc", "gabdef", lambda seen: False))

    assert set(outcomes(runner).values()) == {"passed"}
    assert [case for case, _ in model.asked] == list("hcgabdef")


def test_samples_are_parts_of_their_own(start: Callable[..., Runner]) -> None:
    """Three samples of an item are one record in the end, whatever was asked between them."""
    model = Scripted("cash")
    runner = start(model, Course("hc", "gabdef", lambda seen: False, samples=3))

    result = runner.result("c")

    assert isinstance(result, Result)
    assert len(result.record.samples) == len(result.answers) == len(result.grades) == 3
    assert model.asked[:6] == [("h", 0), ("c", 0), ("h", 1), ("c", 1), ("h", 2), ("c", 2)]


def test_the_decision_stands_behind_the_judge(start: Callable[..., Runner]) -> None:
    """The course sees what the judge found, and the judge is asked about nothing that the model is not."""
    points = {"p1": {"quote": "cash", "hit": False}}
    judge = Scripted(json.dumps({"points": points, "contradiction": False, "padding": "none"}))
    model = Scripted("cash")
    runner = start(model, Course("hc", "gabdef", lambda seen: all(r.score == 0 for r in seen), samples=2), judge=judge)

    found = outcomes(runner)

    assert found["h"] == "failed"
    assert found["a"] == "not asked: enough"
    assert sorted(judge.asked) == [("c", 0), ("c", 1), ("h", 0), ("h", 1)]
    assert len(model.asked) == 4


def test_a_model_that_dies_at_a_look_leaves_errors(start: Callable[..., Runner]) -> None:
    """After a fatal error nothing is asked any more, and everything that was to be asked is an error."""
    model = Scripted("cash", AnswerError(cause="gone", is_fatal=True), fault_at="c")
    runner = start(model, Course("hc", "gabdef", lambda seen: False))

    found = outcomes(runner)

    assert found["h"] == "passed"
    assert {found[case] for case in "cgabdef"} == {"error"}
    assert runner.has_fatal


def test_what_arrived_is_kept_when_a_run_is_interrupted(start: Callable[..., Runner]) -> None:
    """Items that were graded, and not reported, keep their records; the others have none."""
    runner = start(Scripted("cash"), Course("hc", "gabdef", lambda seen: True))
    runner.result("a")
    runner.close()

    kept = dict(runner.keep_arrived({"h"}))

    assert list(kept) == ["c"]
    assert kept["c"].outcome is Outcome.PASSED
