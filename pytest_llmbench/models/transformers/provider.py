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
from pytest_llmbench.models.transformers.cpu_layers import group_heads, is_on_cpu, pack_linear_layers
from pytest_llmbench.models.transformers.decoding import Loaded, Timing
from pytest_llmbench.models.transformers.files import LocalFiles, find_adapter, find_model, weights_digest
from pytest_llmbench.models.transformers.gguf import (
    any_prepared_folder,
    prepared_folder,
    read_header,
    refuse_missing_weights,
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
        files = find_model(entry.model, entry.revision, with_weights=False)
        adapter = None if entry.adapter is None else find_adapter(entry.adapter)
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
        files = find_model(entry.model, entry.revision, with_weights=False)
        return _training(files, None if entry.adapter is None else find_adapter(entry.adapter))

    def token_counter(self, entry: TransformersEntry, settings: OpenSettings) -> Callable[[Prompt], int] | None:
        """Return what counts the tokens of a prompt; None for a GGUF file that was never opened, or a cluster's files.

        Raises:
            UsageFault: it surely cannot be opened.
        """
        if entry.cluster is not None and entry.prompt_style != "auto":
            return None  # as above
        _require(entry)
        files = find_model(entry.model, entry.revision, with_weights=False)
        adapter = None if entry.adapter is None else find_adapter(entry.adapter)
        folder = any_prepared_folder(files.path, settings.cache_dir) if files.is_gguf else files.path
        if folder is None:
            return None
        with quiet_loading():
            tokenizer = attempt(lambda: _load_tokenizer(entry, _tokenizer_folder(folder, adapter)))
        return None if isinstance(tokenizer, Broken) else lambda prompt: len(tokens_of(prompt, tokenizer))

    def open(self, entry: TransformersEntry, settings: OpenSettings) -> TransformersModel:
        """Load the model.

        Raises:
            ModelFault: it cannot be loaded.
        """
        try:
            _require(entry)
            files = find_model(entry.model, entry.revision, with_weights=True)
            adapter = None if entry.adapter is None else find_adapter(entry.adapter)
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
    folder = _tokenizer_folder(files.path, adapter)
    if folder.is_file():
        return bool(read_header(folder).get("tokenizer.chat_template"))
    with quiet_loading():
        config = None if files.is_gguf else attempt(lambda: _load_config(entry, files.path))
        tokenizer = attempt(lambda: _load_tokenizer(entry, folder))
    if isinstance(config, Broken):
        raise UsageFault(
            f"{files.path} has a configuration that cannot be loaded: {config.message} "
            "If it needs code of its own and you trust it, set trust_remote_code = true."
        )
    if isinstance(tokenizer, Broken):
        raise UsageFault(f"{folder} has no tokenizer that can be loaded; save one there. {tokenizer.message}")
    return _chat_template(tokenizer) is not None


def _tokenizer_folder(path: Path, adapter: LocalFiles | None) -> Path:
    """Choose where the tokenizer is: an adapter that brings one was trained with it."""
    if adapter is not None and (adapter.path / "tokenizer_config.json").is_file():
        return adapter.path
    return path


def _open(
    entry: TransformersEntry, settings: OpenSettings, files: LocalFiles, adapter: LocalFiles | None
) -> TransformersModel:
    """Load a network and its tokenizer, and put the model together with what it is."""
    import torch

    known = _training(files, adapter, settings.cache_dir)
    device = entry.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype, folder = _dtype(entry, files.path, device), files.path
    if files.is_gguf:
        folder = prepared_folder(files.path, dtype, settings.cache_dir)
    network = _load_network(entry, folder, dtype, device)
    merging: dict[str, Json] = {}
    if adapter is not None:
        network, merging[MERGE_KEY] = load_adapter(network, adapter.path, merge=entry.merge_adapter)
    takes_cache_as = _cache_argument(entry, network)
    tokenizer = _load_tokenizer(entry, _tokenizer_folder(folder, adapter))
    is_sharing = entry.prefix_cache and can_share(network)
    attention = network.config._attn_implementation
    is_ragged = False
    if is_on_cpu(network):
        pack_linear_layers(network)
        is_ragged = can_share(network) and ready_for_ragged(network, takes_cache_as)
        if not is_ragged:
            group_heads(network)
    threads_before = torch.get_num_threads()
    if entry.threads is not None:
        torch.set_num_threads(entry.threads)
    facts: dict[str, Json] = {
        "dtype": str(network.dtype).removeprefix("torch."),
        "device": str(network.device),
        "attention": attention,
        "quantization": entry.quantization,
        "adapter": entry.adapter,
        "adapter_weights": None if adapter is None else weights_digest(adapter, settings.cache_dir),
        **merging,  # beside an adapter only, so that answers stored without one are found again
        "prefix_cache": is_sharing,
        "threads": torch.get_num_threads(),
    }
    if network.device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(network.device)
    template = None if entry.prompt_style == "completion" else _chat_template(tokenizer)
    used = ["torch", "transformers", *(["peft"] if adapter else []), *(["gguf"] if files.is_gguf else [])]
    identity = Identity(
        provider="transformers",
        model=entry.model,
        weights=weights_digest(files, settings.cache_dir),
        template_sha256=None if template is None else hashlib.sha256(template.encode()).hexdigest(),
        libraries={name: importlib.metadata.version(name) for name in used},
        settings=facts,
        training=None if known is None else known.training,
    )
    model = TransformersModel(
        Loaded(
            network=network,
            tokenizer=tokenizer,
            cache_argument=takes_cache_as,
            is_sharing=is_sharing,
            is_ragged=is_ragged,
        ),
        identity=identity,
        concurrency=settings.concurrency or entry.concurrency or 1,
        on_close=lambda: torch.set_num_threads(threads_before),
        timing=Timing(timeout_s=settings.timeout_s),
        reasoning=entry.reasoning,
    )
    model.warm_up()
    return model


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


def _load_config(entry: TransformersEntry, folder: Path) -> Any:
    import transformers

    return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=entry.trust_remote_code)


