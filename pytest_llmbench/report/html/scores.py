"""The second section: every suite under every model, with interval, change, latency and format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import SuiteRuling
from pytest_llmbench.report.budget import over_text
from pytest_llmbench.report.format import counted, seconds
from pytest_llmbench.report.html.format import Tone, percent, points
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject, link
from pytest_llmbench.report.html.svg import interval_bar
from pytest_llmbench.report.html.timings import Timing, load_text, timings
from pytest_llmbench.report.stops import interval_name
from pytest_llmbench.report.terminal.scoreboard import Line, cost_text, scoreboard, tokens_in_out
from pytest_llmbench.results.over_budget import over_budget

_FORMAT_GOOD, _FORMAT_FAIR = 0.99, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A few words that need a look, and where to look."""

    text: str
    tone: Tone
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a score changed; `tone` is dim where it may be chance, and bad only where the verdict is worse."""

    sign: str
    text: str
    tone: Tone
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A suite under a model."""

    role: str
    place: int
    score: str
    link: str
    bar: Markup
    cases: int
    planned: int | None
    change: Change | None
    times: str
    spent: tuple[str, ...]
    badges: tuple[Badge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """A suite: a cell a model, None where the model was not asked."""

    suite: str
    cells: tuple[Cell | None, ...]


def section(subject: Subject) -> Section:
    """Make the section: the scores."""
    values = {"score_rows": score_rows(subject)}
    return Section(name="scores", title="Scores", template=template("scores.html"), values=values)


def score_rows(subject: Subject) -> tuple[ScoreRow, ...]:
    """Sum the run up, suite by suite."""
    board = scoreboard(subject.run.records, subject.run.facts)
    lines = {(line.name, line.role): line for line in board}
    names = dict.fromkeys(line.name for suite in subject.suites for line in board if line.suite == suite)
    rulings = {(r.pairs.suite, r.pairs.role): r for r in subject.gate.suites} if subject.gate else {}
    times = {(timing.suite, timing.role): timing for timing in timings(subject)}
    over: dict[tuple[str, str], list[str]] = {}
    for one in over_budget(subject.run.records, subject.run.facts):
        over.setdefault((one.suite, one.role), []).append(over_text(one))
    return tuple(
        ScoreRow(
            suite=name,
            cells=tuple(
                _cell(lines[name, role], place, rulings.get((name, role)), times, over.get((name, role), ()))
                if (name, role) in lines
                else None
                for place, role in enumerate(subject.roles)
            ),
        )
        for name in names
    )


def _cell(
    line: Line,
    place: int,
    ruling: SuiteRuling | None,
    times: Mapping[tuple[str, str], Timing],
    over: Sequence[str],
) -> Cell:
    timing = times.get((line.suite, line.role))
    return Cell(
        role=line.role,
        place=place,
        score=percent(line.score, line.answered),
        link=link(f="all", s=line.suite, m=line.role),
        bar=_bar(line),
        cases=line.cases,
        planned=line.planned,
        change=_change(ruling),
        times="" if timing is None else _times(timing),
        spent=(*_spent(line), *over),
        badges=tuple(_badges(line)),
    )


def _spent(line: Line) -> Iterator[str]:
    """Write tokens and cost, those of the judge apart; nothing where neither is known."""
    for who, spending in (("", line.spending), ("judge: ", line.judge_spending)):
        tokens, cost = tokens_in_out(spending), cost_text(spending)
        known = [f"{tokens} tokens in/out" if tokens != "-" else "", cost if cost != "-" else ""]
        if any(known):
            yield who + " · ".join(filter(None, known))


def _badges(line: Line) -> list[Badge]:
    found = []
    if line.format_rate is not None:
        rate = line.format_rate
        tone = Tone.GOOD if rate >= _FORMAT_GOOD else Tone.WARN if rate >= _FORMAT_FAIR else Tone.BAD
        where = link(f="format" if rate < 1 else "all", s=line.suite, m=line.role)
        found.append(Badge(text=f"format {percent(rate, line.answered)}", tone=tone, link=where))
    if line.cut_off:
        where = link(f="all", s=line.suite, m=line.role)
        found.append(Badge(text=f"cut off {line.cut_off} of {line.samples}", tone=Tone.WARN, link=where))
    if line.errors:
        where = link(f="errors", s=line.suite, m=line.role)
        found.append(Badge(text=counted(line.errors, "error"), tone=Tone.BAD, link=where))
    return found


def _times(timing: Timing) -> str:
    text = f"p50 {seconds(timing.p50_s)} · p95 {seconds(timing.p95_s)}"
    return text if timing.load <= 1 else f"{text}, {load_text(timing.load)}"


def _change(ruling: SuiteRuling | None) -> Change | None:
    if ruling is None or ruling.delta is None or ruling.interval is None:
        return None
    low, high = ruling.interval
    cases = len(ruling.pairs.pairs)
    is_chance = low <= 0 <= high
    tone, remark = Tone.GOOD, ""
    if is_chance:
        tone, remark = Tone.DIM, ", may be chance"
    elif ruling.delta < 0 and ruling.verdict is not Verdict.WORSE:
        tone = Tone.WARN
        remark = ", a loss within the margin" if ruling.is_real_drop else ", may be chance among all suites"
        remark = remark if ruling.verdict is not Verdict.INCONCLUSIVE else ", undecided because of errors"
    elif ruling.delta < 0:
        tone = Tone.BAD
    ends = f"{points(low, cases)} to {points(high, cases)}"
    text = f"{points(ruling.delta, cases)} points, {interval_name(ruling)} {ends}"
    return Change(
        sign="▲" if ruling.delta > 0 else "▼" if ruling.delta < 0 else "±",
        text=points(abs(ruling.delta), cases).lstrip("+±"),
        tone=tone,
        label=f"{text}{remark}",
    )


def _bar(line: Line) -> Markup:
    """Draw a score with its interval on 0 to 1, as wide as its cell."""
    if line.score is None or line.interval is None:
        return interval_bar("no score")
    low, high = (100 * end for end in line.interval)
    label = f"score {percent(line.score, line.answered)}, 95% interval {low:.0f}% to {high:.0f}%"
    return interval_bar(label, max(100 * line.score - 0.5, 0), (low, high))
