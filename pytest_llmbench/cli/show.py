"""`llmbench show`: the prompts, answers and grades of a run."""

import argparse
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.report.budget import budget_lines
from pytest_llmbench.report.format import counted, listed
from pytest_llmbench.report.line_order import in_order
from pytest_llmbench.report.markdown.run import record_markdown, scores_markdown
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.terminal.run import record_lines
from pytest_llmbench.report.terminal.scoreboard import scoreboard, scoreboard_lines
from pytest_llmbench.results.records import Record, Run
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.values import Outcome

_MAX_NAMES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run_file", type=Path, metavar="RUN.json", help="benchmark JSON of a run")
    parser.add_argument("case", nargs="?", metavar="CASE", help="show only this case (CASE or SUITE/CASE)")
    parser.add_argument("--failed", action="store_true", help="show only the cases that failed, not those with errors")
    parser.add_argument("--suite", metavar="SUITE", help="only this suite")
    parser.add_argument("--model", metavar="NAME", help="only this model (its role or name)")
    parser.add_argument("--format", choices=("text", "md"), default="text", help="default: text; md is Markdown")


def run(options: argparse.Namespace) -> int:
    """Print each record of a run that is asked for, and the scoreboard; gives the exit status.

    The scoreboard counts the cases that `--failed` leaves out too: without them it would show no score but 0.
    """
    run = read_run(options.run_file)
    records = _chosen(in_order(run.records, run.facts.roles), options)
    shown = [record for record in records if not options.failed or record.outcome is Outcome.FAILED]
    print_lines(_markdown(shown, records, run) if options.format == "md" else _text(shown, records, run))
    if options.failed:
        print_lines([f"{len(shown):,} of {counted(len(records), 'case')} failed."])
    return 0


def _text(shown: Iterable[Record], records: Sequence[Record], run: Run) -> Iterator[str]:
    for record in shown:
        yield from record_lines(record, run)
    yield from scoreboard_lines(scoreboard(records, run.facts), shutil.get_terminal_size().columns)
    yield from map(visible, budget_lines(records, run.facts))


def _markdown(shown: Iterable[Record], records: Sequence[Record], run: Run) -> Iterator[str]:
    for record in shown:
        yield from record_markdown(record, run)
    yield from scores_markdown(scoreboard(records, run.facts))
    yield ""


def _chosen(records: Sequence[Record], options: argparse.Namespace) -> tuple[Record, ...]:
    """Give the records of the suite, the model and the case that are named.

    Raises:
        UsageFault: there is none of that name.
    """
    found = records
    for noun, wanted in (("suite", options.suite), ("model", options.model), ("case", options.case)):
        if wanted is None:
            continue
        known = dict.fromkeys(_names(record, noun)[0] for record in found)
        found = [record for record in found if wanted in _names(record, noun)]
        if not found:
            raise UsageFault(f'{options.run_file} has no {noun} "{wanted}"{_way_out(wanted, tuple(known), noun)}')
    return tuple(found)


def _names(record: Record, noun: str) -> tuple[str, str]:
    """Give the names by which a record is chosen, the usual one first."""
    if noun == "suite":
        return record.suite, record.suite
    return (record.role, record.model) if noun == "model" else (record.case, f"{record.suite}/{record.case}")


def _way_out(wanted: str, known: Sequence[str], noun: str) -> str:
    """Name those that are there: the nearest one first if it is near, and of many only some."""
    from difflib import get_close_matches

    if not known:
        return f": it has no {noun}s at all."
    near = get_close_matches(wanted, known, n=_MAX_NAMES)
    if near:
        others = f" Others: {', '.join(near[1:])}." if near[1:] else ""
        return f'; did you mean "{near[0]}"?{others}'
    return f"; it has {listed(known, _MAX_NAMES)}."
