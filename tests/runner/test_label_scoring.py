"""Suites of labels through a whole run: what is asked, what is kept, what the terminal shows."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path

import pytest

from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.models.base import Identity, Opened, OpenSettings
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.entries import Entry
from pytest_llmbench.report.terminal.labels import label_lines
from pytest_llmbench.report.terminal.layout import plain
from pytest_llmbench.runner.runner import Item, Runner, RunSettings
from pytest_llmbench.values import Answer, AnswerError, Arrived, PromptStyle, Request

SUITE = """\
suite: clickbait
grader: yes_no
rule: {pattern: "(?i)you", label: "yes"}
prompt: {completion: "Storm\\nClickbait: no\\n\\n{{ headline }}\\nClickbait:"}
cases:
  - {id: trick, headline: "You will not believe it", expected: "yes"}
  - {id: fog, headline: "Fog", expected: "no"}
"""


@dataclass
class Chooser(Opened):
    """A model that chooses the first label with probability 0.6, and keeps what it was asked."""

    asked: list[Request] = field(default_factory=list)
    identity: Identity = field(default_factory=lambda: Identity(provider="chooser", model="first"))
    concurrency: int = 1

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        self.asked += requests
        found = [Answer(text="yes", label_logprobs={"yes": log(0.6), "no": log(0.3)}) for _ in requests]
        for index, answer in enumerate(found if arrived else ()):
            arrived(index, answer)
        return tuple(found)


@dataclass
class Provider:
    """Opens the chooser."""

    model: Chooser
    entry_type: type[Entry] = Entry
    target_field: str = "provider"

    def prompt_style(self, entry: Entry) -> PromptStyle:
        return PromptStyle.COMPLETION

    def open(self, entry: Entry, settings: OpenSettings) -> Chooser:
        return self.model


@pytest.mark.parametrize(
    ("field", "labels", "picks_label"),
    [("", (), False), ("probabilities: true", ("yes", "no"), False), ("answer_by: choice", ("yes", "no"), True)],
)
def test_a_suite_asks_its_model_for_choices(
    tmp_path: Path, field: str, labels: tuple[str, ...], picks_label: bool
) -> None:
    """Every request of the suite carries the labels, and whether they are the answer; the table follows."""
    path = tmp_path / "clickbait.yaml"
    path.write_text(f"{SUITE}{field}\n")
    model = Chooser()
    spec = ModelSpec(role="m", name="m", entry=Entry(provider="chooser"), provider=Provider(model))
    runner = Runner(RunSettings(root=tmp_path), [spec], dict(BUILT_IN))
    loaded = runner.suites.load(path)
    assert loaded is not None

    items = [Item(key=case.id, loaded=loaded, case=case, spec=spec) for case in loaded.suite.cases]
    runner.start(items)
    records = [runner.result(item.key).record for item in items]
    runner.close()

    assert {(request.labels, request.picks_label) for request in model.asked} == {(labels, picks_label)}
    assert [sample.format_ok for record in records for sample in record.samples] == [None if picks_label else True] * 2
    row = plain(label_lines(records, width=200)[2]).split()
    assert row[1] == ("-" if picks_label else "100.0%")
    assert row[-3:] == ["0.50", "0.28", "10.0%"]


def test_the_terminal_shows_the_table_below_the_scoreboard(pytester: pytest.Pytester) -> None:
    """With the baselines of labels, prompt and rule, and a word on a model that is not above them."""
    (pytester.mkdir("cases") / "clickbait.yaml").write_text(SUITE)
    answers = [{"case": "trick", "answer": "yes"}, {"case": "fog", "answer": "It is no clickbait: no"}]
    pytester.path.joinpath("old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    pytester.makeini("[pytest]\n")

    result = pytester.runpytest("--llm-model", "old=recorded:old.jsonl", "--llm-no-fail", "cases")

    result.stdout.fnmatch_lines(
        [
            'clickbait: labels yes, no; positive is "yes"',
            "  model         format  strict  lenient *",
            "  old            50.0%   50.0%   100.0% *",
            "  (always yes)       -   50.0%    50.0% *",
            "  (always no)        -   50.0%    50.0% *",
            "  (last label)       -   50.0%    50.0% *",
            "  (rule)             -  100.0%   100.0% *",
            "  old does not beat the trivial baseline: 50.0% (strict) against 100.0% for",
            "    the suite's rule.",
        ]
    )


def test_a_quiet_run_has_no_table(pytester: pytest.Pytester) -> None:
    """With -q only the scoreboard is left."""
    (pytester.mkdir("cases") / "clickbait.yaml").write_text(SUITE)
    pytester.path.joinpath("old.jsonl").write_text(
        '{"case": "trick", "answer": "yes"}\n{"case": "fog", "answer": "no"}\n'
    )
    pytester.makeini("[pytest]\n")

    result = pytester.runpytest("-q", "--llm-model", "old=recorded:old.jsonl", "cases")

    result.stdout.no_fnmatch_line("*positive is*")
    assert result.ret == 0
