"""Fixed conversations: what the user says in each turn is written, and each follows the answer to the one before.

The turns of one conversation are asked in order, conversations side by side: first the first turn of each, then the
second.  A conversation is one answer, kept in the store as a whole, and an error in one turn is the error of all.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pytest_llmbench.models.app_request import session_of
from pytest_llmbench.models.base import STOPPED, Wrapped
from pytest_llmbench.results.records import NOT_ASKED
from pytest_llmbench.values import Answer, AnswerError, Arrived, Message, Prompt, Request

Number = TypeVar("Number", int, float)


class ConversationModel(Wrapped):
    """Holds conversations with a model that answers one turn at a time; other requests pass through."""

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given (see `Model.answer`)."""
        if not any(request.prompt.turns for request in requests):
            return self._model.answer(requests, arrived=arrived, halt=halt)
        talks = [_Talk(request) for request in requests]
        while going := [index for index, talk in enumerate(talks) if talk.outcome is None]:
            asked = self._wave(going, talks, arrived, halt)
            if len(asked) != len(going):
                return asked  # the caller counts too, and reports it
            for index, answer in zip(going, asked, strict=True):
                if talks[index].n_asked == talks[index].n_taken:
                    continue
                talks[index].take(answer)  # it was stopped, so that it did not arrive
        return tuple(talk.outcome for talk in talks if talk.outcome is not None)

    def _wave(
        self, going: Sequence[int], talks: Sequence["_Talk"], arrived: Arrived | None, halt: threading.Event | None
    ) -> tuple[Answer | AnswerError, ...]:
        """Ask the next turn of each conversation that goes on."""

        def take(place: int, answer: Answer | AnswerError) -> None:
            talk = talks[going[place]]
            talk.take(answer)
            if arrived is not None and talk.outcome is not None:
                arrived(going[place], talk.outcome)

        return self._model.answer([talks[index].next() for index in going], arrived=take, halt=halt)


@dataclass(slots=True)
class _Talk:
    """One conversation, or a request without turns."""

    request: Request
    outcome: Answer | AnswerError | None = None
    n_asked: int = 0
    _answers: list[Answer] = field(default_factory=list)
    _session: str = ""

    @property
    def n_taken(self) -> int:
        return self.n_asked if self.outcome is not None else len(self._answers)

    def next(self) -> Request:
        """Give the request of the next turn: all that was said before, and what the user says now."""
        self.n_asked += 1
        prompt, turn = self.request.prompt, len(self._answers)
        if not prompt.turns:
            return self.request
        self._session = self._session or session_of(self.request)
        messages = [*prompt.messages]
        for said, answer in zip(prompt.turns, self._answers, strict=False):
            messages += [Message(role="assistant", content=_as_text(answer)), Message(role="user", content=said)]
        so_far = Prompt(messages=tuple(messages), tools=prompt.tools)
        return replace(self.request, prompt=so_far, turn=turn, session=self._session)

    def take(self, answer: Answer | AnswerError) -> None:
        """Take the answer to the turn that was asked; the last one ends the conversation."""
        turns = self.request.prompt.turns
        if not turns:
            self.outcome = answer
        elif isinstance(answer, AnswerError):
            # what was left out on purpose is known by how its cause begins
            is_left_out = answer.cause == STOPPED or answer.cause.startswith(NOT_ASKED)
            where = "" if is_left_out else f"turn {len(self._answers) + 1}: "
            self.outcome = replace(answer, cause=f"{where}{answer.cause}")
        else:
            self._answers.append(answer)
            if len(self._answers) > len(turns):
                self.outcome = whole(self._answers)


def _as_text(answer: Answer) -> str:
    """Give what an answer is in the messages of later turns: its text, or else its calls, which nobody makes."""
    return answer.text or "\n".join(map(str, answer.tool_calls))


def whole(answers: Sequence[Answer]) -> Answer:
    """Make one answer of those of a conversation: the last one, with the sums of all."""
    return replace(
        answers[-1],
        turns=tuple(answers),
        input_tokens=_sum([answer.input_tokens for answer in answers]),
        output_tokens=_sum([answer.output_tokens for answer in answers]),
        reasoning_tokens=_sum([answer.reasoning_tokens for answer in answers]),
        cost_usd=_sum([answer.cost_usd for answer in answers]),
        latency_s=_sum([answer.latency_s for answer in answers]),
        ttft_s=answers[0].ttft_s,
        ttfa_s=answers[0].ttfa_s,
        attempts=max(answer.attempts for answer in answers),
    )


def _sum(amounts: Sequence[Number | None]) -> Number | None:
    """Add amounts up; None where one is not known."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
