"""The gate of a run: as text for the end of a run, as JSON for its block, as properties for JUnit.

Pure functions.
"""

from collections.abc import Iterator, Mapping, Sequence

from pytest_llmbench.gate.baselines import Baseline
from pytest_llmbench.gate.min_score import MinScoreRuling, with_floors
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import Gate
from pytest_llmbench.gate.run_decision import RunGate, RunRuling
from pytest_llmbench.report.format import counted, margin_points, moment, percent, short_commit
from pytest_llmbench.report.json import comparison_json, floor_json
from pytest_llmbench.report.safe_text import on_one_line, visible
from pytest_llmbench.report.sentences import Sentence, gate_sentences, min_score_sentences
from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, plain
from pytest_llmbench.results.run_json import JsonObject


def requirements_text(requirements: RunGate) -> str:
    """Describe in a line what a run is compared with."""
    parts = []
    if requirements.baselines:
        newest, *older = requirements.baselines
        parts.append(f"against {_baseline_text(newest)}")
        if older:
            parts.append(f"pooled with {counted(len(older), 'older run')}")
        parts.append(f"margin {margin_points(requirements.settings.margin)} points")
        if requirements.settings.latency_margin is not None:
            parts.append(f"latency margin x{requirements.settings.latency_margin:g}")
    for floor in requirements.floors:
        parts.append(f"minimum score {'' if floor.suite is None else f'of {floor.suite} '}{percent(floor.score)}")
    return visible(", ".join(parts))


def _baseline_text(baseline: Baseline) -> str:
    run = baseline.run
    names = ", ".join(
        dict.fromkeys(r.role if r.model == r.role else f"{r.role}={r.model}" for r in run.records)
    )  # fmt: skip
    commit = short_commit(run.commit)
    facts = (names, moment(run.datetime), commit and f"commit {commit}")
    return f"{baseline.path} ({', '.join(filter(None, facts))})"


def ruling_lines(ruling: RunRuling, width: int | None = None, verbosity: int = 0) -> Iterator[Styled]:
    """Lay out the gate of a run, the overall verdict last.

    Args:
        ruling: on the run.
        width: of the terminal; None where lines may be of any length.
        verbosity: pytest's; the answers to what changed over 0, only the essential
            details under 0, only the verdict under -1.
    """
    if ruling.refusal is not None:
        yield from folded((), visible(f"not judged: {ruling.refusal}"), width)
    elif verbosity >= -1:
        sentences = [] if ruling.gate is None else list(gate_sentences(ruling.gate, is_verbose=verbosity > 0))
        sentences += min_score_sentences(ruling.floors)
        yield from sentence_lines(sentences, width, has_details=verbosity >= 0)
    yield verdict_line(ruling.verdict)


def ruling_json(ruling: RunRuling) -> JsonObject:
    """Give the gate as it stands in a run's block: a comparison, the baselines, the minimum scores."""
    compared = {} if ruling.gate is None else comparison_json(ruling.gate)
    return {
        **compared,
        "verdict": ruling.verdict,
        "exit_status": ruling.exit_status,
        "not_judged": ruling.refusal,
        "baselines": [
            {"file": str(baseline.path), "datetime": baseline.run.datetime, "commit": baseline.run.commit}
            for baseline in ruling.requirements.baselines
        ],
        "min_scores": [floor_json(floor) for floor in ruling.floors],
    }


def ruling_properties(ruling: RunRuling) -> Iterator[tuple[str, str]]:
    """Give the verdicts as names and values for the properties of a JUnit test suite."""
    yield "llmbench.verdict", ruling.verdict
    if ruling.refusal is not None:
        yield "llmbench.not_judged", ruling.refusal
    for baseline in ruling.requirements.baselines:
        yield "llmbench.baseline", str(baseline.path)
    for suite in () if ruling.gate is None else ruling.gate.suites:
        yield f"llmbench.verdict.{suite.pairs.suite}[{suite.pairs.role}]", suite.verdict
        if suite.training is not None:
            n_trained = len(suite.pairs.trained)
            count = n_trained or sum(pair.is_trained for pair in suite.pairs.pairs)
            how = "left out" if n_trained else "compared, which was allowed"
            yield f"llmbench.trained.{suite.pairs.suite}[{suite.pairs.role}]", f"{counted(count, 'case')} {how}"
        if suite.stop is not None and suite.stop.is_early:
            where = f"{suite.stop.asked} of {len(suite.stop.plan.cases)} cases asked"
            yield f"llmbench.stopped.{suite.pairs.suite}[{suite.pairs.role}]", f"{suite.stop.reason}: {where}"
        if suite.why_advice_only is not None:
            yield f"llmbench.advice_only.{suite.pairs.suite}[{suite.pairs.role}]", suite.why_advice_only
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


def comparison_lines(
    gate: Gate, width: int | None = None, *, is_verbose: bool = False, floors: Sequence[MinScoreRuling] = ()
) -> Iterator[str]:
    """Write a comparison as text: a line a suite with what changed, latency, what was left out, the verdict."""
    sentences = [*gate_sentences(gate, is_verbose=is_verbose), *min_score_sentences(floors)]
    yield from map(plain, sentence_lines(sentences, width))
    if gate.broken is not None:
        yield from map(plain, folded((), visible(f"not judged: {gate.broken}"), width))
    yield plain(verdict_line(with_floors(gate.verdict, floors)))


def sentence_lines(
    sentences: Sequence[Sentence], width: int | None = None, *, has_details: bool = True
) -> Iterator[Styled]:
    """Lay out sentences, for a terminal of that width; None where lines may be of any length."""
    names = [on_one_line(sentence.name) for sentence in sentences]
    column = max(map(len, names), default=0)
    for sentence, name in zip(sentences, names, strict=True):
        verdict = sentence.verdict or ""
        first = (
            Span(f"{name.ljust(column)}  "),
            Span(verdict, _STYLES[sentence.verdict]),
            Span(" " * (_WIDTH - len(verdict) + 1)),
        )
        yield from folded(first, visible(sentence.text), width)
        details = sentence.details if has_details else sentence.essential
        yield from (line for detail in details for line in _detail(detail, width))


def _detail(detail: str, width: int | None) -> Iterator[Styled]:
    shown = visible(detail)
    text = shown.lstrip(" ")
    yield from folded((Span("  " + " " * (len(shown) - len(text))),), text, width)


def verdict_line(verdict: Verdict) -> Styled:
    """Give the line of the overall verdict."""
    return Span("verdict: ", Style.TITLE), Span(verdict, _STYLES[verdict])
