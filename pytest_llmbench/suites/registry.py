"""The suites of a run: found below the given paths, each loaded once, with its grader and its checks."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pytest_llmbench.errors import SuiteFault, UsageFault
from pytest_llmbench.grading.answer_part import of_part
from pytest_llmbench.grading.base import Finding, Grader, GraderKind, JudgeGrader, Severity
from pytest_llmbench.grading.checks.conversation import of_conversations
from pytest_llmbench.grading.registry import CHECKS
from pytest_llmbench.models.embedders import EmbedderSpec
from pytest_llmbench.suites.files import may_be_suite
from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.suites.split_findings import split_findings
from pytest_llmbench.values import Suite

NOT_A_SUITE = "this is not a suite file; it needs `suite`, and `grader` or `checks`, at its top level."
"""What is wrong with a file that was named as a suite and is none."""


class SuiteRegistry:
    """Loaded suites.

    `graders` are those of the loaded suites, by name; `judge_graders` describe how the suites that ask a judge ask it;
    `embedders` are those that the checks of a suite name, `data_digests` of what its grades depend on beside it.

    Args:
        root: the project's root directory, below which `fixtures/` lies.
        kinds: graders of other packages by name.
        has_judge: a judge model is named, so that suites may ask it.
    """

    def __init__(self, root: Path, kinds: Mapping[str, GraderKind], *, has_judge: bool = False):
        self.graders: dict[str, Grader] = {}
        self.judge_graders: dict[str, JudgeGrader] = {}
        self.embedders: dict[str, tuple[EmbedderSpec, ...]] = {}
        self.data_digests: dict[str, Mapping[str, str]] = {}
        self._root = root
        self._kinds = kinds
        self._has_judge = has_judge
        self._loaded: dict[Path, LoadedSuite | None] = {}
        self._checked: set[str] = set()

    def load(self, path: Path) -> LoadedSuite | None:
        """Load a suite file once and build its grader; None for YAML of another kind.

        Raises:
            SuiteFault: the suite, its data or its database is wrong.
        """
        path = path.resolve()
        if path not in self._loaded:
            with _depth_refused(_shown(path)):
                loaded = load_suite(_shown(path), self._kinds)
                if loaded is not None:
                    self._prepare(loaded)
            self._loaded[path] = loaded
        return self._loaded[path]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the suites loaded so far."""
        return tuple(loaded.suite.name for loaded in self.loaded)

    @property
    def loaded(self) -> tuple[LoadedSuite, ...]:
        """The suites loaded so far."""
        return tuple(loaded for loaded in self._loaded.values() if loaded is not None)

    def check(self, loaded: LoadedSuite) -> tuple[Finding, ...]:
        """Let the grader of a suite check it quickly, once a suite: the check before a run.

        Raises:
            SuiteFault: a finding is an error.
        """
        if loaded.suite.name in self._checked:
            return ()
        with _depth_refused(loaded.suite.path):
            findings = loaded.kind.check(loaded.suite, self._root, is_thorough=False)
        need = None if self._has_judge else loaded.kind.needs_judge(loaded.suite)
        for finding in (*findings, *([] if need is None else [need])):
            if finding.severity is Severity.ERROR:
                raise fault_of(finding, loaded)
        self._checked.add(loaded.suite.name)
        return findings

    def check_thoroughly(self, loaded: LoadedSuite) -> tuple[Finding, ...]:
        """Give the findings of a suite's file and those of its grader's thorough check, errors among them.

        Raises:
            SuiteFault: something in it is nested too deep to be checked.
        """
        with _depth_refused(loaded.suite.path):
            found = (*loaded.findings, *loaded.kind.check(loaded.suite, self._root, is_thorough=True))
        used = frozenset[str]().union(*(template.names for template in loaded.templates.values()))
        return found if loaded.suite.split is None else (*found, *split_findings(loaded.suite.cases, used))

    def load_below(self, paths: Iterable[Path]) -> Iterator[LoadedSuite | SuiteFault]:
        """Load the suite files among and below some paths, each once; what is wrong with one stands in its place.

        Args:
            paths: suite files, or folders to search; what is hidden in them is left out.

        Raises:
            UsageFault: a path does not exist, a named file is not a suite, or there is no suite at all.
        """
        n_found = 0
        # a file may be named itself and lie in a named folder too
        files = {file.resolve(): file for path in paths for file in _files_at(path)}
        for file in files.values():
            try:
                loaded: LoadedSuite | SuiteFault | None = self.load(file)
            except SuiteFault as fault:
                loaded = fault
            if loaded is not None:
                n_found += 1
                yield loaded
        if not n_found:
            raise UsageFault(
                "no suite file found; a suite is a .yaml file with `suite`, and `grader` or `checks`, at its top level."
            )

    def whole_below(self, paths: Iterable[Path]) -> list[LoadedSuite]:
        """Load the suite files as `load_below` does.

        Raises:
            SuiteFault: something is wrong with one.
            UsageFault: see `load_below`.
        """
        found = []
        for loaded in self.load_below(paths):
            if isinstance(loaded, SuiteFault):
                raise loaded
            found.append(loaded)
        return found

    def _prepare(self, loaded: LoadedSuite) -> None:
        suite = loaded.suite
        for path, other in self._loaded.items():
            if other is not None and other.suite.name == suite.name:
                message = f'the suite name "{suite.name}" is already used by {_shown(path)}; rename one of them.'
                raise SuiteFault(message, path=suite.path, line=1)
        self.graders[suite.name] = grader_of(loaded, self._root)
        self.data_digests[suite.name] = loaded.kind.data_digests(suite, self._root)
        self.embedders[suite.name] = self._embedders(suite) if suite.grader == CHECKS else ()
        judge_grader = loaded.kind.judge_grader(suite, self._root) if self._has_judge else None
        if judge_grader is not None:
            self.judge_graders[suite.name] = judge_grader

    def _embedders(self, suite: Suite) -> tuple[EmbedderSpec, ...]:
        from pytest_llmbench.grading.checks.similar import embedders_of

        return embedders_of(suite, self._root)


