"""What stands at the end of a training: the entry to paste, the server that serves it, the two commands that decide."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.training_manifest import FILE
from pytest_llmbench.tuning.base_model import BaseModel
from pytest_llmbench.tuning.tune import Tuning

ROLE = "tuned"
_KEPT = ("prompt_style", "dtype", "device_map", "revision", "attention", "concurrency", "reasoning")
"""Keys of the base's entry that the tuned model's takes over."""


def closing_lines(base: BaseModel, tuning: Tuning, catalog: Catalog) -> Iterator[str]:
    """Give what is printed when all stages are trained."""
    recipe, output = tuning.recipe, tuning.output
    shown = Path(os.path.relpath(output, tuning.root)).as_posix()
    known = _known_entry(output, catalog, tuning.root)
    name = known or (ROLE if ROLE not in catalog.names() else output.name)
    file = _relative(catalog.file, tuning.root / "x")
    if known is not None:
        yield f"trained {shown}, with {FILE} beside it; its entry in {file} is [{known}]"
    else:
        yield f"trained {shown}, with {FILE} beside it; add this to {file}:"
        yield ""
        yield from entry_lines(base, output, catalog.file, name=name, has_adapter=recipe.lora is not None)
    server = server_lines(
        base,
        output,
        catalog.file,
        name=name,
        rank=None if recipe.lora is None else recipe.lora.r,
        processes=1 if recipe.launch is None else recipe.launch.processes,
    )
    yield from _below("", server)
    opened = recipe.model if recipe.model in catalog.names() else f"transformers:{recipe.model}"
    yield from _below("then let the held-out side decide:", command_lines(opened, name, recipe.data.suites))


def _known_entry(output: Path, catalog: Catalog, root: Path) -> str | None:
    """Name the entry that opens the result already; None if there is none."""
    for name in catalog.names():
        (spec,) = catalog.choose([name], root)
        opened = getattr(spec.entry, "adapter", None) or getattr(spec.entry, "model", None)
        if opened is not None and Path(str(opened)) == output.resolve():
            return name
    return None


def _below(title: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    yield from (["", *([title, ""] if title else []), *found] if found else [])


def entry_lines(base: BaseModel, output: Path, models_file: Path, *, name: str, has_adapter: bool) -> Iterator[str]:
    """Give the entry of the tuned model, for a models file.

    Args:
        base: what was trained.
        output: its folder.
        models_file: what paths are relative to.
        name: of the entry.
        has_adapter: the folder holds an adapter, and not a whole model.
    """
    entry = base.entry
    where = _relative(output, models_file)
    yield f"[{name}]"
    yield 'provider = "transformers"'
    yield f"model = {json.dumps(_target(entry, models_file) if has_adapter else where)}"
    if has_adapter:
        yield f"adapter = {json.dumps(where)}"
    for key in _KEPT:
        value = getattr(entry, key)
        if value != type(entry).model_fields[key].default and not (key == "revision" and not has_adapter):
            yield f"{key} = {json.dumps(value)}"


def server_lines(
    base: BaseModel, output: Path, models_file: Path, *, name: str, rank: int | None, processes: int
) -> Iterator[str]:
    """Give the entry of a vLLM server with the tuned model; nothing for a GGUF file, whose layers it names otherwise.

    Args:
        base: what was trained.
        output: its folder.
        models_file: what paths are relative to.
        name: of the entry.
        rank: of the adapter; None where the folder holds a whole model.
        processes: devices to divide the model among.
    """
    entry = base.entry
    if entry.model.endswith(".gguf"):
        return
    model = str(output) if rank is None else entry.model
    served = [f"vllm serve {model}", *([f"--tensor-parallel-size {processes}"] if processes > 1 else [])]
    if rank is not None:
        served.append(f"--enable-lora --max-lora-rank {rank} --lora-modules {ROLE}={output}")
    yield f"[{name}-vllm]"
    yield 'provider = "openai"'
    yield f"model = {json.dumps(ROLE if rank is not None else model)}"
    yield f"serve = {json.dumps(' '.join([*served, '--port {port}']))}"
    yield f"api = {json.dumps('chat' if base.style == 'chat' else 'completions')}"
    yield f"training = {json.dumps(_relative(output / FILE, models_file))}"


def command_lines(base_name: str, name: str, suites: Sequence[str]) -> Iterator[str]:
    """Give the run of the base, and the run of the tuned model that is gated against it."""
    paths = " ".join(suites)
    yield f"pytest --llm-model model={base_name} --llm-no-fail --benchmark-json=base.json {paths}"
    yield f"pytest --llm-model model={name} --llm-baseline=base.json {paths}"


def _target(entry: TransformersEntry, models_file: Path) -> str:
    path = Path(entry.model)
    if entry.model.startswith("package:") or not path.is_absolute():
        return entry.model
    return _relative(path, models_file)


def _relative(path: Path, models_file: Path) -> str:
    return Path(os.path.relpath(path, models_file.parent)).as_posix()
