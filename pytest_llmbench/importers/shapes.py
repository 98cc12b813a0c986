"""The parts of other tools' logs that are read, with their types: what differs is a fault of the file, in one line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pytest_llmbench.importers.base import SourceFault

Shape = TypeVar("Shape", bound=BaseModel)
Options = dict[str, Any]
Name = str | int


class _Lenient(BaseModel):
    """A mapping of which only these keys are read."""

    model_config = ConfigDict(extra="ignore")


class Scorer(_Lenient):
    """A scorer of a task, with the arguments it was made with."""

    name: str
    options: Options | None = None


class Dataset(_Lenient):
    """The data set of a task."""

    sample_ids: list[Name] | None = None


class Evaluation(_Lenient):
    """What a log was made with."""

    task: str = ""
    model: str = ""
    scorers: list[Scorer] | None = None
    dataset: Dataset | None = None
    packages: dict[str, str] | None = None
    model_generate_config: Options | None = None


class Plan(_Lenient):
    """The settings of the solvers."""

    config: Options | None = None
    steps: list[Options] | None = None


class Header(_Lenient):
    """A log without its samples."""

    status: str
    eval: Evaluation
    plan: Plan = Field(default_factory=Plan)


class LogMessage(_Lenient):
    """A chat message: a text, or parts of which only texts are read."""

    role: str
    content: str | list[Options]
    source: str | None = None
    tool_calls: list[Any] | None = None


class Output(_Lenient):
    """What a model gave."""

    choices: list[Any] = Field(default_factory=list)
    completion: str | None = None
    usage: Options | None = None
    time: float | None = None


class Score(_Lenient):
    """A verdict; its value may be anything."""

    value: Any = None


class LogSample(_Lenient):
    """One sample of a log."""

    id: Name
    epoch: int = 1
    input: Any = None
    target: str | int | float | list[str | int | float]
    messages: list[LogMessage] = Field(default_factory=list)
    output: Output | None = None
    scores: dict[str, Score] | None = None
    attachments: dict[str, str] | None = None
    error: Any = None
    sandbox: Any = None
    files: Any = None


class Filters(_Lenient):
    """A pipeline of filters."""

    name: str
    filter: list[Options] | None = None


class TaskConfig(_Lenient):
    """A task of the harness."""

    output_type: str
    metric_list: list[Options] | None = None
    filter_list: list[Filters] | None = None
    repeats: int | None = None
    process_results: Any = None
    doc_to_image: Any = None
    doc_to_audio: Any = None
    target_delimiter: str = " "
    gen_prefix: Any = None


class Results(_Lenient):
    """The results of a run of the harness."""

    configs: dict[str, TaskConfig]
    versions: dict[str, Any] | None = None
    shots: dict[str, Any] | None = Field(default=None, alias="n-shot")
    config: Options | None = None
    lm_eval_version: str | None = None
    model_name: str | None = None
    chat_template_sha: str | None = None


class Document(_Lenient):
    """One line of samples of the harness; a document that was frozen has no answers, and is for all filters."""

    doc_id: int
    doc: Any = None
    doc_hash: str
    target: Any = None
    arguments: dict[str, Options]
    resps: list[list[Any]] | None = None
    filter: str | None = None
    exact_match: Any = None
    acc: Any = None
    acc_norm: Any = None
    acc_bytes: Any = None


def read_as(shape: type[Shape], given: Mapping[str, Any], path: Path, tool: str, line: int = 0) -> dict[str, Any]:
    """Check what a file holds, and give what of it is read.

    Raises:
        SourceFault: a part has another type.
    """
    try:
        return shape.model_validate(given).model_dump(by_alias=True)
    except ValidationError as fault:
        error = fault.errors(include_url=False)[0]
        where = ".".join(map(str, error["loc"])) or "it"
        place = f"{path}:{line}" if line else str(path)
        raise SourceFault(f"{place}: this is no log of {tool}: `{where}`: {error['msg']}.") from None
