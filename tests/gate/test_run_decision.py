"""The gate of a run, without pytest: verdict, exit status and text of two runs, and the same by their files.

What of it pytest shows, and that its exit status is this one, is in tests/plugin/test_gate.py.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import factories
from pytest_llmbench.cli import main
from pytest_llmbench.gate.baselines import Baseline, read_baselines
from pytest_llmbench.gate.min_score import parse_min_score
from pytest_llmbench.gate.pairs import Kind
from pytest_llmbench.gate.run_decision import RunGate, RunRuling, decide_run
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.terminal.gate import ruling_json, ruling_lines
from pytest_llmbench.results.annotations import Annotation, Drawn, Mark, annotation_on
from pytest_llmbench.results.records import Collected, ModelInfo, Record, Run, RunInfo, Sample, SuiteInfo
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.results.run_json import block_to_json, record_to_json
from pytest_llmbench.values import GateKind, Outcome, Sampling, Trust

BASE = range(10)
"""The incumbent: of 100 cases it gets the first ten wrong."""


def answered(case: int, *, wrong: Collection[int], missing: Collection[int], slow: float) -> Sample:
    if case in missing:
        return factories.sample(None, None)
    score = float(case not in wrong)
    return factories.sample(score, str(case) if score else "x", latency_s=(0.5 + case / 50) * slow, concurrency=1)


def records(
    *,
    cases: Sequence[int] = range(100),
    wrong: Collection[int] = (),
    missing: Collection[int] = (),
    slow: float = 1.0,
    samples: int = 1,
    suite: str = "sums",
    **others: object,
) -> list[Record]:
    """Make the records of a suite: right but for the cases that are wrong, and those without an answer."""
    made = [answered(case, wrong=wrong, missing=missing, slow=slow) for case in cases]
    return [
        factories.record(f"c{case}", *[sample] * samples, suite=suite, role="m", **others)
        for case, sample in zip(cases, made, strict=True)
    ]


def run(
    *parts: Sequence[Record], gate: GateKind = GateKind.STATISTICAL, trust: Trust | None = None, **facts: Any
) -> Run:
    """Make a run of such records, each suite with the same way of taking part."""
    found = tuple(record for part in parts for record in part)
    suites = dict.fromkeys(record.suite for record in found)
    model = ModelInfo(
        role="m",
        model="m",
        identity=Identity(provider="recorded", model="m"),
        sampling={suite: Sampling() for suite in suites},
    )
    infos = tuple(
        SuiteInfo(
            suite=suite,
            sha256="",
            grader="exact",
            grader_version=1,
            path=f"cases/{suite}.yaml",
            gate=gate,
            trust=trust,
            cases=tuple(record.case for record in found if record.suite == suite),
        )
        for suite in suites
    )
    options = {"samples": len(found[0].samples) if found else 1}
    return Run(
        records=found,
        facts=RunInfo(models=(model,), suites=infos, options=options, **facts),
        datetime="2026-01-01T00:00:00",
    )


def ruled(
    new: Run, old: Run | None = None, *, floors: Sequence[str] = (), stopped: str | None = None, **settings: Any
) -> RunRuling:
    """Decide about a run, against the incumbent's where no other is given."""
    base = run(records(wrong=BASE)) if old is None else old
    requirements = RunGate(
        baselines=(Baseline(path=Path("base.json"), run=base),),
        floors=tuple(map(parse_min_score, floors)),
        settings=GateSettings(**settings),
    )
    return decide_run(new, requirements, stopped=stopped)


def lines(ruling: RunRuling) -> list[str]:
    return ["".join(piece.text for piece in line) for line in ruling_lines(ruling, 1000, 0)]


def said(ruling: RunRuling) -> tuple[str, int]:
    return ruling.verdict.value, ruling.exit_status


# -- verdicts and exit statuses


@pytest.mark.parametrize(
    ("new", "settings", "expected"),
    [
        ({"wrong": BASE}, {}, ("no worse", 0)),
        ({}, {}, ("better", 0)),
        ({"wrong": range(40)}, {}, ("worse", 1)),
        ({"wrong": BASE, "cases": range(20)}, {}, ("too few cases", 8)),
        ({"wrong": BASE, "missing": range(50, 60)}, {}, ("inconclusive", 8)),
        ({"missing": [50, 51, 52]}, {"margin": 0.15}, ("inconclusive", 8)),
        ({"missing": [50, 51, 52]}, {"margin": 0.15, "max_errors": 0.05}, ("better", 0)),
        ({"missing": [50]}, {"margin": 0.15, "max_errors": 0.0}, ("better", 0)),
        ({"missing": [50, 51, 52], "wrong": range(60)}, {"margin": 0.15}, ("worse", 1)),
        ({"missing": range(100)}, {}, ("inconclusive", 1)),
    ],
    ids=[
        "no worse", "better", "worse", "too few cases", "errors that could decide", "more errors than tolerated",
        "errors that are tolerated", "one error", "a loss in spite of errors", "no answer at all",
    ],
)  # fmt: skip
def test_the_verdict_is_the_exit_status(
    new: dict[str, Any], settings: Mapping[str, Any], expected: tuple[str, int]
) -> None:
    """0 for better and no worse, 1 for worse and a model that answers nothing, 8 where it cannot be told."""
    assert said(ruled(run(records(**new)), **settings)) == expected


