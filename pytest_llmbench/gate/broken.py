"""What of a run is broken, so that it is not judged: a model that could not be asked, a suite without any answer.

Requests left out on purpose (a cost limit, a run stopped by -x) is not broken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.results.records import NOT_ASKED, Record, Run
from pytest_llmbench.values import GateKind

_LONGEST_CAUSE = 300


def why_broken(run: Run, *, owner: str = "") -> str | None:
    """Give why a run is not judged, in a clause; None if each model could be asked and each suite has an answer.

    Args:
        run: baseline or candidate.
        owner: stands before the model, as "the baseline's ".
    """
    return next((f"{owner}{clause}" for clause in _broken(run)), None)


def _broken(run: Run) -> Iterator[str]:
    names = {record.role: record.model for record in run.records}
    for role, cause in run.facts.broken.items():
        yield _clause(names.get(role, role), cause)
    if run.stopped is not None:
        return  # what was not reached is no fault of the model
    advice = {suite.suite for suite in run.facts.suites if suite.gate is GateKind.ADVICE}
    for records in _by_suite(run.records):
        if all(record.samples and not record.answered for record in records):
            errors = [sample.error or "" for record in records for sample in record.samples]
            # some were asked before a cost limit was reached, say, and none was answered
            errors = [error for error in errors if not error.startswith(NOT_ASKED)]
            if errors:
                has_others = any(r.answered for r in run.records if r.role == records[0].role)
                if has_others and records[0].suite in advice:
                    continue
                where = f"no answer in suite {records[0].suite}: " if has_others else ""
                yield _clause(records[0].model, where + errors[0])


def _clause(model: str, cause: str) -> str:
    first = (cause.splitlines() or [""])[0].rstrip(".")
    return f"{model} could not be asked ({first[:_LONGEST_CAUSE]})"


def _by_suite(records: Sequence[Record]) -> list[list[Record]]:
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.suite, record.role), []).append(record)
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyErrors:
    """A suite of which more cases lack an answer than is tolerated."""

    suite: str
    role: str
    errors: int
    cases: int

    def text(self, most: float) -> str:
        """Describe it, with the share that is tolerated."""
        return f"{self.errors} of {self.cases} cases have an error, more than {most:g} of the suite (--llm-max-errors)"


def too_many_errors(run: Run, most: float) -> tuple[TooManyErrors, ...]:
    """Find the suites of a candidate with more errors than a share of their cases; one error is never too many."""
    found = (
        TooManyErrors(
            suite=records[0].suite,
            role=records[0].role,
            errors=sum(record.has_error for record in records),
            cases=len(records),
        )
        for records in _by_suite(run.records)
    )
    return tuple(one for one in found if one.errors > 1 and one.errors > most * one.cases)
