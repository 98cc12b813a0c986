"""The conductor without pytest: plan, answers, grades, records and facts of a run."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pytest_llmbench.errors import ModelFault, SuiteFault, UsageFault
from pytest_llmbench.grading.base import Finding, Grader, GraderKind, Severity
from pytest_llmbench.models.base import STOPPED, Identity, Opened, OpenSettings
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.entries import Entry, RecordedEntry, SamplingKeys, Strict
from pytest_llmbench.models.recorded import PROVIDER as RECORDED
from pytest_llmbench.runner.forecast import forecast
from pytest_llmbench.runner.runner import Item, Runner, RunSettings
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.values import (
    Answer,
    AnswerError,
    Arrived,
    Case,
    Grade,
    Message,
    Outcome,
    Prompt,
    PromptStyle,
    Request,
    Suite,
)

SUITE = """\
suite: capitals
grader: exact
sampling: {max_tokens: 8, temperature: 0.5, stop: ["."], seed: 7}
prompt:
  completion: "Q: {{ question }}"
  chat: [{role: user, content: "{{ question }}"}]
cases:
  - {id: france, question: "Capital of France?", expected: Paris}
  - {id: peru, question: "Capital of Peru?", expected: Lima, cluster: andes}
"""
RIGHT = {"france": ("Paris",), "peru": ("Lima",)}
SEED = 7
IDENTITY = Identity(provider="replies", model="table")


@dataclass
class Replies(Opened):
    """A model that answers from a table, by case and sample; it blocks at `hold` until it is halted."""

    table: Mapping[str, Sequence[str | Answer | AnswerError]]
    hold: str | None = None
    asked: list[Request] = field(default_factory=list)
    is_holding: threading.Event = field(default_factory=threading.Event)
    identity: Identity = IDENTITY
    concurrency: int = 3

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        answers: list[Answer | AnswerError] = []
        for index, request in enumerate(requests):
            self.asked.append(request)
            if request.case == self.hold and halt is not None:
                self.is_holding.set()
                halt.wait(20)
            if halt is not None and halt.is_set():
                answers.append(AnswerError(cause=STOPPED))
                continue
            found = self.table[request.case][request.sample]
            answers.append(Answer(text=found, latency_s=0.5) if isinstance(found, str) else found)
            if arrived is not None:
                arrived(index, answers[-1])
        return tuple(answers)


@dataclass
class Provider:
    """Opens one model, or raises."""

    model: Replies | ModelFault
    style: PromptStyle | None = PromptStyle.CHAT
    entry_type: type[Entry] = Entry
    target_field: str = "provider"
    opened_with: list[OpenSettings] = field(default_factory=list)

    def prompt_style(self, entry: Entry) -> PromptStyle | None:
        return self.style

    def open(self, entry: Entry, settings: OpenSettings) -> Replies:
        self.opened_with.append(settings)
        if isinstance(self.model, ModelFault):
            raise self.model
        return self.model


def spec(
    model: Replies | ModelFault,
    *,
    role: str = "m",
    style: PromptStyle | None = PromptStyle.CHAT,
    sampling: SamplingKeys | None = None,
) -> ModelSpec:
    entry = Entry(provider="replies", sampling=sampling or SamplingKeys())
    return ModelSpec(role=role, name=f"{role}-model", entry=entry, provider=Provider(model, style=style))


def make(
    folder: Path,
    *specs: ModelSpec,
    suite: str = SUITE,
    kinds: Mapping[str, GraderKind] | None = None,
    **settings: object,
) -> tuple[Runner, list[Item]]:
    """Give a runner with the suite loaded, and its items in the order of the models."""
    path = folder / "capitals.yaml"
    path.write_text(suite)
    runner = Runner(RunSettings(root=folder, **settings), specs, kinds or {})  # type: ignore[arg-type]
    return runner, items_of(runner, load(runner, path))


def load(runner: Runner, path: Path) -> LoadedSuite:
    loaded = runner.suites.load(path)
    assert loaded is not None
    return loaded


def items_of(runner: Runner, loaded: LoadedSuite) -> list[Item]:
    return [
        Item(key=f"{case.id}[{one.role}]", loaded=loaded, case=case, spec=one)
        for one in runner.specs
        for case in runner.settings.cases(loaded)
    ]


@pytest.fixture
def started() -> Iterator["Start"]:
    """Start runners, and close them after the test."""
    runners: list[Runner] = []

    def start(made: tuple[Runner, list[Item]], *, is_dealt: bool = False) -> Runner:
        runner, items = made
        runner.start(items, is_dealt=is_dealt)
        runners.append(runner)
        return runner

    yield start
    for runner in runners:
        runner.close()


Start = Callable[..., Runner]


# -- results


@pytest.mark.parametrize("is_dealt", [False, True])
def test_a_result_has_answer_grade_and_record(tmp_path: Path, started: Start, is_dealt: bool) -> None:
    """An item's answer is graded and told in its record, ahead of the tests or when it is wanted."""
    model = Replies({"france": ["Paris"], "peru": ["Cusco"]})
    runner = started(make(tmp_path, spec(model)), is_dealt=is_dealt)

    france, peru = runner.result("france[m]"), runner.result("peru[m]")

    record = peru.record
    assert (record.suite, record.case, record.cluster, record.grader) == ("capitals", "peru", "andes", "exact")
    assert (record.model, record.role, record.prompt_style) == ("m-model", "m", "chat")
    assert (record.outcome, record.score, record.latencies_s) == (Outcome.FAILED, 0.0, (0.5,))
    assert peru.shown_pair[0].text == "Cusco"
    assert str(peru.shown_pair[1]) == 'different (score 0.00): Expected "Lima", found "Cusco".'
    assert (france.record.outcome, france.record.score) == (Outcome.PASSED, 1.0)
    assert record.case_sha256 != france.record.case_sha256


