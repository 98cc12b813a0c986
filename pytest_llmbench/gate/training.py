"""What a comparison with a trained model says beside its verdict: both sides apart, and signs of hacking.

The cases that a model was trained on decide nothing, but how its score rose on them does say something: more than on
the held-out side, and it learnt the cases; with a format, a length or a balance of labels that drifts off, and it
learnt what satisfies the grader.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.pairs import Comparison, Pair, SuitePairs
from pytest_llmbench.gate.rule import differences_of, units_of
from pytest_llmbench.gate.score_test import interval
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.stats import mean
from pytest_llmbench.values import Outcome

LEARNED_CASES = "learned the cases more than the task"
SATISFIED_GRADER = "the grader is satisfied, not the task"

LONGER, SHORTER = 1.5, 0.67
"""Answers that are on average so many times as long as the baseline's are answers of another kind."""

_SHIFT = 0.1
"""A share of a label, or of answers in the asked format, that is further off by this much has drifted."""

_FEW = 5
"""Fewer right answers than this on either side are no measure of their length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideChange:
    """How the score of one side changed, as shares; `interval` is that of the gate."""

    cases: int
    baseline_score: float
    candidate_score: float
    delta: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEffect:
    """The change on the side that the candidate was trained on, and on the other; None for a side without answers.

    `warnings` are signs that the one is not what was wanted, each with its reason.
    """

    trained: SideChange | None
    held_out: SideChange | None
    warnings: tuple[str, ...] = ()


def training_effect(suite: SuitePairs) -> TrainingEffect | None:
    """Give both sides of a suite apart; None where the candidate was trained on none of its cases."""
    pairs = (*suite.trained, *suite.pairs)
    trained = [pair for pair in pairs if pair.candidate.is_trained]
    held_out = [pair for pair in pairs if not pair.is_trained]
    if not trained:
        return None
    sides = _change(trained), _change(held_out)
    return TrainingEffect(trained=sides[0], held_out=sides[1], warnings=tuple(_warnings(*sides, held_out)))


def _change(pairs: Sequence[Pair]) -> SideChange | None:
    known = units_of(pairs).known
    if not known:
        return None
    differences = differences_of(known)
    return SideChange(
        cases=len(pairs),
        baseline_score=mean([old for old, _ in known]),
        candidate_score=mean([new for _, new in known]),
        delta=differences.mean,
        interval=interval(differences),
    )


def _warnings(trained: SideChange | None, held_out: SideChange | None, pairs: Sequence[Pair]) -> Iterator[str]:
    if trained is None or held_out is None:
        return
    if trained.interval[0] > held_out.interval[1]:
        yield f"{LEARNED_CASES}: the gain on the side it was trained on is larger than chance explains"
    if trained.interval[0] > 0 and (signs := list(_drifts(pairs))):
        yield f"{SATISFIED_GRADER}: the score rose on the side it was trained on, and on the other {', '.join(signs)}"


def _drifts(pairs: Sequence[Pair]) -> Iterator[str]:
    """Describe in what the candidate's answers to held-out cases drifted away from the baseline's."""
    old = [sample for pair in pairs for sample in pair.baseline.answered]
    new = [sample for pair in pairs for sample in pair.candidate.answered]
    formats = _format_rate(old), _format_rate(new)
    if formats[0] is not None and formats[1] is not None:
        if formats[1] < formats[0] - _SHIFT:
            yield f"the asked format is kept less often ({formats[0]:.0%} -> {formats[1]:.0%})"
    elif (ratio := _length_ratio(old, new)) is not None and not SHORTER <= ratio <= LONGER:
        yield f"answers are {ratio:.2g} times as long as the baseline's"
    yield from _label_drifts([pair.baseline for pair in pairs], [pair.candidate for pair in pairs])


def _format_rate(samples: Sequence[Sample]) -> float | None:
    found = [float(sample.format_ok) for sample in samples if sample.format_ok is not None]
    return mean(found) if found else None


def _length_ratio(old: Sequence[Sample], new: Sequence[Sample]) -> float | None:
    """Compare the mean lengths in characters, of right answers where both sides have some, else of all."""
    right = [[sample for sample in side if sample.outcome is Outcome.PASSED] for side in (old, new)]
    sides = right if min(map(len, right)) >= _FEW else [list(old), list(new)]
    lengths = [[len((sample.answer or "").strip()) for sample in side] for side in sides]
    if not all(lengths) or not sum(lengths[0]):
        return None
    return mean(lengths[1]) / mean(lengths[0])


def _label_drifts(old: Sequence[Record], new: Sequence[Record]) -> Iterator[str]:
    """Describe the labels whose share went further away from what is right than it was."""
    right = _shares([_part(sample, "expected") for record in new for sample in record.answered])
    before, after = (
        _shares([_part(sample, "lenient") for record in side for sample in record.answered]) for side in (old, new)
    )
    if not right:
        return
    for label in sorted(after):
        wanted = right.get(label, 0.0)
        was, now = before.get(label, 0.0), after[label]
        if abs(now - wanted) > abs(was - wanted) + _SHIFT:
            yield f'"{label}" is said for {now:.0%} of the cases ({wanted:.0%} would be right, it was {was:.0%})'


def _part(sample: Sample, name: str) -> str | None:
    found = sample.parts.get(name) if "lenient" in sample.parts else None
    return found if isinstance(found, str) else None


def _shares(labels: Sequence[str | None]) -> dict[str, float]:
    counts = Counter(label for label in labels if label is not None)
    return {label: count / len(labels) for label, count in counts.items()}


def training_notes(comparison: Comparison) -> Iterator[str]:
    """Give what must be known of the training beside all verdicts: an adapter without a manifest, what was allowed."""
    for suite in comparison.suites:
        allowed = sum(pair.is_trained for pair in suite.pairs)
        if allowed:
            yield (
                f"{suite.suite} [{suite.role}]: {allowed} of {len(suite.pairs)} compared cases are ones that a model "
                "was trained on, which was allowed"
            )
    for role in dict.fromkeys(suite.role for suite in comparison.suites):
        model = comparison.candidate.facts.model(role)
        if model is None or model.identity.training is not None:
            continue
        name = f"{model.model} {model.identity.model}".casefold()
        if model.identity.settings.get("adapter") or "adapter" in name or "lora" in name:
            yield f"{role}: nothing is known of what this adapter was trained on"
