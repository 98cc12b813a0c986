"""`llmbench show`: the prompts, answers and grades of a run."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.validation import nearest_first
from pytest_llmbench.report.terminal.run import record_lines
from pytest_llmbench.report.terminal.scoreboard import scoreboard, scoreboard_lines
from pytest_llmbench.results.run_file import read_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run_file", type=Path, metavar="RUN.json", help="benchmark JSON of a run")
    parser.add_argument("case", nargs="?", metavar="CASE", help="show only this case (CASE or SUITE/CASE)")


def run(options: argparse.Namespace) -> int:
    """Print each record of a run, or of one case, and the scoreboard; gives the exit status."""
    run = read_run(options.run_file)
    records = run.records
    if options.case is not None:
        records = tuple(r for r in records if options.case in (r.case, f"{r.suite}/{r.case}"))
        if not records:
            raise UsageFault(_no_case(options.case, [r.case for r in run.records], options.run_file))
    for record in records:
        print_lines(record_lines(record, run))
    print_lines(scoreboard_lines(scoreboard(records), shutil.get_terminal_size().columns))
    return 0


def _no_case(case: str, known: Sequence[str], path: Path) -> str:
    nearest = nearest_first(case, dict.fromkeys(known))[:5]
    if not nearest:
        return f'{path} has no case "{case}": it has no cases at all.'
    others = f" Others: {', '.join(nearest[1:])}." if nearest[1:] else ""
    return f'{path} has no case "{case}"; did you mean "{nearest[0]}"?{others}'
