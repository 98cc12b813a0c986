"""Baselines: which is compared, and what is found wrong with them before any model is called."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import factories
from pytest_llmbench.errors import RunFileFault, UsageFault
from pytest_llmbench.gate.baselines import Baseline, PlannedCase, check_plan, read_baselines
from pytest_llmbench.results.records import Record, Run, RunInfo, Sample
from pytest_llmbench.results.run_json import block_to_json
from pytest_llmbench.values import Outcome

RIGHT = Sample(
    answer="", outcome=Outcome.PASSED, score=1.0, reason=None, explanation=None, format_ok=None, parts={},
    latency_s=None, ttft_s=None, input_tokens=None, output_tokens=None, finish_reason=None, concurrency=1,
)  # fmt: skip


def record(case: str, *, suite: str = "s", role: str = "m", digest: str = "d") -> Record:
    return factories.record(case, suite=suite, role=role, model="m", case_sha256=digest)


def baseline(*records: Record) -> Baseline:
    return Baseline(path=Path("base.json"), run=Run(records=records, facts=RunInfo()))


def planned(case: str, *, suite: str = "s", role: str = "new", digest: str = "d") -> PlannedCase:
    return PlannedCase(role=role, suite=suite, case=case, case_sha256=digest)


def write(path: Path, records: Sequence[Record], date: str = "") -> Path:
    run = Run(records=tuple(records), facts=RunInfo())
    path.write_text(json.dumps({"benchmarks": [], "datetime": date, "llmbench": block_to_json(run)}))
    return path


def test_one_common_case_is_enough() -> None:
    """A baseline fits a plan that shares a case of the same digest; where each side has one role they pair."""
    check_plan(baseline(record("a"), record("b")), [planned("a"), planned("new")])


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            [planned("a", digest="other"), planned("new")],
            "base.json shares no case with this run: 1 were changed since",
        ),
        ([planned("x")], "base.json shares no case with this run; it has the suites: s"),
        ([planned("a", role="u"), planned("a", role="v")], "the runs have no role in common"),
    ],
)
def test_a_baseline_that_has_nothing_to_say_is_found_before_anything_is_asked(
    plan: list[PlannedCase], message: str
) -> None:
    """Changed cases, none in common, no role that pairs: wrong usage, each with its way out."""
    with pytest.raises(UsageFault, match=message):
        check_plan(baseline(record("a")), plan)


def test_a_case_must_be_shared_under_roles_that_pair() -> None:
    """Of two roles each that share a name, only what is under that name counts."""
    two = baseline(record("a", role="x"), record("b", role="y"))

    check_plan(two, [planned("b", role="y"), planned("c", role="z")])
    with pytest.raises(UsageFault, match="shares no case"):
        check_plan(two, [planned("a", role="y"), planned("b", role="z")])


def test_baselines_are_read_newest_first(tmp_path: Path) -> None:
    """The order on the command line does not matter; a file named twice, by whatever path, is refused."""
    old = write(tmp_path / "old.json", [record("a")], "2026-01-01T00:00:00+00:00")
    new = write(tmp_path / "new.json", [record("a")], "2026-01-02T00:00:00+00:00")

    assert [found.path.name for found in read_baselines([old, new])] == ["new.json", "old.json"]
    with pytest.raises(UsageFault, match=r"old\.json: this baseline is named twice"):
        read_baselines([old, tmp_path / "." / "old.json"])


def test_a_baseline_without_a_record_is_refused_and_one_with_a_case_twice_counts_it_once(tmp_path: Path) -> None:
    """The first names the file; in the second, as older versions wrote it, the first record of the case counts."""
    empty = write(tmp_path / "empty.json", [])
    twice = write(tmp_path / "twice.json", [record("a"), record("a")])

    with pytest.raises(RunFileFault, match=r"empty\.json: this run has no record"):
        read_baselines([empty])
    (found,) = read_baselines([twice])
    assert (len(found.run.records), len(found.run.twins)) == (1, 1)
