"""Answers over the budget of their suite: what is counted, in the JSON and in sentences."""

from pathlib import Path

import pytest

from factories import record, sample
from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.budget import budget_lines
from pytest_llmbench.results.records import ModelInfo, Run, RunInfo, SuiteInfo, TokenPrice
from pytest_llmbench.results.run_json import block_to_json, run_info_from_json
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Budget

PRICE = TokenPrice(input_per_million=1.0, output_per_million=2.0)
FACTS = RunInfo(
    models=(ModelInfo(role="m", model="m", identity=Identity(provider="openai", model="m"), price=PRICE),),
    suites=(
        SuiteInfo(
            suite="s",
            sha256="",
            grader="exact",
            grader_version=1,
            path="",
            budget=Budget(cost_usd=0.001, latency_s=2),
        ),
    ),
)
RECORDS = (
    record("fast", sample(latency_s=2.0, input_tokens=100, output_tokens=100)),
    record("slow", sample(latency_s=2.5), sample(latency_s=4.0)),
    record("reused", sample(latency_s=9.0, reused=True)),
    record("dear", sample(0.0, latency_s=1.0, input_tokens=1000, output_tokens=500)),
    record("told", sample(latency_s=1.0, cost_usd=0.5)),
    record("broken", sample(None, None)),
    record("elsewhere", sample(latency_s=9.0), suite="other"),
)


def test_a_line_for_each_limit_that_is_exceeded() -> None:
    """Wrong answers count, reused ones have no latency, what an application charged goes before the price of tokens."""
    assert list(budget_lines(RECORDS, FACTS)) == [
        "s / m: 2 of 3 answers over the budget of $0.001, the dearest $0.50 (dear, told).",
        "s / m: 2 of 5 answers over the budget of 2.00s, the slowest 4.00s (slow).",
    ]
    assert list(budget_lines(RECORDS[:1], FACTS)) == []


def test_the_json_holds_the_budget_and_what_is_over_it() -> None:
    """The limits stand with the suite, what exceeds them beside the totals; both are absent without."""
    block = block_to_json(Run(records=RECORDS, facts=FACTS))
    within = block_to_json(Run(records=RECORDS[:1], facts=FACTS))

    assert run_info_from_json(block).suites[0].budget == Budget(cost_usd=0.001, latency_s=2)
    assert block["over_budget"][1] == {
        "suite": "s",
        "role": "m",
        "limit": "latency_s",
        "most": 2,
        "over": 2,
        "measured": 5,
        "worst": 4.0,
        "cases": ("slow",),
    }
    assert "over_budget" not in within


SUITE = "suite: s\ngrader: exact\nprompt: {{completion: '{{{{ q }}}}'}}\nbudget: {budget}\ncases: [{{id: a, q: b, expected: c}}]\n"


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("{}", "suite.yaml:4: budget: needs `cost_usd`, `latency_s` or both."),
        ("{latency_s: 0}", "suite.yaml:4: budget: latency_s: must be above 0."),
        ("{latency: 3}", 'suite.yaml:4: budget: there is no key "latency"; the keys there are: latency_s, cost_usd.'),
    ],
)
def test_a_budget_that_limits_nothing_is_a_fault(budget: str, message: str, tmp_path: Path) -> None:
    """The line of the key, and what may stand there."""
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE.format(budget=budget), encoding="utf-8")

    with pytest.raises(SuiteFault) as caught:
        load_suite(path)

    assert message in str(caught.value)


def test_a_budget_is_in_no_digest(tmp_path: Path) -> None:
    """Another limit is the same question."""
    path = tmp_path / "suite.yaml"
    digests = set()
    for budget in ("{latency_s: 1}", "{latency_s: 2, cost_usd: 1}"):
        path.write_text(SUITE.format(budget=budget), encoding="utf-8")
        loaded = load_suite(path)
        assert loaded is not None
        digests.add(loaded.suite.sha256)

    assert len(digests) == 1
