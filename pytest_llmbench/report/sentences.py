"""The gate in words: a sentence for each suite, what changed, latency, what was left out. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.latency import LatencyComparison, Ratio
from pytest_llmbench.gate.min_score import MinScoreRuling
from pytest_llmbench.gate.pairs import LeftOut
from pytest_llmbench.gate.power import Power
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import Gate, LatencyRuling, MovedCase, PooledRuling, SuiteRuling
from pytest_llmbench.gate.score_test import silence_floor
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.gate.training import SideChange
from pytest_llmbench.report.format import (
    counted,
    digits_for,
    listed,
    margin_points,
    percent,
    points,
    signed_points,
    whole_points,
)
from pytest_llmbench.report.safe_text import clipped, visible
from pytest_llmbench.report.stops import (
    PLAN_NEEDS_MORE,
    early_end,
    early_interval,
    first_cases,
    interval_name,
    order_lines,
    rest,
)
from pytest_llmbench.report.transcript import answer_text
from pytest_llmbench.results.checks import flipped
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.values import Outcome

_SHOWN_IDS = 12
_MAX_CHARACTERS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A line of the gate: what it is about, the verdict on it, the sentence itself, and details that go below.

    `essential` are those of the details without which nobody knows what to do; they are shown where the others are not.
    """

    name: str
    verdict: Verdict | None
    text: str
    details: tuple[str, ...] = ()
    essential: tuple[str, ...] = ()


def gate_sentences(gate: Gate, *, is_verbose: bool) -> Iterator[Sentence]:
    """Give the sentences of a comparison in their order: suites, all suites together, latency, notes."""
    has_roles = len({ruling.pairs.role for ruling in gate.suites}) > 1
    for ruling in gate.suites:
        yield _suite_sentence(ruling, gate, has_roles=has_roles, is_verbose=is_verbose)
    for together in gate.together:
        yield _pooled_sentence(together, gate, has_roles=has_roles)
    for latency in gate.latency:
        yield from _latency_sentences(latency, gate.settings, has_roles=has_roles)
    for name, texts in (
        ("not compared", [left_out_text(entry, entry.role) for entry in gate.comparison.left_out]),
        ("note", list(gate.comparison.notes)),
    ):
        if texts:
            yield Sentence(name=name, verdict=None, text=texts[0], details=tuple(texts[1:]))


def min_score_sentences(floors: Sequence[MinScoreRuling]) -> Iterator[Sentence]:
    """Give a sentence for each suite's score against its minimum."""
    has_roles = len({floor.role for floor in floors}) > 1
    for floor in floors:
        word = {True: "reached", False: "missed", None: "not judged, since the suite stopped early"}[floor.is_reached]
        found = f"{word}: {percent(floor.score)} on {counted(floor.cases, 'case')} (errors count as wrong)"
        if not floor.cases:
            found = "not judged: the model was trained on all cases"
        yield Sentence(
            name=suite_name(floor.suite, floor.role, has_roles),
            verdict=floor.verdict,
            text=f"{_advice(floor.why_advice_only)}minimum score {percent(floor.floor)} {found}",
            details=tuple(_advice_lines(floor.why_advice_only)),
        )


def _advice(why: str | None) -> str:
    return "" if why is None else "(advice only) "


def _advice_lines(why: str | None) -> Iterator[str]:
    if why is not None:
        yield f"advice only, not part of the overall verdict: {why}"


# -- suites


def suite_name(suite: str, role: str, has_roles: bool) -> str:
    """Name a suite, with its role where there are several."""
    return f"{suite} [{role}]" if has_roles else suite


def _suite_sentence(ruling: SuiteRuling, gate: Gate, *, has_roles: bool, is_verbose: bool) -> Sentence:
    return Sentence(
        name=suite_name(ruling.pairs.suite, ruling.pairs.role, has_roles),
        verdict=ruling.verdict,
        text=_advice(ruling.why_advice_only) + _sentence(ruling, gate.settings),
        details=(
            *_advice_lines(ruling.why_advice_only),
            *_noise_lines(ruling, gate.settings.margin),
            *_details(ruling, gate, is_verbose=is_verbose),
        ),
        essential=() if ruling.smoke is None else ruling.smoke.breaches,
    )


