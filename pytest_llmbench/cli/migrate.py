"""`llmbench migrate`: run files of earlier versions, rewritten as this one writes them."""

import argparse
from pathlib import Path

from pytest_llmbench.cli.output import print_lines, warn
from pytest_llmbench.results.migration import migrate_file
from pytest_llmbench.results.run_json import SCHEMA


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run_files", nargs="+", type=Path, metavar="RUN.json", help="benchmark JSON of a run")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write here, not in place; for one file")


def run(options: argparse.Namespace) -> int:
    """Rewrite the files; gives the exit status."""
    if options.output is not None and len(options.run_files) > 1:
        warn("-o takes one run file; leave it out to rewrite several in place.")
        return 2
    for run_file in options.run_files:
        target = options.output or run_file
        is_old = migrate_file(run_file, target)
        what = f"schema {SCHEMA} now" if is_old else f"schema {SCHEMA} already"
        print_lines([f"{target}: {what}"])
    return 0
