"""Local models through torch and transformers: hub ids, folders and GGUF files, with adapters.

torch and transformers are imported when a model is looked at or opened, never before.  With
`prefix_cache` the beginning that prompts share is computed once; the time this saves is in no
answer's latency, so it is noted among the model's settings.
"""

import hashlib
import importlib.metadata
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import Identity, OpenSettings, Traits
from pytest_llmbench.models.entries import OpenAIEntry, TransformersEntry
from pytest_llmbench.models.training_manifest import TrainingManifest, manifest_beside, merged
from pytest_llmbench.models.transformers.adapters import MERGE_KEY, load_adapter
from pytest_llmbench.models.transformers.batch import cache_argument, can_share
from pytest_llmbench.models.transformers.checkpoint import (
    chat_template,
    load_base,
    load_config,
    load_tokenizer,
    tokenizer_folder,
)
from pytest_llmbench.models.transformers.cpu_layers import group_heads, is_on_cpu, pack_linear_layers
from pytest_llmbench.models.transformers.decoding import Loaded, Timing
from pytest_llmbench.models.transformers.files import LocalFiles, find_adapter, find_model, weights_digest
from pytest_llmbench.models.transformers.gguf import (
    any_prepared_folder,
    read_header,
)
from pytest_llmbench.models.transformers.libraries import EXTRA, Broken, attempt, quiet_loading, require_libraries
from pytest_llmbench.models.transformers.model import TransformersModel, tokens_of
from pytest_llmbench.models.transformers.ragged import ready_for_ragged
from pytest_llmbench.values import Json, Prompt, PromptStyle


class TransformersProvider:
    """Opens local models."""

    entry_type = TransformersEntry
    target_field = "model"

    def traits(self, entry: TransformersEntry) -> Traits:
        """Give the traits of a local model."""
        is_placed = entry.device_map is not None or ":" in entry.device
        return Traits(is_free=True, takes_device=True, is_placed=is_placed, scores_choices=True)

    def batch_entry(self, entry: TransformersEntry) -> OpenAIEntry:
        """Give the entry of a server that serves the model.

        Raises:
            UsageFault: the entry has no prompt_style.
        """
        if entry.prompt_style == "auto":
            raise UsageFault(
                "it has no prompt_style, and which prompts it takes is not known before it is loaded; "
                'set prompt_style = "chat" or "completion" in its entry.'
            )
        api: Literal["chat", "completions"] = "chat" if entry.prompt_style == "chat" else "completions"
        return OpenAIEntry(provider="openai", model=entry.model, api=api)

    def prompt_style(self, entry: TransformersEntry) -> PromptStyle:
        """Return which prompts the model takes; "auto" is chat if it has a chat template.

        Reads the configuration and the tokenizer, of a GGUF file only the header.

        Raises:
            UsageFault: it surely cannot be opened.
        """
        if entry.cluster is not None and entry.prompt_style != "auto":
            return PromptStyle(entry.prompt_style)  # libraries and weights are on the nodes, and need not be here
        _require(entry)
        files, adapter = _files(entry)
        _training(files, adapter)
        has_template = _has_template(entry, files, adapter)
        if entry.prompt_style == "completion":
            return PromptStyle.COMPLETION
        if entry.prompt_style == "chat" and not has_template:
            raise UsageFault(
                f'The model "{entry.model}" has no chat template and takes no chat prompts; '
                'set prompt_style = "completion", or name a chat model.'
            )
        return PromptStyle.CHAT if has_template else PromptStyle.COMPLETION

    def training(self, entry: TransformersEntry) -> TrainingManifest | None:
        """Give what is known of the training of the model and its adapter.

        Raises:
            UsageFault: a manifest cannot be read, or the model cannot be found.
        """
        return _training(*_files(entry))

    def token_counter(self, entry: TransformersEntry, settings: OpenSettings) -> Callable[[Prompt], int] | None:
        """Return what counts the tokens of a prompt; None for a GGUF file that was never opened, or a cluster's files.

        Raises:
            UsageFault: it surely cannot be opened.
        """
        if entry.cluster is not None and entry.prompt_style != "auto":
            return None  # as above
        _require(entry)
        files, adapter = _files(entry)
        folder = any_prepared_folder(files.path, settings.cache_dir) if files.is_gguf else files.path
        if folder is None:
            return None
        with quiet_loading():
            tokenizer = attempt(lambda: load_tokenizer(entry, tokenizer_folder(folder, adapter)))
        return None if isinstance(tokenizer, Broken) else lambda prompt: len(tokens_of(prompt, tokenizer))

    def open(self, entry: TransformersEntry, settings: OpenSettings) -> TransformersModel:
        """Load the model.

        Raises:
            ModelFault: it cannot be loaded.
        """
        try:
            _require(entry)
            files, adapter = _files(entry, with_weights=True)
        except UsageFault as fault:
            raise ModelFault(str(fault)) from None
        with quiet_loading():
            model = attempt(lambda: _open(entry, settings, files, adapter))
        if isinstance(model, Broken):
            raise ModelFault(f'The model "{entry.model}" cannot be loaded: {model.message}')
        return model


