"""Which suites a judged check keeps from being gated: those of which people have not graded enough answers themselves.

What a `rubric` asks stands in plain words, and how a judge model reads them is known only after people have read the
same answers.  So each rubric that counts needs 60 answers that people have annotated by it; in a suite with `trust`, it
must agree with them as far as the suite requires.
"""

from collections.abc import Iterable, Sequence

from pytest_llmbench.grading.registry import CHECKS
from pytest_llmbench.results.annotations import Annotation
from pytest_llmbench.results.check_agreement import measure_by_check
from pytest_llmbench.results.criteria import JUDGED_KINDS, criteria
from pytest_llmbench.results.grader_agreement import ENOUGH, GraderAgreement, why_untrusted
from pytest_llmbench.results.records import Record, SuiteInfo


def uncalibrated_suites(
    records: Sequence[Record], suites: Iterable[SuiteInfo], annotations: Sequence[Annotation]
) -> dict[str, str | None]:
    """Give the suites that count a judged check, each with why it may not be gated; None where it may.

    Args:
        records: the answers to be gated by, and those compared with.
        suites: what the run knows of its suites.
        annotations: of people.
    """
    judged = _judged(records)
    if not judged:
        return {}
    found = {
        (one.found.suite, one.check, one.found.grader): one.found
        for one in measure_by_check(records, annotations).checks
        if one.point is None and not one.is_every_point
    }
    reasons: dict[str, str | None] = {}
    for info in suites:
        checks = judged.get(info.suite)
        if checks is not None:
            why = (_why(check, found.get((info.suite, check, grader)), info) for check, grader in checks.items())
            reasons[info.suite] = next((reason for reason in why if reason is not None), None)
    return reasons


def _judged(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    """Give the judged checks that count, by suite and name, with what graded the last answer.

    A combination that holds a judged check is one too.
    """
    found: dict[str, dict[str, str]] = {}
    for record in records:
        for sample in record.answered if record.grader in {CHECKS, *JUDGED_KINDS} else ():
            for one in criteria(record, sample):
                if one.point is None and one.is_counted and not {one.kind, *one.inner_kinds}.isdisjoint(JUDGED_KINDS):
                    found.setdefault(record.suite, {})[one.check] = one.grader
    return found


def _why(check: str, found: GraderAgreement | None, info: SuiteInfo) -> str | None:
    n = 0 if found is None else found.n_answers
    if found is None or n < ENOUGH:
        left_out = found.not_random if found is not None else 0
        which = f"; {left_out} more are not of the random share" if left_out else ""
        return (
            f'its check "{check}" is decided by a judge model, and people have annotated it in {n} of the {ENOUGH} '
            f"answers that are needed (llmbench review RUN.json --by-check){which}"
        )
    reason = None if info.trust is None else why_untrusted(found, info.trust)
    return None if reason is None else f'check "{check}": {reason}'
