"""`llmbench agreement`: how far the graders agree with people."""

import argparse
from pathlib import Path

from pytest_llmbench.cli.arguments import add_annotations, annotations_of
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.report.terminal.trust import check_lines, trust_lines
from pytest_llmbench.results.check_agreement import measure_by_check
from pytest_llmbench.results.grader_agreement import measure_agreement
from pytest_llmbench.results.run_file import read_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run_files", nargs="+", type=Path, metavar="RUN.json", help="benchmark JSON of a run")
    parser.add_argument(
        "--by-check", action="store_true", help="measure each check, and each key point, instead of whole answers"
    )
    add_annotations(parser)


def run(options: argparse.Namespace) -> int:
    """Print the agreement of each grader; gives the exit status."""
    found = annotations_of(options)
    records = [record for run_file in options.run_files for record in read_run(run_file).records]
    if options.by_check:
        print_lines(check_lines(measure_by_check(records, found.annotations), found.faults))
    else:
        print_lines(trust_lines(measure_agreement(records, found.annotations), found.faults))
    return 0
