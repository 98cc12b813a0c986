"""Several checks a case from end to end: the run, its file, what a failure shows, and what a comparison names."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_llmbench.cli import main

SUITE = """\
suite: tickets
prompt: {completion: "{{ body }}"}
checks:
  - {json: {schema: {type: object}}, name: schema, required: true}
  - {not: {contains: Best regards}, name: no greeting}
cases:
  - {id: bill, body: "?", expected: billing, checks: [{equals: "{{ expected }}", path: category}]}
  - {id: spam, body: "!", expected: other, checks: [{equals: "{{ expected }}", path: category}]}
"""
RIGHT = ({"case": "bill", "answer": '{"category": "billing"}'}, {"case": "spam", "answer": '{"category": "other"}'})
WRONG = ({"case": "bill", "answer": '{"category": "Best regards"}'}, RIGHT[1])

Project = Callable[..., pytest.Pytester]


@pytest.fixture
def ran(project: Project) -> pytest.Pytester:
    """Give a project with a run of right answers in right.json and one of wrong ones in wrong.json."""
    pytester = project(RIGHT, suite=SUITE, new=WRONG)
    for name, model in (("right", "old"), ("wrong", "new")):
        options = ("--llm-no-fail", f"--benchmark-json={name}.json", "--benchmark-quiet")
        assert pytester.runpytest("--llm-model", f"m={model}", *options, "cases").ret == 0
    return pytester


def record(pytester: pytest.Pytester, name: str, case: str) -> dict[str, Any]:
    found = json.loads((pytester.path / name).read_text())
    records = (benchmark["extra_info"]["llmbench"] for benchmark in found["benchmarks"])
    return next(one for one in [*records, *found["llmbench"]["unmeasured"]] if one["case"] == case)


def test_a_record_lists_every_check(ran: pytest.Pytester) -> None:
    """The grader is `checks`, the reason that of the first that failed, `parts.checks` has each."""
    found = record(ran, "wrong.json", "bill")

    assert (found["grader"], found["outcome"], found["score"]) == ("checks", "failed", pytest.approx(1 / 3))
    (sample,) = found["samples"]
    assert sample["reason"] == "different"
    assert [(check["name"], check["passed"]) for check in sample["parts"]["checks"]] == [
        ("schema", True),
        ("no greeting", False),
        ("equals category", False),
    ]


CALLING = """\
suite: desk
prompt: {chat: [{role: user, content: "{{ question }}"}]}
tools: [{name: search, description: Searches the manual, parameters: {type: object, properties: {text: {type: string}}}}]
checks: [{tools: {calls: [{name: search, arguments: {text: refund}}]}}]
cases: [{id: refund, question: "How long?"}]
"""
CALL = {"case": "refund", "tool_calls": [{"name": "search", "arguments": {"text": "how long"}}]}


def test_calls_are_shown_wherever_an_answer_is(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A failure, `show` and the report have them, and what could be called."""
    pytester = project((CALL,), suite=CALLING)
    options = ("--benchmark-json=run.json", "--llm-report=run.html")

    found = pytester.runpytest("--llm-model", "old", *options, "cases")
    capsys.readouterr()
    assert main(["show", "run.json"]) == 0

    found.stdout.fnmatch_lines(["different: Expected the calls search*", '  calls     search({"text": "how long"})'])
    shown = capsys.readouterr().out
    assert "-- tools\n   search(text): Searches the manual\n" in shown
    assert '-- calls\n   search({"text": "how long"})\n' in shown
    assert "-- answer\n" not in shown
    assert record(pytester, "run.json", "refund")["samples"][0]["tool_calls"] == CALL["tool_calls"]
    assert "search(text): Searches the manual" in (pytester.path / "run.html").read_text()


def test_a_failed_test_shows_its_checks_the_failed_ones_first(project: Project) -> None:
    """The heading names the check that failed first; below stand all of them."""
    found = project(WRONG, suite=SUITE).runpytest("--llm-model", "old", "--benchmark-quiet", "cases")

    found.stdout.fnmatch_lines(
        [
            'different (score 0.33): no greeting: This must not be so: contains "Best regards". '
            "Also failed: equals category.",
            "  checks    failed no greeting: This must not be so: contains*",
            '            failed equals category: Expected "billing", found "Best regards".',
            "            passed schema",
        ]
    )


def test_the_end_of_a_verbose_run_counts_each_check(project: Project) -> None:
    """With -v stands how many answers passed each check."""
    pytester = project(WRONG, suite=SUITE)

    found = pytester.runpytest("--llm-model", "old", "--llm-no-fail", "--benchmark-quiet", "-v", "cases")

    found.stdout.fnmatch_lines(
        ["tickets, checks passed: schema 2/2, no greeting 1/2, equals category 1/2"]
    )  # fmt: skip


def test_show_lists_the_checks(ran: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """`llmbench show` has a block of checks below the grade."""
    capsys.readouterr()
    assert main(["show", "wrong.json", "bill"]) == 0

    lines = capsys.readouterr().out.splitlines()
    place = lines.index("-- checks")
    assert lines[place + 1].startswith("   failed no greeting: ")
    assert lines[place + 3] == "   passed schema"


def test_compare_names_the_checks_that_flipped(ran: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """Text and JSON name each check that a case passed before and fails now."""
    main(["compare", "right.json", "wrong.json"])
    text = capsys.readouterr().out
    main(["compare", "right.json", "wrong.json", "--format", "json"])
    suite = json.loads(capsys.readouterr().out)["suites"][0]

    assert "  1 got worse: bill\n    check no greeting now fails in 1 case: bill\n" in text
    assert suite["worse"] == ["bill"]
    assert suite["checks"] == [
        {"name": "no greeting", "worse": ["bill"], "better": []},
        {"name": "equals category", "worse": ["bill"], "better": []},
    ]


def test_a_report_lists_the_checks_as_evidence(ran: pytest.Pytester) -> None:
    """The page holds the name of each check and whether it passed."""
    assert main(["report", "wrong.json", "-o", "report.html"]) == 0

    assert '["no greeting",0,2,-1,-1]' in (ran.path / "report.html").read_text().replace(" ,", ",").replace(", ", ",")


def test_a_run_of_a_grader_is_compared_with_one_of_its_check(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suite that goes from `grader: exact` to one check keeps its baselines."""
    head = 'suite: tickets\nprompt: {completion: "{{ body }}"}\n'
    cases = "cases:\n  - {id: bill, body: '?', expected: a}\n  - {id: spam, body: '!', expected: b}\n"
    answers = ({"case": "bill", "answer": "a"}, {"case": "spam", "answer": "b"})
    pytester = project(answers, suite=f"{head}grader: exact\n{cases}")
    pytester.runpytest("--llm-model", "old", "--benchmark-json=exact.json", "--benchmark-quiet", "cases")
    (pytester.path / "cases/capitals.yaml").write_text(f"{head}checks: [{{equals: '{{{{ expected }}}}'}}]\n{cases}")
    pytester.runpytest("--llm-model", "old", "--benchmark-json=checks.json", "--benchmark-quiet", "cases")

    capsys.readouterr()
    main(["compare", "exact.json", "checks.json", "--format", "json"])
    (suite,) = json.loads(capsys.readouterr().out)["suites"]

    assert (suite["cases"], suite["differences"], suite["baseline_score"]) == (2, [], 1.0)
