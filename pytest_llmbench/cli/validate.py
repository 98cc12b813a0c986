"""`llmbench validate`: check suite files without any model."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.cli.arguments import add_suite_paths
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import SuiteFault, UsageFault
from pytest_llmbench.grading.base import Severity
from pytest_llmbench.report.format import counted
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.runner.runner import Runner, RunSettings, fault_of
from pytest_llmbench.suites.loader import may_be_suite

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
    runner = Runner(RunSettings(root=root), (), {})
    suites = cases = 0
    remarks: list[Remark] = []
    # a file may be named and stand in a named folder too
    for path in {path.resolve(): path for path in _suite_files(paths)}.values():
        try:
            loaded = runner.load(path)
            if loaded is None:
                continue
            cases += len(loaded.suite.cases)
            for finding in runner.check(loaded, is_thorough=True):
                remarks.append(Remark(severity=finding.severity, text=str(fault_of(finding, loaded))))
        except SuiteFault as fault:
            remarks.append(Remark(severity=Severity.ERROR, text=str(fault)))
        suites += 1
    if not suites:
        raise UsageFault(
            "there is no suite file here; a suite is a .yaml file with `suite` and `grader` at its top level."
        )
    return Validation(suites=suites, cases=cases, remarks=tuple(remarks))


def _suite_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(file for ending in ("*.yaml", "*.yml") for file in path.rglob(ending))
            yield from (file for file in found if not _is_hidden(file, path) and may_be_suite(file))
        elif not path.is_file():
            raise UsageFault(f"{path}: there is no such file or folder.")
        elif not may_be_suite(path):
            raise UsageFault(f"{path}: this is no suite file; it needs `suite` and `grader` at its top level.")
        else:
            yield path


def _is_hidden(file: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(below).parts)
