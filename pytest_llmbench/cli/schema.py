"""`llmbench schema`: the JSON schema of suite files, for editors."""

import argparse
import json

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.suites.json_schema import suite_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command: none."""


def run(options: argparse.Namespace) -> int:
    """Print the schema; gives the exit status."""
    del options
    print_lines([json.dumps(suite_schema(BUILT_IN), indent=1, sort_keys=True)])
    return 0
