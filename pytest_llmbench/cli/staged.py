"""Which suites a commit is about: those among its files, and those whose data is among them."""

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_llmbench.errors import SuiteFault, UsageFault
from pytest_llmbench.suites.files import may_be_suite
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry

_SUITES, _DATA = (".yaml", ".yml"), (".csv", ".tsv", ".jsonl", ".parquet")


def staged_files(root: Path) -> list[Path]:
    """List the files that git would commit now, but those it would delete.

    Raises:
        UsageFault: there is no git, or no repository.
    """
    command = ["git", "diff", "--cached", "--name-only", "--diff-filter=d", "-z", "--relative"]
    try:
        found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603 - fixed
    except (OSError, subprocess.CalledProcessError) as fault:
        cause = getattr(fault, "stderr", None) or str(fault)
        raise UsageFault(
            f"--staged: git cannot list the staged files ({cause.strip()}); name the files themselves."
        ) from None
    return [root / name for name in found.stdout.split("\0") if name]


def suites_of(files: Sequence[Path], folder: Path, registry: SuiteRegistry) -> list[LoadedSuite | SuiteFault]:
    """Load the suites among some files, and those below a folder that read one of the files as their data.

    Files of other kinds are passed over.  A suite that cannot be loaded is its fault.
    """
    suites = [path for path in files if path.suffix in _SUITES and path.is_file() and may_be_suite(path)]
    found = list(_loaded(suites, registry))
    data = {path.resolve() for path in files if path.suffix in _DATA}
    if data:
        seen = {path.resolve() for path in suites}
        others = [
            path
            for path in sorted((*folder.rglob("*.yaml"), *folder.rglob("*.yml")))
            if path.resolve() not in seen and may_be_suite(path)
        ]
        found += [suite for suite in _loaded(others, registry) if data & _files_of(suite)]
    return found


def _loaded(paths: Iterable[Path], registry: SuiteRegistry) -> Iterator[LoadedSuite | SuiteFault]:
    for path in paths:
        try:
            loaded = registry.load(path)
        except SuiteFault as fault:
            yield fault
        else:
            if loaded is not None:
                yield loaded


def _files_of(suite: LoadedSuite | SuiteFault) -> set[Path]:
    """Give the files that a suite's cases are in, or that are at fault."""
    if isinstance(suite, SuiteFault):
        return set() if suite.path is None else {suite.path.resolve()}
    return {case.path.resolve() for case in suite.suite.cases}
