"""From promptfoo's assertions that a model grades to the check rubric: the same question to another judge.

promptfoo's own prompts ask for a score, a letter or a number of points; a rubric has words, and a quote.  So verdicts
may differ, which the suite states in its `source`.
Source: promptfoo 0.121.20, `src/matchers/` and `src/prompts/`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

AGREES = "Contradicts nothing that the right answer says."
"""The criterion of promptfoo's `factuality`: its categories A, B, C and E pass, D (a disagreement) fails."""


def _criterion(text: str) -> dict[str, Any]:
    return {"rubric": text}


def _agrees(text: str) -> dict[str, Any]:
    return {"rubric": {"criterion": AGREES, "reference": text}}


MODEL_GRADED: Mapping[str, Callable[[str], dict[str, Any]]] = MappingProxyType(
    {
        "llm-rubric": _criterion,
        "model-graded-closedqa": _criterion,
        "g-eval": _criterion,
        "factuality": _agrees,
        "model-graded-factuality": _agrees,
    }
)
"""The check of each kind, by its value."""

KEYS_OF_GRADING = frozenset({"provider", "rubricPrompt"})
"""Keys that choose the judge and its prompt."""


def grading_note(kind: str) -> str:
    """State what an assertion of a kind has become."""
    return (
        f"assert {kind} became `rubric`: the prompt of the judge is not promptfoo's, so verdicts can differ; "
        "name the judge with --llm-judge, and compare it with people (docs/graders.md)."
    )
