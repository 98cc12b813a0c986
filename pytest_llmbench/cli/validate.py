"""`llmbench validate`: check suite files without any model."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pytest_llmbench.cli.arguments import add_suite_paths, graders_of
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.cli.staged import staged_files, suites_of
from pytest_llmbench.errors import SuiteFault, UsageFault
from pytest_llmbench.gate.power import expected_margin, too_small
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.grading.base import Finding, GraderKind, Severity
from pytest_llmbench.report.format import counted, whole_points
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry, fault_of
from pytest_llmbench.suites.split import by_side
from pytest_llmbench.values import Case, Side, Suite

_FOLDER = Path("cases")
"""Where suites lie below the root directory, if nothing else is said."""

_WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "hint"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_suite_paths(parser, default=_FOLDER)
    parser.add_argument("--all", action="store_true", help="list each hint, also where many of a suite are of one kind")
    parser.add_argument(
        "--staged",
        action="store_true",
        help="for a hook of git: of the files named, or of those about to be committed, the suites and those whose "
        "data is among them",
    )


def run(options: argparse.Namespace) -> int:
    """Print what was found; gives the exit status.

    Raises:
        UsageFault: no path was given, and the usual folder is not there; see `validate` for others.
    """
    if options.staged:
        files = options.paths or staged_files(options.root)
        options.paths = [options.root]  # where graders of the project are looked for
        registry = SuiteRegistry(options.root, graders_of(options))
        found = validation(suites_of(files, options.root / _FOLDER, registry), registry)
    else:
        if not options.paths:
            options.paths = [_below(options.root)]
        found = validate(options.paths, options.root, graders_of(options))
    remarks = found.remarks if options.all else grouped(found.remarks)
    print_lines(visible(f"{remark.text} [{_WORDS[remark.severity]}]") for remark in remarks)
    print_lines(visible(text) for text in found.splits)
    counts = ", ".join(counted(found.count(severity), word, none="no") for severity, word in _WORDS.items())
    print_lines([f"{counted(found.suites, 'suite')}, {counted(found.cases, 'case')}: {counts}"])
    return 1 if found.count(Severity.ERROR) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A finding: a sentence that begins with its place.

    `kind` is what many like it are together, `example` what is particular of this one; `suite` is the file of its
    suite.
    """

    severity: Severity
    text: str
    suite: Path | None = None
    kind: str | None = None
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What was checked, and what was found; `splits` describe the sides of each suite that has a split."""

    suites: int
    cases: int
    remarks: tuple[Remark, ...]
    splits: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """Count the remarks of one severity."""
        return sum(remark.severity is severity for remark in self.remarks)


def _below(root: Path) -> Path:
    folder = _FOLDER if root == Path.cwd() else root / _FOLDER
    if not folder.is_dir():
        raise UsageFault(f"there is no folder {folder}/; name suite files, or folders of them: llmbench validate PATH.")
    return folder


def validate(paths: Iterable[Path], root: Path, kinds: Mapping[str, GraderKind] = MappingProxyType({})) -> Validation:
    """Load every suite file below the paths and let its grader check it thoroughly.

    Args:
        paths: suite files, or folders to look through.
        root: the project's root directory, below which `fixtures/` lies.
        kinds: graders of other packages by name.

    Raises:
        UsageFault: a path does not exist, a named file is no suite, or there is no suite at all.
    """
    registry = SuiteRegistry(root, kinds)
    return validation(registry.load_below(paths), registry)


def validation(found_suites: Iterable[LoadedSuite | SuiteFault], registry: SuiteRegistry) -> Validation:
    """Let the grader of each suite check it thoroughly; one that could not be loaded is an error."""
    suites = cases = 0
    remarks: list[Remark] = []
    splits: list[str] = []
    for found in found_suites:
        suites += 1
        try:
            if isinstance(found, SuiteFault):
                raise found
            cases += len(found.suite.cases)
            for finding in registry.check_thoroughly(found):
                remarks.append(_remark(finding, found))
            remarks += _size_remarks(found.suite)
            if found.suite.split is not None:
                splits.append(f"{found.suite.path}:1: {split_text(found.suite)}")
        except SuiteFault as fault:
            remarks.append(Remark(severity=Severity.ERROR, text=str(fault)))
    return Validation(suites=suites, cases=cases, remarks=tuple(remarks), splits=tuple(splits))


def _remark(finding: Finding, loaded: LoadedSuite) -> Remark:
    return Remark(
        severity=finding.severity,
        text=str(fault_of(finding, loaded)),
        suite=loaded.suite.path,
        kind=finding.kind,
        example=f"{finding.case} ({finding.example})" if finding.case and finding.example else finding.example,
    )


_FEWEST = 3
"""So many hints of one kind are a line each."""


def grouped(remarks: Sequence[Remark]) -> Iterator[Remark]:
    """Write many hints of one kind about one suite as one, with two examples, in the place of the first."""
    groups: dict[tuple[Path | None, str], list[Remark]] = {}
    for remark in remarks:
        if remark.kind is not None and remark.severity is Severity.ADVICE:
            groups.setdefault((remark.suite, remark.kind), []).append(remark)
    for remark in remarks:
        group = groups.get((remark.suite, remark.kind or ""), [])
        if len(group) <= _FEWEST or remark.severity is not Severity.ADVICE:
            yield remark
        elif remark is group[0]:
            examples = " and ".join(one.example for one in (group[0], group[-1]))
            text = f"{remark.suite}:1: {len(group):,} {remark.kind}, such as {examples}; --all lists each."
            yield Remark(severity=Severity.ADVICE, text=text)


def _size_remarks(suite: Suite) -> Iterator[Remark]:
    """Name a suite that could not pass an unchanged model at the default margin."""
    text = too_small(suite, GateSettings().margin)
    if text is not None:
        yield Remark(severity=Severity.ADVICE, text=f"{suite.path}:1: {text}")


_MOST_LABELS = 10
"""With more different `expected` than this, their balance says nothing."""


def split_text(suite: Suite) -> str:
    """Describe the sides of a suite: sizes, balance of `expected`, and what the held-out side can decide."""
    sides = by_side(suite.cases)
    sizes = ", ".join(f"{len(cases)} {side}{_balance(cases, suite)}" for side, cases in sides.items())
    units = len({case.cluster or ("case", case.id) for case in sides[Side.HELD_OUT]})
    if not units:
        return f"split: {sizes}."
    margin = whole_points(expected_margin(units, is_greedy=suite.sampling.temperature == 0))
    return f"split: {sizes}; the smallest drop that the held-out side can show is about {margin}."


def _balance(cases: Sequence[Case], suite: Suite) -> str:
    expected = {str(case.expected) for case in suite.cases if case.expected is not None}
    if not 0 < len(expected) <= _MOST_LABELS:
        return ""
    counts = Counter(str(case.expected) for case in cases)
    return f" ({', '.join(f'{counts[label]} {label}' for label in sorted(expected))})"
