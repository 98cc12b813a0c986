"""Answers that a judge grades a second time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import factories
from pytest_llmbench.models.base import Identity, Opened
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.entries import Entry, Price, SamplingKeys
from pytest_llmbench.report.judge_check import judge_check_lines, judge_check_text
from pytest_llmbench.results.merged_info import merged_run_info
from pytest_llmbench.results.records import JudgeCheck, JudgeInfo, Record, RunInfo
from pytest_llmbench.results.run_json import run_info_from_json, run_info_to_json
from pytest_llmbench.runner.judge_check import Judged, drawn
from pytest_llmbench.runner.runner import AnswersSettings, Item, Runner, RunSettings
from pytest_llmbench.runner.store.store import Reuse
from pytest_llmbench.values import Answer, Arrived, PromptStyle, Request

RIGHT = "It is cash, and a loaf or a river."
POINTS = "points: [{name: one, any: [cash]}, {name: two, any: [loaf, river]}]"


class Always(Opened):
    """A model that replies to everything what a function gives for the request."""

    concurrency = 4

    def __init__(self, reply: Callable[[Request], str]):
        self.identity = Identity(provider="always", model="m")
        self._reply = reply
        self.asked: list[Request] = []

    def answer(self, requests: Any, *, arrived: Arrived | None = None, halt: Any = None) -> tuple[Answer, ...]:
        self.asked += requests
        return tuple(Answer(text=self._reply(request), input_tokens=10, output_tokens=2) for request in requests)


class Provider:
    """Opens one model, and counts how often."""

    entry_type: type[Entry] = Entry
    target_field = "provider"

    def __init__(self, model: Always):
        self.model = model

    def prompt_style(self, entry: Entry) -> PromptStyle:
        return PromptStyle.COMPLETION

    def open(self, entry: Entry, settings: object) -> Always:
        return self.model


def spec(name: str, model: Always, **entry: Any) -> ModelSpec:
    return ModelSpec(role=name, name=name, entry=Entry(provider=f"p-{name}", **entry), provider=Provider(model))


def vote(*, hit: bool) -> str:
    points = {key: {"quote": "it is cash", "hit": hit} for key in ("p1", "p2")}
    return json.dumps({"points": points, "contradiction": False, "padding": "none"})


def at_first(request: Request) -> str:
    return vote(hit=True)


def suite_of(folder: Path, name: str, cases: list[str], judge: str) -> Path:
    rows = "".join(f"  - {{id: {case}, joke: {case}, {POINTS}}}\n" for case in cases)
    (path := folder / f"{name}.yaml").write_text(
        f'suite: {name}\ngrader: key_points\nprompt: {{completion: "{{{{ joke }}}}"}}\njudge: {judge}\ncases:\n{rows}'
    )
    return path


def checked(
    folder: Path,
    reply: Callable[[Request], str],
    *,
    judge: str = "true",
    entry: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[Runner, Always, dict[str, Record]]:
    """Run a suite of three cases to its end, its answers right, as the judge replies."""
    model, asked = spec("m", Always(lambda request: RIGHT + "!" * request.sample), **(entry or {})), Always(reply)
    named = spec("j", asked, sampling=SamplingKeys(seed=100), **(entry or {}))
    runner = Runner(RunSettings(root=folder, **settings), [model], {}, judge=named)
    loaded = runner.suites.load(suite_of(folder, "jokes", ["a", "b", "c"], judge))
    assert loaded is not None
    items = [Item(key=case.id, loaded=loaded, case=case, spec=model) for case in loaded.suite.cases]
    runner.start(items)
    records = {item.key: runner.result(item.key).record for item in items}  # type: ignore[union-attr]
    runner.finish()
    runner.close()
    runner.builder.end(is_finished=True)
    return runner, asked, records


def test_grades_that_change_are_counted_and_the_record_keeps_the_first(tmp_path: Path) -> None:
    """Three answers passed; judged again, one fails: 1 of 3."""
    runner, _, records = checked(
        tmp_path, lambda request: vote(hit=request.sample == 0 or request.case != "b"), n_judged_again=9
    )

    assert runner.facts().judge_check == {
        "jokes": JudgeCheck(
            answers=3, changed=1, scores_changed=1, errors=0, cases=("b",), input_tokens=30, output_tokens=6
        )
    }
    assert [record.score for record in records.values()] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("votes", "samples"), [(1, 1), (3, 2)])
def test_every_reply_is_a_new_one_with_a_seed_of_its_own(tmp_path: Path, votes: int, samples: int) -> None:
    """Numbers and seeds go on behind those of the run: a store has no such request, and a server draws otherwise."""
    judge = f"{{votes: {votes}}}" if votes > 1 else "true"

    _, asked, _ = checked(tmp_path, at_first, judge=judge, samples=samples, n_judged_again=2)

    first, again = asked.asked[: 3 * votes * samples], asked.asked[3 * votes * samples :]
    assert len(again) == 2 * votes
    assert {request.case for request in again} < {"a", "b", "c"}
    seeds = [{(request.case, request.sampling.seed) for request in part} for part in (first, again)]
    assert seeds[0].isdisjoint(seeds[1])
    assert len(seeds[1]) == len(again)


def test_the_store_is_never_asked(tmp_path: Path) -> None:
    """A second run takes its answers and grades from the store, and judges again all the same, to count anew."""
    answers = AnswersSettings(path=tmp_path / "answers.sqlite", reuse=Reuse.ALL)

    runs = [checked(tmp_path, at_first, answers=answers, n_judged_again=2) for _ in range(3)]

    assert [len(asked.asked) for _, asked, _ in runs] == [3 + 2, 2, 2]
    assert [check.changed for runner, _, _ in runs for check in runner.facts().judge_check.values()] == [0, 0, 0]


def test_a_reply_that_cannot_be_read_is_no_change(tmp_path: Path) -> None:
    """It is counted by itself; so is what the budget does not allow any more."""
    unread, _, _ = checked(tmp_path, lambda request: "?" if request.sample else vote(hit=True), n_judged_again=3)
    price = Price(input_per_million=0, output_per_million=1e6)  # two dollars a reply
    spent, _, _ = checked(tmp_path, at_first, entry={"price": price}, max_cost_usd=13, n_judged_again=3)

    (found,) = unread.facts().judge_check.values()
    assert (found.answers, found.errors, found.changed) == (0, 3, 0)
    (found,) = spent.facts().judge_check.values()
    assert (found.answers, found.errors) == (1, 2)
    assert "--llm-max-cost 13 was reached" in spent.builder.remarks[0]


def test_where_nothing_was_judged_a_remark_stands(tmp_path: Path) -> None:
    """An error of the judge has no grade that could change."""
    runner, asked, _ = checked(tmp_path, lambda request: "?", n_judged_again=3)

    assert len(asked.asked) == 3
    assert runner.facts().judge_check == {}
    assert runner.builder.remarks == (
        "--llm-check-judge: no answer has a grade of the judge, so none was judged again.",
    )


def judged(suite: str, case: str, place: int = 0) -> Judged:
    made = factories.record(case, factories.sample(), factories.sample(), suite=suite)
    item = Item(key=f"{suite}/{case}", loaded=None, case=None, spec=None)  # type: ignore[arg-type]
    return Judged(item=item, record=made, place=place, answer=Answer(text="x"))


def test_answers_are_drawn_over_suites_and_cases_whatever_their_order() -> None:
    """Suites take turns, each case comes once before one comes twice, and the order of tests changes nothing."""
    few = [judged("few", case, place) for case in "ab" for place in (0, 1)]
    many = [judged("many", str(case)) for case in range(50)]

    found = drawn([*few, *many], 10)

    assert [one.key for one in drawn([*many[::-1], *few[::-1]], 10)] == [one.key for one in found]
    assert [one.record.suite for one in found] == ["few", "many"] * 4 + ["many"] * 2
    assert {one.record.case for one in found[:4:2]} == {"a", "b"}
    assert len(drawn([*few, *many], 99)) == 54
    assert drawn([], 3) == []


CHECK = JudgeCheck(answers=40, changed=3, scores_changed=3, errors=0, cases=("a", "b"), input_tokens=1, output_tokens=2)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ({}, "3 of 40 grades changed when judged again (7.5%)"),
        ({"scores_changed": 5}, "3 of 40 grades changed when judged again (7.5%); scores changed in 5"),
        ({"errors": 1}, "3 of 40 grades changed when judged again (7.5%); 1 answer could not be judged again"),
        (
            {"answers": 0, "changed": 0, "scores_changed": 0, "errors": 2},
            "no answer has a second grade; 2 answers could not be judged again",
        ),
    ],
)
def test_the_line_of_a_suite(check: dict[str, int], text: str) -> None:
    """What changed, and what has no second grade."""
    made = JudgeCheck(**{**{name: getattr(CHECK, name) for name in CHECK.__slots__}, **check})  # type: ignore[arg-type]

    assert judge_check_text(made) == text


def test_the_check_is_read_back_and_shards_are_summed_up() -> None:
    """The file holds it by suite; the shards of a run each judge answers of their own again."""
    judge = JudgeInfo(model="gpt", identity=None, suites={})
    facts = RunInfo(judge=judge, judge_check={"jokes": CHECK})

    assert run_info_from_json(json.loads(json.dumps(run_info_to_json(facts)))) == facts
    merged = merged_run_info([facts, facts])
    assert list(judge_check_lines(merged)) == ["jokes: judge gpt: 6 of 80 grades changed when judged again (7.5%)"]
    assert merged.judge_check["jokes"].cases == ("a", "b")
    assert "judge_check" not in run_info_to_json(RunInfo())