def _noise_lines(ruling: SuiteRuling, margin: float) -> Iterator[str]:
    floor = ruling.pairs.noise_floor
    if floor is not None and margin < floor:
        apart = f"two runs of the baseline differ by up to {points(floor)} points"
        yield f"a margin of {margin_points(margin)} points is below the noise floor: {apart}"


def _sentence(ruling: SuiteRuling, settings: GateSettings) -> str:
    margin = settings.margin
    if ruling.smoke is not None and ruling.smoke.is_open:
        return "smoke: no case is left that a model was not trained on"
    if ruling.smoke is not None:
        passed = f"{ruling.smoke.passed} of {counted(ruling.smoke.cases, 'case')} pass"
        return f"smoke: {passed}; what passed before and what is new must"
    if ruling.why_not_repeated is not None:
        return f"its early stop cannot be judged again: {ruling.why_not_repeated}"
    if ruling.blocked_by:
        way_out = settings.way_to_allow(difference.kind for difference in ruling.blocked_by)
        cases = f"{counted(len(ruling.pairs.pairs), 'case')} " if ruling.pairs.pairs else ""
        return f"{cases}cannot be compared without {way_out}"
    if not ruling.pairs.pairs:
        return "no case is left that a model was not trained on" if ruling.pairs.trained else "no case in common"
    scores, delta, interval = (ruling.baseline_score, ruling.candidate_score), ruling.delta, ruling.interval
    if scores[0] is None or scores[1] is None or delta is None or interval is None:
        return _no_answers(ruling)
    digits = digits_for(len(ruling.pairs.pairs))
    right = "of score" if ruling.is_fractional else "right"
    unit = "points of score" if ruling.is_fractional else "points"
    low, high = (signed_points(end, digits) for end in interval)
    result = f"{percent(scores[0], digits)} -> {percent(scores[1], digits)} {right} on {_cases(ruling)}"
    if ruling.verdict is Verdict.TOO_FEW_CASES:
        anywhere = f"The true change may lie anywhere from {low} to {high} {unit}"
        return f"{result}. {anywhere}. {early_end(ruling)}{_needed(ruling, margin)}"
    if ruling.stop is not None and ruling.stop.is_early:
        change = f"{signed_points(delta, digits)} {unit}, interval {low} to {high} {early_interval(ruling.stop)}"
        return f"{result} ({change}; you tolerate -{margin_points(margin)}); {rest(ruling.stop)}"
    change = f"{signed_points(delta, digits)} {unit}, {interval_name(ruling)} {low} to {high}"
    return f"{result} ({change}; margin {margin_points(margin)})"


def _no_answers(ruling: SuiteRuling) -> str:
    pairs = ruling.pairs.pairs
    is_asked = {
        "baseline": any(pair.baseline.answered or pair.older for pair in pairs),
        "candidate": any(pair.candidate.answered for pair in pairs),
    }
    silent = [f"the {side}" for side, is_answered in is_asked.items() if not is_answered]
    if not silent:
        return "no answers: no case was answered in both runs"
    cases = "the only case was not" if len(pairs) == 1 else f"none of the {counted(len(pairs), 'case')} was"
    return f"no answers: {cases} answered by {' or '.join(silent)}"


def _cases(ruling: SuiteRuling) -> str:
    if ruling.stop is not None and ruling.stop.is_early:
        return first_cases(ruling.stop, len(ruling.pairs.pairs))
    cases = counted(len(ruling.pairs.pairs), "case")
    return f"{cases} in {counted(ruling.units, 'cluster')}" if ruling.has_clusters else cases


