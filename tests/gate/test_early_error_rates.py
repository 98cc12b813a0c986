"""How often a planned early stop is wrong: counted exactly with one answer a case, simulated with four.

What is counted is the chance that the wrong claim is made at any look, whatever else stops the run: for an unchanged
model a loss, for one that is worse by the whole margin a pass.
"""

import random
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.gate.early import StopMode, levels_at, looks_of
from pytest_llmbench.gate.rule import claims_of
from pytest_llmbench.gate.score_test import Differences

MARGIN = 0.05
MOST = 0.052
SHARES = (0.06, 0.18, 0.30)
"""Of the cases that move where nothing changed; more of them give fewer errors, fewer give lumps."""

ROOT = Path(__file__).parents[2]
GATE = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")


def _benchmark() -> Any:
    """Load the benchmark that counts: it is no part of the package."""
    spec = spec_from_file_location("early_stop", ROOT / "benchmarks" / "early_stop.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["early_stop"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


early_stop = _benchmark()


@pytest.mark.parametrize("units", [100, 156, 238, 500])
@pytest.mark.slow
def test_both_error_rates_are_under_5_2_percent(units: int) -> None:
    """At any look of ten, an unchanged model is called worse and a loss of the margin passes in less than 5.2% of runs."""
    plan = early_stop.Plan(units, StopMode.DECIDED)

    for share in SHARES:
        assert plan.wrong(share / 2, share / 2, passes=False) < MOST
        assert plan.wrong((share - MARGIN) / 2, (share + MARGIN) / 2, passes=True) < MOST
    assert plan.wrong(0.0, MARGIN, passes=True) < MOST


def test_both_error_rates_of_a_small_plan() -> None:
    """The same for 100 cases in the usual world, quickly; and neither is far below what is allowed."""
    plan = early_stop.Plan(100, StopMode.DECIDED)

    alarm = plan.wrong(0.09, 0.09, passes=False)
    leak = plan.wrong(0.065, 0.115, passes=True)

    assert 0.03 < alarm < MOST
    assert 0.03 < leak < MOST


@pytest.mark.parametrize(("units", "mode"), [(200, StopMode.LOSS), (200, StopMode.DECIDED)])
@pytest.mark.slow
def test_the_documented_shares_are_what_is_asked(units: int, mode: StopMode) -> None:
    """docs/gate.md has the share of the requests that are sent on average, as it is counted."""
    row = next(line for line in GATE.splitlines() if line.startswith(f"| `{mode}` | {units:,} |"))
    documented = [int(cell) for cell in row.strip("| ").split(" | ")[2:]]

    plan = early_stop.Plan(units, mode)
    asked = [100 * plan.outcome(*early_stop.moved(change))[2] for change in early_stop.CHANGES]

    assert asked == pytest.approx(documented, abs=0.6)


@pytest.mark.slow
def test_four_samples_in_sweeps_keep_the_error_rates() -> None:
    """100 cases asked four times each, sweep by sweep: at most 5% of unchanged models alarm, and of true losses pass."""
    noise, looks, pairs = random.Random(4), looks_of(100, 4), 1200
    chances = [noise.betavariate(0.8, 0.2) for _ in range(2000)]
    right = sum(chances) / len(chances)

    def outcome(drop: float) -> str:
        own = [noise.choice(chances) for _ in range(100)]
        new = [(noise.choice(chances) if noise.random() < 0.08 else chance) * (1 - drop / right) for chance in own]
        before = [sum(noise.random() < chance for _ in range(4)) / 4 for chance in own]
        gained = [[noise.random() < chance for _ in range(4)] for chance in new]
        for place, look in enumerate(looks):
            full, more = divmod(look, 100)
            counts = [full + (case < more) for case in range(100)]
            seen = Counter(
                round(sum(own[:count]) / count - old, 9)
                for own, old, count in zip(gained, before, counts, strict=True)
                if count
            )
            found = Differences(counts=tuple(sorted(seen.items())))
            claims = claims_of(found, MARGIN, levels_at(looks, place, StopMode.DECIDED, 0.05))
            if claims.is_up or claims.is_kept:
                return "passed"
            if claims.is_down:
                return "worse"
        return "undecided"

    luck = sqrt(0.05 * 0.95 / pairs)
    assert sum(outcome(0.0) == "worse" for _ in range(pairs)) / pairs <= 0.05 + luck
    assert sum(outcome(MARGIN) == "passed" for _ in range(pairs)) / pairs <= 0.05 + luck
