"""What the gate says, in words: a sentence a suite, what moved, latency, what was left out. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from pytest_llmbench.gate.comparison import LeftOut
from pytest_llmbench.gate.decision import Gate, LatencyRuling, MovedCase, PooledRuling, SuiteRuling
from pytest_llmbench.gate.latency import LatencyComparison, Ratio
from pytest_llmbench.gate.min_score import MinScoreRuling
from pytest_llmbench.gate.power import Power
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.report.safe_text import clipped, visible
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.values import Outcome

_SHOWN_IDS = 12
_MAX_CHARACTERS = 600
_PRECISE_FROM = 100  # cases, before a digit behind the point means something


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One line's name, verdict and sentence, and the lines below it."""

    name: str
    verdict: Verdict | None
    sentence: str
    details: tuple[str, ...] = ()


def everything_said(gate: Gate, *, is_verbose: bool) -> Iterator[Said]:
    """Give all there is to say, in the order it is told."""
    has_roles = len({ruling.pairs.role for ruling in gate.suites}) > 1
    for ruling in gate.suites:
        yield _said_of_suite(ruling, gate, has_roles=has_roles, is_verbose=is_verbose)
    for together in gate.together:
        yield _said_together(together, gate, has_roles=has_roles)
    for latency in gate.latency:
        yield from _said_of_latency(latency, gate.settings.latency_margin, has_roles=has_roles)
    for name, texts in (
        ("not compared", [left_out_text(entry, entry.role) for entry in gate.comparison.left_out]),
        ("note", list(gate.comparison.notes)),
    ):
        if texts:
            yield Said(name=name, verdict=None, sentence=texts[0], details=tuple(texts[1:]))


def floors_said(floors: Sequence[MinScoreRuling]) -> Iterator[Said]:
    """Tell each suite's score against its minimum."""
    has_roles = len({floor.role for floor in floors}) > 1
    for floor in floors:
        word = "reached" if floor.is_reached else "missed"
        yield Said(
            name=suite_name(floor.suite, floor.role, has_roles),
            verdict=floor.verdict,
            sentence=f"{_advice(floor.doubt)}minimum score {floor.floor:.1%} {word} with {floor.score:.1%} on "
            f"{counted(floor.cases, 'case')} (errors count as wrong)",
            details=tuple(_doubt_lines(floor.doubt)),
        )


def _advice(doubt: str | None) -> str:
    return "" if doubt is None else "(advice only) "


def _doubt_lines(doubt: str | None) -> Iterator[str]:
    if doubt is not None:
        yield f"advice only, and no part of the overall verdict: {doubt}"


# -- suites


def suite_name(suite: str, role: str, has_roles: bool) -> str:
    """Name a suite, with its role where there are several."""
    return f"{suite} [{role}]" if has_roles else suite


def _said_of_suite(ruling: SuiteRuling, gate: Gate, *, has_roles: bool, is_verbose: bool) -> Said:
    return Said(
        name=suite_name(ruling.pairs.suite, ruling.pairs.role, has_roles),
        verdict=ruling.verdict,
        sentence=_advice(ruling.doubt) + _sentence(ruling, gate.settings.margin),
        details=(
            *_doubt_lines(ruling.doubt),
            *_noise_lines(ruling, gate.settings.margin),
            *_details(ruling, is_verbose=is_verbose),
        ),
    )


def _noise_lines(ruling: SuiteRuling, margin: float) -> Iterator[str]:
    floor = ruling.pairs.noise_floor
    if floor is not None and margin < floor:
        apart = f"two runs of the baseline lie up to {floor * 100:.1f} points apart"
        yield f"a margin of {margin * 100:g} points lies below the noise floor: {apart}"


def _sentence(ruling: SuiteRuling, margin: float) -> str:
    if ruling.smoke is not None:
        passed = f"{ruling.smoke.passed} of {counted(ruling.smoke.cases, 'case')} pass"
        return f"smoke: {passed}; what passed before and what is new must"
    if not ruling.pairs.pairs:
        return "no case in common"
    if ruling.blocked_by:
        return f"{counted(len(ruling.pairs.pairs), 'case')} cannot be compared as they are"
    scores, delta, interval = (ruling.baseline_score, ruling.candidate_score), ruling.delta, ruling.interval
    if scores[0] is None or scores[1] is None or delta is None or interval is None:
        return f"no answers on both sides in {counted(len(ruling.pairs.pairs), 'case')}"
    digits = 1 if len(ruling.pairs.pairs) >= _PRECISE_FROM else 0
    right = "of score" if ruling.is_fractional else "right"
    points = "points of score" if ruling.is_fractional else "points"
    low, high = (signed_points(end, digits) for end in interval)
    told = f"{share(scores[0], digits)} -> {share(scores[1], digits)} {right} on {_cases(ruling)}"
    if ruling.verdict is Verdict.TOO_FEW_CASES:
        return f"{told}: anything from {low} to {high} {points} fits. {_needed(ruling, margin)}"
    change = f"{signed_points(delta, digits)} {points}, 90% interval {low} to {high}"
    return f"{told} ({change}; you tolerate {_tolerated(margin)})"