def _needed(ruling: SuiteRuling, margin: float) -> str:
    power, unit = ruling.power, "clusters" if ruling.has_clusters else "cases"
    goal = f"a {margin_points(margin)}-point margin"
    if power is None or power.units_needed is None:
        return f"No number of {unit} up to 100,000 would be enough for {goal}."
    if power.units_needed <= ruling.units:
        return f"With this many {unit}, a candidate in which nothing changed passes {goal} four times in five."
    return f"To pass {goal} you would need about {_rounded(power.units_needed)} {unit}."


def _rounded(count: int) -> str:
    step = 1 if count < 100 else 10 if count < 1000 else 100
    return f"{-(-count // step) * step:,}"


def _details(ruling: SuiteRuling, gate: Gate, *, is_verbose: bool) -> Iterator[str]:
    yield from _left_out_lines(ruling)
    yield from _training_lines(ruling)
    for difference in ruling.pairs.differences:
        way_out = f"blocks the comparison; {gate.settings.way_to_allow([difference.kind])} compares anyway"
        how = "allowed" if difference.is_allowed else way_out
        yield f"{difference.text} ({how})"
    yield from () if ruling.smoke is None else ruling.smoke.breaches
    yield from ruling.pairs.notes
    if ruling.blocked_by or not ruling.pairs.pairs:
        return
    if ruling.error_cases:
        reach = "; the verdict depends on them" if ruling.verdict is Verdict.INCONCLUSIVE else ""
        yield f"{counted(len(ruling.error_cases), 'case')} with errors{reach}: {_ids(ruling.error_cases, is_verbose)}"
    if ruling.is_real_drop:
        yield "the loss is statistically significant but within the margin"
    if ruling.is_corrected:
        count = counted(len(gate.suites), "suite")
        yield f"on its own this would count as worse; among {count}, one drop like this can be chance"
    yield from order_lines(ruling.stop)
    if ruling.verdict is Verdict.TOO_FEW_CASES and ruling.stop is not None:
        yield PLAN_NEEDS_MORE
    if ruling.verdict is Verdict.TOO_FEW_CASES and ruling.power is not None:
        yield from power_lines(ruling.power, ruling.units, "cluster" if ruling.has_clusters else "case")
    for word, moved in (("worse", ruling.worse), ("better", ruling.better)):
        if moved:
            yield f"{len(moved)} got {word}: {_ids([case.case for case in moved], is_verbose)}"
            yield from _flipped_lines(moved, is_worse=word == "worse", is_verbose=is_verbose)
            if is_verbose:
                yield from (line for case in moved for line in moved_lines(case, is_worse=word == "worse"))
    yield from _agreement_lines(ruling)


def planned_power_lines(suite: str, cases: int, power: Power, margin: float) -> Iterator[str]:
    """Describe before a run what a suite can be expected to decide at a margin."""
    few = "is" if cases == 1 else "are"
    can = "can" if power.smallest_margin <= margin else f"{few} mostly too few to"
    yield visible(f"{suite}: {counted(cases, 'case')} {can} decide at a margin of {margin_points(margin)} points")
    yield from (f"  {line}" for line in power_lines(power, cases))
    if power.units_needed is not None and power.units_needed > cases:
        enough = f"about {_rounded(power.units_needed)} cases would be enough"
        yield f"  {enough} for a typical candidate, which changes 18% of them"
        floor = silence_floor(margin)
        if floor > cases:
            yield f"  from {floor} cases on a candidate that changes none can pass"


def power_lines(power: Power, units: int, unit: str = "case") -> Iterator[str]:
    """Describe what would let a suite decide."""
    yield f"with {counted(units, unit)}, only a margin of {whole_points(power.smallest_margin)} or more can pass"
    if power.can_samples_help is False:
        yield "more samples per case do not help at temperature 0; add cases"
    elif power.samples_needed is not None:
        option = f"--llm-samples {power.samples_needed}"
        yield f"asking each case {power.samples_needed} times in both runs ({option}) would be enough, too"
    elif power.are_samples_known:
        yield "more samples per case would not be enough: the cases themselves differ too much"
    elif power.can_samples_help:
        yield "asking each case four times in both runs (--llm-samples 4) would help, too"


