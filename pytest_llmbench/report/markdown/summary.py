"""A run as one page of Markdown, for a pull request or the summary of a CI job. Pure functions.

The marker in its first line is for bots: one that finds it in a comment of its own edits that comment.  The
page keeps to `MAX_BYTES`, so that it fits a comment on GitHub (65,536 characters); the summary of
a job may have 1,024 kB.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import MovedCase, SuiteRuling
from pytest_llmbench.gate.run_decision import RunRuling
from pytest_llmbench.report.budget import budget_lines
from pytest_llmbench.report.embedding import embedding_lines
from pytest_llmbench.report.format import counted, listed, percent
from pytest_llmbench.report.judge_check import judge_check_lines
from pytest_llmbench.report.line_order import in_order
from pytest_llmbench.report.markdown.escape import cell, escaped, in_html, table_head, table_row
from pytest_llmbench.report.markdown.fitting import Block, fitted
from pytest_llmbench.report.markdown.gate import VERDICT_HEAD, verdict_rows
from pytest_llmbench.report.safe_text import clipped, visible
from pytest_llmbench.report.sentences import deciding_sample, gate_sentences, min_score_sentences
from pytest_llmbench.report.terminal.checks import broken_advice_lines
from pytest_llmbench.report.terminal.gate import requirements_text
from pytest_llmbench.report.terminal.scoreboard import (
    Line,
    cut_off_lines,
    left_out_lines,
    reused_line,
    scoreboard,
    scoreboard_cells,
    times_left_out,
)
from pytest_llmbench.report.transcript import answer_text
from pytest_llmbench.results.records import Record, Run, Sample
from pytest_llmbench.values import Outcome

MARKER = "<!-- llmbench -->"
MAX_BYTES = 64_000

_MAX_NAME = 100
_MAX_TEXT = 300
_MAX_SENTENCE = 600
_MAX_SCORES = 4  # in the headline
_MAX_CASES = 12  # named in a cell
_SIGNS = {
    Verdict.BETTER: "✅",
    Verdict.NO_WORSE: "✅",
    Verdict.WORSE: "❌",
    Verdict.TOO_FEW_CASES: "⚠️",
    Verdict.INCONCLUSIVE: "⚠️",
}


def summary(
    run: Run, ruling: RunRuling | None = None, *, stopped: str | None = None, max_bytes: int = MAX_BYTES
) -> str:
    """Write a run: the headline, the gate's table, the scores, the errors, and folded what changed or was wrong.

    Args:
        run: all that was answered.
        ruling: the gate's, where the run is gated.
        stopped: why the run is not whole, None if it is.
        max_bytes: the size to keep to.
    """
    board = scoreboard(in_order(run.records, run.facts.roles), run.facts)
    blocks = [Block(before=tuple(_head(board, run, ruling, stopped)))]
    if ruling is not None:
        blocks += _gate_blocks(ruling)
    if board:
        blocks.append(_score_block(board, run))
    blocks += _error_blocks(run.records)
    if ruling is not None and ruling.gate is not None:
        blocks += [block for suite in ruling.gate.suites for block in _changed_blocks(suite, run)]
    else:
        blocks += _wrong_blocks(run)
    return fitted(blocks, max_bytes)


def _head(board: Sequence[Line], run: Run, ruling: RunRuling | None, stopped: str | None) -> Iterator[str]:
    yield MARKER
    if ruling is not None:
        yield f"## {_SIGNS[ruling.verdict]} llmbench: {ruling.verdict}"
    else:
        yield f"## llmbench: {_scores(board)}"
    if ruling is not None:
        yield ""
        yield _sentence(f"{_names(run)}, {requirements_text(ruling.requirements)}.")
    if stopped is not None and (ruling is None or ruling.refusal is None):
        yield ""
        yield _sentence(f"{stopped[:1].upper()}{stopped[1:]}.")


def _scores(board: Sequence[Line]) -> str:
    if not board:
        return "no case was run"
    roles = dict.fromkeys(line.role for line in board)
    if len(roles) == 1 and len(board) <= _MAX_SCORES:
        scores = ", ".join(f"{line.name} {percent(line.score)}" for line in board)
        return f"{_name(board[0].role)}: {_name(scores)}"
    suites = dict.fromkeys(line.suite for line in board)
    return f"{counted(len(roles), 'model')} on {counted(len(suites), 'suite')}"


def _names(run: Run) -> str:
    return ", ".join(dict.fromkeys(r.role if r.model == r.role else f"{r.role}={r.model}" for r in run.records))


# -- tables


def _gate_blocks(ruling: RunRuling) -> Iterator[Block]:
    if ruling.refusal is not None:
        yield Block(before=("", _sentence(f"Not judged: {ruling.refusal}")))
        return
    sentences = [] if ruling.gate is None else list(gate_sentences(ruling.gate, is_verbose=False))
    sentences += min_score_sentences(ruling.floors)
    yield Block(before=("", *VERDICT_HEAD), rows=tuple(verdict_rows(sentences)), noun="verdict")
    details = tuple(f"- **{_name(one.name)}**: {_sentence(detail)}" for one in sentences for detail in one.details)
    if details:
        yield Block(before=("",), rows=details, noun="remark")


def _score_block(board: Sequence[Line], run: Run) -> Block:
    titles, rows = scoreboard_cells(board)
    of_run = (
        *budget_lines(run.records, run.facts),
        *left_out_lines(run.facts.suites),
        *broken_advice_lines(run.records),
        *judge_check_lines(run.facts),
        *embedding_lines(run.facts),
    )
    cut_off = cut_off_lines(board, run.records)
    found = (times_left_out(board), reused_line(run.records), *cut_off, *map(visible, of_run))
    remarks = [text for text in found if text]
    return Block(
        before=("", *table_head(titles, numbers=titles[2:])),
        rows=tuple(table_row(map(_name, cells)) for cells in rows),
        after=tuple(line for text in remarks for line in ("", _sentence(text))),
        noun="score",
    )


def _error_blocks(records: Sequence[Record]) -> Iterator[Block]:
    """Name the errors, those of one cause together, the most frequent cause first."""
    by_cause: dict[str, list[str]] = {}
    for record in records:
        causes = {(sample.error or "no answer").strip().split("\n")[0] for sample in _errors(record)}
        for cause in sorted(causes):
            by_cause.setdefault(cause, []).append(f"{record.suite}/{record.case} ({record.role})")
    if not by_cause:
        return
    count = sum(len(_errors(record)) for record in records)
    rows = sorted(by_cause.items(), key=lambda found: -len(found[1]))
    yield Block(
        before=("", f"**{counted(count, 'error')}**, counted as neither right nor wrong:", "", *_ERROR_HEAD),
        rows=tuple(table_row([cell(cause, _MAX_TEXT), str(len(cases)), _cases(cases)]) for cause, cases in rows),
        noun="cause",
    )


_ERROR_HEAD = table_head(["error", "cases", "which"], numbers=["cases"])


def _errors(record: Record) -> tuple[Sample, ...]:
    return tuple(sample for sample in record.samples if sample.outcome is Outcome.ERROR)


def _cases(cases: Sequence[str]) -> str:
    return listed([_name(case) for case in cases], _MAX_CASES)


# -- folded


def _changed_blocks(ruling: SuiteRuling, run: Run) -> Iterator[Block]:
    for word, moved in (("worse", ruling.worse), ("better", ruling.better)):
        if moved:
            rows = tuple(_changed_row(case, run, is_worse=word == "worse") for case in moved)
            pairs = ruling.pairs
            what = f"{counted(len(moved), 'case')} got {word}"
            yield _folded(
                _title(pairs.suite, pairs.role, what), ("case", "baseline", "candidate", "expected", "why"), rows
            )


def _changed_row(moved: MovedCase, run: Run, *, is_worse: bool) -> str:
    old = deciding_sample(moved.baseline, wants_low=not is_worse)
    new = deciding_sample(moved.candidate, wants_low=is_worse)
    why = _why(new if is_worse else old)
    return table_row([_name(moved.case), _answer(old), _answer(new), _expected(moved.candidate, run), why])


def _wrong_blocks(run: Run) -> Iterator[Block]:
    wrong = [record for record in run.records if record.outcome is Outcome.FAILED]
    totals = Counter((record.suite, record.role) for record in run.records)
    for (suite, role), found in groupby(
        sorted(wrong, key=lambda r: (r.suite, r.role)), key=lambda r: (r.suite, r.role)
    ):
        rows = tuple(_wrong_row(record, run) for record in found)
        what = f"{len(rows):,} of {counted(totals[suite, role], 'case')} wrong"
        yield _folded(_title(suite, role, what), ("case", "answer", "expected", "why"), rows)


def _wrong_row(record: Record, run: Run) -> str:
    sample = deciding_sample(record, wants_low=True)
    return table_row([_name(record.case), _answer(sample), _expected(record, run), _why(sample)])


def _title(suite: str, role: str, what: str) -> str:
    return f"{clipped(suite, _MAX_NAME)} ({clipped(role, _MAX_NAME)}): {what}"


def _folded(title: str, titles: Sequence[str], rows: tuple[str, ...]) -> Block:
    return Block(
        before=("", f"<details><summary>{in_html(title)}</summary>", "", *table_head(titles)),
        rows=rows,
        after=("", "</details>"),
        noun="case",
    )


def _answer(sample: Sample | None) -> str:
    return "(no answer)" if sample is None else cell(answer_text(sample), _MAX_TEXT) or "(empty)"


def _expected(record: Record, run: Run) -> str:
    return cell(run.facts.expected.get(record.case_sha256, ""), _MAX_TEXT)


def _why(sample: Sample | None) -> str:
    if sample is None:
        return ""
    explanation = (sample.explanation or "").strip().split("\n")[0]
    return cell(f"{sample.reason}: {explanation}" if explanation else f"{sample.reason}", _MAX_TEXT)


def _name(text: str) -> str:
    return cell(text, _MAX_NAME).replace("<br>", " ") or "-"


def _sentence(text: str) -> str:
    return escaped(clipped(text, _MAX_SENTENCE))
