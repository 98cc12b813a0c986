"""Reward functions: they give what a run's grades give, take what trainers hand over, and never raise."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.entries import RecordedEntry
from pytest_llmbench.models.recorded import PROVIDER
from pytest_llmbench.runner.runner import Item, Runner, RunSettings
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.tuning import rewards as dotted
from pytest_llmbench.tuning.rewards import MOST_FAULTS, Rewards
from pytest_llmbench.values import Side

ROOT = Path(__file__).parents[2]

SUITE = """\
suite: mood
grader: yes_no
split: {train: 0.5}
sampling: {stop: ["\\n"]}
prompt: {completion: "{{ q }}"}
cases:
  - {id: a, q: "1", expected: "yes", split: train}
  - {id: b, q: "2", expected: "no", split: train}
  - {id: c, q: "3", expected: "no", split: held-out}
"""
FUNCTION = """\
suite: odd
grader: odd_grader:grade
split: {train: 0.5}
prompt: {completion: "{{ q }}"}
cases:
  - {id: a, q: "1", split: train}
  - {id: b, q: "2", split: held-out}
"""
GRADER = """\
from pytest_llmbench import Grade
def grade(case, answer):
    if answer.text == "break":
        raise RuntimeError("no database")
    score = float(answer.text)
    return Grade(score=score, passed=score == 1, reason="correct", explanation="")
"""


@pytest.fixture
def mood(tmp_path: Path) -> Rewards:
    path = tmp_path / "mood.yaml"
    path.write_text(SUITE)
    return Rewards.of([path], root=tmp_path)


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rewards]:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "odd_grader.py").write_text(GRADER)
    (tmp_path / "odd.yaml").write_text(FUNCTION)
    yield Rewards.of([tmp_path / "odd.yaml"], root=tmp_path)
    sys.modules.pop("odd_grader", None)


# -- agreement


def _answers(suite: str, cases: Sequence[Any], references: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Give answers to cases of a shipped suite: published ones, others of the tests, references, and wrong ones."""
    plain = {
        "clickbait": ["yes", "No.", "maybe", "", "I would say no", "<think>yes</think>no"],
        "sql": ["SELECT 1", "I cannot do that.", "```sql\nSELECT COUNT(*) FROM events\n```", "DROP TABLE events"],
        "jokes": ["It is a pun.", ""],
    }[suite]
    found = {case.id: [*plain, *references[case.id]] for case in cases}
    files = [*(ROOT / "fixtures" / "answers").glob("*.jsonl"), ROOT / "tests/data/joke-answers.jsonl"]
    for row in (json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()):
        if row.get("suite", "jokes") == suite:
            found.setdefault(row["case"], []).append(row["answer"])
    return found


@pytest.mark.parametrize("suite", ["clickbait", "jokes", "sql"])
def test_rewards_are_the_grades_of_a_run(tmp_path: Path, suite: str) -> None:
    """For each shipped suite: score and pass are those of the record, and a held-out case has none."""
    path = ROOT / "cases" / f"{suite}.yaml"
    loaded = SuiteRegistry(ROOT, {}).load(path)
    assert loaded is not None
    cases = {case.id: case for case in loaded.suite.cases}
    references = {case.id: loaded.kind.references(case) for case in loaded.suite.cases}
    answers = _answers(suite, loaded.suite.cases[:12], references)
    rows = [{"case": case, "answer": text} for case, texts in answers.items() for text in texts]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    entry = RecordedEntry(provider="recorded", answers=str(tmp_path / "a.jsonl"))
    spec = ModelSpec(role="m", name="m", entry=entry, provider=PROVIDER)
    runner = Runner(RunSettings(root=ROOT, samples=max(map(len, answers.values()))), [spec], {})
    again = runner.suites.load(path)
    assert again is not None
    runner.start([Item(key=name, loaded=again, case=cases[name], spec=spec) for name in answers])
    records = {name: runner.result(name).record for name in answers}
    runner.close()
    rewards = Rewards.of([path], root=ROOT)
    rewards.graders = 2

    compared = 0
    for name, texts in answers.items():
        columns = {"suite": [suite] * len(texts), "case_id": [name] * len(texts)}
        scores = rewards.trl("score")(completions=texts, **columns)
        passed = rewards.trl("passed")(completions=texts, **columns)
        graded = [(s.score, float(s.outcome == "passed")) for s in records[name].samples[: len(texts)]]
        if cases[name].side is Side.TRAIN:
            assert list(zip(scores, passed, strict=True)) == graded
            compared += len(texts)
        else:
            assert scores == passed == [None] * len(texts)

    assert compared > 20


