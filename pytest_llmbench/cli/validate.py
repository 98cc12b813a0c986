"""Check suite files without any model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Severity
from pytest_llmbench.suites.registry import SuiteRegistry, fault_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing to say: a sentence that begins with its place."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What was looked at, and what there is to say."""

    suites: int
    cases: int
    remarks: tuple[Remark, ...]

    def count(self, severity: Severity) -> int:
        """Count the remarks of one weight."""
        return sum(remark.severity is severity for remark in self.remarks)


def validate(paths: Iterable[Path], root: Path) -> Validation:
    """Load every suite file below the paths and let its grader look at it thoroughly.

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
        except SuiteFault as fault:
            remarks.append(Remark(severity=Severity.ERROR, text=str(fault)))
    return Validation(suites=suites, cases=cases, remarks=tuple(remarks))
