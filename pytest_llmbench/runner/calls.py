"""Open, ask and close a model whatever it does: what it raises, and what it leaves out, is an error of each request."""

import threading
from collections.abc import Callable, Sequence

from pytest_llmbench.errors import Caught, LlmbenchError, ModelFault, caught
from pytest_llmbench.models.base import Model, Wrapped
from pytest_llmbench.runner.recheck import AnswersAlone
from pytest_llmbench.values import Answer, AnswerError, Arrived, Request


class SharedModel(Wrapped):
    """An opened model that tests may ask too: one call at a time, the plan's own first."""

    def __init__(self, model: Model):
        super().__init__(model)
        self._lock = threading.Lock()

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given (see `Model.answer`)."""
        with self._lock:
            return self._model.answer(requests, arrived=arrived, halt=halt)

    def answer_alone(self, request: Request) -> Answer | AnswerError:
        """Answer one request as if it were the first."""
        with self._lock:
            if isinstance(self._model, AnswersAlone):
                return self._model.answer_alone(request)
            return self._model.answer([request])[0]

    def close(self) -> None:
        """Do nothing: the run that opened the model closes it."""


def open_model(opener: Callable[[], Model]) -> Model | AnswerError:
    """Open a model; whatever hinders it is an error of all its requests."""

    def open_it() -> Model | AnswerError:
        try:
            return opener()
        except LlmbenchError as fault:
            return AnswerError(cause=str(fault), attempts=0, is_fatal=True)

    opened = caught(open_it)
    if isinstance(opened, Caught):
        cause = f"the model could not be opened: {opened.cause}\n{opened.details}"
        return AnswerError(cause=cause, attempts=0, is_fatal=True)
    return opened


def ask_model(ask: Callable[[], tuple[Answer | AnswerError, ...]], n_requests: int) -> tuple[Answer | AnswerError, ...]:
    """Ask a model; what it raises, and what it does not answer, is an error of each request."""

    def ask_it() -> tuple[Answer | AnswerError, ...] | AnswerError:
        try:
            return tuple(ask())
        except ModelFault as fault:
            return AnswerError(cause=str(fault), is_fatal=True)

    answers = caught(ask_it)
    if isinstance(answers, Caught):
        answers = broken(answers)
    elif not isinstance(answers, AnswerError):
        n_answers = sum(isinstance(answer, Answer | AnswerError) for answer in answers)
        if n_answers != n_requests or n_answers != len(answers):
            answers = AnswerError(cause=f"the model broke: it gave {n_answers} answers to {n_requests} requests")
    return (answers,) * n_requests if isinstance(answers, AnswerError) else answers


def close_model(model: Model) -> None:
    """Close a model. One that fails to close has answered before, and its answers stand."""
    caught(model.close)


def first_fatal(answers: Sequence[Answer | AnswerError]) -> AnswerError | None:
    """Give the error after which the model can answer nothing more, if there is one."""
    return next((answer for answer in answers if isinstance(answer, AnswerError) and answer.is_fatal), None)


def broken(fault: Caught) -> AnswerError:
    """Make the error of a request of what was raised on its way."""
    return AnswerError(cause=f"the model broke: {fault.cause}\n{fault.details}")
