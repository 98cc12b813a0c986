"""A run with a judge: what it is asked, what becomes of its replies, and who may not judge whom."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.grading.base import GraderKind, JudgeGrader
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.models.base import STOPPED, Identity, Opened, OpenSettings
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.entries import Entry, OpenAIEntry, RecordedEntry, SamplingKeys, TransformersEntry
from pytest_llmbench.results.records import JudgeInfo, Record
from pytest_llmbench.runner.judge_requests import is_same_model
from pytest_llmbench.runner.runner import Item, Runner, RunSettings
from pytest_llmbench.values import (
    Answer,
    AnswerError,
    Arrived,
    Case,
    Grade,
    Outcome,
    Prompt,
    PromptStyle,
    Request,
    Sampling,
    Suite,
)

SUITE = """\
suite: jokes
grader: key_points
prompt: {completion: "{{ joke }}"}
cases:
  - {id: dough, joke: "Not enough dough.", points: [{name: money, any: [cash]}, {name: bread, any: [loaf]}]}
  - {id: bank, joke: "A wet bank.", points: [{name: money, any: [cash]}, {name: river, any: [river]}]}
"""
RIGHT = "It is cash, and a loaf or a river."


class Always(Opened):
    """A model that answers everything with what a function says of the request; at None it waits for its end."""

    concurrency = 2

    def __init__(self, say: Callable[[Request], str | Answer | AnswerError], identity: Identity | None = None):
        self.say = say
        self.identity = identity or Identity(provider="always", model="m")
        self.asked: list[Request] = []

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        found: list[Answer | AnswerError] = []
        for index, request in enumerate(requests):
            self.asked.append(request)
            said = self.say(request)
            if said is None:
                assert halt is not None
                halt.wait(20)
                return (*found, *(AnswerError(cause=STOPPED) for _ in requests[index:]))
            found.append(
                Answer(text=said, latency_s=0.5, input_tokens=10, output_tokens=2) if isinstance(said, str) else said
            )
            if arrived is not None:
                arrived(index, found[-1])
        return tuple(found)


@dataclass
class Provider:
    """Opens one model."""

    model: Always
    style: PromptStyle | None = PromptStyle.COMPLETION
    entry_type: type[Entry] = Entry
    target_field: str = "provider"
    opened_with: list[OpenSettings] = field(default_factory=list)

    def prompt_style(self, entry: Entry) -> PromptStyle | None:
        return self.style

    def open(self, entry: Entry, settings: OpenSettings) -> Always:
        self.opened_with.append(settings)
        return self.model


def spec(name: str, model: Always, *, style: PromptStyle | None = PromptStyle.COMPLETION, **entry: Any) -> ModelSpec:
    made = Entry(provider=f"always-{name}", **entry)
    return ModelSpec(role=name, name=name, entry=made, provider=Provider(model, style=style))


def verdict(request: Request | None = None, *, hit: bool = True) -> str:
    """Find every point in the first words of the right answer."""
    del request
    points = {key: {"quote": "it is cash", "hit": hit} for key in ("p1", "p2")}
    return json.dumps({"points": points, "contradiction": False, "padding": "none"})


@dataclass
class Run:
    """A finished run."""

    runner: Runner
    records: dict[str, Record]

    @property
    def judge(self) -> JudgeInfo:
        found = self.runner.facts().judge
        assert found is not None
        return found


def answers_right(request: Request) -> str:
    return RIGHT


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Run the suite; `judge=` says what the judge replies, `say=` what the model answers."""
    runners: list[Runner] = []

    def make(
        judge: Callable[[Request], Any] | ModelSpec = verdict,
        say: Callable[[Request], Any] = answers_right,
        *,
        suite: str = SUITE,
        kinds: dict[str, GraderKind] | None = None,
        is_dealt: bool = False,
        needs_model: bool = False,
        identity: Identity | None = None,
        taken: Sequence[str] = ("dough", "bank"),
        **settings: Any,
    ) -> Run:
        (path := tmp_path / "jokes.yaml").write_text(suite)
        model = spec("m", Always(say, identity))
        named = judge if isinstance(judge, ModelSpec) else spec("j", Always(judge))
        runner = Runner(RunSettings(root=tmp_path, **settings), [model], kinds or {}, judge=named)
        runners.append(runner)
        loaded = runner.suites.load(path)
        assert loaded is not None
        items = [
            Item(key=case.id, loaded=loaded, case=case, spec=model, needs_model=needs_model)
            for case in loaded.suite.cases
        ]
        runner.start(items, is_dealt=is_dealt)
        records = {}
        for key in taken:
            records[key] = runner.result(key).record
            runner.release(key)
        runner.close()
        return Run(runner, records)

    yield make
    for runner in runners:
        runner.close()


