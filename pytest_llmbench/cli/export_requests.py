"""`llmbench export-requests`: the requests of a run in OpenAI's batch format, for a batch API or a cluster.

One JSON object a line, with the custom id `SUITE/CASE/SAMPLE`; the body is what the openai provider would send, but
for `stream`.  The `recorded` provider grades the file that comes back.  Nothing is asked, no key is needed.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_llmbench.cli.arguments import add_suite_paths, count_of, graders_of
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import HasBatchEntry
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.request_body import PATHS, Extra, sent_body, style_of
from pytest_llmbench.report.files import check_target, write_target
from pytest_llmbench.report.format import counted
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.settings import Item, RunSettings
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import Request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_suite_paths(parser)
    parser.add_argument("--llm-model", required=True, metavar="NAME", help="entry of the models file, or openai:TARGET")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="REQUESTS.jsonl", help="file to write")
    parser.add_argument("--llm-models-file", type=Path, metavar="FILE", help="default: fixtures/models.toml")
    parser.add_argument(
        "--llm-samples", type=count_of("--llm-samples"), default=1, metavar="K", help="answers per case; default 1"
    )
    parser.add_argument(
        "--llm-limit", type=count_of("--llm-limit"), metavar="N", help="only the first N cases of each suite"
    )


def run(options: argparse.Namespace) -> int:
    """Write the requests of a run; gives the exit status.

    Raises:
        UsageFault: the model takes no requests, there is no suite, the file cannot be written.
        SuiteFault: a suite is wrong.
    """
    models_file = options.llm_models_file or options.root / "fixtures" / "models.toml"
    (spec,) = Catalog(models_file, {}).choose([options.llm_model], Path.cwd())
    entry = _api_entry(spec)
    suites = SuiteRegistry(options.root, graders_of(options)).whole_below(options.paths)
    check_target(options.output, "-o", [models_file, *(path for loaded in suites for path in loaded.files)])
    settings = RunSettings(root=options.root, samples=options.llm_samples, limit=options.llm_limit)
    # a model that is only written for need not be one that can be opened here: its style is known from its entry
    builder = RequestBuilder(settings, styles={spec.role: style_of(entry)})
    lines = list(_lines(builder, suites, spec, entry))
    write_target(options.output, "".join(lines))
    written = f"{counted(len(lines), 'request')} of {counted(len(suites), 'suite')}"
    print_lines([f"wrote {written} to {options.output}"])
    return 0


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


def _lines(
    builder: RequestBuilder, suites: Sequence[LoadedSuite], spec: ModelSpec, entry: OpenAIEntry
) -> Iterator[str]:
    items = [
        Item(key=f"{loaded.suite.name}/{case.id}", loaded=loaded, case=case, spec=spec)
        for loaded in suites
        for case in builder.settings.cases(loaded)
    ]
    builder.check_styles(items)
    talk = next((item for item in items if builder.prompt(item).turns), None)
    if talk is not None:
        raise UsageFault(
            f'case "{talk.case.id}" of suite "{talk.loaded.suite.name}" is a conversation, whose later requests hold '
            "the answers to earlier ones; run it with pytest."
        )
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