def _cases(ruling: SuiteRuling) -> str:
    cases = counted(len(ruling.pairs.pairs), "case")
    return f"{cases} in {counted(ruling.units, 'cluster')}" if ruling.has_clusters else cases


def _needed(ruling: SuiteRuling, margin: float) -> str:
    advice, unit = ruling.advice, "clusters" if ruling.has_clusters else "cases"
    at = f"at {_tolerated(margin)}"
    if advice is None or advice.units_needed is None:
        return f"No number of {unit} up to 100,000 would settle it {at}."
    if advice.units_needed <= ruling.units:
        return f"As many {unit} as these settle it {at} four times in five where nothing changed."
    return f"About {_rounded(advice.units_needed)} {unit} would settle it {at}."


def _rounded(count: int) -> str:
    step = 1 if count < 100 else 10 if count < 1000 else 100
    return f"{-(-count // step) * step:,}"


def _details(ruling: SuiteRuling, *, is_verbose: bool) -> Iterator[str]:
    yield from _left_out_lines(ruling)
    for difference in ruling.pairs.differences:
        how = (
            "allowed" if difference.is_allowed else f"blocks; --allow-different {difference.kind} compares all the same"
        )
        yield f"{difference.text} ({how})"
    yield from () if ruling.smoke is None else ruling.smoke.breaches
    yield from ruling.pairs.notes
    if ruling.blocked_by or not ruling.pairs.pairs:
        return
    if ruling.error_cases:
        reach = "; the verdict would depend on them" if ruling.verdict is Verdict.INCONCLUSIVE else ""
        yield f"{counted(len(ruling.error_cases), 'case')} with errors{reach}: {_ids(ruling.error_cases, is_verbose)}"
    if ruling.is_real_drop:
        yield "the loss is real but inside the margin"
    if ruling.is_corrected:
        yield "alone it would look worse; among so many suites one such loss is to be expected by chance"
    if ruling.verdict is Verdict.TOO_FEW_CASES and ruling.advice is not None:
        yield from advice_lines(ruling.advice)
    for word, moved in (("worse", ruling.worse), ("better", ruling.better)):
        if moved:
            yield f"{len(moved)} got {word}: {_ids([case.case for case in moved], is_verbose)}"
            if is_verbose:
                yield from (line for case in moved for line in moved_lines(case, is_worse=word == "worse"))
    yield from _agreement_lines(ruling)


def plan_lines(suite: str, cases: int, advice: Power, margin: float) -> Iterator[str]:
    """Tell before a run what a suite can be expected to decide at a margin."""
    can = "can" if advice.smallest_margin <= margin else "will mostly not"
    yield visible(f"{suite}: {counted(cases, 'case')} {can} decide at {_tolerated(margin)} points")
    yield from (f"  {line}" for line in advice_lines(advice))
    if advice.units_needed is not None and advice.units_needed > cases:
        yield f"  about {_rounded(advice.units_needed)} cases would"


def advice_lines(advice: Power) -> Iterator[str]:
    """Tell what would let a suite decide."""
    yield f"the smallest margin such a suite can clear: {whole_points(advice.smallest_margin)}"
    if advice.can_samples_help is False:
        yield "more samples a case cannot help at temperature 0: only more cases can"
    elif advice.samples_needed is not None:
        yield f"{advice.samples_needed} samples a case on both sides would settle it too"
    elif advice.are_samples_known:
        yield "more samples a case would not settle it: the cases themselves differ too much"
    elif advice.can_samples_help:
        yield "more samples a case on both sides (--llm-samples 4) can help too"


def _left_out_lines(ruling: SuiteRuling) -> Iterator[str]:
    pairs = ruling.pairs
    if pairs.left_out:
        total = len(pairs.pairs) + sum(len(entry.cases) for entry in pairs.left_out)
        parts = "; ".join(left_out_text(entry) for entry in pairs.left_out)
        yield f"compared {len(pairs.pairs)} of {total} cases, {parts}"


def left_out_text(entry: LeftOut, role: str | None = None) -> str:
    """Name the cases that are not compared, and why."""
    where = "" if role is None else f"{entry.suite} [{role}]: "
    return f"{where}{len(entry.cases)} {entry.why}: {_ids(entry.cases, False)}"


def _agreement_lines(ruling: SuiteRuling) -> Iterator[str]:
    found = ruling.agreement
    if found is not None:
        result = "" if found.result_rate is None else f", {found.result_rate:.0%} the same SQL result"
        yield f"answers: {found.grade_rate:.0%} have the same grade, {found.text_rate:.0%} the same text{result}"


def moved_lines(moved: MovedCase, *, is_worse: bool) -> Iterator[str]:
    """Show the answers of both sides to a case that moved; of several samples, those that moved it."""
    yield f"  {moved.case}"
    for word, record, wants_low in (
        ("baseline", moved.baseline, not is_worse),
        ("candidate", moved.candidate, is_worse),
    ):
        sample = telling_sample(record, wants_low=wants_low)
        text = clipped((sample.answer or "").strip(), _MAX_CHARACTERS) if sample else "no answer"
        first, *rest = text.split("\n")
        grade = f" [{sample.reason}]" if sample else ""
        yield f"    {word.ljust(9)}  {first}{grade if not rest else ''}"
        yield from (f"    {'':9}  {line}" for line in rest)
        if rest:
            yield f"    {'':9} {grade}"


