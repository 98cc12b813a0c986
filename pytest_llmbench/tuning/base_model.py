"""The model that a recipe names: an entry of the models file, a hub id, a folder or a GGUF file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.entries import Entry, TransformersEntry
from pytest_llmbench.models.transformers.files import LocalFiles, find_model, weights_digest
from pytest_llmbench.models.transformers.gguf import prepared_folder
from pytest_llmbench.models.transformers.libraries import Broken, attempt, quiet_loading
from pytest_llmbench.tuning.model_shape import KNOWN, ModelShape, shape_of
from pytest_llmbench.values import PromptStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A base, ready to be trained.

    `folder` is what transformers loads, `weights` and `template_sha256` are those of a run's identity; `adapter` is
    the folder of the adapter that its entry names, and that training continues.
    """

    spec: ModelSpec
    entry: TransformersEntry
    style: PromptStyle
    folder: Path
    weights: str
    template_sha256: str | None
    shape: ModelShape | None
    tokenizer: Any
    adapter: Path | None = None


def choose_entry(name: str, catalog: Catalog, root: Path) -> ModelSpec:
    """Find the entry of a recipe's model, or make one of a hub id, a folder or a file.

    Raises:
        UsageFault: it is of a provider whose weights are not here.
    """
    option = name if name in catalog.names() or name.startswith("transformers:") else f"transformers:{name}"
    (spec,) = catalog.choose([option], root, "model =")
    if not isinstance(spec.entry, TransformersEntry):
        raise UsageFault(
            f'model "{name}" is of the provider "{spec.entry.provider}", whose weights cannot be trained here; name a '
            "hub id, a folder, or an entry of the provider transformers."
        )
    if spec.entry.trust_remote_code:
        raise UsageFault(f'model "{name}" has trust_remote_code, and no such code is trained; name another model.')
    return spec


def known_shape(entry: Entry) -> ModelShape | None:
    """Give the sizes of a model that is planned without its files; None if they are not known."""
    return KNOWN.get(getattr(entry, "model", ""))


def open_base(spec: ModelSpec, settings: OpenSettings, *, with_weights: bool) -> BaseModel:
    """Find the files of a base, and load what is small.

    Args:
        spec: its entry.
        settings: where prepared weights are kept.
        with_weights: fetch the weights too, not only what a plan needs; of a GGUF file they are always unpacked.

    Raises:
        UsageFault: it is not there, or cannot be loaded.
    """
    import hashlib

    import transformers

    entry = spec.entry
    if not isinstance(entry, TransformersEntry):
        raise UsageFault(f'model "{spec.name}" is no local model.')
    style = spec.provider.prompt_style(entry)
    files = find_model(entry.model, entry.revision, with_weights=with_weights)
    adapter = None if entry.adapter is None else Path(entry.adapter)
    with quiet_loading():
        folder = attempt(lambda: _folder(files, settings.cache_dir))
        if isinstance(folder, Broken):
            raise UsageFault(f'The model "{entry.model}" cannot be unpacked: {folder.message}')
        has_own = adapter is not None and (adapter / "tokenizer_config.json").is_file()
        tokenizer = transformers.AutoTokenizer.from_pretrained(adapter if has_own else folder)
    is_chat = style is PromptStyle.CHAT
    template = tokenizer.get_chat_template() if is_chat and tokenizer.chat_template else None
    return BaseModel(
        spec=spec,
        entry=entry,
        style=style or PromptStyle.CHAT,
        folder=folder,
        weights=weights_digest(files, settings.cache_dir) if with_weights or files.is_gguf else "",
        template_sha256=None if template is None else hashlib.sha256(template.encode()).hexdigest(),
        shape=shape_of(json.loads((folder / "config.json").read_bytes())) or known_shape(entry),
        tokenizer=tokenizer,
        adapter=adapter,
    )


def _folder(files: LocalFiles, cache_dir: Path) -> Path:
    return prepared_folder(files.path, "float32", cache_dir) if files.is_gguf else files.path