SAMPLES = {
    "all right": (["Paris", "Paris"], Outcome.PASSED, 1.0, 0),
    "one wrong": (["Paris", "Rome"], Outcome.FAILED, 0.5, 1),
    "one error": ([AnswerError(cause="HTTP 500"), "Paris"], Outcome.PASSED, 1.0, 1),
    "wrong and error": ([AnswerError(cause="HTTP 500"), "Rome"], Outcome.FAILED, 0.0, 1),
    "all errors": ([AnswerError(cause="HTTP 500"), AnswerError(cause="HTTP 503")], Outcome.ERROR, None, None),
}


ENDINGS = {
    "cut off": (
        Answer(text="Paris, or", finish_reason="length"),
        "different",
        'Expected "Paris", found "Paris, or". It was cut off at max_tokens = 8.',
    ),
    "cut off and right": (
        Answer(text="Paris", finish_reason="length"),
        "correct",
        'Expected "Paris", found "Paris". It was cut off at max_tokens = 8.',
    ),
    "cut reasoning": (
        Answer(text="<think>It is Paris", finish_reason="length"),
        "empty",
        "The answer is nothing but reasoning. It was cut off at max_tokens = 8.",
    ),
    "filtered": (
        Answer(text="", finish_reason="content_filter", refusal="content filter (hate)"),
        "refusal",
        "The provider's content filter (hate) let no answer pass.",
    ),
    "filtered in the middle": (
        Answer(text="Paris", finish_reason="content_filter"),
        "refusal",
        "The provider's content filter cut off the answer.",
    ),
    "declined": (Answer(text="Non.", refusal="Non."), "refusal", "The model declined: Non."),
    "reasoned": (Answer(text="<think>Rome?</think>Paris"), "correct", 'Expected "Paris", found "Paris".'),
}


@pytest.mark.parametrize(("answer", "reason", "explanation"), ENDINGS.values(), ids=ENDINGS)
def test_how_an_answer_ended(tmp_path: Path, started: Start, answer: Answer, reason: str, explanation: str) -> None:
    """Under every grader the story of an answer says where it was cut off, filtered or declined; reasoning is no answer."""
    runner = started(make(tmp_path, spec(Replies({"france": [answer], "peru": ["Lima"]}))))

    result = runner.result("france[m]")

    sample = result.record.samples[0]
    assert (sample.reason, sample.explanation) == (reason, explanation)
    assert result.shown_pair[1].explanation == explanation


