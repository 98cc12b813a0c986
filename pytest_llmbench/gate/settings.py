"""The settings of the gate, read from its options.

Pure functions, used by the command and by pytest's options.  Margins are given in points and kept
as shares.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.min_score import finite_number
from pytest_llmbench.gate.pairs import Kind
from pytest_llmbench.results.annotations import Annotation

MAX_ERRORS = 0.02
"""The share of a suite's cases that may lack an answer by default; one always may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What is tolerated: `margin` is a share of score, `latency_margin` a ratio, None where latency is not gated.

    `people` are the annotations by which graders are trusted, in suites that ask for trust. `prefix` stands before
    the names of the options where these were read, as messages are to show them.
    """

    margin: float = 0.05
    latency_margin: float | None = None
    allowed: frozenset[Kind] = frozenset()
    people: tuple[Annotation, ...] = ()
    max_errors: float = MAX_ERRORS
    prefix: str = "--"

    def way_to_allow(self, kinds: Iterable[Kind]) -> str:
        """Give the options that let the gate compare runs that differ in these."""
        return " ".join(f"{self.prefix}allow-different {kind}" for kind in dict.fromkeys(kinds))


def parse_margin(text: str, option: str = "--margin") -> float:
    """Read a margin in points of score; gives a share.

    Raises:
        UsageFault: it is no number above 0 and below 100.
    """
    points = finite_number(text)
    if points is None or not 0 < points < 100:
        message = f'{option} needs points of score above 0 and below 100, not "{text}"'
        if points == 0:
            message += "; a loss of nothing at all cannot be shown"
        raise UsageFault(f"{message}. The default is 5.")
    return points / 100


def parse_latency_margin(text: str, option: str = "--latency-margin") -> float:
    """Read the tolerated ratio of latencies, as 1.25.

    Raises:
        UsageFault: it is no number above 1.
    """
    ratio = finite_number(text.removesuffix("x"))
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


def parse_max_errors(text: str, option: str = "--max-errors") -> float:
    """Read the share of a suite's cases that may lack an answer.

    Raises:
        UsageFault: it is no share.
    """
    share = finite_number(text)
    if share is None or not 0 <= share <= 1:
        raise UsageFault(f'{option} needs a share from 0 to 1, such as 0.02 for one case in fifty, not "{text}".')
    return share