@pytest.mark.parametrize("is_dealt", [False, True])
def test_what_the_judge_finds_is_the_grade(run: Callable[..., Run], is_dealt: bool) -> None:
    """Its points, not the patterns', are the score; it is named in the parts, and its tokens are counted there."""
    found = run(lambda request: verdict(request, hit=request.case == "dough"), is_dealt=is_dealt)

    dough, bank = found.records["dough"].samples[0], found.records["bank"].samples[0]
    assert (dough.outcome, dough.score, dough.parts["judge"]) == (Outcome.PASSED, 1.0, "j")
    assert (bank.outcome, bank.score, bank.reason) == (Outcome.FAILED, 0.0, "missing-points")
    assert bank.parts["patterns"] == {"score": 1.0, "passed": True, "reason": "correct"}
    assert dough.parts["judge_tokens"] == [10, 2]
    assert [json.loads(reply)["padding"] for reply in dough.parts["judge_replies"]] == ["none"]


def test_the_judges_time_and_tokens_are_not_the_models(run: Callable[..., Run]) -> None:
    """Latency and tokens of a sample are those of the answer."""
    slow = Answer(text=verdict(), latency_s=99, input_tokens=500)

    sample = run(lambda request: slow).records["dough"].samples[0]

    assert (sample.latency_s, sample.input_tokens, sample.output_tokens) == (0.5, 10, 2)


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        ("I like it.", 'the judge gave no grade: it holds no JSON object with points: "I like it."'),
        (
            AnswerError(cause="no complete answer within 5 s"),
            "the judge gave no grade: no complete answer within 5 s",
        ),
        (verdict().replace("p2", "p9"), 'the judge gave no grade: it names a point that does not exist: "p9"'),
    ],
)
def test_a_judge_that_gives_no_grade_is_an_error_and_no_zero(
    run: Callable[..., Run], reply: str | AnswerError, cause: str
) -> None:
    """The answer and its time are kept, and it has no score."""
    found = run(lambda request: reply if request.case == "dough" else verdict(request)).records

    sample = found["dough"].samples[0]
    assert (found["dough"].outcome, found["dough"].score, sample.error) == (Outcome.ERROR, None, cause)
    assert (sample.answer, sample.latency_s) == (RIGHT, 0.5)
    assert found["bank"].outcome is Outcome.PASSED


def test_what_has_no_answer_is_not_judged(run: Callable[..., Run]) -> None:
    """An error stays what it is, and an empty answer is `empty`; nobody is asked about either."""
    judge = Always(verdict)

    found = run(
        spec("j", judge), lambda request: AnswerError(cause="HTTP 500") if request.case == "dough" else " "
    ).records

    assert found["dough"].samples[0].error == "HTTP 500"
    assert (found["bank"].samples[0].reason, found["bank"].samples[0].parts["judge"]) == ("empty", "j")
    assert judge.asked == []


def test_each_sample_and_vote_is_a_request_of_its_own(run: Callable[..., Run]) -> None:
    """Votes are numbered through the samples, have seeds of their own where there is one, and the reply's schema."""
    judge = Always(verdict)
    named = spec("j", judge, sampling=SamplingKeys(seed=100, max_tokens=77))

    answers = [RIGHT, "", f"{RIGHT} Or so."]
    found = run(named, lambda r: answers[r.sample], suite=SUITE + "judge: {votes: 3}\n", samples=3)

    asked = [request for request in judge.asked if request.case == "dough"]
    assert sorted(request.sample for request in asked) == [0, 1, 2, 6, 7, 8]
    assert {request.sampling.seed - request.sample for request in asked if request.sampling.seed} == {100}
    assert {(request.sampling.temperature, request.sampling.max_tokens) for request in asked} == {(0.7, 77)}
    assert all(request.reply_schema for request in asked)
    assert [sample.reason for sample in found.records["dough"].samples] == ["correct", "empty", "correct"]
    assert found.judge.suites["jokes"].votes == 3
    assert found.judge.suites["jokes"].sampling.seed == 100


def test_equal_answers_to_a_case_are_judged_once(run: Callable[..., Run]) -> None:
    """Each has the grade; the tokens of the reply are counted with the first."""
    judge = Always(verdict)

    found = run(spec("j", judge), samples=3).records["dough"]

    assert sum(request.case == "dough" for request in judge.asked) == 1
    assert [sample.score for sample in found.samples] == [1.0] * 3
    assert [sample.parts["judge_tokens"] for sample in found.samples] == [[10, 2], [0, 0], [0, 0]]


RUBRICS = """\
suite: jokes
prompt: {completion: "{{ joke }}"}
judge: {votes: 3}
checks:
  - {rubric: "Names what dough stands for.", name: dough}
cases:
  - id: dough
    joke: "Not enough dough."
    checks: [{any: [{rubric: "Explains who was paid badly."}, {contains: loaf}]}, {not: {contains: yes}}]
  - {id: bank, joke: "A wet bank."}
"""


