"""The noise of a model against itself, as text and JSON. Pure functions."""

from collections.abc import Iterator
from dataclasses import asdict

from pytest_llmbench.gate.calibrate import Calibration, LatencyNoise, SuiteNoise
from pytest_llmbench.report.format import counted, percent, points, whole_points
from pytest_llmbench.report.safe_text import printed_json, visible
from pytest_llmbench.values import GateKind


def calibration_lines(found: Calibration, form: str = "text") -> Iterator[str]:
    """Write a calibration in one of the formats."""
    if form == "json":
        yield printed_json(asdict(found))
        return
    for suite in found.suites:
        yield visible(f"{suite.suite} [{suite.role}]: {counted(suite.cases, 'case')}, {counted(suite.runs, 'run')}")
        yield from (visible(f"  {line}") for line in _suite_lines(suite))
    for latency in found.latency:
        yield visible(f"latency [{latency.role}]")
        yield from (f"  {line}" for line in _latency_lines(latency))
    for warning in found.warnings:
        yield visible(f"warning: {warning}")


def _suite_lines(suite: SuiteNoise) -> Iterator[str]:
    floor = f"two runs differ by up to {points(suite.noise_floor)} points"
    yield f"noise floor: {floor}; {percent(suite.flip_rate)} of cases flip"
    yield from _text_lines(suite)
    yield f"smallest drop it can detect: {whole_points(suite.smallest_drop)}"
    yield _recommendation(suite)
    yield from suite.differences


_WIDEST_USEFUL = 0.25
"""A wider margin lets models pass that are plainly worse."""


def _recommendation(suite: SuiteNoise) -> str:
    if suite.gate is not GateKind.STATISTICAL:
        return f"recommended: no margin; the suite has `gate: {suite.gate}`, which uses none"
    assumed = "no case changed between these runs; assumes a typical candidate, which changes 18% of cases"
    why = f" ({assumed})" if suite.flip_rate == 0 else ""
    if suite.margin > _WIDEST_USEFUL:
        only = f"only {points(suite.margin, 0)} points or more could pass{why}"
        return f"recommended: no margin, but more cases, or `gate: smoke`; with these, {only}"
    return f"recommended: --margin {points(suite.margin, 0)}{why}"


def _text_lines(suite: SuiteNoise) -> Iterator[str]:
    rate, across = suite.same_text_rate, suite.across_rate
    if rate is not None and rate == 1:
        yield "deterministic: every answer was the same"
    elif rate is not None and suite.is_greedy:
        why = "because of batching or the provider"
        yield f"not deterministic: at temperature 0 only {percent(rate)} of answers were the same, {why}"
    elif rate is not None:
        yield f"{percent(rate)} of answers were the same"
    if across is not None:
        yield f"with a different number of requests in flight, {percent(across)} of answers were the same"


def _latency_lines(latency: LatencyNoise) -> Iterator[str]:
    noise = latency.noise
    source = f"measured on {counted(noise.runs, 'run')}" if noise.runs else "assumed; three runs would measure it"
    yield f"noise between runs: {percent(noise.log_sd)} ({source}); two runs differ by up to x{noise.allowed_ratio:.2f}"
    yield f"these runs differ by up to x{latency.widest:.2f}"
    yield f"recommended: --latency-margin {latency.margin:.2f}"