def test_room_for_reasoning(tmp_path: Path, started: Start) -> None:
    """The room of the command line comes on top of the suite's limit; completion prompts and "none" get none of it."""
    models = {style: Replies({"france": ["Paris"], "peru": ["Lima"]}) for style in ("chat", "own", "none")}
    specs = [spec(model, role=role) for role, model in models.items()]
    specs[1] = replace(specs[1], entry=specs[1].entry.model_copy(update={"reasoning_tokens": 7}))
    specs[2] = replace(specs[2], entry=specs[2].entry.model_copy(update={"reasoning": "none"}))
    runner = started(make(tmp_path, *specs, reasoning_tokens=100))

    for role in models:
        runner.result(f"france[{role}]")

    assert [models[role].asked[0].sampling.reasoning_tokens for role in models] == [100, 100, 0]
    runner = started(make(tmp_path, *specs))
    assert [
        runner.builder.sampling(item).reasoning_tokens
        for item in items_of(runner, load(runner, tmp_path / "capitals.yaml"))[::2]
    ] == [0, 7, 0]


@pytest.mark.parametrize(("answers", "outcome", "score", "shown"), SAMPLES.values(), ids=SAMPLES)
def test_the_samples_of_a_case_make_one_record(
    tmp_path: Path,
    started: Start,
    answers: list[str | AnswerError],
    outcome: Outcome,
    score: float | None,
    shown: int | None,
) -> None:
    """Errors count neither as right nor as wrong; the first that failed is shown, else the first with a grade."""
    model = Replies({"france": answers, "peru": ["Lima", "Lima"]})  # type: ignore[dict-item]
    runner = started(make(tmp_path, spec(model), samples=2))

    result = runner.result("france[m]")

    assert (result.record.outcome, result.record.score, len(result.record.samples)) == (outcome, score, 2)
    assert (result.shown, result.is_fatal) == (shown, False)


def test_a_result_of_errors_has_nothing_to_show(tmp_path: Path, started: Start) -> None:
    """Where no sample has a grade, asking for one is a mistake of the caller."""
    runner = started(make(tmp_path, spec(Replies({"france": [AnswerError(cause="x")], "peru": ["Lima"]}))))
    result = runner.result("france[m]")

    with pytest.raises(LookupError, match="no sample has a grade"):
        _ = result.shown_pair


def test_a_model_that_cannot_be_opened_makes_fatal_results(tmp_path: Path, started: Start) -> None:
    """Each result says its cause, and that nothing more can come from this model."""
    runner = started(make(tmp_path, spec(ModelFault("out of memory; take a smaller model."))))

    result = runner.result("peru[m]")

    assert (result.record.outcome, result.is_fatal) == (Outcome.ERROR, True)
    assert [sample.error for sample in result.record.samples] == ["out of memory; take a smaller model."]


# -- graders


def grading(grade: Callable[[Case, Answer], object]) -> dict[str, GraderKind]:
    """Give graders of another package: one, `mine`."""

    def build(suite: Suite, root: Path) -> Grader:
        return grade  # type: ignore[return-value]

    class Fields(Strict):
        expected: str

    return {"mine": GraderKind(name="mine", case_fields=Fields, suite_fields=Strict, build=build, version=3)}


def raises(fault: BaseException) -> Callable[[Case, Answer], object]:
    def grade(case: Case, answer: Answer) -> object:
        raise fault

    return grade


def gives(found: object) -> Callable[[Case, Answer], object]:
    return lambda case, answer: found


GRADE = Grade(score=1.0, passed=True, reason="fine", explanation="")
BROKEN = {
    "an exception": (raises(ValueError("no idea")), "the grader broke: ValueError: no idea"),
    "the end of the process": (raises(SystemExit(2)), "the grader broke: SystemExit: 2"),
    "pytest's own fail": (raises(pytest.fail.Exception("no")), "the grader broke: Failed: no"),
    "no grade": (gives(True), "the grader broke: TypeError: it gave bool; a grader must give a Grade"),
    "a score over 1": (
        gives(replace(GRADE, score=1.5)),
        "the grader broke: ValueError: it gave the score 1.5; a score lies in 0..1",
    ),
    "a score that is none": (
        gives(replace(GRADE, score=float("nan"))),
        "the grader broke: ValueError: it gave the score nan; a score lies in 0..1",
    ),
}


