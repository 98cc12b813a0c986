"""`llmbench calibrate`: the noise of a model against itself, and the margin it needs."""

import argparse
from pathlib import Path

from pytest_llmbench.cli.arguments import add_margins, settings_of
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.gate.baselines import read_checked
from pytest_llmbench.gate.calibrate import calibrate
from pytest_llmbench.gate.comparison import refuse_copies
from pytest_llmbench.report.terminal.calibration import calibration_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="RUN.json", help="two or more runs of the same model")
    add_margins(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def run(options: argparse.Namespace) -> int:
    """Print the noise and the recommended margins; gives the exit status."""
    runs = [read_checked(path) for path in options.files]
    refuse_copies([(str(path), run) for path, run in zip(options.files, runs, strict=True)])
    print_lines(calibration_lines(calibrate(runs, settings_of(options)), options.format))
    return 0
