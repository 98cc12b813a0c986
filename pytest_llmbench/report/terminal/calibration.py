"""What a model against itself shows, as text and JSON. Pure functions."""

from collections.abc import Iterator
from dataclasses import asdict

from pytest_llmbench.gate.calibrate import Calibration, LatencyNoise, SuiteNoise
from pytest_llmbench.report.safe_text import printed_json, visible
from pytest_llmbench.report.sentences import whole_points


def calibration_lines(found: Calibration, form: str = "text") -> Iterator[str]:
    """Tell a calibration in one of the formats."""
    if form == "json":
        yield printed_json(asdict(found))
        return
    for suite in found.suites:
        yield visible(f"{suite.suite} [{suite.role}]: {suite.cases} cases, {suite.runs} runs")
        yield from (visible(f"  {line}") for line in _suite_lines(suite))
    for latency in found.latency:
        yield visible(f"latency [{latency.role}]")
        yield from (f"  {line}" for line in _latency_lines(latency))
    for warning in found.warnings:
        yield visible(f"warning: {warning}")


def _suite_lines(suite: SuiteNoise) -> Iterator[str]:
    floor = f"two runs differ by up to {suite.noise_floor * 100:.1f} points"
    yield f"noise floor: {floor}; {suite.flip_rate:.1%} of cases flip"
    yield from _text_lines(suite)
    yield f"smallest drop it can see: {whole_points(suite.smallest_drop)}"
    why = " (nothing moved, so as if a candidate moved 18% of cases)" if suite.flip_rate == 0 else ""
    yield f"recommended: --margin {suite.margin * 100:.0f}{why}"
    yield from suite.differences


def _text_lines(suite: SuiteNoise) -> Iterator[str]:
    rate, across = suite.same_text_rate, suite.across_rate
    if rate is not None and rate == 1:
        yield "deterministic: every answer came out the same"
    elif rate is not None and suite.is_greedy:
        why = "batches or the provider"
        yield f"not deterministic: at temperature 0 only {rate:.1%} of answers came out the same ({why})"
    elif rate is not None:
        yield f"{rate:.1%} of answers came out the same"
    if across is not None:
        same = "the same" if across == 1 else "others"
        yield f"with another number of requests in flight {same}: {across:.1%} of answers came out the same"


def _latency_lines(latency: LatencyNoise) -> Iterator[str]:
    noise = latency.noise
    source = f"measured on {noise.runs} runs" if noise.runs else "assumed; three runs measure it"
    yield f"noise between runs: {noise.log_sd:.1%} ({source}); two runs differ by up to {noise.allowed_ratio:.2f}x"
    yield f"these runs differ by up to {latency.widest:.2f}x"
    yield f"recommended: --latency-margin {latency.margin:.2f}"
