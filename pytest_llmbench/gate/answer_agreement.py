"""How far a candidate answers as the baseline does: more sensitive than the score, and no verdict of its own.

Meant for quantised and fine-tuned models: two models can be equally often right on different cases.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.pairs import Pair
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.results.records import Sample
from pytest_llmbench.values import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Shares of answer pairs that agree; `result_rate` is None where no answer leads to more than its text.

    With several samples a case, the first is set against the first, the second against the second.
    """

    answers: int
    grade_rate: float
    text_rate: float
    result_rate: float | None


def agreement(pairs: Sequence[Pair]) -> Agreement | None:
    """Count how often both sides gave the same grade, text and result; None if no case has answers on both."""
    both = [
        (old, new, pair.candidate.grader)
        for pair in pairs
        for old, new in zip(pair.baseline.samples, pair.candidate.samples, strict=False)
        if Outcome.ERROR not in (old.outcome, new.outcome)
    ]
    if not both:
        return None
    results = list(_results(both))
    return Agreement(
        answers=len(both),
        grade_rate=sum((old.outcome, old.score) == (new.outcome, new.score) for old, new, _ in both) / len(both),
        text_rate=sum(_text(old) == _text(new) for old, new, _ in both) / len(both),
        result_rate=sum(results) / len(results) if results else None,
    )


def _text(sample: Sample) -> object:
    """Give all that an answer holds: its text and calls, those of each turn in a conversation."""
    turns = sample.parts.get("turns")
    listed = turns if isinstance(turns, Sequence) and not isinstance(turns, str) else ()
    held = [(turn.get("answer"), turn.get("tool_calls")) for turn in listed if isinstance(turn, Mapping)]
    return (sample.answer or "").strip(), sample.tool_calls, held


def _results(both: Sequence[tuple[Sample, Sample, str]]) -> Iterator[bool]:
    """Compare what each pair of answers leads to, such as the rows of two queries, where their grader can."""
    for old, new, grader in both:
        kind = BUILT_IN.get(grader)
        is_same = None if kind is None else kind.same_result(old, new)
        if is_same is not None:
            yield is_same
