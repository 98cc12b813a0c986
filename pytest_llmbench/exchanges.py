"""Open, ask and close a model whatever it does: what it raises, and what it leaves out, is an error of each request."""

from collections.abc import Callable, Sequence

from pytest_llmbench.errors import Caught, LlmbenchError, ModelFault, caught
from pytest_llmbench.models import Model
from pytest_llmbench.values import Answer, AnswerError


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
