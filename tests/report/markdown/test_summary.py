"""The summary of a run in Markdown: what it says, its size, and that nothing of it acts."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import factories
from pytest_llmbench.gate.baselines import Baseline
from pytest_llmbench.gate.min_score import MinScore
from pytest_llmbench.gate.pairs import Kind
from pytest_llmbench.gate.run_decision import RunGate, RunRuling, decide_run
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.report.markdown.summary import MARKER, MAX_BYTES, summary
from pytest_llmbench.results.records import (
    JudgeCheck,
    JudgeInfo,
    Record,
    Run,
    RunInfo,
    Sample,
    SuiteInfo,
    error_sample,
    graded_sample,
)
from pytest_llmbench.values import Answer, AnswerError, Grade, Source

Render = Callable[[str], Any]


def sample(*, passed: bool = True, text: str = "Lima", reason: str = "different", explanation: str = "") -> Sample:
    answer = Answer(text=text, latency_s=0.5, concurrency=1)
    said = "" if passed else explanation or f'Expected "Lima", found "{text}".'
    return graded_sample(
        answer, Grade(score=float(passed), passed=passed, reason="correct" if passed else reason, explanation=said)
    )


def record(case: str, *samples: Sample, suite: str = "capitals", role: str = "m") -> Record:
    return factories.record(case, *samples, suite=suite, role=role, case_sha256=f"sha-{case}", prompt_sha256="")


def run(records: Iterable[Record], **expected: str) -> Run:
    facts = RunInfo(expected={f"sha-{case}": text for case, text in expected.items()})
    return Run(records=tuple(records), facts=facts)


def ruled(old: Iterable[Record], new: Run, *floors: MinScore, settings: GateSettings | None = None) -> RunRuling:
    baseline = Baseline(path=Path("base.json"), run=run(old))
    requirements = RunGate(baselines=(baseline,), floors=floors, settings=settings or GateSettings())
    return decide_run(new, requirements)


RIGHT = [record(f"c{i}", sample()) for i in range(70)]
ERROR = error_sample(AnswerError(cause="HTTP 500 of <host>\nmore"))


def test_without_a_gate_the_headline_is_the_scores_and_wrong_answers_are_folded() -> None:
    """Headline, scores, errors by cause, and in a fold each wrong answer with what was expected and why."""
    records = [
        record("peru", sample(passed=False, text="Cus\nco")),
        record("kenya", sample()),
        record("mali", ERROR),
        record("chad", ERROR),
    ]

    assert summary(run(records, peru="Lima")).split("\n") == [
        "<!-- llmbench -->",
        "## llmbench: m: capitals 50.0%",
        "",
        "| suite | model | cases | passed | score | 95% interval | p50 | p95 | load | errors |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| capitals | m | 4 | 1 | 50.0% | 9.5-90.5 | 0.50s | 0.50s | x1 | 2 |",
        "",
        "**2 errors**, counted as neither right nor wrong:",
        "",
        "| error | cases | which |",
        "| --- | ---: | --- |",
        "| HTTP 500 of &lt;host&gt; | 2 | capitals/mali (m), capitals/chad (m) |",
        "",
        "<details><summary>capitals (m): 1 of 4 cases wrong</summary>",
        "",
        "| case | answer | expected | why |",
        "| --- | --- | --- | --- |",
        '| peru | Cus<br>co | Lima | different: Expected "Lima", found "Cus |',
        "",
        "</details>",
        "",
    ]


def test_with_a_gate_the_headline_is_the_verdict_and_what_changed_is_folded() -> None:
    """The gate's table with its remarks, the scores, and in a fold both answers of each case that moved."""
    new = run([record("c0", sample(passed=False, text="Cusco")), *RIGHT[1:]], c0="Lima")

    lines = summary(new, ruled(RIGHT, new)).split("\n")

    assert lines[1:4] == ["## ⚠️ llmbench: too few cases", "", r"m, against base\.json (m), margin 5 points."]
    assert "|  | verdict |  |" in lines
    assert any(line.startswith("| capitals | too few cases | 100% -&gt; 99% right on 70 cases") for line in lines)
    assert "- **capitals**: 1 got worse: c0" in lines
    assert lines[-9:] == [
        "",
        "<details><summary>capitals (m): 1 case got worse</summary>",
        "",
        "| case | baseline | candidate | expected | why |",
        "| --- | --- | --- | --- | --- |",
        '| c0 | Lima | Cusco | Lima | different: Expected "Lima", found "Cusco". |',
        "",
        "</details>",
        "",
    ]


@pytest.mark.parametrize(
    ("new", "headline"),
    [
        (RIGHT, "## ✅ llmbench: no worse"),
        ([record(f"c{i}", sample(passed=i > 20)) for i in range(70)], "## ❌ llmbench: worse"),
        ([record(f"c{i}", ERROR if i < 8 else sample()) for i in range(70)], "## ⚠️ llmbench: inconclusive"),
    ],
)
def test_each_verdict_has_its_sign(new: list[Record], headline: str) -> None:
    """So that a list of jobs is read at a glance."""
    made = run(new)

    assert summary(made, ruled(RIGHT, made)).split("\n")[1] == headline


