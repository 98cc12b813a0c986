"""What a gate says, laid out as lines: names and verdicts in columns, what moved below each, the verdict last."""

from collections.abc import Iterator, Mapping, Sequence

from pytest_llmbench.gate import Gate
from pytest_llmbench.report.comparison import Said, everything_said
from pytest_llmbench.report.look import Span, Style, Styled, folded, plain
from pytest_llmbench.report.text import on_one_line, visible
from pytest_llmbench.verdicts import Verdict

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
