"""Send some requests again, each alone, to see whether being answered in a batch changed an answer.

Batches of other shapes round differently, so a tie between two tokens may fall the other way: a
difference now and then is arithmetic, many are a fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pytest_llmbench.models.base import Model
from pytest_llmbench.values import Answer, AnswerError, Request

_SHOWN = 3  # differences listed in full


@runtime_checkable
class AnswersAlone(Protocol):
    """A model that can answer a request without anything kept from others."""

    def answer_alone(self, request: Request) -> Answer | AnswerError:
        """Answer one request as if it were the first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A request that was answered otherwise alone. `alone` is the cause of the error where there was one."""

    suite: str
    case: str
    sample: int
    together: str
    alone: str
    is_error: bool = False

    def __str__(self) -> str:
        alone = f"failed alone: {self.alone}" if self.is_error else f"{self.alone!r} alone"
        return f"{self.suite}/{self.case}, sample {self.sample}: {self.together!r} in the batch, {alone}"


def check_batching(
    model: Model, requests: Sequence[Request], answers: Sequence[Answer | AnswerError], n: int
) -> tuple[Difference, ...]:
    """Ask `n` of the requests again, each alone, and give those that are answered otherwise.

    Args:
        model: the model that gave the answers.
        requests: what it was asked.
        answers: what it gave, in the same order; errors, reused answers and conversations are not checked.
        n: how many to ask again, spread evenly; all if there are fewer.

    Answers are equal if text, finish reason and number of tokens are.
    """
    checkable = [
        (request, answer)
        for request, answer in zip(requests, answers, strict=True)
        if isinstance(answer, Answer) and not answer.reused and not request.prompt.turns
    ]
    n = min(n, len(checkable))
    found = []
    for number in range(n):
        request, together = checkable[number * len(checkable) // n]
        alone = model.answer_alone(request) if isinstance(model, AnswersAlone) else model.answer([request])[0]
        if isinstance(alone, AnswerError) or _compared(alone) != _compared(together):
            found.append(
                Difference(
                    suite=request.suite,
                    case=request.case,
                    sample=request.sample,
                    together=together.text,
                    alone=alone.cause if isinstance(alone, AnswerError) else alone.text,
                    is_error=isinstance(alone, AnswerError),
                )
            )
    return tuple(found)


def _compared(answer: Answer) -> tuple[object, ...]:
    return answer.text, answer.tool_calls, answer.finish_reason, answer.output_tokens


def recheck(model: Model, requests: Sequence[Request], answers: Sequence[Answer | AnswerError], n: int) -> str:
    """Check as `check_batching` does, and give the result in a sentence."""
    n = min(n, sum(isinstance(answer, Answer) and not answer.reused for answer in answers))
    if model.concurrency == 1:
        return "nothing to check, it was asked one request at a time."
    if n == 0:
        return "nothing to check, no answer is new."
    found = check_batching(model, requests, answers, n)
    if not found:
        return f"{n} answers asked again alone, all the same."
    shown = "; ".join(str(difference) for difference in found[:_SHOWN])
    return f"{len(found)} of {n} answers are others when asked alone (few are arithmetic, many a fault): {shown}."
