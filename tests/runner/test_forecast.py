"""What a run would ask and cost, told without asking."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import Identity, Model, OpenSettings, Traits
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.entries import Entry, OpenAIEntry, Price, RecordedEntry, SamplingKeys
from pytest_llmbench.models.openai.provider import OpenAIProvider
from pytest_llmbench.models.recorded import RecordedProvider
from pytest_llmbench.report.terminal.forecast import forecast_lines
from pytest_llmbench.report.terminal.layout import plain
from pytest_llmbench.runner.forecast import Forecast, forecast
from pytest_llmbench.runner.runner import AnswersSettings, Item, Runner, RunSettings
from pytest_llmbench.runner.store.keys import entry_key
from pytest_llmbench.runner.store.store import AnswerStore, Reuse
from pytest_llmbench.values import Answer, Prompt, PromptStyle

SUITE = """\
suite: capitals
grader: exact
sampling: {max_tokens: 100}
prompt: {completion: "{{ question }}"}
cases:
  - {id: france, question: "123456789", expected: Paris}
  - {id: peru, question: "123456", expected: Lima, cluster: andes}
  - {id: chile, question: "123", expected: Santiago, cluster: andes}
"""
CHOICES = """\
suite: headlines
grader: yes_no
answer_by: choice
prompt: {completion: "{{ headline }}"}
cases:
  - {id: fog, headline: "123456789", expected: "no"}
  - {id: cats, headline: "123456", expected: "yes"}
"""
IDENTITY = Identity(provider="openai", model="m")
KNOWN = ("openai", "recorded", "transformers")
PRICE = Price(input_per_million=1e6, output_per_million=1e4)


@dataclass
class Provider:
    """Opens nothing, and knows of an entry what its own provider does; counts a token a character, if it counts."""

    entry_type: type[Entry] = Entry
    target_field: str = "provider"

    def traits(self, entry: Entry) -> Traits:
        if entry.provider not in KNOWN:
            return Traits()
        return ModelSpec(
            role="m", name="m", entry=entry, provider=Catalog(Path(), {}).provider(entry.provider, "")
        ).traits

    def prompt_style(self, entry: Entry) -> PromptStyle:
        return PromptStyle.COMPLETION

    def open(self, entry: Entry, settings: OpenSettings) -> Model:
        raise AssertionError("nothing is opened for a plan")


class Counting(Provider):
    def token_counter(self, entry: Entry, settings: OpenSettings) -> Callable[[Prompt], int] | None:
        return lambda prompt: len(prompt.text or "")


def api(**keys: object) -> OpenAIEntry:
    return OpenAIEntry.model_validate({"provider": "openai", "model": "m", **keys})


def told(
    folder: Path, entry: Entry, provider: Provider | None = None, *, suite: str = SUITE, **settings: object
) -> Forecast:
    """Plan the suite for one model."""
    path = folder / "capitals.yaml"
    path.write_text(suite)
    answers = AnswersSettings(path=folder / "answers.sqlite")
    spec = ModelSpec(role="m", name="m", entry=entry, provider=provider or Provider())
    given = {"root": folder, "is_only_planned": True, "answers": answers, **settings}
    runner = Runner(RunSettings(**given), [spec], {})  # type: ignore[arg-type]
    loaded = runner.suites.load(path)
    assert loaded is not None
    items = [Item(key=case.id, loaded=loaded, case=case, spec=spec) for case in runner.settings.cases(loaded)]
    (line,) = forecast(runner.builder, items)
    return line


def stored(folder: Path, entry: Entry, *, latency_s: float = 2.0, concurrency: int = 4, n_kept: int = 2) -> None:
    """Leave a run behind that was answered for the first cases, and did not finish."""
    path = folder / "capitals.yaml"
    path.write_text(SUITE)
    spec = ModelSpec(role="m", name="m", entry=entry, provider=Provider())
    runner = Runner(RunSettings(root=folder), [spec], {})
    loaded = runner.suites.load(path)
    assert loaded is not None
    items = [Item(key=case.id, loaded=loaded, case=case, spec=spec) for case in loaded.suite.cases]
    runner.builder.check_styles(items)
    store = AnswerStore(folder / "answers.sqlite", reuse=Reuse.AUTO, token="before")
    answers = store.answers_of(IDENTITY, "m", entry_key(entry))
    for (request,) in runner.builder.requests(items[:n_kept]):
        answers.keep(answers.key(request), Answer(text="x", latency_s=latency_s, concurrency=concurrency))
    store.close()


def test_requests_tokens_and_cost_are_told(tmp_path: Path) -> None:
    """A request a case; tokens are estimated at three bytes each, and no answer is longer than it may be."""
    line = told(tmp_path, api(price=PRICE, api="completions"))

    assert (line.cases, line.units, line.requests, line.stored) == (3, 2, 3, 0)
    assert (line.input_tokens, line.are_tokens_counted, line.output_tokens) == (3 + 2 + 1, False, 300)
    assert line.cost_usd == pytest.approx(6 + 3)
    assert not (tmp_path / "answers.sqlite").exists()


def test_samples_and_the_model_s_own_sampling_count(tmp_path: Path) -> None:
    """What an entry says of its sampling is planned with."""
    line = told(tmp_path, api(sampling=SamplingKeys(max_tokens=10, temperature=1.0)), samples=4)

    assert (line.requests, line.output_tokens, line.is_greedy, line.samples) == (12, 120, False, 4)


@pytest.mark.parametrize(("entry", "output_tokens"), [(api(api="completions"), 2 * 4), (Entry(provider="x"), 0)])
def test_a_choice_has_the_tokens_that_are_written_to_tell_it(tmp_path: Path, entry: Entry, output_tokens: int) -> None:
    """An API writes as many as the longest label can have; a model that is here scores, and writes none."""
    assert told(tmp_path, entry, suite=CHOICES).output_tokens == output_tokens


def test_a_provider_that_can_counts_tokens(tmp_path: Path) -> None:
    """By the model's own tokenizer."""
    line = told(tmp_path, Entry(provider="x"), Counting())

    assert (line.input_tokens, line.are_tokens_counted) == (9 + 6 + 3, True)