def _require(entry: TransformersEntry) -> None:
    """Check that the libraries and the device an entry needs are there."""
    modules = ["torch", "transformers", "accelerate", *(["peft"] if entry.adapter else [])]
    if entry.model.endswith(".gguf"):
        modules.append("gguf")
    require_libraries(modules, EXTRA, f'The model "{entry.model}"')
    if entry.quantization is not None:
        require_libraries(["bitsandbytes"], "pip install bitsandbytes", f'quantization = "{entry.quantization}"')
    if entry.attention == "flash_attention_2":
        require_libraries(["flash_attn"], "pip install flash-attn", f'attention = "{entry.attention}"')
    if entry.device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            raise UsageFault(f'device = "{entry.device}" is not there: torch sees no CUDA device; leave device out.')


def _files(entry: TransformersEntry, *, with_weights: bool = False) -> tuple[LocalFiles, LocalFiles | None]:
    """Find the files of a model and of its adapter.

    Raises:
        UsageFault: some are not there.
    """
    files = find_model(entry.model, entry.revision, with_weights=with_weights)
    return files, None if entry.adapter is None else find_adapter(entry.adapter)


def _training(files: LocalFiles, adapter: LocalFiles | None, cache_dir: Path | None = None) -> TrainingManifest | None:
    """Read the manifests beside an adapter and beside its base model.

    Args:
        files: of the model.
        adapter: where it has one.
        cache_dir: check the manifests against the weights, whose digests are kept there; None where none are loaded.

    Raises:
        UsageFault: one cannot be read.
        ModelFault: one belongs to other weights.
    """
    folders = [one.path for one in (adapter, files) if one is not None and one.path.is_dir()]
    found = [manifest_beside(folder) for folder in folders]
    if cache_dir is not None:
        for folder, known in zip(folders, found, strict=True):
            if known is not None:
                known.check_weights(folder, cache_dir)
    return reduce(merged, found, None)


def _has_template(entry: TransformersEntry, files: LocalFiles, adapter: LocalFiles | None) -> bool:
    """Return whether there is a chat template; check on the way that what is small can be loaded."""
    folder = tokenizer_folder(files.path, adapter)
    if folder.is_file():
        return bool(read_header(folder).get("tokenizer.chat_template"))
    with quiet_loading():
        config = None if files.is_gguf else attempt(lambda: load_config(entry, files.path))
        tokenizer = attempt(lambda: load_tokenizer(entry, folder))
    if isinstance(config, Broken):
        raise UsageFault(
            f"{files.path} has a configuration that cannot be loaded: {config.message} "
            "If it needs code of its own and you trust it, set trust_remote_code = true."
        )
    if isinstance(tokenizer, Broken):
        raise UsageFault(f"{folder} has no tokenizer that can be loaded; save one there. {tokenizer.message}")
    return chat_template(tokenizer) is not None