@pytest.mark.parametrize(("grade", "error"), BROKEN.values(), ids=BROKEN)
def test_a_grader_that_breaks_is_an_error_that_keeps_the_answer(
    tmp_path: Path, started: Start, grade: Callable[[Case, Answer], object], error: str
) -> None:
    """What a grader raises, or gives that cannot be counted, is an error of the harness with its traceback."""
    suite = SUITE.replace("grader: exact", "grader: mine")
    runner = started(make(tmp_path, spec(Replies(RIGHT)), suite=suite, kinds=grading(grade)))

    (sample,) = runner.result("france[m]").record.samples

    assert (sample.outcome, sample.answer, sample.latency_s, sample.score) == (Outcome.ERROR, "Paris", 0.5, None)
    assert (sample.error or "").splitlines()[:2] == [error, "Traceback (most recent call last):"]


def test_a_fault_of_the_suite_found_while_grading_is_told_without_a_traceback(tmp_path: Path, started: Start) -> None:
    """What the package raises on purpose is complete: no frame of a traceback stands behind it."""
    suite = SUITE.replace("grader: exact", "grader: mine")
    grade = raises(SuiteFault("no answer can be told right; change the data.", path=Path("a.yaml"), line=3))
    runner = started(make(tmp_path, spec(Replies(RIGHT)), suite=suite, kinds=grading(grade)))

    (sample,) = runner.result("france[m]").record.samples

    assert (sample.outcome, sample.answer) == (Outcome.ERROR, "Paris")
    assert sample.error == "a.yaml:3: no answer can be told right; change the data."


def test_ctrl_c_in_a_grader_ends_the_run(tmp_path: Path, started: Start) -> None:
    """An interrupt is nobody's error: it goes through."""
    suite = SUITE.replace("grader: exact", "grader: mine")
    runner = started(make(tmp_path, spec(Replies(RIGHT)), suite=suite, kinds=grading(raises(KeyboardInterrupt()))))

    with pytest.raises(KeyboardInterrupt):
        runner.result("france[m]")


