"""The rule of a suite with `gate: smoke`: what must pass does, case by case, nothing statistical."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_llmbench.gate.comparison import role_pairs
from pytest_llmbench.gate.pairs import Comparison, Kind, SuitePairs
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.results.records import Record, Run
from pytest_llmbench.values import GateKind, Outcome

METHOD = "smoke"
"""The rule's name in the JSON of a suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeRuling:
    """How many cases of a suite the candidate has, how many of them pass, and each breach of the rule in a clause."""

    cases: int
    passed: int
    breaches: tuple[str, ...]
    is_open: bool = False
    """No case is left that the candidate was not trained on."""

    @property
    def verdict(self) -> Verdict:
        """Any breach is a loss."""
        return Verdict.WORSE if self.breaches else Verdict.INCONCLUSIVE if self.is_open else Verdict.NO_WORSE


def is_smoke(run: Run, suite: str) -> bool:
    """Return whether a suite is held to the rule, as a run knows it."""
    info = run.facts.suite(suite)
    return info is not None and info.gate is GateKind.SMOKE


def rule_smoke(comparison: Comparison, suite: SuitePairs) -> SmokeRuling:
    """Apply the rule to the candidate's cases of a suite.

    A case that passed in the baseline must pass, and so must one that is new, was changed, or has an error; with
    several samples, all of them.  A case that the baseline had and the suite's file no longer holds is a breach, and so
    is a suite that is gone; what was not selected is none.  Cases that a model was trained on are left out.
    """
    trained = {pair.candidate.case for pair in suite.trained}
    old, new = (
        {case: record for case, record in _of_suite(run, suite.suite, role).items() if case not in trained}
        for run, role in ((comparison.baseline, suite.baseline_role), (comparison.candidate, suite.role))
    )
    return SmokeRuling(
        cases=len(new),
        passed=sum(map(_passes, new.values())),
        breaches=(*_failing(old, new), *_missing(comparison.candidate, suite.suite, old, new)),
        is_open=bool(trained) and not new,
    )


def _of_suite(run: Run, suite: str, role: str) -> dict[str, Record]:
    return {record.case: record for record in run.records if (record.suite, record.role) == (suite, role)}


def _passes(record: Record) -> bool:
    return record.outcome is Outcome.PASSED and not record.has_error


def _failing(old: Mapping[str, Record], new: Mapping[str, Record]) -> Iterator[str]:
    for case, record in new.items():
        if _passes(record):
            continue
        before = old.get(case)
        if record.has_error:
            yield f"{case} has an error"
        elif before is None:
            yield f"{case} is new and fails"
        elif before.case_sha256 != record.case_sha256:
            yield f"{case} was changed and fails"
        elif _passes(before):
            yield f"{case} passed and now fails"


def _missing(candidate: Run, suite: str, old: Mapping[str, Record], new: Mapping[str, Record]) -> Iterator[str]:
    info = candidate.facts.suite(suite)
    if info is None:
        yield f"the suite is gone, with the {len(old)} cases that the baseline had"
        return
    held = info.cases
    if held is not None:
        yield from (f"{case} is no longer in the suite" for case in old if case not in new and case not in held)


def smoke_suites_of_one_run(comparison: Comparison) -> Iterator[SuitePairs]:
    """Give the smoke suites that are not compared: all cases of the candidate's are new, the baseline's are gone.

    A suite of the baseline that is still found where it was, and of which no case was selected, is not among them.
    """
    baseline, candidate = comparison.baseline, comparison.candidate
    compared = {(suite.suite, suite.role) for suite in comparison.suites}
    for old_role, role in role_pairs(_roles(baseline), _roles(candidate)):
        own = dict.fromkeys(record.suite for record in candidate.records if record.role == role)
        gone = (name for name in _suites_gone(baseline, candidate, old_role) if name not in own)
        for suite in (*(name for name in own if is_smoke(candidate, name)), *gone):
            if (suite, role) not in compared:
                yield SuitePairs(suite=suite, role=role, baseline_role=old_role, pairs=())


def _roles(run: Run) -> list[str]:
    return list(dict.fromkeys(record.role for record in run.records))


def _suites_gone(baseline: Run, candidate: Run, role: str) -> Iterator[str]:
    collected = candidate.facts.collected
    for suite in dict.fromkeys(record.suite for record in baseline.records if record.role == role):
        info = baseline.facts.suite(suite)
        if info is not None and collected is not None and info.gate is GateKind.SMOKE and collected.lacks(info):
            yield suite


def is_weakened(suite: SuitePairs) -> bool:
    """Return whether a suite was weakened and that is not allowed; then it counts in spite of `gate: advice`."""
    return any(difference.kind is Kind.GATE for difference in suite.blocked_by)