def grader_of(loaded: LoadedSuite, root: Path) -> Grader:
    """Build the grader of a suite: of the part of each answer that is read, and of each turn of a conversation.

    Raises:
        SuiteFault: a field cannot work.
    """
    part = loaded.suite.part
    grader = loaded.kind.build(loaded.suite, root)
    return of_conversations(grader if part is None else of_part(grader, part))


@contextmanager
def _depth_refused(path: Path) -> Iterator[None]:
    """Make a fault of the file out of what is nested deeper than Python follows: values, templates, patterns."""
    try:
        yield
    except RecursionError:
        message = "the file is nested too deeply, or an alias refers to a node that contains it; write it out."
        raise SuiteFault(message, path=path) from None


def _files_at(path: Path) -> Iterator[Path]:
    if path.is_dir():
        files = sorted(file for ending in ("*.yaml", "*.yml") for file in path.rglob(ending))
        yield from (file for file in files if not _is_hidden(file, path) and may_be_suite(file))
    elif not path.is_file():
        raise UsageFault(f"{path}: no such file or folder.")
    elif not may_be_suite(path):
        raise UsageFault(f"{path}: {NOT_A_SUITE}")
    else:
        yield path


def _is_hidden(file: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(below).parts)


def fault_of(finding: Finding, loaded: LoadedSuite) -> SuiteFault:
    """Make a fault of a finding, with the place of its case."""
    case = next((case for case in loaded.suite.cases if case.id == finding.case), None)
    if case is None:
        return SuiteFault(finding.message, path=loaded.suite.path, line=finding.line or 1)
    return SuiteFault(f'case "{case.id}": {finding.message}', path=case.path, line=finding.line or case.line)


def _shown(path: Path) -> Path:
    """Give a path as people write it: relative to the working directory where it lies below."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