def test_a_run_that_is_not_whole_is_not_judged() -> None:
    """Neither one that was stopped, nor one without any case; a refused key is no undecided gate."""
    whole = run(records(wrong=BASE))
    refused = run(records(wrong=BASE), broken={"m": "HTTP 401: refused"})

    assert lines(ruled(whole, stopped="-x")) == ["not judged: -x", "verdict: inconclusive"]
    assert said(ruled(whole, stopped="-x")) == ("inconclusive", 8)
    assert lines(ruled(run([]))) == ["not judged: no case was run", "verdict: inconclusive"]
    assert said(ruled(refused)) == ("inconclusive", 1)


def test_errors_in_cases_that_are_new_count_too() -> None:
    """Sixty new cases that all ERROR are compared with nothing, and still leave the gate undecided."""
    found = ruled(run(records(cases=range(160), wrong=BASE, missing=range(100, 160))))

    assert said(found) == ("inconclusive", 8)
    assert any("60 of 160 cases have an error, more than 0.02 of the suite" in line for line in lines(found))


@pytest.mark.parametrize(
    ("floors", "expected"),
    [
        (["0.9"], ("no worse", 0)),
        (["0.95"], ("worse", 1)),
        (["0.99", "sums=0.5"], ("no worse", 0)),
    ],
)
def test_a_missed_minimum_score_outweighs_a_passing_baseline(floors: list[str], expected: tuple[str, int]) -> None:
    """No worse than the baseline and still below what is needed is worse; a suite's own minimum goes first."""
    assert said(ruled(run(records(wrong=BASE)), floors=floors)) == expected


# -- the same by the files

PAIRS: Mapping[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "equal": ({"wrong": BASE}, {}, ()),
    "better": ({}, {}, ()),
    "real drop": ({"wrong": range(14)}, {"margin": 0.15}, ("--margin=15",)),
    "worse": ({"wrong": range(30)}, {}, ()),
    "errors": ({"wrong": BASE, "missing": range(40, 50)}, {}, ()),
    "slower": ({"wrong": BASE, "slow": 1.6}, {"latency_margin": 1.25}, ("--latency-margin=1.25",)),
    "as fast": ({"wrong": BASE}, {"latency_margin": 1.25}, ("--latency-margin=1.25",)),
    "more samples": ({"wrong": BASE, "samples": 2}, {}, ()),
    "more samples allowed": (
        {"wrong": BASE, "samples": 2},
        {"allowed": frozenset({Kind.SAMPLES})},
        ("--allow-different=samples",),
    ),
    "no answer": ({"missing": range(100)}, {}, ()),
}


def write(path: Path, made: Run) -> Path:
    benchmarks = [
        {"name": found.case, "extra_info": {"llmbench": record_to_json(found)}}
        for found in made.records
        if found.latencies_s
    ]
    path.write_text(json.dumps({"benchmarks": benchmarks, "datetime": made.datetime, "llmbench": block_to_json(made)}))
    return path


