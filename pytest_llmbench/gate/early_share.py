"""How much of a suite a planned early stop can be expected to ask, before any request."""

from math import exp, pi, sqrt
from statistics import NormalDist

from pytest_llmbench.gate.early import SMALLEST_SUITE, StopMode, levels_of, looks_of, simpson
from pytest_llmbench.stats import t_quantile

_NORMAL = NormalDist()
_MOVED = 0.18  # of the cases, between two equally good models that are right on 80%
_CELLS = 240


def expected_share(units: int, change: float, mode: StopMode, margin: float = 0.05) -> float:
    """Give the share of the cases that is asked on average: by a random walk, which is good to 3 points.

    Args:
        units: of the suite, one sample each.
        change: of the score, a share; about half of it makes further cases move.
        mode: of the plan; a stop where no verdict can be hoped for is left out of account.
        margin: a share of score.
    """
    if units < SMALLEST_SUITE:
        return 1.0
    looks = looks_of(units)
    raised = _MOVED + 0.45 * abs(change)
    variance, share, before = raised - change * change, 0.0, 0
    known = [(0.0, 1.0)]
    for look, level in zip(looks[:-1], levels_of(looks), strict=False):
        left, room = look - before, t_quantile(1 - level, look - 1) * sqrt(raised * look)
        step = sqrt(left * variance)
        share += sum(weight for _, weight in known) * left / units
        low = min(-room, -margin * look)
        far = max(look * change, 0.0) + 8 * sqrt(look * variance)
        high = -margin * look + room if mode is StopMode.DECIDED else far
        scale = 1 / (step * sqrt(2 * pi))
        known = [
            (x, w * scale * sum(d * exp(-(((x - y - left * change) / step) ** 2) / 2) for y, d in known))
            for x, w in simpson(low, max(high, low + 1e-6), _CELLS)
        ]
        before = look
    return share + sum(weight for _, weight in known) * (units - before) / units