# -- what trainers hand over


def test_a_reward_takes_texts_and_messages_and_cuts_at_stop(mood: Rewards) -> None:
    """Strings, messages, parts of messages; what stands behind a stop string was never written in a run."""
    completions = [
        "yes",
        [{"role": "assistant", "content": "yes"}],
        [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": [{"type": "text", "text": "ye"}, {"text": "s"}]},
        ],
        "yes\n\nNext: no",
        "<think>no\nno</think>yes",
        "well, yes",
        [],
        None,
        [{"role": "assistant", "content": None}],
    ]
    n = len(completions)

    found = mood.trl("score")(
        completions=completions, prompts=["p"] * n, suite=["mood"] * n, case_id=["a"] * n, completion_ids=[[1]] * n,
        trainer_state=object(), unheard_of=3,
    )  # fmt: skip

    assert found == [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_foreign_rows_have_no_reward_and_held_out_ones_end_the_stage(mood: Rewards) -> None:
    """None without suite or case, of others, and of a held-out case, which is counted."""
    reward = mood.trl("score")

    assert reward(completions=["yes", "no"]) == [None, None]
    assert reward(completions=["yes"], suite=["other"], case_id=["a"]) == [None]
    assert reward(completions=["yes", "no"], suite=["mood", None], case_id=["z", ["a"]]) == [None, None]
    assert reward(completions=["no", "no"], suite=["mood"], case_id=["b"]) == [1.0, None]
    assert reward(completions=[], suite=[], case_id=[]) == []
    assert (mood.fault, mood.faults) == (None, 0)

    assert reward(completions=["no"], suite=["mood"], case_id=["c"]) == [None]
    assert mood.held_out == {"mood/c": 1}
    assert mood.fault is not None
    assert mood.fault.startswith("the held-out case mood/c was in a training batch")


def test_rewards_have_names_and_log_each_reason_once(mood: Rewards) -> None:
    """TRL names columns by the function and keeps one list of extra values a batch, whoever adds to it."""
    logged: list[tuple[str, Any]] = []
    more: dict[str, Any] = {
        "suite": ["mood"] * 3, "case_id": ["a", "b", "x"],
        "log_metric": lambda *entry: logged.append(entry), "log_extra": lambda *entry: logged.append(entry),
    }  # fmt: skip
    functions = [mood.trl(name) for name in ("score", "passed", "format", "length")]

    found = [function(completions=["yes", "well, no", "yes"], **more) for function in functions]

    assert [function.__name__ for function in functions] == [
        "llmbench_score", "llmbench_passed", "llmbench_format", "llmbench_length",
    ]  # fmt: skip
    assert found == [[1.0, 0.0, None], [1.0, 0.0, None], [1.0, 0.0, None], [1.0, 2 / 8, None]]
    assert [entry for entry in logged if entry[0] == "reason"] == [("reason", ["correct", "format", "-"])]
    assert {entry for entry in logged if entry[0] != "reason"} == {("llmbench/grader_faults", 0.0)}


def test_a_grader_that_breaks_gives_no_reward_and_in_the_end_ends_the_stage(
    odd: Rewards, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises or gives: None, counted, the first traceback logged; a success in between starts anew."""
    logged: list[tuple[str, float]] = []

    def call(*texts: str) -> list[float | None]:
        n = len(texts)
        return odd.trl("score")(
            completions=list(texts),
            suite=["odd"] * n,
            case_id=["a"] * n,
            log_metric=lambda *entry: logged.append(entry),
        )

    with caplog.at_level(logging.WARNING):
        assert call("break", "nan", "2", "0.5", "inf") == [None, None, None, 0.5, None]
    assert (odd.faults, odd.fault) == (4, None)
    assert logged == [("llmbench/grader_faults", 4.0)]
    assert [record.getMessage().splitlines()[0] for record in caplog.records] == [
        "a grader broke, and its answer has no reward: odd/a: RuntimeError: no database"
    ]
    assert "Traceback" in caplog.text

    call(*(f"x{n}" for n in range(MOST_FAULTS)))
    assert odd.fault is not None
    assert odd.fault.endswith("odd/a: RuntimeError: no database")


def test_a_logger_that_breaks_breaks_nothing(mood: Rewards) -> None:
    """A reward function never raises, not even where the trainer does."""

    def broken(*_: Any) -> None:
        raise RuntimeError

    assert mood.trl("score")(
        completions=["yes"], suite=["mood"], case_id=["a"], log_metric=broken, log_extra=broken
    ) == [1.0]


def test_verl_and_openrlhf_get_one_number(tmp_path: Path) -> None:
    """The weighted parts; verl is told which rows are known, OpenRLHF's query is cut at prompt and end token."""
    (tmp_path / "mood.yaml").write_text(SUITE)
    rewards = Rewards.of([tmp_path / "mood.yaml"], root=tmp_path, weights={"score": 1.0, "format": 0.5})
    verl, openrlhf = rewards.verl(), rewards.openrlhf()

    assert verl("mood", "yes", "a") == {"score": 1.5, "known": 1.0}
    assert verl("x", "no", "y", {"suite": "mood", "case_id": "a"}, num=3) == {"score": 0.5, "known": 1.0}
    assert verl("gsm8k", "42", "42") == {"score": 0.0, "known": 0.0}
    assert Rewards.of([tmp_path / "mood.yaml"], root=tmp_path).verl()("mood", "no", "a") == {"score": 0.0, "known": 1.0}
    found = openrlhf(
        ["<s>Qyes<|im_end|><pad>", "<s>Qno</s>", "Qyes", "<s>Qyes"], ["<s>Q"] * 4, ["mood/a", "mood/a", "mood/a", "x/a"]
    )
    values = [float(value) for value in found["rewards"]]
    assert values == [1.5, 0.5, 0.0, 0.0] == [float(value) for value in found["scores"]]
    assert rewards.faults == 1


def test_the_functions_of_the_module_read_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For trainers that take a dotted path and no arguments; without the variable, the way out."""
    dotted._from_environment.cache_clear()
    monkeypatch.delenv("LLMBENCH_SUITES", raising=False)
    with pytest.raises(UsageFault, match="LLMBENCH_SUITES names no suite; set it to the suite files"):
        dotted.score(completions=["yes"])
    (tmp_path / "mood.yaml").write_text(SUITE)
    monkeypatch.setenv("LLMBENCH_SUITES", str(tmp_path / "mood.yaml"))
    monkeypatch.setenv("LLMBENCH_ROOT", str(tmp_path))

    assert dotted.score(completions=["yes"], suite=["mood"], case_id=["a"]) == [1.0]
    assert dotted.format(completions=["well, no"], suite=["mood"], case_id=["a"]) == [0.0]
    assert dotted.compute_score("mood", "no", "b")["score"] == 1.0
    assert [float(value) for value in dotted.reward_func(["Qno"], ["Q"], ["mood/b"])["rewards"]] == [1.0]
    assert [dotted.score.__name__, dotted.length.__name__] == ["llmbench_score", "llmbench_length"]
    dotted._from_environment.cache_clear()


@pytest.mark.parametrize(
    ("text", "weights", "message"),
    [
        (SUITE, {"loss": 1.0}, 'there is no reward "loss"; the rewards are: score, passed, format, length.'),
        (
            "suite: j\ngrader: key_points\njudge: {votes: 3}\nsplit: {train: 0.5}\nprompt: {completion: p}\n"
            "cases: [{id: a, points: [{name: n, any: [x]}]}]",
            None,
            "asks for a judge model, whose opinion cannot be a reward; set `judge: false`",
        ),
        (
            "suite: j\nsplit: {train: 0.5}\nprompt: {completion: p}\nchecks: [{rubric: Names the price of it.}]\n"
            "cases: [{id: a}]",
            None,
            "cannot be graded without a judge model, whose opinion cannot be a reward; leave the suite out",
        ),
        (SUITE.replace("split: {train: 0.5}\n", "").replace(", split: train", "").replace(", split: held-out", ""),
         None, "has no `split`, so no model may be trained on it"),
    ],
)  # fmt: skip
def test_what_cannot_reward_is_refused(tmp_path: Path, text: str, weights: Any, message: str) -> None:
    """An unknown reward, a judge, a suite without a split."""
    (tmp_path / "s.yaml").write_text(text)

    with pytest.raises(UsageFault, match=message):
        Rewards.of([tmp_path / "s.yaml"], root=tmp_path, weights=weights)


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """Rewards come without torch, transformers or a trainer."""
    (tmp_path / "mood.yaml").write_text(SUITE)
    code = (
        "import sys; from pytest_llmbench.tuning.rewards import Rewards; "
        f"r = Rewards.of([{str(tmp_path / 'mood.yaml')!r}]); "
        "print(r.trl('score')(completions=['yes'], suite=['mood'], case_id=['a']), "
        "sorted({'torch', 'trl', 'transformers', 'datasets', 'pytest'} & set(sys.modules)))"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert shown.stdout == "[1.0] []\n"
