"""Checkpoints through transformers: their configuration, their tokenizer, and their network on its device."""

from pathlib import Path
from typing import Any

from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.transformers.files import LocalFiles
from pytest_llmbench.models.transformers.gguf import prepared_folder, refuse_missing_weights


def load_config(entry: TransformersEntry, folder: Path) -> Any:
    """Load the configuration of a folder."""
    import transformers

    return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=entry.trust_remote_code)


def load_tokenizer(entry: TransformersEntry, folder: Path) -> Any:
    """Load the tokenizer of a folder."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=entry.trust_remote_code)


def tokenizer_folder(path: Path, adapter: LocalFiles | None) -> Path:
    """Choose where the tokenizer is: an adapter that brings one was trained with it."""
    if adapter is not None and (adapter.path / "tokenizer_config.json").is_file():
        return adapter.path
    return path


def load_base(entry: TransformersEntry, files: LocalFiles, cache_dir: Path) -> tuple[Any, Path]:
    """Load the network without its adapter, on its device and in eval mode.

    Args:
        entry: how to load it.
        files: of the checkpoint.
        cache_dir: keeps what a GGUF file is read into.

    Returns:
        The network, and the folder that it came from.
    """
    import torch

    device = entry.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = _dtype(entry, files.path, device)
    folder = prepared_folder(files.path, dtype, cache_dir) if files.is_gguf else files.path
    return _load_network(entry, folder, dtype, device), folder


def _load_network(entry: TransformersEntry, folder: Path, dtype: str, device: str) -> Any:
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
    is_bfloat16 = getattr(load_config(entry, path), "dtype", None) == torch.bfloat16
    return "bfloat16" if is_bfloat16 and _cpu_computes_bfloat16() else "float32"


def _cpu_computes_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16; without them it is 5 to 7 times slower than float32."""
    import torch

    # Newer than torch 2.6; where it is missing float32 is the safe answer.
    read = getattr(torch.cpu, "get_capabilities", None)
    capabilities = {} if read is None else read()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def chat_template(tokenizer: Any) -> str | None:
    """Return the chat template that applies when none is named."""
    if not tokenizer.chat_template:
        return None
    template: str = tokenizer.get_chat_template()
    return template