def _load_tokenizer(entry: TransformersEntry, folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=entry.trust_remote_code)


def _load_network(entry: TransformersEntry, folder: Path, dtype: str, device: str) -> Any:
    """Load the network of a folder, on its device and in eval mode."""
    import torch
    import transformers

    how: dict[str, Any] = {
        "dtype": dtype if dtype == "auto" else getattr(torch, dtype),
        "trust_remote_code": entry.trust_remote_code,
    }
    if entry.attention != "auto":
        how["attn_implementation"] = entry.attention
    if entry.device_map is not None:
        how["device_map"] = entry.device_map
    elif device != "cpu" or entry.quantization is not None:
        how["device_map"] = {"": device}
    if entry.quantization == "int8":
        how["quantization_config"] = transformers.BitsAndBytesConfig(load_in_8bit=True)
    elif entry.quantization == "int4":
        compute = torch.bfloat16 if dtype == "auto" else how["dtype"]
        how["quantization_config"] = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=compute)
    network, loading = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **how)
    refuse_missing_weights(loading)
    return network.eval()


def _dtype(entry: TransformersEntry, path: Path, device: str) -> str:
    """Name the dtype to load in; "auto" is the checkpoint's own."""
    import torch

    if entry.dtype != "auto":
        return entry.dtype
    if path.is_file():
        # The blocks of a GGUF file have no dtype of their own; their scales are float16.
        return "float32" if device == "cpu" else "float16"
    if device != "cpu":
        return "auto"
    is_bfloat16 = getattr(_load_config(entry, path), "dtype", None) == torch.bfloat16
    return "bfloat16" if is_bfloat16 and _cpu_computes_bfloat16() else "float32"


def _cpu_computes_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16; without them it is 5 to 7 times slower than float32."""
    import torch

    # Newer than torch 2.6; where it is missing float32 is the safe answer.
    read = getattr(torch.cpu, "get_capabilities", None)
    capabilities = {} if read is None else read()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _chat_template(tokenizer: Any) -> str | None:
    """Return the chat template that applies when none is named."""
    if not tokenizer.chat_template:
        return None
    template: str = tokenizer.get_chat_template()
    return template


PROVIDER = TransformersProvider()
