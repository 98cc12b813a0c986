"""Early stops in words. Pure functions."""

from collections.abc import Iterator

from pytest_llmbench.gate.early import StopMode
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import SuiteRuling
from pytest_llmbench.gate.stops import CERTAIN, HOPELESS
from pytest_llmbench.report.format import counted, percent
from pytest_llmbench.results.records import NOT_ASKED
from pytest_llmbench.results.stops import Stop, StopPlan


def not_asked_reason(plan: StopPlan, calls: int, reason: str) -> str:
    """Give the reason why a case is not asked, as its skipped test shows it."""
    return f"{NOT_ASKED}{plan.suite} {_why(reason)} after {progress(plan, calls)}"


def _why(reason: str) -> str:
    if reason == HOPELESS:
        return "could hardly be decided any more"
    if reason == CERTAIN:
        return "could not get another verdict any more"
    return f"was judged {Verdict(reason)}"


def progress(plan: StopPlan, calls: int) -> str:
    """Write how far a suite was asked, in cases, clusters or answers."""
    if plan.samples > 1:
        return f"{calls:,} of {plan.looks[-1]:,} answers"
    unit = "case" if plan.units == len(plan.cases) else "cluster"
    return f"{calls:,} of {counted(plan.units, unit)}"


PLAN_NEEDS_MORE = "a plan that may stop early needs about 5% more cases than that"


def first_cases(stop: Stop, n_pairs: int) -> str:
    """Name the cases that an early verdict rests on."""
    plan = stop.plan
    if plan.samples > 1:
        count = plan.looks[stop.look - 1] if stop.look is not None and stop.look <= len(plan.looks) else None
        answers = "" if count is None else f" ({progress(plan, count)})"
        return f"the first {n_pairs:,} of {counted(len(plan.cases), 'case')}{answers}"
    return f"the first {n_pairs:,} of {counted(len(plan.cases), 'case')}"


def interval_name(ruling: SuiteRuling) -> str:
    """Name an interval by its confidence."""
    return f"{percent(ruling.confidence, 0)} interval"


def early_interval(stop: Stop) -> str:
    """Explain why the interval is as wide as it is."""
    return "whatever the rest is" if stop.reason == CERTAIN else "for a look this early"


def rest(stop: Stop) -> str:
    """Give what became of the rest."""
    if stop.is_completed:
        return "completed since"
    if stop.not_asked:
        return f"{len(stop.not_asked):,} not asked"
    return "the other answers not asked for"


def early_end(ruling: SuiteRuling) -> str:
    """Explain a stop without a verdict."""
    stop = ruling.stop
    if stop is None or not stop.is_early:
        return ""
    settles = "would hardly settle it" if stop.reason == HOPELESS else "cannot settle it"
    since = "; completed since" if stop.is_completed else ""
    return f"{len(ruling.pairs.pairs):,} of {len(stop.plan.cases):,} asked; the rest {settles}{since}. "


def order_lines(stop: Stop | None) -> Iterator[str]:
    """Give how often the order of the cases was used, where that is known and was not the first time."""
    if stop is not None and stop.plan.gates is not None and stop.plan.gates > 1:
        yield f"{stop.plan.gates:,} gates so far asked in this order of cases; a new baseline gives a new one"


def mode_text(mode: StopMode | None) -> str:
    """Describe when a run stops early, for its header; nothing for one that does not."""
    if mode is None:
        return ""
    return ", stopping early at a loss" if mode is StopMode.LOSS else ", stopping early at any verdict"
