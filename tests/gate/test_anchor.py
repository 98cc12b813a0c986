"""The anchor: what may become one, and that a model that sinks slowly is measured against it, not against its past."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

import factories
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.anchor import check_anchor, check_poolable
from pytest_llmbench.gate.rule import PASSING, Verdict, rule
from pytest_llmbench.models.base import Identity
from pytest_llmbench.results.records import ModelInfo, Run, RunInfo, SuiteInfo, error_sample
from pytest_llmbench.values import AnswerError, Outcome, Sampling

SAMPLE = factories.sample()
RECORD = factories.record("a", SAMPLE, model="gpt")
MODEL = ModelInfo(
    role="m", model="gpt", identity=Identity(provider="openai", model="gpt"), sampling={"s": Sampling(max_tokens=4)}
)
SUITE = SuiteInfo(suite="s", sha256="5", grader="exact", grader_version=1, path="s.yaml", n_cases=1)
RUN = Run(records=(RECORD,), facts=RunInfo(models=(MODEL,), suites=(SUITE,)), datetime="2026-01-01")
BROKEN = replace(RECORD, case="b", outcome=Outcome.ERROR, score=None, samples=(error_sample(AnswerError(cause="x")),))


def with_facts(**changes: Any) -> Run:
    return replace(RUN, facts=replace(RUN.facts, **changes))


REFUSED: Mapping[str, tuple[Run, str | None, str]] = {
    "an error": (replace(RUN, records=(RECORD, BROKEN)), None, "1 of its cases have an error (b)"),
    "stopped": (replace(RUN, stopped="-x"), None, "it is not whole (-x)"),
    "limited": (with_facts(options={"limit": 3}), None, "--llm-limit 3 left cases out"),
    "selected": (with_facts(suites=(replace(SUITE, n_cases=9),)), None, 'only 1 of the 9 cases of suite "s" were run'),
    "worse": (RUN, "worse", "its gate found it worse"),
    "empty": (replace(RUN, records=()), None, "it has no record"),
    "no answer": (replace(RUN, records=(BROKEN,)), None, "gpt could not be asked (x)"),
}


@pytest.mark.parametrize(("run", "verdict", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_whole_or_worse_is_refused(run: Run, verdict: str | None, why: str) -> None:
    """An anchor has every case, an answer to each, and passed its own gate."""
    with pytest.raises(UsageFault) as raised:
        check_anchor("a.json", run, verdict)

    assert str(raised.value).startswith(f"a.json: this run cannot become the baseline: {why}")


@pytest.mark.parametrize("verdict", [None, "no worse", "better", "too few cases"])
def test_a_whole_run_is_taken(verdict: str | None) -> None:
    """A run without a gate is, too: the first anchor has none."""
    check_anchor("a.json", RUN, verdict)


OTHERS: Mapping[str, tuple[Run, str]] = {
    "weights": (
        with_facts(models=(replace(MODEL, identity=replace(MODEL.identity, weights="w")),)),
        "it met another model (weights) in suite s",
    ),
    "sampling": (
        with_facts(models=(replace(MODEL, sampling={"s": Sampling(max_tokens=5)}),)),
        "it has another sampling",
    ),
    "entry": (replace(RUN, records=(replace(RECORD, model="llama"),)), 'its model "m" is the entry llama, not gpt'),
    "grader": (with_facts(suites=(replace(SUITE, grader_version=2),)), "it has another grader in suite s"),
    "role": (replace(RUN, records=(replace(RECORD, role="n"),)), "it has the roles n, not m"),
}


@pytest.mark.parametrize(("other", "why"), OTHERS.values(), ids=OTHERS)
def test_only_runs_of_one_model_are_pooled(other: Run, why: str) -> None:
    """Another identity, sampling, entry or grader is another measurement."""
    with pytest.raises(UsageFault, match=r"b\.json: this run cannot be pooled with a\.json: ") as raised:
        check_poolable([("a.json", RUN), ("b.json", other)])

    assert why in str(raised.value)


# -- thirty nights

CASES = 500


def nights(lost: Callable[[int], float]) -> list[Verdict]:
    """Gate thirty nights of a model that has lost so many points since the anchor, with noise of 4% of the cases."""
    random = Random(1)
    anchor = [random.random() < 0.8 for _ in range(CASES)]
    # the order in which a sinking model loses the cases it was right on
    right = [case for case in range(CASES) if anchor[case]]
    random.shuffle(right)
    verdicts = []
    for night in range(1, 31):
        gone = set(right[: round(lost(night) / 100 * CASES)])
        tonight = [(was and case not in gone) ^ (random.random() < 0.02) for case, was in enumerate(anchor)]
        verdicts.append(rule([now - was for was, now in zip(anchor, tonight, strict=True)]))
    return verdicts


def test_a_model_that_loses_a_point_a_night_is_alarmed_and_not_absorbed() -> None:
    """Once it is shown to be worse it stays so, and no night from the tenth point on passes."""
    verdicts = nights(lambda night: float(night))

    first = verdicts.index(Verdict.WORSE)
    assert first < 9
    assert set(verdicts[9:]) == {Verdict.WORSE}
    assert not set(verdicts[first:]) & {Verdict.BETTER}


def test_two_steps_of_four_points_are_alarmed_though_each_is_inside_the_margin() -> None:
    """Against a renewed baseline each step could pass; against the anchor eight points do not, on any night."""
    verdicts = nights(lambda night: 0.0 if night <= 10 else 4.0 if night <= 20 else 8.0)

    assert set(verdicts[:10]) <= {*PASSING}
    assert set(verdicts[20:]) == {Verdict.WORSE}
