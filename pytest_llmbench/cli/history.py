"""`llmbench history`: scores and latencies of many runs over time."""

import argparse
from pathlib import Path

from pytest_llmbench.cli.output import print_lines, warn
from pytest_llmbench.report.terminal.history import history_lines
from pytest_llmbench.results.history import Filter, parse_since, read_history


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path(".benchmarks")],
        metavar="PATH",
        help="benchmark JSON of a run, or folder of them; default: .benchmarks",
    )
    parser.add_argument("--since", type=parse_since, metavar="DATE", help="only runs from this date on, as 2026-01-31")
    parser.add_argument("--model", metavar="NAME", help="only this model (its role or name)")
    parser.add_argument("--suite", metavar="SUITE", help="only this suite")
    parser.add_argument("--format", choices=("text", "csv", "json"), default="text", help="default: text")


def run(options: argparse.Namespace) -> int:
    """Print the history; gives the exit status."""
    found = read_history(options.paths, Filter(since=options.since, model=options.model, suite=options.suite))
    print_lines(history_lines(found, options.format))
    for reason in found.left_out:
        warn(f"left out: {reason}")
    return 0
