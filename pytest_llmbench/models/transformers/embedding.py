"""Embeddings of a local encoder through transformers: the mean over its last hidden states, of length 1.

What lies beyond the encoder's longest input (512 tokens of most) is not read.
"""

import importlib.metadata
from collections.abc import Sequence
from typing import Any

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import Identity, OpenSettings, Vector
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.transformers.files import find_model, weights_digest
from pytest_llmbench.models.transformers.libraries import EXTRA, Broken, attempt, quiet_loading, require_libraries

_LONGEST = 512
"""Tokens that are read where neither tokenizer nor configuration has a limit."""


def check(entry: TransformersEntry) -> None:
    """Look for libraries and files.

    Raises:
        UsageFault: something is missing, or no encoder is read from it.
    """
    require_libraries(["torch", "transformers"], EXTRA, f'The embedder "{entry.model}"')
    odd = next((key for key in ("adapter", "quantization", "device_map", "cluster") if getattr(entry, key)), None)
    if odd is not None or entry.model.endswith(".gguf"):
        what = f"its entry has `{odd}`" if odd is not None else "it is a GGUF file"
        raise UsageFault(f'The embedder "{entry.model}" cannot be used: {what}; name a plain folder or hub id.')
    find_model(entry.model, entry.revision, with_weights=False)


class LocalEmbedder:
    """An encoder that is loaded.

    Raises:
        ModelFault: it cannot be loaded.
    """

    def __init__(self, entry: TransformersEntry, settings: OpenSettings):
        try:
            check(entry)
            files = find_model(entry.model, entry.revision, with_weights=True)
        except UsageFault as fault:
            raise ModelFault(str(fault)) from None
        with quiet_loading():
            opened = attempt(lambda: _load(entry, files.path))
        if isinstance(opened, Broken):
            raise ModelFault(f'The embedder "{entry.model}" cannot be loaded: {opened.message}')
        self._network, self._tokenizer = opened
        limits = (self._tokenizer.model_max_length, getattr(self._network.config, "max_position_embeddings", _LONGEST))
        self._longest = min(*limits)
        self.identity = Identity(
            provider="transformers",
            model=entry.model,
            weights=weights_digest(files, settings.cache_dir),
            libraries={name: importlib.metadata.version(name) for name in ("torch", "transformers")},
            settings={
                "pooling": "mean",
                "dtype": str(self._network.dtype).removeprefix("torch."),
                "tokens": self._longest,
            },
        )

    @property
    def input_tokens(self) -> None:
        """Not counted: nobody charges for them."""

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Give the mean of the last hidden states of each text, padding left out."""
        found = attempt(lambda: self._embedded(texts))
        if isinstance(found, Broken):
            raise ModelFault(f'The embedder "{self.identity.model}" broke: {found.message}')
        return found

    def close(self) -> None:
        """Let go of the weights."""
        self._network = self._tokenizer = None

    def _embedded(self, texts: Sequence[str]) -> list[Vector]:
        import torch

        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._network.device)
        with torch.inference_mode():
            states = self._network(**tokens).last_hidden_state.float()  # (n_texts, n_tokens, n_dimensions)
            mask = tokens["attention_mask"].unsqueeze(-1)
            means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            found: list[Vector] = torch.nn.functional.normalize(means, dim=-1).tolist()
        return found


def _load(entry: TransformersEntry, folder: Any) -> tuple[Any, Any]:
    import torch
    import transformers

    device = entry.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    how: dict[str, Any] = {"trust_remote_code": entry.trust_remote_code}
    dtype = torch.float32 if entry.dtype == "auto" else getattr(torch, entry.dtype)
    network = transformers.AutoModel.from_pretrained(folder, dtype=dtype, **how)
    return network.to(device).eval(), transformers.AutoTokenizer.from_pretrained(folder, **how)
