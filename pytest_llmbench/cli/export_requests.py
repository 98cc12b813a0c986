"""Write the requests of a run in OpenAI's batch format, for whoever answers many at once: a batch API, a cluster.

One JSON object a line, with the custom id `SUITE/CASE/SAMPLE`; the body is what the openai provider would send, but
for `stream`.  The `recorded` provider grades the file that comes back.  Nothing is asked, no key is needed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import SuiteFault, UsageFault
from pytest_llmbench.models.base import HasBatchEntry
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.request_body import PATHS, Extra, sent_body, style_of
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.settings import Item, RunSettings
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to write: the suites below `paths`, as `model` would be asked, to `target`.

    `root` is the project's root directory; `models_file` is None for its default.
    """

    paths: Sequence[Path]
    model: str
    target: Path
    root: Path
    models_file: Path | None = None
    samples: int = 1
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    suites: int
    requests: int


def export_requests(wanted: Wanted) -> Exported:
    """Write the requests of a run.

    Raises:
        UsageFault: the model cannot be asked so, there is no suite, the file cannot be written.
        SuiteFault: a suite is wrong.
    """
    for name, number in (("--llm-samples", wanted.samples), ("--llm-limit", wanted.limit)):
        if number is not None and number < 1:
            raise UsageFault(f"{name} needs a whole number of at least 1, not {number}.")
    catalog = Catalog(wanted.models_file or wanted.root / "fixtures" / "models.toml", {})
    (spec,) = catalog.choose([wanted.model], Path.cwd())
    entry = _api_entry(spec)
    suites = [_suite(found) for found in SuiteRegistry(wanted.root, {}).load_below(wanted.paths)]
    settings = RunSettings(root=wanted.root, samples=wanted.samples, limit=wanted.limit)
    # a model that is only written for need not be one that can be opened here: its style is known from its entry
    builder = RequestBuilder(settings, styles={spec.role: style_of(entry)})
    lines = list(_lines(builder, suites, spec, entry))
    try:
        wanted.target.write_text("".join(lines), encoding="utf-8")
    except OSError as fault:
        raise UsageFault(f"{wanted.target}: this file cannot be written: {fault.strerror}.") from None
    return Exported(suites=len(suites), requests=len(lines))


def _api_entry(spec: ModelSpec) -> OpenAIEntry:
    """Give the entry of an API that takes a model's requests: its own, or that of a server of a local model."""
    if not isinstance(spec.provider, HasBatchEntry):
        raise UsageFault(
            f'model "{spec.name}" is of the provider "{spec.entry.provider}", which sends no requests; '
            "name one of openai, or a transformers model with a prompt_style."
        )
    try:
        return spec.provider.batch_entry(spec.entry)
    except UsageFault as fault:
        raise UsageFault(f'model "{spec.name}": {fault}') from None


def _suite(found: LoadedSuite | SuiteFault) -> LoadedSuite:
    if isinstance(found, SuiteFault):
        raise found
    return found


def _lines(
    builder: RequestBuilder, suites: Sequence[LoadedSuite], spec: ModelSpec, entry: OpenAIEntry
) -> Iterator[str]:
    items = [
        Item(key=f"{loaded.suite.name}/{case.id}", loaded=loaded, case=case, spec=spec)
        for loaded in suites
        for case in builder.settings.cases(loaded)
    ]
    builder.check_styles(items)
    for requests in builder.requests(items):
        for request in requests:
            yield json.dumps(_line(request, entry), ensure_ascii=False) + "\n"


def _line(request: Request, entry: OpenAIEntry) -> dict[str, Any]:
    # who writes its answer is asked for no probabilities: a server without them would refuse the whole batch
    extras = {Extra.LOGPROBS} if request.picks_label else frozenset()
    body = sent_body(entry.model_copy(update={"stream": False}), request, extras)
    body.pop("stream_options", None)  # of extra_body; without a stream it is refused
    return {
        "custom_id": f"{request.suite}/{request.case}/{request.sample}",
        "method": "POST",
        "url": f"/v1{PATHS[entry.api]}",
        "body": body,
    }
