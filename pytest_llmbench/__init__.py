"""Decide whether to take a new language model, with your own cases, in pytest.

The names below are what graders, providers and tests of other packages may
rely on; everything else in the package may change between releases.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmbench.values import (
        Answer,
        AnswerError,
        Case,
        Grade,
        Message,
        Outcome,
        Prompt,
        Reason,
        Request,
        Sampling,
    )

__all__ = [
    "Answer",
    "AnswerError",
    "Case",
    "Grade",
    "Message",
    "Outcome",
    "Prompt",
    "Reason",
    "Request",
    "Sampling",
]


def __getattr__(name: str) -> Any:
    # pytest imports this package at every start, in use or not; the values cost more than all the rest of the plugin
    if name in __all__:
        from pytest_llmbench import values

        return getattr(values, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