def test_a_missed_minimum_score_is_a_verdict() -> None:
    """Without a baseline the wrong answers are told, for nothing changed against anything."""
    made = run([record("c0", sample(passed=False)), *RIGHT[1:]])
    requirements = RunGate(floors=(MinScore(suite=None, score=0.999),), settings=GateSettings())

    page = summary(made, decide_run(made, requirements))

    assert "## ❌ llmbench: worse" in page
    assert "| capitals | worse | minimum score 99.9% missed: 98.6% on 70 cases (errors count as wrong) |" in page
    assert "capitals (m): 1 of 70 cases wrong" in page


def test_what_blocks_a_comparison_is_said() -> None:
    """A reader must see why there is no verdict."""
    made = run([replace(one, prompt_sha256="other") for one in RIGHT])

    page = summary(made, ruled(RIGHT, made))

    assert "--allow-different prompt compares anyway" in page
    assert "**capitals**: 70 of 70 cases have a different prompt" in page
    assert Kind.PROMPT in page


@pytest.mark.parametrize("ruling", [None, RunRuling(requirements=RunGate(settings=GateSettings()))])
def test_a_run_that_was_stopped_says_so(ruling: RunRuling | None) -> None:
    """What is not whole must not be read as if it were, and the reason stands there once."""
    why = "the run ended before its time (interrupted)"
    made = run(RIGHT[:3])
    judged = None if ruling is None else decide_run(made, ruling.requirements, stopped=why)

    page = summary(made, judged, stopped=why)

    assert page.count("he run ended before its time (interrupted)") == 1


def test_a_run_without_a_case_says_so() -> None:
    """A page that a bot posts must not be an old one, and not be empty."""
    assert summary(run([])).split("\n") == [MARKER, "## llmbench: no case was run", ""]


def test_the_remarks_of_the_terminal_stand_under_the_scores() -> None:
    """How many grades of a judge flipped, what advice could not be tried, and what was never imported."""
    check = JudgeCheck(answers=40, changed=3, scores_changed=3, errors=0, cases=("a",), input_tokens=9, output_tokens=9)
    source = Source(kind="promptfoo", path="p.yaml", sha256="0", importer="1", left_out=2)
    suite = SuiteInfo(suite="capitals", sha256="0", grader="checks", grader_version=1, path="c.yaml", source=source)
    broken = {"name": "tone", "kind": "similar", "passed": None, "advice": True, "error": "no key"}
    one = replace(sample(), parts={"checks": [broken]})
    judge = JudgeInfo(model="gpt", identity=None, suites={})
    facts = RunInfo(judge=judge, suites=(suite,), judge_check={"capitals": check})

    page = summary(Run(records=(record("peru", one),), facts=facts)).split("\n")

    assert [line for line in page if "capitals" in line][2:] == [
        "capitals: 2 cases of p\\.yaml left out when it was imported.",
        "capitals / m: the check tone (advice) could not be tried on 1 of 1 answer: no key",
        "capitals: judge gpt: 3 of 40 grades changed when judged again (7.5%)",
    ]


def test_several_models_are_counted_in_the_headline() -> None:
    """Their scores stand in the table."""
    page = summary(run([*RIGHT[:3], record("a", sample(), role="n"), record("a", sample(), suite="jokes")]))

    assert page.split("\n")[1] == "## llmbench: 2 models on 2 suites"


def test_a_page_keeps_to_its_size_by_whole_rows() -> None:
    """1,000 cases that got worse leave the verdict, the tables and as many cases as fit, and say how many do not."""
    texts = ("SELECT <b> * FROM x\n" * 30, "`" * 400)
    old = [record(f"c{i}", sample(text=texts[0])) for i in range(1000)]
    new = run([record(f"c{i}", sample(passed=False, text=texts[1])) for i in range(1000)])

    page = summary(new, ruled(old, new))

    assert 0.9 * MAX_BYTES < len(page.encode()) <= MAX_BYTES
    assert page.startswith(f"{MARKER}\n## ❌ llmbench: worse\n")
    rows = [line for line in page.split("\n") if line.startswith("| c") and not line.startswith("| ca")]
    assert f"\n{1000 - len(rows):,} more cases left out: this page holds at most 64 kB.\n\n</details>\n" in page
    assert {line.count(" | ") for line in rows} == {4}


def test_nothing_of_a_run_acts(payloads: tuple[Any, ...], render_as_github: Render) -> None:
    """Whatever stands in answers, reasons, expected texts, errors and names: the page has the tags of a harmless run."""

    def page(text: str) -> Any:
        hostile = replace(sample(passed=False, text=text, explanation=text), reason=text)
        broken = error_sample(AnswerError(cause=text))
        records = [
            replace(record(name, made), suite=text, case=f"{text}{name}", role=text, model=text)
            for name, made in (("a", hostile), ("b", broken), ("c", sample()))
        ]
        made = Run(records=tuple(records), facts=RunInfo(expected={"sha-a": text}))
        old = [replace(one, samples=(sample(text=text),), score=1.0) for one in records]
        return [render_as_github(shown) for shown in (summary(made, stopped=text), summary(made, ruled(old, made)))]

    harmless = [one.tags for one in page("word")]
    for payload in payloads:
        for shown, tags in zip(page(payload.text), harmless, strict=True):
            assert [tag for tag in shown.tags if not tag.startswith("br")] == tags, payload.name
            assert (shown.comments, shown.calls) == (["llmbench"], []), payload.name
