"""Decide whether to take a new language model, with your own cases, in pytest.

The names below are what graders, providers and tests of other packages may
rely on; everything else in the package may change between releases.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmbench.errors import ModelFault, SuiteFault, UsageFault
    from pytest_llmbench.grading.base import Finding, GraderKind, Severity
    from pytest_llmbench.models.base import STOPPED, Identity, OpenSettings, Traits
    from pytest_llmbench.models.entries import Entry, Replicable
    from pytest_llmbench.plugin.deprecation import LlmbenchDeprecationWarning
    from pytest_llmbench.values import (
        Answer,
        AnswerError,
        Case,
        Grade,
        Message,
        Outcome,
        Prompt,
        PromptStyle,
        Reason,
        Request,
        Sampling,
        Suite,
    )

__all__ = [
    "STOPPED",
    "Answer",
    "AnswerError",
    "Case",
    "Entry",
    "Finding",
    "Grade",
    "GraderKind",
    "Identity",
    "LlmbenchDeprecationWarning",
    "Message",
    "ModelFault",
    "OpenSettings",
    "Outcome",
    "Prompt",
    "PromptStyle",
    "Reason",
    "Replicable",
    "Request",
    "Sampling",
    "Severity",
    "Suite",
    "SuiteFault",
    "Traits",
    "UsageFault",
]

_HOMES = {
    **dict.fromkeys(("ModelFault", "SuiteFault", "UsageFault"), "errors"),
    **dict.fromkeys(("STOPPED", "Identity", "OpenSettings", "Traits"), "models.base"),
    **dict.fromkeys(("Finding", "GraderKind", "Severity"), "grading.base"),
    "LlmbenchDeprecationWarning": "plugin.deprecation",
    **dict.fromkeys(("Entry", "Replicable"), "models.entries"),
}
"""Where a public name lives that is not among the values."""


def __getattr__(name: str) -> Any:
    # pytest imports this package at every start, in use or not; the values cost more than all the rest of the plugin
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'values')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
