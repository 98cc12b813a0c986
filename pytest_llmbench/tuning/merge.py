"""`llmbench tune --merge`: an adapter merged into its base, for servers that take whole models only.

The sum is made in float32 and rounded once.  An adapter of a four-bit base is never merged: it was trained against the
rounding of those weights, and merged with others its answers change.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.training_manifest import FILE
from pytest_llmbench.models.transformers.adapters import load_adapter
from pytest_llmbench.models.transformers.files import LocalFiles, find_adapter, find_model, weights_digest
from pytest_llmbench.models.transformers.gguf import prepared_folder
from pytest_llmbench.models.transformers.libraries import Broken, attempt, quiet_loading, require_libraries
from pytest_llmbench.tuning.manifest_file import Manifest, read_checked, text_of, write_whole
from pytest_llmbench.tuning.plan import EXTRA


def merge(folder: Path, output: Path | None, dtype: str | None) -> Iterator[str]:
    """Merge an adapter; gives what is printed.

    Args:
        folder: of the adapter.
        output: where the model goes; default: `merged` in that folder.
        dtype: of its weights; default: that of the base.

    Raises:
        UsageFault: there is no adapter, its manifest belongs to other weights, or its base was of four bits.
        ModelFault: it cannot be merged.
    """
    require_libraries(["torch", "transformers", "peft"], EXTRA, "llmbench tune --merge")
    settings = OpenSettings()
    adapter = find_adapter(str(folder.resolve()))
    manifest = read_checked(folder, settings.cache_dir)
    _refuse_four_bits(folder, manifest)
    base = _base_folder(folder, manifest, settings)
    target = output or folder / "merged"
    with quiet_loading():
        merged = attempt(lambda: _merge(base, adapter, target, dtype))
    if isinstance(merged, Broken):
        raise ModelFault(f"The adapter in {folder} cannot be merged: {merged.message}")
    if manifest is not None:
        parent = (folder / FILE).read_bytes()
        content = {
            **manifest,
            "parents": [hashlib.sha256(parent).hexdigest()],
            "weights": weights_digest(LocalFiles(path=target), settings.cache_dir),
        }
        write_whole(target / FILE, text_of(content))
    yield f"merged into {target}, in {merged}; its entry:"
    yield ""
    yield "[tuned]"
    yield 'provider = "transformers"'
    yield f"model = {json.dumps(target.resolve().as_posix())}"


def _refuse_four_bits(folder: Path, manifest: Manifest | None) -> None:
    quantization = ((manifest or {}).get("recipe", {}).get("lora") or {}).get("quantization")
    if quantization is not None:
        raise UsageFault(
            f"the adapter in {folder} was trained on a base of four bits ({quantization}), and merged into other "
            "weights its answers would change; serve it beside the base, or train it without quantization."
        )


def _base_folder(folder: Path, manifest: Manifest | None, settings: OpenSettings) -> Path:
    """Find the base that an adapter was trained on: by its name in the manifest, else as the adapter has it.

    Raises:
        UsageFault: it is not there, or has other weights.
    """
    if manifest is None:
        named = json.loads((folder / "adapter_config.json").read_bytes()).get("base_model_name_or_path")
        return find_model(str(named), None, with_weights=True).path
    name, weights = manifest["base"]["model"], manifest["base"]["weights"]
    files = find_model(name, None, with_weights=True)
    if weights_digest(files, settings.cache_dir) != weights:
        raise UsageFault(
            f'the adapter in {folder} was trained on other weights than "{name}" has now; put those back, or train it '
            "again."
        )
    return prepared_folder(files.path, "float32", settings.cache_dir) if files.is_gguf else files.path


def _merge(base: Path, adapter: LocalFiles, target: Path, dtype: str | None) -> str:
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(base)
    own = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    wanted = dtype or own
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    network, _ = load_adapter(network, adapter.path, merge=True)
    network.to(getattr(torch, wanted)).save_pretrained(target)
    has_own = (adapter.path / "tokenizer_config.json").is_file()
    transformers.AutoTokenizer.from_pretrained(adapter.path if has_own else base).save_pretrained(target)
    return wanted
