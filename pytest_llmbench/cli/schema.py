"""`llmbench schema`: the JSON schema of suite files, for editors."""

import argparse

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.suites.json_schema import printed_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command: none."""


def run(options: argparse.Namespace) -> int:
    """Print the schema; gives the exit status."""
    del options
    print_lines([printed_schema(BUILT_IN)])
    return 0