def test_answers_are_graded_wherever_the_process_stands(
    tmp_path: Path, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that changes the working directory does not keep the next answers from being graded."""
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    runner = started(make(tmp_path, spec(Replies(RIGHT))))

    os.chdir(elsewhere)

    assert runner.result("france[m]").record.outcome is Outcome.PASSED


# -- what is asked


def asked(made: tuple[Runner, list[Item]], model: Replies) -> list[Request]:
    runner, items = made
    runner.start(items, is_dealt=True)
    for item in items:
        runner.result(item.key)
    runner.close()
    return model.asked


def test_each_sample_is_asked_with_a_seed_of_its_own(tmp_path: Path) -> None:
    """One seed for all samples would give the same answer k times."""
    model = Replies({case: answers * 3 for case, answers in RIGHT.items()})

    requests = asked(make(tmp_path, spec(model), samples=3), model)

    assert [(r.suite, r.case, r.sample, r.sampling.seed) for r in requests[:4]] == [
        ("capitals", "france", 0, SEED),
        ("capitals", "france", 1, SEED + 1),
        ("capitals", "france", 2, SEED + 2),
        ("capitals", "peru", 0, SEED),
    ]


def test_without_a_seed_none_is_asked_for(tmp_path: Path) -> None:
    """Samples of a suite without a seed have none."""
    model = Replies({case: answers * 2 for case, answers in RIGHT.items()})

    requests = asked(make(tmp_path, spec(model), suite=SUITE.replace(", seed: 7", ""), samples=2), model)

    assert {request.sampling.seed for request in requests} == {None}


def test_an_entry_overrides_parts_of_the_suite_s_sampling(tmp_path: Path) -> None:
    """What the model's entry sets counts, what it leaves out is the suite's; 0 and an empty list are set."""
    model = Replies(RIGHT)
    own = SamplingKeys(max_tokens=64, temperature=0, stop=())

    (request, _) = asked(make(tmp_path, spec(model, sampling=own)), model)

    assert (request.sampling.max_tokens, request.sampling.temperature) == (64, 0)
    assert (request.sampling.stop, request.sampling.seed, request.sampling.top_p) == ((), SEED, None)


ONLY_COMPLETION = SUITE.replace('  chat: [{role: user, content: "{{ question }}"}]\n', "")
ONLY_CHAT = SUITE.replace('  completion: "Q: {{ question }}"\n', "")


@pytest.mark.parametrize(
    ("suite", "style", "taken"),
    [
        (SUITE, PromptStyle.CHAT, PromptStyle.CHAT),
        (SUITE, PromptStyle.COMPLETION, PromptStyle.COMPLETION),
        (SUITE, None, PromptStyle.CHAT),
        (ONLY_COMPLETION, None, PromptStyle.COMPLETION),
        (ONLY_CHAT, None, PromptStyle.CHAT),
    ],
)
def test_a_prompt_is_rendered_in_the_style_of_its_model(
    tmp_path: Path, suite: str, style: PromptStyle | None, taken: PromptStyle
) -> None:
    """A model that takes any style is sent chat messages where the suite has them."""
    model = Replies(RIGHT)

    (request, _) = asked(make(tmp_path, spec(model, style=style), suite=suite), model)

    assert request.prompt.style is taken
    assert (request.prompt.text or request.prompt.messages[0].content).endswith("Capital of France?")


@pytest.mark.parametrize(
    ("suite", "style", "has"),
    [(ONLY_COMPLETION, PromptStyle.CHAT, "completion"), (ONLY_CHAT, PromptStyle.COMPLETION, "chat")],
)
def test_a_suite_without_the_style_of_a_model_is_a_usage_error(
    tmp_path: Path, suite: str, style: PromptStyle, has: str
) -> None:
    """Nothing is asked of any model, and both ways out are named."""
    model = Replies(RIGHT)
    runner, items = make(tmp_path, spec(model), spec(model, role="n", style=style), suite=suite)
    path = items[0].loaded.suite.path

    with pytest.raises(UsageFault) as raised:
        runner.start(items if style is PromptStyle.COMPLETION else items[2:])

    assert str(raised.value) == (
        f'model "n-model" takes {style} prompts, and the suite "capitals" has only: {has}. '
        f'Add a {style} prompt to {path}, or set prompt_style = "{has}" for the model.'
    )
    assert (model.asked, runner.is_started) == ([], False)


def test_a_suite_without_a_prompt_is_for_applications(tmp_path: Path) -> None:
    """Nothing is asked of a model that is sent prompts alone; recorded answers need none."""
    suite = SUITE.split("prompt:")[0] + "cases:" + SUITE.split("cases:")[1]
    model = Replies(RIGHT)
    runner, items = make(tmp_path, spec(model), suite=suite)

    with pytest.raises(UsageFault, match=r'model "m-model" needs a prompt, and the suite "capitals" has none'):
        runner.start(items)

    (tmp_path / "answers.jsonl").write_text('{"case": "france", "answer": "Paris"}')
    (recorded,) = Catalog(tmp_path / "models.toml", {}).choose(["recorded:answers.jsonl"], tmp_path)
    runner, items = make(tmp_path, recorded, suite=suite)
    runner.builder.check_styles(items)
    assert runner.builder.prompt(items[0]).messages == (Message(role="user", content="Capital of France?"),)


def test_tools_are_refused_for_a_model_that_cannot_be_given_any(tmp_path: Path) -> None:
    """Nothing is asked of any model; where the prompt is a text, which describes the tools itself, none are sent."""
    suite = SUITE.replace("cases:", "tools: [{name: search}]\ncases:")
    model = Replies(RIGHT)
    runner, items = make(tmp_path, spec(model), spec(model, role="n", style=PromptStyle.COMPLETION), suite=suite)

    with pytest.raises(UsageFault, match=r'model "m-model" is of the provider .* which sends no tools'):
        runner.start(items)
    (request, _) = asked(make(tmp_path, spec(model, style=PromptStyle.COMPLETION), suite=suite), model)

    assert request.prompt.tools == ()


def test_a_model_is_opened_with_what_the_command_line_says(tmp_path: Path) -> None:
    """Concurrency and timeout reach the provider."""
    model = Replies(RIGHT)
    one = spec(model)
    open_settings = OpenSettings(concurrency=2, timeout_s=9)

    asked(make(tmp_path, one, open_settings=open_settings), model)

    assert isinstance(one.provider, Provider)
    assert one.provider.opened_with == [open_settings]


def test_the_limit_leaves_the_first_cases_of_each_suite(tmp_path: Path) -> None:
    """`--llm-limit 1` leaves one case a suite, and none of a limit leaves all."""
    limited, _ = make(tmp_path, spec(Replies(RIGHT)), limit=1)
    unlimited, _ = make(tmp_path, spec(Replies(RIGHT)))

    kept = [[case.id for case in r.settings.cases(load(r, tmp_path / "capitals.yaml"))] for r in (limited, unlimited)]

    assert kept == [["france"], ["france", "peru"]]


def test_a_prompt_is_rendered_once(tmp_path: Path) -> None:
    """Asking for an item's prompt again gives the one that was sent."""
    model = Replies(RIGHT)
    made = make(tmp_path, spec(model))

    requests = asked(made, model)

    assert made[0].builder.prompt(made[1][0]) is requests[0].prompt


# -- several samples at temperature 0


@pytest.mark.parametrize(
    ("samples", "temperature", "remarks"),
    [
        (
            3,
            0.0,
            {
                "france[m]": 'model "m" is asked 3 times for each case of suite "capitals" at temperature 0, so its '
                "answers hardly differ; set a temperature in capitals.yaml or in the model's `sampling`, or ask once."
            },
        ),
        (3, 0.1, {}),
        (1, 0.0, {}),
    ],
)
def test_several_samples_at_temperature_0_are_remarked_on_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    samples: int,
    temperature: float,
    remarks: dict[str, str],
) -> None:
    """The temperature that counts is the one asked with; a model and suite are named once, however many cases."""
    monkeypatch.chdir(tmp_path)
    own = SamplingKeys(temperature=temperature)
    runner, items = make(tmp_path, spec(Replies(RIGHT), sampling=own), samples=samples)

    assert runner.builder.sampling_remarks(items) == remarks


