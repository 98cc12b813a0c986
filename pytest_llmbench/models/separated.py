"""A model whose answers come apart from their reasoning: it stands between every provider and what reads answers."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from pytest_llmbench.models.base import Identity, Model, Wrapped
from pytest_llmbench.models.label_forms import LABEL_PICKED
from pytest_llmbench.models.reasoning import Marks, Setting, marks_of, separate
from pytest_llmbench.values import Answer, AnswerError, Arrived, Request


class SeparatedModel(Wrapped):
    """Gives the answers of a model without their reasoning, which goes to a field of its own.

    Args:
        model: the model; closing this closes it.
        setting: what its entry says of its reasoning.
    """

    def __init__(self, model: Model, setting: Setting = "auto"):
        super().__init__(model)
        self._setting = setting
        self._marks = marks_of(setting)

    @property
    def identity(self) -> Identity:
        """What the model is, and how its texts are taken apart where that is not as usual."""
        identity = self._model.identity
        if self._setting == "auto":
            return identity
        setting = self._setting if isinstance(self._setting, str) else list(self._setting)
        return replace(identity, settings={**identity.settings, "reasoning": setting})

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given (see `Model.answer`)."""
        pass_on = arrived
        answers = self._model.answer(
            requests,
            arrived=None
            if pass_on is None
            else lambda index, answer: pass_on(index, without_reasoning(answer, self._marks)),
            halt=halt,
        )
        return tuple(without_reasoning(answer, self._marks) for answer in answers)


def without_reasoning(answer: Answer | AnswerError, marks: Marks | None) -> Answer | AnswerError:
    """Give an answer with its reasoning in the field for it; one that has been taken apart stays as it is.

    What a server sent in a field of its own comes first; the same in its text too does not count
    twice.
    """
    if not isinstance(answer, Answer) or answer.finish_reason == LABEL_PICKED:
        return answer
    found = separate(answer.text, marks)
    text = found.text.lstrip() if answer.reasoning else found.text
    if text == answer.text:
        return answer
    thoughts = [answer.reasoning, found.reasoning]
    if found.reasoning is not None and found.reasoning in (answer.reasoning or ""):
        thoughts.pop()
    return replace(answer, text=text, reasoning="\n\n".join(filter(None, thoughts)) or None)