@pytest.mark.parametrize("pair", PAIRS)
def test_the_command_says_the_same_of_the_files(tmp_path: Path, pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`llmbench compare` of both files gives the verdict, exit status and all numbers that the run got."""
    new, settings, options = PAIRS[pair]
    base = write(tmp_path / "base.json", run(records(wrong=BASE)))
    candidate = write(tmp_path / "new.json", run(records(**new)))
    requirements = RunGate(baselines=read_baselines([base]), settings=GateSettings(**settings))

    ruling = decide_run(read_run(candidate), requirements)
    status = main(["compare", str(base), str(candidate), "--format=json", *options])

    compared = json.loads(capsys.readouterr().out)
    assert (ruling.verdict, ruling.exit_status) == (compared["verdict"], status)
    if ruling.gate is not None:
        gate = json.loads(json.dumps(ruling_json(ruling)))
        assert {name: gate[name] for name in compared} == compared


# -- how a suite takes part


def smoke(*, wrong: Collection[int] = BASE, cases: Sequence[int] = range(20), **others: Any) -> Run:
    return run(records(cases=cases, wrong=wrong, **others), gate=GateKind.SMOKE)


def changed_case() -> Run:
    made = smoke(wrong=[*BASE, 15])
    return replace(
        made, records=tuple(replace(one, case_sha256="d") if one.case == "c15" else one for one in made.records)
    )


@pytest.mark.parametrize(
    ("new", "breaches"),
    [
        (smoke(), []),
        (smoke(wrong=range(11)), ["c10 passed and now fails"]),
        (smoke(missing=[15]), ["c15 has an error"]),
        (changed_case(), ["c15 was changed and fails"]),
        (smoke(cases=[*range(20), 99], wrong=[*BASE, 99]), ["c99 is new and fails"]),
        (smoke(cases=[case for case in range(20) if case != 15]), ["c15 is no longer in the suite"]),
    ],
    ids=["unchanged", "fails", "an error", "changed", "new", "gone"],
)
def test_in_a_smoke_suite_every_case_that_passed_must_pass(new: Run, breaches: list[str]) -> None:
    """Twenty cases decide: nothing is statistical in it.  What the baseline cannot vouch for must pass too."""
    found = ruled(new, smoke())

    assert found.gate is not None
    (suite,) = ruling_json(found)["suites"]  # type: ignore[misc, union-attr]
    assert (suite["method"], suite["breaches"]) == ("smoke", breaches)  # type: ignore[index, call-overload]
    assert said(found) == (("worse", 1) if breaches else ("no worse", 0))


@pytest.mark.parametrize(
    ("paths", "suites", "expected"),
    [
        (("cases",), ("sums",), ("worse", 1)),
        (("cases",), ("sums", "must"), ("no worse", 0)),
        (("cases/sums.yaml",), ("sums",), ("no worse", 0)),
        ((".",), ("sums",), ("worse", 1)),
    ],
    ids=["gone", "not selected", "outside of the paths", "below the root"],
)
def test_a_smoke_suite_that_is_gone_is_worse(
    paths: tuple[str, ...], suites: tuple[str, ...], expected: tuple[str, int]
) -> None:
    """A suite is gone if its file was in reach and did not hold it; what selection left out is not."""
    sums = records(cases=range(20))
    old = run(sums, records(cases=range(2), suite="must"), gate=GateKind.SMOKE)
    new = run(sums, gate=GateKind.SMOKE, collected=Collected(paths=paths, suites=suites))

    found = ruled(new, old)

    assert said(found) == expected
    is_named = any("the suite is gone, with the 2 cases that the baseline had" in line for line in lines(found))
    assert is_named == (expected == ("worse", 1))


BESIDE = records(cases=range(20), suite="beside")


@pytest.mark.parametrize(
    ("gate", "expected", "line"),
    [
        (GateKind.SMOKE, ("worse", 1), "  c0 is no longer in the suite"),
        (GateKind.ADVICE, ("inconclusive", 8), "cannot be compared without --allow-different gate"),
    ],
)
def test_a_suite_with_other_cases_only(gate: GateKind, expected: tuple[str, int], line: str) -> None:
    """All cases of a smoke suite under new names: what the baseline had is gone, and it cannot be weakened with them."""
    old = run(records(cases=range(2)), BESIDE, gate=GateKind.SMOKE)

    found = ruled(run(records(cases=range(30, 32)), BESIDE, gate=gate), old)

    assert said(found) == expected
    assert any(shown.endswith(line) for shown in lines(found))


def test_a_suite_cannot_become_advice_unseen() -> None:
    """A weaker gate than the baseline's is inconclusive until it is allowed; as advice a loss does not count."""
    unseen = ruled(run(records(wrong=range(40)), gate=GateKind.ADVICE))

    assert said(unseen) == ("inconclusive", 8)
    assert any(line.endswith(" cannot be compared without --allow-different gate") for line in lines(unseen))
    allowed = ruled(run(records(wrong=range(40)), gate=GateKind.ADVICE), allowed=frozenset({Kind.GATE}))
    assert said(allowed) == ("inconclusive", 8)
    assert lines(allowed)[0].startswith("sums     worse         (advice only) ")


TRUST = Trust(kappa=0.4)


def agreeing(made: Run) -> tuple[Annotation, ...]:
    """Give what a person says of the answers of a run: what the grader says."""
    marks = {Outcome.PASSED: Mark.PASS, Outcome.FAILED: Mark.FAIL}
    return tuple(
        annotation_on(one, one.samples[0].answer or "", marks[one.outcome], by="ann", at="", drawn=Drawn.RANDOM)
        for one in made.records
    )


def test_trust_cannot_be_asked_for_unseen() -> None:
    """A change that adds `trust:` to a suite does not make its loss advice: that takes the word of whoever runs it."""
    new = run(records(wrong=range(40)), trust=TRUST)
    base = run(records(wrong=BASE))
    allowed = {"allowed": frozenset({Kind.GATE})}

    assert said(ruled(new)) == ("worse", 1)
    assert said(ruled(new, **allowed)) == ("inconclusive", 8)
    assert said(ruled(new, people=agreeing(base), **allowed)) == ("worse", 1)
