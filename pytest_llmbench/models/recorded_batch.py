"""Answers of a batch API: lines of its output file. Imported with the first of them: it reads replies of that API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.label_forms import LABEL_PICKED
from pytest_llmbench.models.openai.logprobs import NoLabel, Step, label_logprobs, likeliest, steps_of
from pytest_llmbench.models.openai.message import ReplyFault, refusal_of, server_message
from pytest_llmbench.models.openai.reply import read_completion
from pytest_llmbench.models.reasoning import Marks
from pytest_llmbench.models.stops import cut_at_stop
from pytest_llmbench.values import CONTENT_FILTER, Answer, AnswerError, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Batched:
    """An answer of a batch, and the likeliest tokens that its server reported."""

    answer: Answer
    steps: tuple[Step, ...]

    def to(self, request: Request, marks: Marks | None) -> Answer | AnswerError:
        """Give the answer to a request, cut at its stop strings; of its labels the likeliest, where one is wanted."""
        logprobs = label_logprobs(self.steps, request.labels) if request.labels else None
        answer = replace(self.answer, label_logprobs=logprobs)
        if not request.picks_label:
            has_reasoning = answer.reasoning is not None
            cut = cut_at_stop(answer.text, request.sampling.stop, marks, has_reasoning=has_reasoning)
            return answer if cut is None or answer.refusal else replace(answer, text=cut, finish_reason="stop")
        try:
            return replace(answer, text=likeliest(logprobs), finish_reason=LABEL_PICKED)
        except NoLabel as fault:
            return AnswerError(cause=f"in the batch: {fault}")


def batch_answer(table: Mapping[str, Any], fault: Callable[[str], UsageFault]) -> Answer | AnswerError | Batched:
    """Read the answer in a line of a batch output file.

    Args:
        table: the line.
        fault: makes the fault of it from what is wrong.

    Raises:
        UsageFault: it is no such line.
    """
    response, error = table.get("response"), table.get("error")
    if error:
        return AnswerError(cause=f"the batch failed: {server_message(error)}")
    if not isinstance(response, dict) or not isinstance(response.get("body"), dict):
        raise fault("has a custom_id but no response.body; it must be a line of a batch output file")
    body, status = response["body"], response.get("status_code")
    if isinstance(status, int) and status >= 400:
        refusal = refusal_of(body)
        if refusal is not None:
            return Answer(text="", finish_reason=CONTENT_FILTER, refusal=refusal)
        return AnswerError(cause=f"HTTP {status} in the batch: {server_message(body)}")
    if "choices" not in body and "error" not in body:
        raise fault("has a response.body without `choices`; only batches of chat and completions can be read")
    try:
        reply = read_completion(body)
    except ReplyFault as broken:
        return AnswerError(cause=f"in the batch: {broken}")
    answer = Answer(
        text=reply.text,
        finish_reason=reply.finish_reason,
        reasoning=reply.reasoning,
        reasoning_tokens=reply.reasoning_tokens,
        refusal=reply.refusal,
        tool_calls=reply.tool_calls,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
    )
    return Batched(answer=answer, steps=steps_of(reply.logprobs))
