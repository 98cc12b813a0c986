"""`llmbench lock`: pin the data sets of suites."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.suites.dataset_lock import lock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="suite file, or folder of suite files")
    parser.add_argument("--renew", action="store_true", help="replace revisions that are there by the present ones")


def run(options: argparse.Namespace) -> int:
    """Write the revisions, and print them; gives the exit status."""
    found = [lock(path, renews=options.renew) for path in _files(options.paths)]
    locked = [one for one in found if one is not None]
    words = {True: "pinned to", False: "is pinned already, to"}
    print_lines(visible(f"{one.path}: {one.dataset} {words[one.is_new]} {one.revision}") for one in locked)
    if not locked:
        print_lines(["no suite here takes its cases from a data set of the hub"])
    return 0


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for ending in ("*.yaml", "*.yml") for one in path.rglob(ending))
        elif path.is_file():
            yield path
        else:
            raise UsageFault(f"{path}: no such file or folder.")
