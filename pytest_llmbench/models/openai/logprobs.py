"""Probabilities of labels from the likeliest tokens that a server reports. Pure functions.

A server reports, for each token it wrote, the likeliest ones in its place (20 at most).  So the probability of a
label is known as far as its forms (`label_forms.py`) are among those: at the first token, and further on along
what was written.  A token that begins one label's form alone, and whose continuation is not reported, counts
as that label.  What is not reported counts as no label, so a probability may be too low, never too high by more
than such beginnings.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmbench.models.label_forms import forms_of

TOP_LOGPROBS = 20
TOP_LOGPROBS_OF_COMPLETIONS = 5
"""What OpenAI's own completions report at most."""

LONGEST_LABEL = 16
"""How many tokens are written at most where a label is all that is wanted."""

_LEAST = 5e-324
"""The least probability there is, so that a logarithm is always a number."""

LEAST_REPORTED = 1e-30
"""Below, nothing was reported of a label."""

_LEAST_BEGINNING = 2
"""Characters, before a token counts as the beginning of a form."""

_BLANKS = " \t\n▁Ġ"


class NoLabel(Exception):
    """Which label is the likeliest is not known; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One token that was written, and the probabilities of those that could have stood there, itself among them."""

    written: str
    p: Mapping[str, float]


def steps_of(tables: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Read the `logprobs` objects of a reply, a stream's in their order: those of chats or of completions."""
    return tuple(step for table in tables for step in _steps(table))


def _steps(table: Mapping[str, Any]) -> Iterator[Step]:
    content = table.get("content")
    if isinstance(content, list):  # chats, and llama.cpp's completions
        for token in content:
            if isinstance(token, dict) and isinstance(token.get("token"), str):
                top = token.get("top_logprobs")
                top = top if isinstance(top, list) else []
                pairs = [
                    (entry.get("token"), entry.get("logprob")) for entry in (token, *top) if isinstance(entry, dict)
                ]
                yield Step(written=token["token"], p=_probabilities(pairs))
        return
    tokens, logprobs, tops = (table.get(key) or [] for key in ("tokens", "token_logprobs", "top_logprobs"))
    for place, (written, logprob) in enumerate(zip(tokens, logprobs, strict=False)):
        top = tops[place] if place < len(tops) and isinstance(tops[place], dict) else {}
        yield Step(written=str(written), p=_probabilities([*top.items(), (written, logprob)]))


def _probabilities(pairs: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    return {
        token: math.exp(min(0.0, logprob))
        for token, logprob in pairs
        if isinstance(token, str) and isinstance(logprob, int | float) and not math.isnan(logprob)
    }


def label_logprobs(steps: Sequence[Step], labels: Sequence[str]) -> dict[str, float] | None:
    """Give the logarithm of the probability of each label as the answer; None where nothing was reported."""
    if not steps:
        return None
    walk = _Walk(labels)
    for step in steps:
        if not walk.take(step):
            break
    walk.end()
    return {label: math.log(max(mass, _LEAST)) for label, mass in walk.masses.items()}


def likeliest(logprobs: Mapping[str, float] | None) -> str:
    """Give the likeliest label, the first of those that are equally likely.

    Raises:
        NoLabel: the server reports too little.
    """
    if logprobs is None:
        raise NoLabel(
            "the server reports no probabilities (logprobs), so no label can be picked; let the model write its answer"
        )
    label = max(logprobs, key=lambda name: logprobs[name])
    if math.exp(logprobs[label]) < LEAST_REPORTED:
        raise NoLabel(
            "none of the labels is among the likeliest tokens that the server reports, so which is likeliest is unknown"
        )
    return label


class _Walk:
    """Goes along what was written, and gathers the mass of the labels on both sides of it."""

    def __init__(self, labels: Sequence[str]):
        self.masses = dict.fromkeys(labels, 0.0)
        self._forms = {form.strip(): label for label in labels for form in forms_of(label, labels)}
        self._written = ""
        self._weight = 1.0
        self._shorter: str | None = None
        """The label that what was written is already, and of which a longer one may still take its mass."""

    def take(self, step: Step) -> bool:
        """Gather the mass of a step; return whether the next one can add to it."""
        goes_on = False
        for token, p in step.p.items():
            text = (self._written + token).lstrip(_BLANKS)
            is_written = token == step.written
            label = self._forms.get(text.rstrip(_BLANKS))
            if label is not None and text.strip(_BLANKS) != self._written:
                self._add(label, self._weight * p)
            elif not is_written:
                begun = self._begun_by(text)
                if len(begun) == 1 and len(text) >= _LEAST_BEGINNING:
                    self._add(begun.pop(), self._weight * p)
        text = (self._written + step.written).lstrip(_BLANKS)
        goes_on = not text or bool(self._begun_by(text))
        self._shorter = self._forms.get(text)
        self._written, self._weight = text, self._weight * step.p.get(step.written, 0.0)
        return goes_on

    def end(self) -> None:
        """Count what was written and not ended as the label it begins, if it begins one alone."""
        begun = self._begun_by(self._written) if self._written and self._written not in self._forms else set()
        if len(begun) == 1 and len(self._written) >= _LEAST_BEGINNING:
            self._add(begun.pop(), self._weight)

    def _add(self, label: str, mass: float) -> None:
        self.masses[label] += mass
        if self._shorter is not None and self._shorter != label:
            self.masses[self._shorter] = max(0.0, self.masses[self._shorter] - mass)

    def _begun_by(self, text: str) -> set[str]:
        return {label for form, label in self._forms.items() if form.startswith(text) and form != text}