def _open(
    entry: TransformersEntry, settings: OpenSettings, files: LocalFiles, adapter: LocalFiles | None
) -> TransformersModel:
    """Load a network and its tokenizer, and put the model together with what it is."""
    import torch

    known = _training(files, adapter, settings.cache_dir)
    loaded, facts = _load(entry, files, adapter, settings.cache_dir)
    threads_before = torch.get_num_threads()
    if entry.threads is not None:
        torch.set_num_threads(entry.threads)
    template = None if entry.prompt_style == "completion" else chat_template(loaded.tokenizer)
    used = ["torch", "transformers", *(["peft"] if adapter else []), *(["gguf"] if files.is_gguf else [])]
    identity = Identity(
        provider="transformers",
        model=entry.model,
        weights=weights_digest(files, settings.cache_dir),
        template_sha256=None if template is None else hashlib.sha256(template.encode()).hexdigest(),
        libraries={name: importlib.metadata.version(name) for name in used},
        settings={**facts, "threads": torch.get_num_threads()},
        training=None if known is None else known.training,
    )
    model = TransformersModel(
        loaded,
        identity=identity,
        concurrency=settings.concurrency or entry.concurrency or 1,
        on_close=lambda: torch.set_num_threads(threads_before),
        timing=Timing(timeout_s=settings.timeout_s),
        reasoning=entry.reasoning,
    )
    model.warm_up()
    return model


def _load(
    entry: TransformersEntry, files: LocalFiles, adapter: LocalFiles | None, cache_dir: Path
) -> tuple[Loaded, dict[str, Json]]:
    """Load a network and its tokenizer for the decoding loop; gives the settings of the model's identity too."""
    network, folder = load_base(entry, files, cache_dir)
    of_adapter: dict[str, Json] = {"adapter": entry.adapter, "adapter_weights": None}
    if adapter is not None:
        # how it was merged stands beside an adapter only, so that answers stored without one are found again
        network, of_adapter[MERGE_KEY] = load_adapter(network, adapter.path, merge=entry.merge_adapter)
        of_adapter["adapter_weights"] = weights_digest(adapter, cache_dir)
    takes_cache_as = _cache_argument(entry, network)
    is_sharing = entry.prefix_cache and can_share(network)
    facts: dict[str, Json] = {
        "dtype": str(network.dtype).removeprefix("torch."),
        "device": str(network.device),
        "attention": network.config._attn_implementation,
        "quantization": entry.quantization,
        **of_adapter,
        "prefix_cache": is_sharing,
    }
    if network.device.type == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name(network.device)
    tokenizer = load_tokenizer(entry, tokenizer_folder(folder, adapter))
    is_ragged = False
    if is_on_cpu(network):
        pack_linear_layers(network)
        is_ragged = can_share(network) and ready_for_ragged(network, takes_cache_as)
        if not is_ragged:
            group_heads(network)
    loaded = Loaded(
        network=network,
        tokenizer=tokenizer,
        cache_argument=takes_cache_as,
        is_sharing=is_sharing,
        is_ragged=is_ragged,
    )
    return loaded, facts


def _cache_argument(entry: TransformersEntry, network: Any) -> str:
    """Find how the network takes its cache.

    Raises:
        ModelFault: it cannot be used by the decoding loop.
    """
    if network.config.is_encoder_decoder:
        raise ModelFault(
            f'The model "{entry.model}" cannot be used: it is an encoder-decoder model, not a causal language model; '
            "choose another model."
        )
    argument = cache_argument(network)
    if argument is None:
        raise ModelFault(
            f'The model "{entry.model}" cannot be used: this model cannot reuse its key-value cache here, which would '
            "make it unusably slow; choose another model."
        )
    return argument


PROVIDER = TransformersProvider()