@pytest.mark.parametrize(
    ("entry", "cost_usd"),
    [
        (api(), None),
        (api(serve="vllm serve m --port {port}"), 0.0),
        (Entry(provider="x"), None),
    ],
)
def test_what_nobody_charges_for_costs_nothing(tmp_path: Path, entry: Entry, cost_usd: float | None) -> None:
    """A model behind an API without a price has an unknown one; what runs here has none."""
    assert told(tmp_path, entry).cost_usd == cost_usd


def test_recorded_answers_are_there_already_or_missing(tmp_path: Path) -> None:
    """Nothing of them would be sent, and nothing is charged; those that are not there are counted apart."""
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(f'{{"case": "{case}", "answer": "x"}}\n' for case in ("france", "peru")))
    entry = RecordedEntry(provider="recorded", answers=str(answers))

    line = told(tmp_path, entry, RecordedProvider())

    assert (line.requests, line.stored, line.missing, line.to_send) == (3, 2, 1, 0)
    assert (line.input_tokens, line.cost_usd, line.duration_s) == (0, 0.0, 0.0)
    assert "1 recorded answer of capitals / m missing: each is an error." in shown(line)


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        ("smoke", "capitals: gate: smoke decides with any number of cases; each that passed must pass again"),
        ("advice", "capitals: gate: advice, its verdict does not count"),
    ],
)
def test_a_suite_without_statistics_needs_no_number_of_cases(tmp_path: Path, gate: str, text: str) -> None:
    """By its rule a handful is enough, or nothing is decided."""
    line = told(tmp_path, api(), suite=f"{SUITE}gate: {gate}\n")

    assert shown(line)[3:] == ["~ tokens: estimated at three bytes per token. " + TIME_NOTE, text]


def test_a_plan_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The style of an API's prompts is in its entry; what a run would lack is kept. A run is refused as ever."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    spec = ModelSpec(role="m", name="m", entry=api(), provider=OpenAIProvider())
    plan = Runner(RunSettings(root=tmp_path, is_only_planned=True), [spec], {}).builder
    run = Runner(RunSettings(root=tmp_path), [spec], {}).builder

    assert plan.style_of(spec) is PromptStyle.CHAT
    assert plan.unready["m"].startswith('Model "m" needs an API key: set OPENAI_API_KEY')
    with pytest.raises(UsageFault, match="needs an API key"):
        run.style_of(spec)


