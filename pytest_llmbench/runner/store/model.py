"""A model behind its stored answers."""

import threading
from collections.abc import Sequence

from pytest_llmbench.models.base import Model, Wrapped
from pytest_llmbench.runner.store.store import ModelAnswers
from pytest_llmbench.values import Answer, AnswerError, Arrived, Request


class StoredModel(Wrapped):
    """Asks a model only for what is not stored, and keeps what it answers the moment it arrives.

    Errors are not kept, so that they are asked again.

    Args:
        model: the model; closing this closes it.
        answers: what is stored of it.
    """

    def __init__(self, model: Model, answers: ModelAnswers):
        super().__init__(model)
        self._answers = answers

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given (see `Model.answer`); stored answers arrive first."""
        keys = [self._answers.key(request) for request in requests]
        results: dict[int, Answer | AnswerError] = {}

        def receive(index: int, answer: Answer | AnswerError) -> None:
            if index in results:
                return
            if isinstance(answer, Answer):
                self._answers.keep(keys[index], answer)
            results[index] = answer
            if arrived is not None:
                arrived(index, answer)

        for index, key in enumerate(keys):
            found = self._answers.find(key)
            if found is not None:
                receive(index, found)
        missing = [index for index in range(len(requests)) if index not in results]
        if missing:
            n_found = len(results)
            asked = self._model.answer(
                [requests[index] for index in missing],
                arrived=lambda place, answer: receive(missing[place], answer),
                halt=halt,
            )
            if len(asked) != len(missing):
                # the caller counts too, and reports it
                return (*list(results.values())[:n_found], *asked)
            for index, answer in zip(missing, asked, strict=True):
                if isinstance(answer, Answer):
                    receive(index, answer)
                results.setdefault(index, answer)
        return tuple(results[index] for index in range(len(requests)))
