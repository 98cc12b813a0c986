"""The verdict on latency, where it is gated."""

from pytest_llmbench.gate.latency import LatencyComparison, Ratio
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import LatencyRuling
from pytest_llmbench.gate.settings import GateSettings


def latency_ruling(facts: LatencyComparison, settings: GateSettings) -> LatencyRuling:
    """Judge the latency under a role; without a verdict where it is only reported."""
    margin = settings.latency_margin
    if margin is None:
        return LatencyRuling(facts=facts)
    if any(not refusal.is_allowed for refusal in facts.refusals):
        return LatencyRuling(facts=facts, verdict=Verdict.INCONCLUSIVE)
    return LatencyRuling(
        facts=facts,
        verdict=ratio_verdict(facts.total, margin),
        ttft_verdict=ratio_verdict(facts.ttft, margin) if facts.ttft else None,
    )


def ratio_verdict(ratio: Ratio | None, margin: float) -> Verdict:
    """Judge a ratio of latencies by its interval; what was measured on no or few cases is too few."""
    if ratio is None or ratio.interval is None:
        return Verdict.TOO_FEW_CASES
    low, high = ratio.interval
    if high < 1:
        return Verdict.BETTER
    if high < margin:
        return Verdict.NO_WORSE
    return Verdict.WORSE if low > 1 else Verdict.TOO_FEW_CASES
