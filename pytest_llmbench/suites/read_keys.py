"""Read the `read` of a suite file: how the answer is taken out of the text of a model."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_part import pattern_fault
from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.grading.registry import CHECKS
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Text, chief_error, error_sentence
from pytest_llmbench.suites import yaml12
from pytest_llmbench.values import AnswerPart


def _pattern(source: str) -> str:
    fault = pattern_fault(source)
    if fault is not None:
        raise ValueError(fault)
    return source


class ReadKeys(Strict):
    """The keys of `read`."""

    regex: Annotated[Text, AfterValidator(_pattern)]
    match: Literal["first", "last"] = "first"
    otherwise: str | None = None


def read_part(table: yaml12.Table, kind: GraderKind) -> AnswerPart | None:
    """Give how a suite file takes the answer out of a text; None where the whole text is the answer.

    Raises:
        SuiteFault: it is written wrongly, or the grader reads whole texts only.
    """
    node = table.entries.get("read")
    if node is None:
        return None
    line = table.key_lines["read"]
    if kind.asks_judge and kind.name != CHECKS:  # whose judge is asked about the part
        message = f"`read` is not for the grader {kind.name}, which reads whole texts; take it out."
        raise SuiteFault(message, path=table.path, line=line)
    given = yaml12.value(node, table.path)
    try:
        keys = ReadKeys.model_validate({"regex": given} if isinstance(given, str) else given)
    except ValidationError as fault:
        message = f"read: {error_sentence(chief_error(fault), ReadKeys)}"
        raise SuiteFault(message, path=table.path, line=line) from None
    return AnswerPart(**keys.model_dump())
