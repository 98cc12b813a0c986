"""From a server's reply to an answer: cut at the stop strings that were not sent, and timed."""

from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.label_forms import LABEL_PICKED
from pytest_llmbench.models.openai.logprobs import label_logprobs, likeliest, steps_of
from pytest_llmbench.models.openai.reply import BodyReader, EventReader, Reader, Reply
from pytest_llmbench.models.openai.request_body import sends_stop
from pytest_llmbench.models.reasoning import Marks, separate
from pytest_llmbench.models.stops import AnswerWatch, cut_at_stop
from pytest_llmbench.values import CONTENT_FILTER, Answer, Request


def reader_for(entry: OpenAIEntry, request: Request, marks: Marks | None) -> Reader:
    """Make what reads a reply; it looks for the stop strings that are not sent."""
    if not entry.stream:
        return BodyReader()
    if not request.sampling.stop or request.picks_label or sends_stop(entry, request):
        return EventReader()
    is_patient = request.sampling.reasoning_tokens > 0 or not isinstance(entry.reasoning, str)
    return EventReader(AnswerWatch(marks, request.sampling.stop, is_patient=is_patient))


def answer_of(request: Request, reply: Reply, marks: Marks | None) -> Answer:
    """Make an answer of a reply; reasoning between marks is still in its text.

    Raises:
        NoLabel: nothing is reported of the labels that are to be the answer.
    """
    logprobs = label_logprobs(steps_of(reply.logprobs), request.labels) if request.labels else None
    text, finish_reason, refusal = reply.text, reply.finish_reason, reply.refusal
    if request.picks_label:
        text, finish_reason = likeliest(logprobs), LABEL_PICKED
    elif reply.refusal is None or finish_reason == CONTENT_FILTER:
        has_reasoning = reply.reasoning is not None
        cut = cut_at_stop(text, request.sampling.stop, marks, has_reasoning=has_reasoning)
        if cut is not None:  # a filter that ended what follows it has ended no answer
            text, finish_reason, refusal = cut, "stop", None
        if separate(text, marks).start:  # what was reported are the first tokens of the reasoning
            logprobs = None
    return Answer(
        text=text,
        finish_reason=finish_reason,
        reasoning=reply.reasoning,
        reasoning_tokens=reply.reasoning_tokens,
        refusal=refusal,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        label_logprobs=logprobs,
        tool_calls=reply.tool_calls,
    )


def answer_began(reader: Reader, reply: Reply, marks: Marks | None) -> float | None:
    """Tell when the answer itself began to come in; None where there is none, or nobody measured."""
    found = separate(reply.text, marks)
    place = found.end - len(found.text.lstrip()) if reply.reasoning is not None else found.start
    return reader.answer_at(place) if found.text.strip() else None