def test_recorded_answers_are_of_no_known_temperature(tmp_path: Path) -> None:
    """A suite at temperature 0 says nothing about answers that were recorded."""
    entry = RecordedEntry(provider="recorded", answers="x")
    one = ModelSpec(role="m", name="m", entry=entry, provider=RECORDED)
    runner, items = make(tmp_path, one, suite=SUITE.replace("0.5", "0"), samples=2)

    assert runner.builder.sampling_remarks(items) == {}


@pytest.mark.parametrize(("temperature", "copies"), [("0", [0, 0, 1]), ("0.5", [0, 0, 0])])
def test_a_forecast_leaves_the_numbers_of_equal_requests_as_they_are(
    tmp_path: Path, temperature: str, copies: list[int]
) -> None:
    """Looking at a plan, once or more, changes nothing of it: a run afterwards asks, and finds stored, the same."""
    twin = '  - {id: paris, question: "Capital of France?", expected: Paris}\n'
    runner, items = make(tmp_path, spec(Replies(RIGHT)), suite=SUITE.replace("0.5", temperature) + twin)

    forecast(runner.builder, items)
    forecast(runner.builder, items[1:])
    (plan,) = runner.builder.plans(items)

    assert [request.copy for item in plan.items for request in item.requests or ()] == copies


# -- suites


def test_a_suite_is_loaded_once(tmp_path: Path) -> None:
    """The same file, however its path is written, is the same loaded suite."""
    runner, items = make(tmp_path, spec(Replies(RIGHT)))
    (tmp_path / "a").mkdir()

    again = runner.suites.load(tmp_path / "a" / ".." / "capitals.yaml")

    assert again is items[0].loaded


