"""The minimum score a suite must reach (`--llm-min-score`): parsing, and the rule."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.rule import Verdict, overall
from pytest_llmbench.models.validation import did_you_mean
from pytest_llmbench.results.records import Record
from pytest_llmbench.stats import mean
from pytest_llmbench.values import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class MinScore:
    """A floor: the score (a share) that one suite, or each without a name, must reach."""

    suite: str | None
    score: float


def parse_min_score(text: str, option: str = "--llm-min-score") -> MinScore:
    """Read `SUITE=S` or `S`.

    Raises:
        UsageFault: S is no share.
    """
    suite, separator, value = text.rpartition("=")
    score = finite_number(value)
    if score is None or not 0 <= score <= 1 or (separator and not suite):
        raise UsageFault(f'{option} needs a share from 0 to 1, as 0.8 or SUITE=0.8, not "{text}".')
    return MinScore(suite=suite or None, score=score)


def finite_number(text: str) -> float | None:
    """Read a number; None where it is none, or not finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MinScoreRuling:
    """Whether a suite under a role reached its floor, samples without an answer counted as wrong.

    `cases` is 0 where the model was trained on all of them, so that nothing can be said.

    `why_advice_only` is why the verdict does not count, as where the suite's grader is not trusted; None where it does.
    """

    suite: str
    role: str
    floor: float
    score: float
    cases: int
    why_advice_only: str | None = None
    is_stopped: bool = False
    """The suite stopped early, when a loss was shown: a minimum is about all cases, and is not judged."""

    @property
    def is_reached(self) -> bool | None:
        """Whether the score reaches the floor; float noise does not decide. None where it is not judged."""
        return None if self.is_stopped else self.score >= self.floor - 1e-9

    @property
    def verdict(self) -> Verdict | None:
        """A score below its minimum is worse than what may be taken; one that reaches it is no worse."""
        if self.is_stopped:
            return None
        if not self.cases:
            return Verdict.INCONCLUSIVE
        return Verdict.NO_WORSE if self.is_reached else Verdict.WORSE


def with_floors(verdict: Verdict, floors: Iterable[MinScoreRuling]) -> Verdict:
    """Give the verdict of a comparison that has minimum scores too; one that is reached takes nothing from `better`."""
    counted = [floor.verdict for floor in floors if floor.why_advice_only is None]
    return overall([verdict, *(one for one in counted if one in (Verdict.WORSE, Verdict.INCONCLUSIVE))])


ALL_TRUSTED: Mapping[str, str] = MappingProxyType({})


def check_min_scores(floors: Sequence[MinScore], suites: Iterable[str]) -> None:
    """Check that every named suite is among those that are run.

    Raises:
        UsageFault: one is not; a misspelt name would be a floor that never holds anything.
    """
    run = set(suites)
    missing = [floor.suite for floor in floors if floor.suite is not None and floor.suite not in run]
    if missing:
        known, guess = ", ".join(sorted(run)), did_you_mean(missing[0], sorted(run))
        raise UsageFault(f'there is no suite "{missing[0]}" to hold to a minimum score; this run has: {known}.{guess}')


def rule_min_scores(
    records: Sequence[Record],
    floors: Sequence[MinScore],
    untrusted: Mapping[str, str] = ALL_TRUSTED,
    *,
    counts_trained: bool = False,
    incomplete: Container[str] = (),
) -> tuple[MinScoreRuling, ...]:
    """Hold each suite under each role against its floor: its own where it has one, else the nameless one.

    Args:
        records: of the run.
        floors: the minimum scores.
        untrusted: why some suites are advice only, by suite.
        counts_trained: count cases that a model was trained on too.
        incomplete: the suites that stopped early.
    """
    by_suite = {floor.suite: floor.score for floor in floors}
    groups: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if record.suite in by_suite or None in by_suite:
            of_suite = groups.setdefault((record.suite, record.role), [])
            if record.is_trained and not counts_trained:
                continue
            scores = [0.0 if s.outcome is Outcome.ERROR else s.score or 0.0 for s in record.samples]
            of_suite.append(mean(scores) if scores else 0.0)
    return tuple(
        MinScoreRuling(
            suite=suite,
            role=role,
            floor=by_suite[suite] if suite in by_suite else by_suite[None],
            score=mean(scores) if scores else 0.0,
            cases=len(scores),
            why_advice_only=untrusted.get(suite),
            is_stopped=suite in incomplete,
        )
        for (suite, role), scores in groups.items()
    )
