"""`llmbench validate`: check suite files without any model."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.cli.arguments import add_suite_paths
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.gate.power import too_small
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.grading.base import Severity
from pytest_llmbench.report.format import counted
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.suites.registry import SuiteRegistry, fault_of
from pytest_llmbench.values import Suite

_WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "hint"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_suite_paths(parser)


def run(options: argparse.Namespace) -> int:
    """Print what was found; gives the exit status."""
    found = validate(options.paths, options.root)
    print_lines(visible(f"{remark.text} [{_WORDS[remark.severity]}]") for remark in found.remarks)
    counts = ", ".join(counted(found.count(severity), word, none="no") for severity, word in _WORDS.items())
    print_lines([f"{counted(found.suites, 'suite')}, {counted(found.cases, 'case')}: {counts}"])
    return 1 if found.count(Severity.ERROR) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A finding: a sentence that begins with its place."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What was checked, and what was found."""

    suites: int
    cases: int
    remarks: tuple[Remark, ...]

    def count(self, severity: Severity) -> int:
        """Count the remarks of one severity."""
        return sum(remark.severity is severity for remark in self.remarks)


def validate(paths: Iterable[Path], root: Path) -> Validation:
    """Load every suite file below the paths and let its grader check it thoroughly.

    Args:
        paths: suite files, or folders to look through.
        root: the project's root directory, below which `fixtures/` lies.

    Raises:
        UsageFault: a path does not exist, a named file is no suite, or there is no suite at all.
    """
    registry = SuiteRegistry(root, {})
    suites = cases = 0
    remarks: list[Remark] = []
    for found in registry.load_below(paths):
        suites += 1
        try:
            if isinstance(found, SuiteFault):
                raise found
            cases += len(found.suite.cases)
            for finding in registry.check_thoroughly(found):
                remarks.append(Remark(severity=finding.severity, text=str(fault_of(finding, found))))
            remarks += _size_remarks(found.suite)
        except SuiteFault as fault:
            remarks.append(Remark(severity=Severity.ERROR, text=str(fault)))
    return Validation(suites=suites, cases=cases, remarks=tuple(remarks))


def _size_remarks(suite: Suite) -> Iterator[Remark]:
    """Name a suite that could not pass an unchanged model at the default margin."""
    text = too_small(suite, GateSettings().margin)
    if text is not None:
        yield Remark(severity=Severity.ADVICE, text=f"{suite.path}:1: {text}")