def _training_lines(ruling: SuiteRuling) -> Iterator[str]:
    """Put both sides of a suite beside each other, and say what that may be a sign of."""
    if ruling.training is None:
        return
    sides = (("trained on", ruling.training.trained), ("held out", ruling.training.held_out))
    yield ", ".join(f"{name} {'no answers' if side is None else _side_text(side)}" for name, side in sides)
    yield from (f"warning: {warning}" for warning in ruling.training.warnings)


def _side_text(side: SideChange) -> str:
    digits = digits_for(side.cases)
    low, high = (signed_points(end, digits) for end in side.interval)
    return f"{signed_points(side.delta, digits)} points ({low} to {high}, {counted(side.cases, 'case')})"


def _left_out_lines(ruling: SuiteRuling) -> Iterator[str]:
    pairs = ruling.pairs
    if pairs.left_out:
        total = len(pairs.pairs) + sum(len(entry.cases) for entry in pairs.left_out)
        parts = "; ".join(left_out_text(entry) for entry in pairs.left_out)
        yield f"compared {len(pairs.pairs):,} of {counted(total, 'case')}, {parts}"


def left_out_text(entry: LeftOut, role: str | None = None) -> str:
    """Name the cases that are not compared, and why."""
    where = "" if role is None else f"{entry.suite} [{role}]: "
    if entry.why.is_training:
        return f"{where}{len(entry.cases):,} left out: {entry.why}"
    return f"{where}{len(entry.cases)} {entry.why}: {_ids(entry.cases, False)}"


def _agreement_lines(ruling: SuiteRuling) -> Iterator[str]:
    found = ruling.agreement
    if found is not None:
        grade, text = percent(found.grade_rate, 0), percent(found.text_rate, 0)
        result = "" if found.result_rate is None else f", {percent(found.result_rate, 0)} the same SQL result"
        yield f"answers: {grade} have the same grade, {text} the same text{result}"


def moved_lines(moved: MovedCase, *, is_worse: bool) -> Iterator[str]:
    """Show both answers to a case whose result changed; of several samples, those that changed it."""
    yield f"  {moved.case}"
    for word, record, wants_low in (
        ("baseline", moved.baseline, not is_worse),
        ("candidate", moved.candidate, is_worse),
    ):
        sample = deciding_sample(record, wants_low=wants_low)
        text = clipped(answer_text(sample).strip(), _MAX_CHARACTERS) if sample else "no answer"
        first, *rest = text.split("\n")
        grade = f" [{sample.reason}]" if sample else ""
        yield f"    {word.ljust(9)}  {first}{grade if not rest else ''}"
        yield from (f"    {'':9}  {line}" for line in rest)
        if rest:
            yield f"    {'':9} {grade}"


def flipped_checks(moved: Sequence[MovedCase], *, is_worse: bool) -> dict[str, list[str]]:
    """Give the cases by the check that made them worse, or better: it passed in one run and failed in the other."""
    found: dict[str, list[str]] = {}
    for case in moved:
        old = deciding_sample(case.baseline, wants_low=not is_worse)
        new = deciding_sample(case.candidate, wants_low=is_worse)
        lost, gained = flipped(old, new)
        for name in lost if is_worse else gained:
            found.setdefault(name, []).append(case.case)
    return found


def _flipped_lines(moved: Sequence[MovedCase], *, is_worse: bool, is_verbose: bool) -> Iterator[str]:
    word = "fails" if is_worse else "passes"
    for name, cases in flipped_checks(moved, is_worse=is_worse).items():
        yield f"  check {name} now {word} in {counted(len(cases), 'case')}: {_ids(cases, is_verbose)}"


