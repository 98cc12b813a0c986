"""The hooks other packages may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # read at every start of pytest, in use or not
    from collections.abc import Mapping

    from pytest_llmbench.grading.base import GraderKind
    from pytest_llmbench.models.base import Provider


def pytest_llmbench_providers(config: Any) -> Mapping[str, Provider]:  # type: ignore[empty-body]
    """Give providers by the name that `provider = "..."` in the models file calls them."""


def pytest_llmbench_graders(config: Any) -> Mapping[str, GraderKind]:  # type: ignore[empty-body]
    """Give graders by the name that `grader: ...` in a suite calls them."""