def test_two_suites_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are joined by the name of the suite, so that a second one of a name is a fault that names the first."""
    monkeypatch.chdir(tmp_path)
    runner, _ = make(tmp_path, spec(Replies(RIGHT)))
    (tmp_path / "twin.yaml").write_text(SUITE)

    with pytest.raises(SuiteFault) as raised:
        runner.suites.load(tmp_path / "twin.yaml")

    assert (
        str(raised.value)
        == 'twin.yaml:1: the suite name "capitals" is already used by capitals.yaml; rename one of them.'
    )


def test_other_yaml_is_no_suite(tmp_path: Path) -> None:
    """A file of another kind is left alone."""
    (tmp_path / "other.yaml").write_text("a: 1")
    runner, _ = make(tmp_path, spec(Replies(RIGHT)))

    assert runner.suites.load(tmp_path / "other.yaml") is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("&a [*a]", " the file is nested too deeply, or an alias refers to a node that contains it; write it out."),
        ("[" * 3000 + "]" * 3000, "9: this is nested more than 500 levels deep; write it flatter."),
    ],
    ids=["an alias in itself", "brackets"],
)
def test_a_bottomless_suite_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    """What nests without end is refused in one sentence, not with a traceback."""
    monkeypatch.chdir(tmp_path)
    runner, _ = make(tmp_path, spec(Replies(RIGHT)))
    deep = SUITE.replace("suite: capitals", "suite: deep").replace('"Capital of Peru?"', value)
    (tmp_path / "deep.yaml").write_text(deep)

    with pytest.raises(SuiteFault) as raised:
        runner.suites.load(tmp_path / "deep.yaml")

    assert str(raised.value) == f"deep.yaml:{message}"


def checking(severity: Severity, case: str | None, calls: list[bool]) -> dict[str, GraderKind]:
    def check(suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
        calls.append(is_thorough)
        return (Finding(severity=severity, message="look at this.", case=case),)

    (kind,) = grading(gives(GRADE)).values()
    return {"mine": replace(kind, check=check)}


def test_a_suite_is_checked_once_in_a_run(tmp_path: Path) -> None:
    """What the grader remarks on is given the first time; a thorough check is made whenever it is asked for."""
    calls: list[bool] = []
    kinds = checking(Severity.WARNING, "peru", calls)
    runner, items = make(
        tmp_path, spec(Replies(RIGHT)), suite=SUITE.replace("grader: exact", "grader: mine"), kinds=kinds
    )

    checks = (runner.suites.check, runner.suites.check, runner.suites.check_thoroughly, runner.suites.check_thoroughly)
    given = [check(items[0].loaded) for check in checks]

    finding = Finding(severity=Severity.WARNING, message="look at this.", case="peru")
    assert given == [(finding,), (), (finding,), (finding,)]
    assert calls == [False, True, True]


@pytest.mark.parametrize(
    ("case", "message"),
    [("peru", 'capitals.yaml:9: case "peru": look at this.'), (None, "capitals.yaml:1: look at this.")],
)
def test_an_error_that_a_check_finds_is_a_fault_of_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str | None, message: str
) -> None:
    """In a run it is raised, with the place of its case."""
    monkeypatch.chdir(tmp_path)
    kinds = checking(Severity.ERROR, case, [])
    runner, items = make(
        tmp_path, spec(Replies(RIGHT)), suite=SUITE.replace("grader: exact", "grader: mine"), kinds=kinds
    )

    with pytest.raises(SuiteFault) as raised:
        runner.suites.check(items[0].loaded)

    assert str(raised.value) == message


# -- the run


def test_facts_tell_what_the_run_was_made_with(tmp_path: Path, started: Start) -> None:
    """Models with identity and the sampling used, suites with digest and grader's version, prompts sent, options."""
    own = SamplingKeys(max_tokens=64)
    kinds = grading(gives(GRADE))
    suite = SUITE.replace("grader: exact", "grader: mine")
    runner = started(
        make(tmp_path, spec(Replies(RIGHT), sampling=own), suite=suite, kinds=kinds, options={"samples": 1})
    )
    record = runner.result("france[m]").record

    facts = runner.facts()

    (model,), (suite_info,) = facts.models, facts.suites
    assert (model.role, model.model, model.identity) == ("m", "m-model", IDENTITY)
    assert (model.sampling["capitals"].max_tokens, model.sampling["capitals"].temperature) == (64, 0.5)
    assert (suite_info.suite, suite_info.grader, suite_info.grader_version) == ("capitals", "mine", 3)
    assert facts.options == {"samples": 1}
    assert list(facts.prompts) == [record.prompt_sha256]
    prompt = facts.prompts[record.prompt_sha256]
    assert isinstance(prompt, Prompt)
    assert prompt.messages[0].content == "Capital of France?"


