"""What the gate's options say, and floors of the score.

Pure functions, used by the command and by pytest's options.  Margins are given in points and kept
as shares.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType

from pytest_llmbench.compare import Kind
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate import GateSettings
from pytest_llmbench.records import Record
from pytest_llmbench.stats import mean
from pytest_llmbench.values import Outcome
from pytest_llmbench.verdicts import Verdict


def parse_margin(text: str, option: str = "--margin") -> float:
    """Read a margin in points of score; gives a share.

    Raises:
        UsageFault: it is no number above 0 and below 100.
    """
    points = _number(text)
    if points is None or not 0 < points < 100:
        message = f'{option} needs points of score above 0 and below 100, not "{text}"'
        if points == 0:
            message += "; that nothing at all was lost cannot be shown"
        raise UsageFault(f"{message}. The default is 5.")
    return points / 100


def parse_latency_margin(text: str, option: str = "--latency-margin") -> float:
    """Read the tolerated ratio of latencies, as 1.25.

    Raises:
        UsageFault: it is no number above 1.
    """
    ratio = _number(text.removesuffix("x"))
    if ratio is None or not ratio > 1:
        raise UsageFault(f'{option} needs a ratio above 1, such as 1.25, not "{text}".')
    return ratio


def parse_allowed(kinds: Iterable[str], option: str = "--allow-different") -> frozenset[Kind]:
    """Read the differences that are allowed.

    Raises:
        UsageFault: one is unknown.
    """
    found = list(kinds)
    unknown = [kind for kind in found if kind not in tuple(Kind)]
    if unknown:
        raise UsageFault(f'{option} knows {", ".join(Kind)}, not "{unknown[0]}".')
    return frozenset(Kind(kind) for kind in found)


def gate_settings(margin: str, latency_margin: str | None, allowed: Iterable[str], prefix: str = "--") -> GateSettings:
    """Read what the gate tolerates.

    Args:
        margin: points of score.
        latency_margin: a ratio, None where latency is not gated.
        allowed: kinds of difference.
        prefix: of the options' names, as messages are to show them.

    Raises:
        UsageFault: one of them is wrong.
    """
    return GateSettings(
        margin=parse_margin(margin, f"{prefix}margin"),
        latency_margin=None
        if latency_margin is None
        else parse_latency_margin(latency_margin, f"{prefix}latency-margin"),
        allowed=parse_allowed(allowed, f"{prefix}allow-different"),
    )


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
    score = _number(value)
    if score is None or not 0 <= score <= 1 or (separator and not suite):
        raise UsageFault(f'{option} needs a share from 0 to 1, as 0.8 or SUITE=0.8, not "{text}".')
    return MinScore(suite=suite or None, score=score)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorRuling:
    """Whether a suite under a role reached its floor, samples without an answer counted as wrong.

    `doubt` is why the suite's grader is not trusted to gate it, so that the verdict is advice only.
    """

    suite: str
    role: str
    floor: float
    score: float
    cases: int
    doubt: str | None = None

    @property
    def is_reached(self) -> bool:
        """Whether the score reaches the floor; float noise does not decide."""
        return self.score >= self.floor - 1e-9

    @property
    def verdict(self) -> Verdict:
        """A score below its minimum is worse than what may be taken; one that reaches it is no worse."""
        return Verdict.NO_WORSE if self.is_reached else Verdict.WORSE


NOTHING_DOUBTED: Mapping[str, str] = MappingProxyType({})


def check_min_scores(floors: Sequence[MinScore], suites: Iterable[str]) -> None:
    """See that every named suite is among those that are run.

    Raises:
        UsageFault: one is not; a misspelt name would be a floor that never holds anything.
    """
    run = set(suites)
    missing = [floor.suite for floor in floors if floor.suite is not None and floor.suite not in run]
    if missing:
        raise UsageFault(f'there is no suite "{missing[0]}" to hold to a minimum score; run: {", ".join(sorted(run))}.')


def rule_min_scores(
    records: Sequence[Record], floors: Sequence[MinScore], doubted: Mapping[str, str] = NOTHING_DOUBTED
) -> tuple[FloorRuling, ...]:
    """Hold each suite under each role against its floor: its own where it has one, else the nameless one.

    Args:
        records: of the run.
        floors: what is asked.
        doubted: why the graders of some suites are not trusted to gate them, by suite.
    """
    by_suite = {floor.suite: floor.score for floor in floors}
    groups: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if record.suite in by_suite or None in by_suite:
            scores = [0.0 if s.outcome is Outcome.ERROR else s.score or 0.0 for s in record.samples]
            groups.setdefault((record.suite, record.role), []).append(mean(scores) if scores else 0.0)
    return tuple(
        FloorRuling(
            suite=suite,
            role=role,
            floor=by_suite[suite] if suite in by_suite else by_suite[None],
            score=mean(scores),
            cases=len(scores),
            doubt=doubted.get(suite),
        )
        for (suite, role), scores in groups.items()
    )
