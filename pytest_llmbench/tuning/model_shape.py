"""How large a network is, from its configuration alone: parameters, and what an adapter adds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a decoder with gated feed-forward layers, as Llama has them.

    `kv_width` is the width of keys and values together with all their heads; `context` the most tokens it takes.
    """

    hidden: int
    inner: int
    layers: int
    kv_width: int
    vocabulary: int
    context: int
    is_tied: bool = False

    @property
    def projections(self) -> Mapping[str, tuple[int, int]]:
        """Inputs and outputs of the projections of one layer, by name."""
        return {
            "q_proj": (self.hidden, self.hidden),
            "k_proj": (self.hidden, self.kv_width),
            "v_proj": (self.hidden, self.kv_width),
            "o_proj": (self.hidden, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }

    @property
    def parameters(self) -> int:
        """The number of weights."""
        layer = sum(rows * columns for rows, columns in self.projections.values()) + 2 * self.hidden
        ends = self.vocabulary * self.hidden * (1 if self.is_tied else 2)
        return ends + self.layers * layer + self.hidden

    def adapter_parameters(self, rank: int, targets: Iterable[str]) -> int:
        """Count the weights of a LoRA adapter; targets that are not known here add none."""
        sizes = [self.projections[name] for name in targets if name in self.projections]
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in sizes)


def shape_of(config: Mapping[str, Any]) -> ModelShape | None:
    """Read the sizes from a configuration (`config.json`); None if it lacks one of them."""
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        head_width = int(config.get("head_dim") or hidden // heads)
        return ModelShape(
            hidden=hidden,
            inner=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            kv_width=head_width * int(config.get("num_key_value_heads") or heads),
            vocabulary=int(config["vocab_size"]),
            context=int(config["max_position_embeddings"]),
            is_tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _llama(hidden: int, inner: int, layers: int) -> ModelShape:
    return ModelShape(hidden=hidden, inner=inner, layers=layers, kv_width=hidden, vocabulary=32_000, context=2_048)


KNOWN = MappingProxyType(
    {
        "huggyllama/llama-7b": _llama(4_096, 11_008, 32),
        "huggyllama/llama-13b": _llama(5_120, 13_824, 40),
        "huggyllama/llama-30b": _llama(6_656, 17_920, 60),
        "huggyllama/llama-65b": _llama(8_192, 22_016, 80),
    }
)
"""Models whose memory is planned without their files. Sizes: table 2 of Touvron et al. (2023), LLaMA."""