def deciding_sample(record: Record, *, wants_low: bool) -> Sample | None:
    """Choose the answer that shows why a case changed: the lowest or highest scored; None without answers."""
    answered = [sample for sample in record.samples if sample.outcome is not Outcome.ERROR]
    return (min if wants_low else max)(answered, key=lambda sample: sample.score or 0.0) if answered else None


# -- all suites, latency


def _pooled_sentence(pooled: PooledRuling, gate: Gate, *, has_roles: bool) -> Sentence:
    digits = digits_for(pooled.cases)
    low, high, change = (signed_points(value, digits) for value in (*pooled.interval, pooled.delta))
    lost = [r.pairs.suite for r in gate.suites if r.verdict is Verdict.WORSE and r.pairs.role == pooled.role]
    where = f"loss shown in: {', '.join(lost)}" if lost else "no single suite shows a loss"
    return Sentence(
        name=suite_name("all suites together", pooled.role, has_roles),
        verdict=pooled.verdict,
        text=f"{change} points over {counted(pooled.cases, 'case')} ({low} to {high}); {where}",
        details=("mean over all cases; for information only, it does not affect the verdict",),
    )


def _latency_sentences(ruling: LatencyRuling, settings: GateSettings, *, has_roles: bool) -> Iterator[Sentence]:
    facts, margin = ruling.facts, settings.latency_margin
    name = suite_name("latency", facts.role, has_roles)
    if facts.total is None:
        details = tuple(
            f"{refusal.text} ({settings.way_to_allow([refusal.kind])} compares anyway)"
            for refusal in facts.refusals
            if not refusal.is_allowed
        )
        why = "the runs were measured under different conditions" if details else "no latency was measured in both runs"
        if details or margin is not None:
            yield Sentence(name=name, verdict=ruling.verdict, text=f"not compared: {why}", details=details)
        return
    yield Sentence(
        name=name,
        verdict=ruling.verdict,
        text=f"per case {_ratio_text(facts.total, margin)}{_explained(facts)}",
        details=tuple(_latency_details(facts, margin)),
    )
    if facts.ttft is not None:
        text = f"time to first token {_ratio_text(facts.ttft, margin)}"
        yield Sentence(name=suite_name("TTFT", facts.role, has_roles), verdict=ruling.ttft_verdict, text=text)


def _ratio_text(ratio: Ratio, margin: float | None) -> str:
    result = f"x{ratio.median:.2f} (median of {counted(ratio.cases, 'case')}"
    if ratio.interval is None:
        return f"{result}, too few for an interval)"
    tolerated = "" if margin is None else f"; margin x{margin:g}"
    return f"{result}, interval x{ratio.interval[0]:.2f} to x{ratio.interval[1]:.2f}{tolerated})"


def _explained(facts: LatencyComparison) -> str:
    if facts.tokens_ratio is None or facts.per_token_ratio is None:
        return ""
    tokens = f"x{facts.tokens_ratio:.2f}"
    number = "same number of tokens" if tokens == "x1.00" else f"{tokens} tokens"
    return f": {number}, x{facts.per_token_ratio:.2f} time per token"


def _latency_details(facts: LatencyComparison, margin: float | None) -> Iterator[str]:
    source = f"measured on {counted(facts.noise.runs, 'run')}" if facts.noise.runs else "assumed"
    yield f"allowing for run-to-run noise of {percent(facts.noise.log_sd, 0)} ({source})"
    if margin is not None and facts.noise.allowed_ratio >= margin:
        differ = f"two runs of one model differ by up to x{facts.noise.allowed_ratio:.2f}"
        yield f"a margin of x{margin:g} is below that noise: {differ}"
    yield from (f"{refusal.text} (allowed)" for refusal in facts.refusals)
    if facts.apart_cases:
        yield f"{counted(facts.apart_cases, 'case')} left out: measured under a different load"
    if facts.reused_cases:
        yield f"reused answers of {counted(facts.reused_cases, 'case')} left out: they were measured in another run"


def _ids(cases: Sequence[str], is_verbose: bool) -> str:
    return listed(cases, None if is_verbose else _SHOWN_IDS)
