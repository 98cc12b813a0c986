"""Arguments that several commands take."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.pairs import Kind
from pytest_llmbench.gate.settings import (
    MAX_ERRORS,
    GateSettings,
    parse_allowed,
    parse_latency_margin,
    parse_margin,
    parse_max_errors,
)
from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.results.annotations import DEFAULT_FILE, AnnotationFile, named_annotations


def add_gate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the tolerances of the gate."""
    add_margins(parser)
    parser.add_argument(
        "--max-errors",
        type=parse_max_errors,
        default=MAX_ERRORS,
        metavar="SHARE",
        help=f"share of a suite's cases that may lack an answer; default {MAX_ERRORS:g}",
    )
    parser.add_argument(
        "--allow-different",
        action="append",
        type=_kind,
        default=[],
        metavar="KIND",
        help=f"compare runs that differ in KIND, which else leaves them undecided; repeatable: {', '.join(Kind)}",
    )


def add_margins(parser: argparse.ArgumentParser) -> None:
    """Add the margins of score and latency."""
    parser.add_argument(
        "--margin",
        type=parse_margin,
        default="5",
        metavar="P",
        help="the loss of score the gate tolerates, in percentage points; default 5",
    )
    parser.add_argument(
        "--latency-margin",
        type=parse_latency_margin,
        metavar="R",
        help="gate latency too: the tolerated ratio, as 1.25",
    )


def _kind(text: str) -> Kind:
    (kind,) = parse_allowed([text])
    return kind


def settings_of(options: argparse.Namespace, people: AnnotationFile | None = None) -> GateSettings:
    """Give the settings of the gate that were asked for, with the annotations of people where there are any."""
    settings = GateSettings(margin=options.margin, latency_margin=options.latency_margin)
    if hasattr(options, "allow_different"):
        settings = replace(settings, allowed=frozenset(options.allow_different), max_errors=options.max_errors)
    return settings if people is None else replace(settings, people=people.annotations)


def add_annotations(parser: argparse.ArgumentParser) -> None:
    """Add the file of people's annotations."""
    parser.add_argument(
        "--verdicts",
        type=Path,
        default=DEFAULT_FILE,
        metavar="FILE",
        help=f"annotations of people, as `llmbench review` writes them; default: {DEFAULT_FILE}",
    )


def annotations_of(options: argparse.Namespace) -> AnnotationFile:
    """Read the annotations of people.

    Raises:
        UsageFault: the file that was named does not exist or cannot be read.
    """
    return named_annotations(options.verdicts)


def add_suite_paths(parser: argparse.ArgumentParser, default: Path | None = None) -> None:
    """Add the suite files to read, below the root directory by default if there is one, and the root directory."""
    what = "suite file, or folder of suite files"
    if default is None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=what)
    else:
        parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help=f"{what}; default: {default}/")
    parser.add_argument(
        "--root",
        type=lambda text: Path(text).resolve(),
        default=".",
        help="folder that holds fixtures/; default: the current folder",
    )


def graders_of(options: argparse.Namespace) -> Mapping[str, GraderKind]:
    """Give the graders that a project's plugins and conftest.py add; they are looked for when one is needed."""
    from pytest_llmbench.plugin.project_graders import ProjectGraders

    return ProjectGraders(options.root, options.paths)


def count_of(option: str) -> Callable[[str], int]:
    """Give what reads the whole number, 1 or more, of an option."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and int(text)):
            raise UsageFault(f"{option} needs a whole number of at least 1, not {text}.")
        return int(text)

    return read
