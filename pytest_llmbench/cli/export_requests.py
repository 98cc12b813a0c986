"""`llmbench export-requests`: the requests of a run in OpenAI's batch format, for a batch API or a cluster.

One JSON object a line, with the custom id `SUITE/CASE/SAMPLE`; the body is what the openai provider would send, but
for `stream`.  The `recorded` provider grades the file that comes back.  Nothing is asked, no key is needed.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_llmbench.cli.arguments import add_suite_paths, count_of
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import Model, OpenSettings
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.entries import Entry, OpenAIEntry, TransformersEntry
from pytest_llmbench.models.openai.request_body import PATHS, Extra, check_body, sent_body, style_of
from pytest_llmbench.report.files import write_target
from pytest_llmbench.report.format import counted
from pytest_llmbench.runner.runner import Item, Runner, RunSettings
from pytest_llmbench.suites.loader import LoadedSuite, may_be_suite
from pytest_llmbench.values import PromptStyle, Request


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


class _NeverOpened:
    """A provider that tells a style and opens nothing, so that no key and no weights are needed."""

    entry_type = OpenAIEntry
    target_field = "model"

    def __init__(self, style: PromptStyle):
        self._style = style

    def prompt_style(self, entry: Entry) -> PromptStyle:
        del entry
        return self._style

    def open(self, entry: Entry, settings: OpenSettings) -> Model:
        del entry, settings
        raise UsageFault("requests are written, not asked.")


def run(options: argparse.Namespace) -> int:
    """Write the requests of a run; gives the exit status.

    Raises:
        UsageFault: the model takes no requests, there is no suite, the file cannot be written.
        SuiteFault: a suite is wrong.
    """
    catalog = Catalog(options.llm_models_file or options.root / "fixtures" / "models.toml", {})
    (spec,) = catalog.choose([options.llm_model], Path.cwd())
    entry = _api_entry(spec)
    spec = replace(spec, provider=_NeverOpened(style_of(entry)))
    settings = RunSettings(root=options.root, samples=options.llm_samples, limit=options.llm_limit)
    runner = Runner(settings, (spec,), {})
    suites = list(_suites(options.paths, runner))
    lines = [line for loaded in suites for line in _lines(runner, loaded, spec, entry)]
    write_target(options.output, "".join(lines))
    written = f"{counted(len(lines), 'request')} of {counted(len(suites), 'suite')}"
    print_lines([f"wrote {written} to {options.output}"])
    return 0


def _api_entry(spec: ModelSpec) -> OpenAIEntry:
    """Give the entry of an API that takes a model's requests: its own, or that of a server of a local model."""
    entry = spec.entry
    if isinstance(entry, OpenAIEntry):
        style = style_of(entry)
        if entry.prompt_style not in ("auto", style):
            raise UsageFault(
                f'model "{spec.name}" has prompt_style = "{entry.prompt_style}", but its api is "{entry.api}", '
                f"which takes {style} prompts; make them fit."
            )
        check_body(entry)
        return entry
    if not isinstance(entry, TransformersEntry):
        raise UsageFault(
            f'model "{spec.name}" is of the provider "{entry.provider}", which sends no requests; '
            "name one of openai, or a transformers model with a prompt_style."
        )
    if entry.prompt_style == "auto":
        raise UsageFault(
            f'model "{spec.name}" has no prompt_style, and what it takes is not known before it is loaded; '
            'set prompt_style = "chat" or "completion" in its entry.'
        )
    api = "chat" if entry.prompt_style == "chat" else "completions"
    return OpenAIEntry.model_validate({"provider": "openai", "model": entry.model, "api": api})


def _suites(paths: Sequence[Path], runner: Runner) -> Iterator[LoadedSuite]:
    n_found = 0
    for path in paths:
        if not path.exists():
            raise UsageFault(f"{path}: there is no such file or folder.")
        for file in _files(path) if path.is_dir() else [path]:
            loaded = runner.load(file) if may_be_suite(file) else None
            if loaded is not None:
                n_found += 1
                yield loaded
            elif file == path:
                raise UsageFault(f"{path}: this is no suite file; it needs `suite` and `grader` at its top level.")
    if not n_found:
        raise UsageFault(
            "there is no suite file here; a suite is a .yaml file with `suite` and `grader` at its top level."
        )


def _files(folder: Path) -> list[Path]:
    found = (file for ending in ("*.yaml", "*.yml") for file in folder.rglob(ending))
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def _lines(runner: Runner, loaded: LoadedSuite, spec: ModelSpec, entry: OpenAIEntry) -> Iterator[str]:
    items = [
        Item(key=f"{loaded.suite.name}/{case.id}", loaded=loaded, case=case, spec=spec) for case in runner.cases(loaded)
    ]
    runner.builder.check_styles(items)
    for item in items:
        for request in runner.builder.requests(item):
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