def graded(request: Request, *, word: str = "met") -> str:
    return json.dumps({"quote": "It is cash", "reasoning": request.case, "grade": word})


def test_each_rubric_of_a_case_is_a_request_of_its_own(run: Callable[..., Run]) -> None:
    """A vote at a time, numbered through answers, rubrics and votes; each check has its own replies."""
    judge = Always(lambda r: graded(r, word="not_met" if "paid badly" in (r.prompt.text or "") else "met"))

    found = run(spec("j", judge), lambda r: f"{RIGHT} {r.sample}", suite=RUBRICS, samples=2)

    asked = [request for request in judge.asked if request.case == "dough"]
    assert sorted(request.sample for request in asked) == list(range(12))
    assert {"paid badly" in (request.prompt.text or "") for request in asked if request.sample % 6 < 3} == {False}
    sample: Any = found.records["dough"].samples[1]
    first, second, third = sample.parts["checks"]
    assert (first["parts"]["grade"], second["checks"][0]["parts"]["grade"]) == ("met", "not_met")
    assert (first["passed"], second["passed"], third["passed"]) == (True, True, True)
    assert (sample.outcome, len(sample.parts["judge_replies"])) == (Outcome.PASSED, 6)
    assert found.judge.suites["jokes"].votes == 3


def test_a_rubric_that_the_judge_leaves_open_is_an_error(run: Callable[..., Run]) -> None:
    """The record keeps the answer and the replies, and has no score."""
    found = run(lambda r: "Nice!" if r.case == "bank" else graded(r), suite=RUBRICS).records

    (sample,) = found["bank"].samples
    assert (sample.outcome, sample.score, sample.answer) == (Outcome.ERROR, None, RIGHT)
    assert (sample.error or "").startswith(
        'check "dough" could not be tried: the judge gave no grade: vote 1: it holds'
    )
    assert sample.parts["judge_replies"] == ["Nice!"] * 3
    assert found["dough"].outcome is Outcome.PASSED


def test_a_plan_counts_the_replies_of_all_rubrics(run: Callable[..., Run]) -> None:
    """At most so many as there are samples, rubrics and votes."""
    runner = run(lambda r: graded(r), suite=RUBRICS, samples=2).runner
    (loaded,) = runner.suites.loaded
    items = [Item(key=c.id, loaded=loaded, case=c, spec=runner.specs[0]) for c in loaded.suite.cases]

    assert runner.judge_requests is not None
    plan = runner.judge_requests.plan(items, lambda _: None, is_dealt=False)

    assert plan is not None
    assert plan.n_replies == 2 * 3 * (2 + 1)


@pytest.mark.parametrize(
    ("style", "has_messages"), [(PromptStyle.CHAT, True), (PromptStyle.COMPLETION, False), (None, True)]
)
def test_the_judge_is_asked_in_its_own_style(
    run: Callable[..., Run], style: PromptStyle | None, has_messages: bool
) -> None:
    """Whatever style the model under test takes."""
    judge = Always(verdict)

    run(spec("j", judge, style=style))

    assert all(bool(request.prompt.messages) is has_messages for request in judge.asked)


def test_the_run_says_who_judged_and_how(run: Callable[..., Run]) -> None:
    """Identity, the digest of the prompt's words, votes and sampling, by suite."""
    found = run().judge

    assert (found.model, found.identity) == ("j", Identity(provider="always", model="m"))
    assert list(found.suites) == ["jokes"]
    assert len(found.suites["jokes"].prompt_sha256) == 64
    assert found.suites["jokes"].sampling == Sampling(max_tokens=1024, temperature=0.0)


def test_a_suite_may_keep_the_judge_out(run: Callable[..., Run]) -> None:
    """With `judge: false` the patterns grade, and the run says of no judge."""
    judge = Always(verdict)

    found = run(spec("j", judge), suite=SUITE + "judge: false\n")

    assert found.records["dough"].samples[0].parts["coverage"] == 1.0
    assert "judge" not in found.records["dough"].samples[0].parts
    assert (judge.asked, found.runner.facts().judge) == ([], None)


def test_with_one_answer_at_a_time_the_judge_keeps_up(run: Callable[..., Run]) -> None:
    """`-x` looks ahead by a batch only, and a judge on the model's machine waits for all: neither waits for the other."""
    found = run(is_bounded=True)

    assert [record.outcome for record in found.records.values()] == [Outcome.PASSED] * 2


def test_a_model_that_tests_ask_stays_open_beside_its_judge(run: Callable[..., Run]) -> None:
    """It cannot be closed before its tests are done, which wait for the judge."""
    found = run(needs_model=True)

    assert [record.outcome for record in found.records.values()] == [Outcome.PASSED] * 2


