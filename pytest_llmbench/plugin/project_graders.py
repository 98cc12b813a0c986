"""The graders that a project's plugins and its conftest.py add, for a command that runs no tests.

pytest itself finds them, as it would in a run: it starts in the project, loads what adds graders, and ends before it
collects anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.grading.base import GraderKind


class ProjectGraders(Mapping[str, GraderKind]):
    """The graders by name. pytest is started when the first of them is looked for.

    Args:
        root: the project's root directory.
        paths: of suites, beside or above which a conftest.py may lie.
    """

    def __init__(self, root: Path, paths: Sequence[Path]):
        self._root = root
        self._paths = paths

    def __getitem__(self, name: str) -> GraderKind:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @cached_property
    def _found(self) -> Mapping[str, GraderKind]:
        """Start pytest.

        Raises:
            UsageFault: it cannot start.
        """
        seeker = _Seeker()
        where = [f"--rootdir={self._root}", f"--confcutdir={self._root}", *map(str, self._paths)]
        status = pytest.main(where, plugins=[seeker])
        if seeker.found is None:
            raise UsageFault(
                f"graders of plugins could not be looked for: pytest ends with status {int(status)} in {self._root}; "
                "what it wrote stands above."
            )
        return seeker.found


class _Seeker:
    """Asks the hook, and ends pytest in place of a run."""

    found: Mapping[str, GraderKind] | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Keep the graders; gives an exit status."""
        added = config.hook.pytest_llmbench_graders(config=config)
        self.found = {name: kind for kinds in added for name, kind in kinds.items()}
        return 0
