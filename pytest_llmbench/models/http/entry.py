"""What an entry of the models file may hold for an application behind a URL."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pytest_llmbench.models.entries import Entry, Strict
from pytest_llmbench.models.http.paths import PathFault, parse_path
from pytest_llmbench.models.validation import Positive, Switch, Text, Whole


def _path(given: str) -> str:
    try:
        parse_path(given)
    except PathFault as fault:
        raise ValueError(str(fault)) from None
    return given


JsonPath = Annotated[str, AfterValidator(_path)]
"""A place in a JSON value: `$.answers[0].text`, or `$.sources[*].text` for a list."""


class ReplyPaths(Strict):
    """Where in a JSON reply the text is, and what the application knows beside it."""

    text: JsonPath
    input_tokens: JsonPath | None = None
    output_tokens: JsonPath | None = None
    cost_usd: JsonPath | None = None
    context: JsonPath | None = None
    tools: JsonPath | None = None
    data: JsonPath | None = None


class HttpEntry(Entry):
    """A service that answers JSON, or text, over HTTP.

    The texts in `body` and `query` are templates over the fields of the case; what stands around them is sent as it is.
    """

    url: Text
    method: Literal["POST", "PUT", "GET"] = "POST"
    headers_env: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    body: dict[str, object] | list[object] | None = None
    reply: ReplyPaths | None = None
    stream: Literal["none", "sse", "text"] = "none"
    timeout_s: Positive | None = None
    max_retries: Whole = Field(default=4, ge=0)
    retry_unsafe: Switch = False
    version: Text | None = None