def test_what_the_store_would_answer_is_not_sent(tmp_path: Path) -> None:
    """As the run would: answers of a run that did not finish, of the model that was opened from the same entry."""
    entry = api(price=PRICE)
    stored(tmp_path, entry)

    line = told(tmp_path, entry)
    other = told(tmp_path, api(price=PRICE, base_url="http://127.0.0.1:1/v1"))

    assert (line.stored, line.input_tokens, line.output_tokens) == (2, 1, 100)
    assert (other.stored, other.input_tokens) == (0, 6)


def test_looking_into_the_store_leaves_it_as_it_is(tmp_path: Path) -> None:
    """A plan is no run: the next run still continues the one before."""
    entry = api()
    stored(tmp_path, entry)

    told(tmp_path, entry)
    again = told(tmp_path, entry)

    assert again.stored == 2


@pytest.mark.parametrize(
    ("entry", "duration_s", "is_known"),
    [
        (api(concurrency=2), 3 * 2.0 / 2, True),  # an API answers as many at once as it is asked
        (Entry(provider="x", concurrency=2), 3 * 2.0 / 4, True),  # a batch is what it was
        (api(base_url="http://127.0.0.1:1/v1", concurrency=2), (3 * 0.5 + 300 * 0.02) / 2, False),
        (Entry(provider="y"), None, False),
    ],
)
def test_the_time_is_told_by_what_is_stored(
    tmp_path: Path, entry: Entry, duration_s: float | None, is_known: bool
) -> None:
    """By the latencies of the model's stored answers; else by a rule of thumb for APIs, and not at all for others."""
    known = Entry(provider="x") if entry.provider in "xy" else api()
    stored(tmp_path, known, latency_s=2.0, concurrency=4, n_kept=1)

    line = told(tmp_path, entry, answers=AnswersSettings(path=tmp_path / "answers.sqlite", reuse=Reuse.NONE))

    assert line.duration_s == (None if duration_s is None else pytest.approx(duration_s))
    assert line.is_pace_known is is_known


def test_a_limit_of_cost_needs_a_price_for_a_plan_too(tmp_path: Path) -> None:
    """What the run would refuse is refused before."""
    with pytest.raises(UsageFault, match='--llm-max-cost needs the price of model "m": add price = '):
        told(tmp_path, api(), max_cost_usd=1.0)


LINE = Forecast(
    suite="s",
    role="m",
    cases=600,
    units=600,
    samples=1,
    is_greedy=True,
    requests=600,
    stored=100,
    input_tokens=12_000,
    are_tokens_counted=False,
    output_tokens=3_000,
    cost_usd=0.01234,
    duration_s=200.0,
    is_pace_known=False,
)
TIME_NOTE = "~ time: a rough estimate, which improves once answers of the model are stored."


def shown(*lines: Forecast, width: int = 200) -> list[str]:
    return [plain(line) for line in forecast_lines(lines, 0.05, width)]


def test_a_plan_is_a_table_its_sum_and_what_it_can_decide() -> None:
    """What is estimated is marked, and the marks are explained."""
    assert shown(LINE) == [
        "suite  model  cases  requests  stored  tokens in  out at most  cost at most    time",
        "s      m        600       600     100    ~12,000        3,000        $0.012  ~3 min",
        "500 requests would be sent, for at most $0.012, in about 3 min. Nothing was sent.",
        "~ tokens: estimated at three bytes per token. ~ time: a rough estimate, which improves once answers of the model are stored.",
        "s: 600 cases can decide at a margin of 5 points",
        "  with 600 cases, only a margin of 5 points or more can pass",
        "  more samples per case do not help at temperature 0; add cases",
    ]


def test_what_is_not_known_is_said() -> None:
    """A model without a price or a pace is named; a suite is told once for all its models."""
    unknown = replace(LINE, role="n", are_tokens_counted=True, cost_usd=None, duration_s=None)

    lines = shown(LINE, unknown, width=400)

    assert lines[2].split()[-2:] == ["?", "?"]
    assert lines[3] == (
        "1,000 requests would be sent, for at most $0.012, in about 3 min; the cost of n is unknown: add a price "
        "to the models file; the time of n is unknown until some of its answers are stored. Nothing was sent."
    )
    assert [line for line in lines if line.startswith("s: ")] == ["s: 600 cases can decide at a margin of 5 points"]
