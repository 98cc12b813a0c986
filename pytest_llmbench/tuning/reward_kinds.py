"""What of a grade can be a reward: its score, whether it passed, the asked format, the length."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite

from pytest_llmbench.grading.base import Grader
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.tuning.answer_texts import without_what_a_run_cuts
from pytest_llmbench.values import Answer, Case, Grade


@dataclass(frozen=True, slots=True)
class Rewarded:
    """A suite as rewards need it: its grader, and its cases of the train side by id."""

    loaded: LoadedSuite
    grader: Grader
    train: Mapping[str, Case]
    held_out: frozenset[str]

    def grade(self, case: Case, text: str) -> Grade:
        """Grade a text as a run would.

        Raises:
            ValueError, TypeError: the grader gives no grade, or a score that is no share.
        """
        found: object = self.grader(case, Answer(text=without_what_a_run_cuts(text, self.loaded.suite.sampling.stop)))
        if not isinstance(found, Grade):
            raise TypeError(f"the grader of {self.loaded.suite.name} gave {type(found).__name__}, no Grade")
        if not (isfinite(found.score) and 0 <= found.score <= 1):
            raise ValueError(f"the grader of {self.loaded.suite.name} gave the score {found.score}, no share")
        return found


def _score(grade: Grade, text: str, rewarded: Rewarded, case: Case) -> float | None:
    del text, rewarded, case
    return float(grade.score)


def _passed(grade: Grade, text: str, rewarded: Rewarded, case: Case) -> float | None:
    del text, rewarded, case
    return float(grade.passed)


def _format(grade: Grade, text: str, rewarded: Rewarded, case: Case) -> float | None:
    del text, rewarded, case
    return None if grade.format_ok is None else float(grade.format_ok)


def _length(grade: Grade, text: str, rewarded: Rewarded, case: Case) -> float | None:
    """Give 1 up to the length of the longest reference, beyond it the share that the reference is of the answer."""
    del grade
    longest = max(map(len, rewarded.loaded.kind.references(case)), default=None)
    written = len(text.strip())
    return None if longest is None else 0.0 if not written else min(1.0, longest / written)


KINDS: Mapping[str, Callable[[Grade, str, Rewarded, Case], float | None]] = {
    "score": _score,
    "passed": _passed,
    "format": _format,
    "length": _length,
}
"""The rewards by name; None where the suite asks for no format, or has no reference to measure the length by."""