def telling_sample(record: Record, *, wants_low: bool) -> Sample | None:
    """Choose the answer that shows why a case moved: the lowest or highest scored; None without answers."""
    answered = [sample for sample in record.samples if sample.outcome is not Outcome.ERROR]
    return (min if wants_low else max)(answered, key=lambda sample: sample.score or 0.0) if answered else None


# -- all suites, latency


def _said_together(together: PooledRuling, gate: Gate, *, has_roles: bool) -> Said:
    digits = 1 if together.cases >= _PRECISE_FROM else 0
    low, high, change = (signed_points(value, digits) for value in (*together.interval, together.delta))
    alarmed = [r.pairs.suite for r in gate.suites if r.verdict is Verdict.WORSE and r.pairs.role == together.role]
    alarm = f"{', '.join(alarmed)} alarmed" if alarmed else "no suite alarmed"
    return Said(
        name=suite_name("all suites together", together.role, has_roles),
        verdict=together.verdict,
        sentence=f"{change} points over {together.cases} cases ({low} to {high}); {alarm}",
        details=("the mean over all cases; no suite's own verdict, and not part of the overall one",),
    )


def _said_of_latency(ruling: LatencyRuling, margin: float | None, *, has_roles: bool) -> Iterator[Said]:
    facts = ruling.facts
    name = suite_name("latency", facts.role, has_roles)
    if facts.total is None:
        details = tuple(
            f"{refusal.text} (--allow-different {refusal.kind} compares all the same)"
            for refusal in facts.refusals
            if not refusal.is_allowed
        )
        why = "the runs were not measured alike" if details else "no latency was measured on both sides"
        if details or margin is not None:
            yield Said(name=name, verdict=ruling.verdict, sentence=f"not compared: {why}", details=details)
        return
    yield Said(
        name=name,
        verdict=ruling.verdict,
        sentence=f"median case {_ratio_text(facts.total, margin, 'as long')}{_explained(facts)}",
        details=tuple(_latency_details(facts, margin)),
    )
    if facts.ttft is not None:
        sentence = f"median first token {_ratio_text(facts.ttft, margin, 'as late')}"
        yield Said(name=suite_name("TTFT", facts.role, has_roles), verdict=ruling.ttft_verdict, sentence=sentence)


def _ratio_text(ratio: Ratio, margin: float | None, words: str) -> str:
    told = f"{ratio.median:.2f}x {words} on {counted(ratio.cases, 'case')}"
    if ratio.interval is None:
        return f"{told} (too few for an interval)"
    tolerated = "" if margin is None else f"; you tolerate {margin:g}x"
    return f"{told} (between {ratio.interval[0]:.2f}x and {ratio.interval[1]:.2f}x{tolerated})"


def _explained(facts: LatencyComparison) -> str:
    if facts.tokens_ratio is None or facts.per_token_ratio is None:
        return ""
    return f": {facts.tokens_ratio:.2f}x as many tokens, {facts.per_token_ratio:.2f}x a token"


def _latency_details(facts: LatencyComparison, margin: float | None) -> Iterator[str]:
    source = f"measured on {facts.noise.runs} runs" if facts.noise.runs else "assumed"
    yield f"allowing for run-to-run noise of {facts.noise.log_sd:.0%} ({source})"
    if margin is not None and facts.noise.allowed_ratio >= margin:
        differ = f"two runs of one model differ by up to {facts.noise.allowed_ratio:.2f}x"
        yield f"a margin of {margin:g}x lies below that noise: {differ}"
    yield from (f"{refusal.text} (allowed)" for refusal in facts.refusals)
    if facts.apart_cases:
        yield f"{counted(facts.apart_cases, 'case')} measured beside more or fewer others than most left out"
    if facts.reused_cases:
        yield f"{counted(facts.reused_cases, 'case')} with reused answers left out where they have no other"


# -- words


def share(value: float, digits: int) -> str:
    """Write a share as a percentage."""
    return f"{value * 100:.{digits}f}%"


def signed_points(value: float, digits: int) -> str:
    """Write a difference of shares in points, with its sign."""
    text = f"{value * 100:+.{digits}f}"
    return text.replace("-", "+") if float(text) == 0 else text


def whole_points(value: float) -> str:
    """Write a share in whole points, rounded up: a bound that holds must not become one that does not."""
    # 0.07 * 100 is a little over 7
    return counted(max(1, ceil(round(value * 100, 6))), "point")


def _tolerated(margin: float) -> str:
    return f"-{margin * 100:g}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _ids(cases: Sequence[str], is_verbose: bool) -> str:
    if is_verbose or len(cases) <= _SHOWN_IDS:
        return ", ".join(cases)
    return f"{', '.join(cases[:_SHOWN_IDS])} and {len(cases) - _SHOWN_IDS} more"