def test_what_was_not_judged_when_a_run_is_interrupted_is_an_error_with_its_answer(run: Callable[..., Run]) -> None:
    """What was answered and paid for is kept; what was judged has its grade."""
    found = run(lambda request: verdict() if request.case == "dough" else None, taken=["dough"])

    kept = dict(found.runner.keep_arrived(reported=()))

    assert found.records["dough"].outcome is Outcome.PASSED
    (sample,) = kept["bank"].samples
    assert (sample.outcome, sample.answer, sample.error) == (
        Outcome.ERROR, RIGHT, "the judge gave no grade: stopped"
    )  # fmt: skip


# -- a grader of another package


def test_a_grader_of_another_package_may_ask_a_judge(run: Callable[..., Run], tmp_path: Path) -> None:
    """What it raises, or gives in place of a grade, is an error of the answer."""

    def prompt(case: Case, answer: Answer, style: PromptStyle) -> Prompt:
        return Prompt(text=f"Is this good: {answer.text}")

    def grade(case: Case, answer: Answer, replies: Sequence[Answer | AnswerError]) -> Grade | AnswerError:
        if case.id == "bank":
            raise ValueError("oops")
        (reply,) = replies
        assert isinstance(reply, Answer)
        return Grade(score=1.0, passed=True, reason="correct", explanation=reply.text)

    def judge_grader(suite: Suite, root: Path) -> JudgeGrader:
        return JudgeGrader(
            prompt=prompt, grade=grade, reply_schema=lambda case: {}, prompt_sha256="d", sampling=Sampling(max_tokens=5)
        )

    kind = replace(BUILT_IN["key_points"], name="good", judge_grader=judge_grader)

    found = run(lambda request: "yes", suite=SUITE.replace("key_points", "good"), kinds={"good": kind})

    assert found.records["dough"].samples[0].explanation == "yes"
    error = found.records["bank"].samples[0].error
    assert error is not None
    assert error.startswith("the grader broke: ValueError: oops\n")


# -- who may not judge whom


def test_a_model_may_not_judge_itself(run: Callable[..., Run]) -> None:
    """The same entry under whatever name is refused before anything is asked, unless the suite allows it."""
    itself = replace(spec("m", Always(verdict)), name="other-name")

    with pytest.raises(UsageFault) as raised:
        run(itself)

    assert str(raised.value).startswith('--llm-judge "other-name" is the model under test ("m"), and models favour')
    assert "judge: {allow_self: true}" in str(raised.value)
    forced = run(itself, suite=SUITE + "judge: {allow_self: true}\n")
    assert forced.records["dough"].outcome is Outcome.PASSED


def test_a_judge_with_the_same_weights_is_refused_when_it_is_opened(run: Callable[..., Run]) -> None:
    """Two names of one model are found out by its weights; its items are errors, unless the suite allows it."""
    weights = Identity(provider="always", model="m", weights="abc")
    judge = spec("j", Always(verdict, replace(weights, model="another name")))

    refused = run(judge, identity=weights)
    forced = run(judge, identity=weights, suite=SUITE + "judge: {allow_self: true}\n")

    assert refused.records["dough"].samples[0].error == (
        'the judge gave no grade: the judge "j" is the model under test ("m") by its weights; name another one'
    )
    assert forced.records["dough"].outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (OpenAIEntry(provider="openai", model="a"), OpenAIEntry(provider="openai", model="a", concurrency=3), True),
        (OpenAIEntry(provider="openai", model="a"), OpenAIEntry(provider="openai", model="b"), False),
        (
            OpenAIEntry(provider="openai", model="a", base_url="http://x/v1"),
            OpenAIEntry(provider="openai", model="a", base_url="http://y/v1"),
            False,
        ),
        (
            TransformersEntry(provider="transformers", model="a", dtype="float32"),
            TransformersEntry(provider="transformers", model="a"),
            True,
        ),
        (
            TransformersEntry(provider="transformers", model="a", adapter="b"),
            TransformersEntry(provider="transformers", model="a"),
            False,
        ),
        (TransformersEntry(provider="transformers", model="a"), OpenAIEntry(provider="openai", model="a"), False),
        (RecordedEntry(provider="recorded", answers="a"), RecordedEntry(provider="recorded", answers="a"), True),
    ],
)
def test_entries_of_one_model_are_known(one: Entry, other: Entry, is_same: bool) -> None:
    """How a model is to answer does not make it another; where it is, and what is put on it, does."""
    catalog = Catalog(Path("none.toml"), {})
    specs = [
        ModelSpec(role="r", name="n", entry=entry, provider=catalog.provider(entry.provider, ""))
        for entry in (one, other)
    ]

    assert is_same_model(*specs) is is_same
