"""What `--llm-plan` announces of an early stop. Pure."""

from pytest_llmbench.gate.early import StopMode, looks_of
from pytest_llmbench.gate.early_share import expected_share
from pytest_llmbench.report.format import counted, percent
from pytest_llmbench.runner.forecast import Forecast

_SMALLER, _LARGER = -0.05, -0.10


def stop_forecast(line: Forecast, mode: StopMode, margin: float) -> str:
    """Describe how many of a suite's requests can be expected to be sent."""
    looks = looks_of(line.units)
    most = f"{line.suite}: {counted(line.requests, 'request')} at most"
    if len(looks) == 1:
        return f"{most}; too small to stop early"
    unchanged, smaller, larger = (
        percent(expected_share(line.units, change, mode, margin), 0) for change in (0.0, _SMALLER, _LARGER)
    )
    unit = "case" if line.units == line.cases else "cluster"
    fewer = "; with several samples a case rather fewer" if line.samples > 1 else ""
    return (
        f"{most}; stopping early ({mode}, a look every {counted(looks[-1] - looks[-2], unit)}) about {unchanged} of "
        f"them if nothing changed, {smaller} at 5 points worse, {larger} at 10{fewer}"
    )
