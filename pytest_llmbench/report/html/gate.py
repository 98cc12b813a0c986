"""The first section: the verdict, a row for each suite, and the largest losses."""

from collections import Counter
from dataclasses import dataclass, replace

from markupsafe import Markup

from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import Gate, MovedCase, SuiteRuling
from pytest_llmbench.gate.run_decision import RunRuling
from pytest_llmbench.report.format import margin_points
from pytest_llmbench.report.html.answers import is_slip
from pytest_llmbench.report.html.format import GRAVITY, SIGNS, TONES, Tone, came_out, percent, points
from pytest_llmbench.report.html.prompts import Wording
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject, link
from pytest_llmbench.report.html.svg import Scale, picture, tag
from pytest_llmbench.report.safe_text import clipped
from pytest_llmbench.report.sentences import Sentence, deciding_sample, gate_sentences, min_score_sentences
from pytest_llmbench.report.stops import interval_name
from pytest_llmbench.values import Outcome

_SHOWN_MOVED = 6
_SHOWN_OF_SUITE = 3
_SHOWN_ROWS = 6
_MAX_CHARACTERS = 200
_WIDTH, _HEIGHT = 220, 30
_TELLING_UNITS = 20
_LEAST_SPAN = 0.1  # of the picture to either side of no change: small changes are to look small


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A suite under a role: how it was, how it is, the verdict, and where to look."""

    suite: str
    role: str
    before_role: str
    tone: Tone
    sign: str
    verdict: str
    before: str
    now: str
    change: str
    plot: Markup | None
    worse: int
    better: int
    errors: int
    is_advice: bool
    sentence: Sentence

    @property
    def needs_attention(self) -> bool:
        """Whether it counts against the candidate, or leaves that open."""
        is_grave = self.verdict in (Verdict.WORSE, Verdict.INCONCLUSIVE)
        return is_grave or (self.tone is not Tone.GOOD and self.worse + self.better > 0)

    @property
    def worse_link(self) -> str:
        """Where its cases that got worse are."""
        return link(f="worse", s=self.suite, m=self.role)

    @property
    def better_link(self) -> str:
        """Where its cases that got better are."""
        return link(f="better", s=self.suite, m=self.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A case that got worse, with the reason of its answer now."""

    suite: str
    case: str
    role: str
    title: str
    before: str
    now: str
    why: str

    @property
    def link(self) -> str:
        """Where it is shown whole."""
        return link(f="worse", s=self.suite, m=self.role, c=f"{self.suite}/{self.case}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """The content of the first section; `verdict` is None where nothing was gated.

    Of many rows those that pass, or in which nothing changed, are `folded`.
    """

    verdict: Verdict | None = None
    tone: Tone = Tone.DIM
    sign: str = ""
    sentence: str = ""
    rows: tuple[Row, ...] = ()
    folded: tuple[Row, ...] = ()
    folded_verdicts: str = ""
    others: tuple[Sentence, ...] = ()
    floors: tuple[Sentence, ...] = ()
    moved: tuple[Moved, ...] = ()
    moved_in_all: int = 0
    axis: Markup | None = None


def section(subject: Subject) -> Section:
    """Make the section: the verdict, and what it rests on."""
    values = {"banner": banner(subject, subject.wording)}
    return Section(name="verdict", title="Verdict", template=template("gate.html"), values=values)


def banner(subject: Subject, wording: Wording) -> Banner:
    """Give the verdict and what it rests on."""
    ruling = subject.ruling
    if ruling is None:
        why = "No earlier run was given to compare with: scores only, no verdict."
        if subject.stopped is not None:
            why = f"Only part of the cases was run: {subject.stopped}."
        return Banner(verdict=None, tone=Tone.DIM, sign=SIGNS[Tone.DIM], sentence=why)
    tone = TONES[ruling.verdict]
    return replace(
        Banner() if ruling.gate is None else _compared(ruling.gate, wording),
        verdict=ruling.verdict,
        tone=tone,
        sign=SIGNS[tone],
        sentence=_sentence(ruling),
        floors=tuple(min_score_sentences(ruling.floors)),
    )


def _compared(gate: Gate, wording: Wording) -> Banner:
    """Lay out the comparison: rows, the axis of their pictures, what changed."""
    ordered = _ordered(gate)
    sentences = list(gate_sentences(gate, is_verbose=False))
    by_suite = dict(zip(map(id, gate.suites), sentences, strict=False))
    scale = _scale(gate)
    rows = [_row(ruling, by_suite[id(ruling)], scale, gate.settings.margin) for ruling in ordered]
    grave = [row for row in rows if row.needs_attention] if len(rows) > _SHOWN_ROWS else rows
    folded = [row for row in rows if grave and row not in grave]
    shown = [moved for ruling in ordered for moved in sorted(ruling.worse, key=_gravity)[:_SHOWN_OF_SUITE]]
    return Banner(
        rows=tuple(grave or rows),
        folded=tuple(folded),
        folded_verdicts=", ".join(f"{count} {word}" for word, count in Counter(row.verdict for row in folded).items()),
        others=tuple(sentences[len(gate.suites) :]),
        moved=tuple(_moved(moved, wording) for moved in sorted(shown, key=_is_slip)[:_SHOWN_MOVED]),
        moved_in_all=sum(len(ruling.worse) for ruling in ordered),
        axis=_axis(scale, gate.settings.margin),
    )


def _ordered(gate: Gate) -> list[SuiteRuling]:
    """Give the rulings, the gravest first, and of those the largest loss."""
    return sorted(gate.suites, key=lambda ruling: (GRAVITY.index(ruling.verdict), ruling.delta or 0.0))


def _sentence(ruling: RunRuling) -> str:
    """Explain why the verdict is what it is."""
    if ruling.refusal is not None:
        return f"Not judged: {ruling.refusal}"
    gate, verdict = ruling.gate, ruling.verdict
    missed = [floor for floor in ruling.floors if floor.is_reached is False and floor.why_advice_only is None]
    if gate is None or (missed and gate.verdict is not Verdict.WORSE):
        return "A minimum score is missed." if missed else "Every minimum score is reached."
    if gate.broken is not None:
        return f"Not judged: {gate.broken}"
    if gate.comparison.candidate.stopped is not None:
        return f"The candidate run is incomplete: {gate.comparison.candidate.stopped}"
    if all(suite.why_advice_only is not None for suite in gate.suites):
        is_timed = any(latency.verdict is not None for latency in gate.latency)
        gated = f"only latency is gated: {verdict}" if is_timed else "nothing is gated"
        reasons = list(dict.fromkeys(suite.why_advice_only or "" for suite in gate.suites))
        if len(reasons) == 1:
            return f"Every suite is advice only, because {reasons[0]}; {gated}."
        return f"Every suite is advice only, for the reasons under Details of the gate; {gated}."
    names = ", ".join(
        _name(suite, gate) for suite in _ordered(gate) if suite.verdict is verdict and suite.why_advice_only is None
    )
    margin = f"{margin_points(gate.settings.margin)} points"
    undecided = f"a loss of more than {margin} is neither proven nor ruled out in {names}" if names else "latency"
    return {
        Verdict.WORSE: f"Loss shown in: {names}." if names else "Latency got worse.",
        Verdict.INCONCLUSIVE: f"These runs cannot decide: {names or 'latency'}.",
        Verdict.TOO_FEW_CASES: f"Not enough cases to tell: {undecided}.",
        Verdict.NO_WORSE: f"Any loss is smaller than the margin of {margin}.",
        Verdict.BETTER: "The score rose, and the rise is statistically significant.",
    }[verdict]


def _name(ruling: SuiteRuling, gate: Gate) -> str:
    has_roles = len({other.pairs.role for other in gate.suites}) > 1
    return f"{ruling.pairs.suite} [{ruling.pairs.role}]" if has_roles else ruling.pairs.suite


def _row(ruling: SuiteRuling, sentence: Sentence, scale: Scale, margin: float) -> Row:
    tone, cases = TONES[ruling.verdict], len(ruling.pairs.pairs)
    return Row(
        suite=ruling.pairs.suite,
        role=ruling.pairs.role,
        before_role=ruling.pairs.baseline_role,
        tone=tone,
        sign=SIGNS[tone],
        verdict=str(ruling.verdict),
        before=percent(ruling.baseline_score, cases),
        now=percent(ruling.candidate_score, cases),
        change="" if ruling.delta is None else points(ruling.delta, cases),
        plot=_plot(ruling, scale, margin, tone),
        worse=len(ruling.worse),
        better=len(ruling.better),
        errors=len(ruling.error_cases),
        is_advice=ruling.why_advice_only is not None,
        sentence=sentence,
    )


# -- the picture of a change


def _scale(gate: Gate) -> Scale:
    """Give the scale of all pictures; the interval of a handful of cases, which holds anything, runs out of it."""
    ends = [end for ruling in gate.suites if ruling.units >= _TELLING_UNITS for end in ruling.interval or ()]
    ends += [ruling.delta for ruling in gate.suites if ruling.delta is not None]
    reach = max([*map(abs, ends), 2 * gate.settings.margin, _LEAST_SPAN])
    return Scale(low=-reach, high=reach, start=6, end=_WIDTH - 6)


def _plot(ruling: SuiteRuling, scale: Scale, margin: float, tone: Tone) -> Markup | None:
    """Draw a change with its interval, beside no change and the margin."""
    if ruling.delta is None or ruling.interval is None:
        return None
    (low, high), cases = ruling.interval, len(ruling.pairs.pairs)
    label = (
        f"change {points(ruling.delta, cases)} points, {interval_name(ruling)} {points(low, cases)} to "
        f"{points(high, cases)}; "
        f"margin {margin_points(margin)} points"
    )
    middle = _HEIGHT / 2
    return picture(
        _WIDTH,
        _HEIGHT,
        label,
        tag(
            "rect", x=scale(scale.low), y=3, width=scale(-margin) - scale(scale.low), height=_HEIGHT - 6, class_="lost"
        ),
        tag("path", d=f"M{scale(0):.1f} 0V{_HEIGHT}", class_="zero"),
        tag("path", d=f"M{scale(-margin):.1f} 0V{_HEIGHT}", class_="margin"),
        tag("path", d=f"M{scale(low):.1f} {middle}H{scale(high):.1f}", class_=f"interval {tone}"),
        tag("circle", cx=scale(ruling.delta), cy=middle, r=4.5, class_=f"change {tone}"),
        class_="plot",
    )


def _axis(scale: Scale, margin: float) -> Markup:
    """Draw what the pictures below it are to be read by."""
    zero = tag("text", "0", x=scale(0) - 3, y=12, class_="axis")
    tolerated = tag("text", f"margin −{margin_points(margin)}", x=scale(-margin) + 4, y=12, class_="axis end")
    label = f"left of the dashed line: a loss of more than the margin of {margin_points(margin)} points"
    return picture(_WIDTH, 16, label, tolerated, zero, class_="plot")


# -- the largest losses


def _gravity(moved: MovedCase) -> tuple[bool, float]:
    """Order losses: wrong answers before right ones in another format than asked for, the largest first."""
    return _is_slip(moved), (moved.candidate.score or 0.0) - (moved.baseline.score or 0.0)


def _is_slip(moved: MovedCase) -> bool:
    return is_slip(moved.candidate)


def _moved(moved: MovedCase, wording: Wording) -> Moved:
    now = deciding_sample(moved.candidate, wants_low=True)
    record = moved.candidate
    before, after = came_out(moved.baseline), came_out(record)
    if Outcome.PASSED not in (moved.baseline.outcome, record.outcome):
        # both fail: the score says what the words do not
        before, after = f"{moved.baseline.score or 0:.2f}", f"{record.score or 0:.2f} {after}"
    return Moved(
        suite=record.suite,
        case=record.case,
        role=record.role,
        title=wording.title(record),
        before=before,
        now=after,
        why=clipped(" ".join((now.explanation or "").split()), _MAX_CHARACTERS) if now else "",
    )
