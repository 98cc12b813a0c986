"""What the gate of a run says: as text for the end of a run, as JSON for its block, as properties for JUnit.

Pure functions.
"""

from collections.abc import Iterator, Mapping, Sequence

from pytest_llmbench.gate.baselines import Baseline
from pytest_llmbench.gate.decision import Gate, RunGate, RunRuling
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.report.json import comparison_json, floor_json
from pytest_llmbench.report.safe_text import on_one_line, visible
from pytest_llmbench.report.sentences import Said, everything_said, floors_said
from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, plain
from pytest_llmbench.results.run_file import JsonObject


def asked_text(asked: RunGate) -> str:
    """Say in a line what a run is held against."""
    told = []
    if asked.baselines:
        newest, *older = asked.baselines
        told.append(f"against {_baseline_text(newest)}")
        if older:
            told.append(f"{len(older)} older run{'' if len(older) == 1 else 's'} to pool")
        told.append(f"margin {asked.settings.margin * 100:g} points")
        if asked.settings.latency_margin is not None:
            told.append(f"latency {asked.settings.latency_margin:g}x")
    for floor in asked.floors:
        told.append(f"minimum score {'' if floor.suite is None else f'of {floor.suite} '}{floor.score:.1%}")
    return visible(", ".join(told))


def _baseline_text(baseline: Baseline) -> str:
    run = baseline.run
    names = ", ".join(
        dict.fromkeys(r.role if r.model == r.role else f"{r.role}={r.model}" for r in run.records)
    )  # fmt: skip
    facts = (names, run.datetime[:16].replace("T", " "), "" if run.commit == "unversioned" else run.commit[:7])
    return f"{baseline.path} ({', '.join(filter(None, facts))})"


def ruling_lines(ruling: RunRuling, width: int | None = None, verbosity: int = 0) -> Iterator[Styled]:
    """Tell what the gate says, the overall verdict last.

    Args:
        ruling: what it says.
        width: of the terminal; None where lines may be of any length.
        verbosity: pytest's; the answers of what moved over 0, no details under 0, only the verdict under -1.
    """
    if ruling.refusal is not None:
        yield from folded((), visible(f"not judged: {ruling.refusal}"), width)
    elif verbosity >= -1:
        said = [] if ruling.gate is None else list(everything_said(ruling.gate, is_verbose=verbosity > 0))
        said += floors_said(ruling.floors)
        yield from said_lines(said, width, has_details=verbosity >= 0)
    yield verdict_line(ruling.verdict)


def ruling_json(ruling: RunRuling) -> JsonObject:
    """Give what the gate says as it stands in a run's block: a comparison, the baselines, the minimum scores."""
    compared = {} if ruling.gate is None else comparison_json(ruling.gate)
    return {
        **compared,
        "verdict": ruling.verdict,
        "exit_status": ruling.exit_status,
        "not_judged": ruling.refusal,
        "baselines": [
            {"file": str(baseline.path), "datetime": baseline.run.datetime, "commit": baseline.run.commit}
            for baseline in ruling.asked.baselines
        ],
        "min_scores": [floor_json(floor) for floor in ruling.floors],
    }


def ruling_properties(ruling: RunRuling) -> Iterator[tuple[str, str]]:
    """Give the verdicts as names and values for the properties of a JUnit test suite."""
    yield "llmbench.verdict", ruling.verdict
    if ruling.refusal is not None:
        yield "llmbench.not_judged", ruling.refusal
    for baseline in ruling.asked.baselines:
        yield "llmbench.baseline", str(baseline.path)
    for suite in () if ruling.gate is None else ruling.gate.suites:
        yield f"llmbench.verdict.{suite.pairs.suite}[{suite.pairs.role}]", suite.verdict
        if suite.doubt is not None:
            yield f"llmbench.advice_only.{suite.pairs.suite}[{suite.pairs.role}]", suite.doubt
    for together in () if ruling.gate is None else ruling.gate.together:
        yield f"llmbench.verdict.together[{together.role}]", together.verdict
    for latency in () if ruling.gate is None else ruling.gate.latency:
        for name, verdict in (("latency", latency.verdict), ("ttft", latency.ttft_verdict)):
            if verdict is not None:
                yield f"llmbench.verdict.{name}[{latency.facts.role}]", verdict
    for floor in ruling.floors:
        yield f"llmbench.min_score.{floor.suite}[{floor.role}]", f"{floor.score:.6g} of {floor.floor:g}"


_WIDTH = max(len(verdict) for verdict in Verdict)
_STYLES: Mapping[Verdict | None, Style] = {
    Verdict.BETTER: Style.GOOD,
    Verdict.NO_WORSE: Style.GOOD,
    Verdict.WORSE: Style.BAD,
    Verdict.TOO_FEW_CASES: Style.DOUBTFUL,
    Verdict.INCONCLUSIVE: Style.DOUBTFUL,
    None: Style.PLAIN,
}


def comparison_lines(gate: Gate, width: int | None = None, *, is_verbose: bool = False) -> Iterator[str]:
    """Tell a judged comparison as text: a line a suite with what moved, latency, what was left out, the verdict."""
    yield from map(plain, said_lines(list(everything_said(gate, is_verbose=is_verbose)), width))
    if gate.broken is not None:
        yield from map(plain, folded((), visible(f"not judged: {gate.broken}"), width))
    yield plain(verdict_line(gate.verdict))


def said_lines(said: Sequence[Said], width: int | None = None, *, has_details: bool = True) -> Iterator[Styled]:
    """Lay out what is said, for a terminal of that width; None where lines may be of any length."""
    names = [on_one_line(line.name) for line in said]
    column = max(map(len, names), default=0)
    for line, name in zip(said, names, strict=True):
        verdict = line.verdict or ""
        first = (
            Span(f"{name.ljust(column)}  "),
            Span(verdict, _STYLES[line.verdict]),
            Span(" " * (_WIDTH - len(verdict) + 1)),
        )
        yield from folded(first, visible(line.sentence), width)
        if has_details:
            yield from (line for detail in line.details for line in _detail(detail, width))


def _detail(detail: str, width: int | None) -> Iterator[Styled]:
    shown = visible(detail)
    text = shown.lstrip(" ")
    yield from folded((Span("  " + " " * (len(shown) - len(text))),), text, width)


def verdict_line(verdict: Verdict) -> Styled:
    """Tell the overall verdict."""
    return Span("verdict: ", Style.TITLE), Span(verdict, _STYLES[verdict])