def test_facts_tell_what_was_expected(tmp_path: Path, started: Start) -> None:
    """The grader's words for a right answer stand by the case's digest; one that breaks over it says nothing."""
    runner = started(make(tmp_path, spec(Replies(RIGHT))))
    record = runner.result("france[m]").record
    mine = replace(grading(gives(GRADE))["mine"], expected_text=lambda case: str(1 / 0))
    suite = SUITE.replace("grader: exact", "grader: mine")
    mute = started(make(tmp_path, spec(Replies(RIGHT)), suite=suite, kinds={"mine": mine}))
    mute.result("france[m]")

    assert runner.facts().expected == {record.case_sha256: "Paris"}
    assert mute.facts().expected == {}


def test_facts_leave_out_models_that_were_never_opened(tmp_path: Path, started: Start) -> None:
    """Before anything is asked there is nothing to tell; a model that cannot be opened has no identity."""
    before, _ = make(tmp_path, spec(Replies(RIGHT)))
    after = started(make(tmp_path, spec(ModelFault("no")), spec(Replies(RIGHT), role="n")))
    after.result("france[n]")

    assert before.facts().models == ()
    assert [model.role for model in after.facts().models] == ["n"]


def test_what_arrived_is_kept_when_a_run_is_interrupted(tmp_path: Path) -> None:
    """Answers that no test told of are graded and kept; what was told, or never came, is not."""
    suite = SUITE + "".join(f'  - {{id: {name}, question: "?", expected: x}}\n' for name in ("oslo", "held", "late"))
    model = Replies({**RIGHT, "oslo": ["y"], "late": ["x"]}, hold="held")
    runner, items = make(tmp_path, spec(model), suite=suite)
    runner.start(items)
    runner.result("france[m]")
    runner.result("peru[m]")  # and interrupted before its test could tell
    assert model.is_holding.wait(20)

    runner.close()
    kept = runner.keep_arrived(reported={"france[m]"})

    assert [(key, record.outcome) for key, record in kept] == [
        ("oslo[m]", Outcome.FAILED),
        ("peru[m]", Outcome.PASSED),
    ]


def test_nothing_can_be_had_of_a_run_that_did_not_start(tmp_path: Path) -> None:
    """Before its start, a result or a model is a mistake of the caller; ending it is none."""
    runner, items = make(tmp_path, spec(Replies(RIGHT)))

    with pytest.raises(RuntimeError, match="before the plan was started"):
        runner.result("france[m]")
    with pytest.raises(RuntimeError, match="before the plan was started"):
        runner.model(items[0])
    runner.release("france[m]")
    runner.close()

    assert (list(runner.keep_arrived(reported=())), runner.is_started) == ([], False)


def test_an_item_that_needs_its_model_can_ask_it(tmp_path: Path, started: Start) -> None:
    """The opened model answers requests of the test's own until the item is released."""
    model = Replies(RIGHT)
    runner, items = make(tmp_path, spec(model))
    items = [item.with_key(f"own-{item.key}", needs_model=True) for item in items]
    started((runner, items))
    result = runner.result("own-france[m]")
    request = replace(model.asked[0], case="peru")

    (answer,) = runner.model(items[0]).answer([request])
    runner.release("own-france[m]")

    assert isinstance(answer, Answer)
    assert (answer.text, result.record.outcome) == ("Lima", Outcome.PASSED)
