"""Decide whether to take a new language model, with your own cases, in pytest.

The names below are what graders, providers and tests of other packages may
rely on; everything else in the package may change between releases.
"""

from pytest_llmbench.values import Answer, AnswerError, Case, Grade, Message, Outcome, Prompt, Reason, Request, Sampling

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
