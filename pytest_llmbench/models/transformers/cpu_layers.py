"""A network made faster on a CPU by how its layers compute, not by what they compute.

Two things, together about a third of the CPU time of decoding thirty rows of a small model:

- Linear layers multiply with a copy of their weights laid out once as oneDNN wants them.  Multiplying with few
  rows is bound by reading the weights, and torch's own kernel reads them in an order it must first undo.
- Query heads that share keys and values are computed against those as they are.  Transformers (5.23) repeats the
  keys and values of every layer for each query head wherever there is a mask and more than one token.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmbench.models.transformers.libraries import Broken, attempt

PACKED_BYTES = 2 << 30
"""Most memory the copies of the weights may take; where they would take more, all layers stay as they are."""

ROUNDING = 1e-4
"""How much a packed layer's result may differ, as a share of the largest number in it; float32 differs by 1e-6."""

GROUPED_HEADS = "TRANSFORMERS_SDPA_FORCE_GQA"
"""What transformers looks for at each call. On a GPU it would choose a slow kernel."""


def speed_up(network: Any) -> Callable[[], None]:
    """Make a network faster, if it is on the CPU alone.

    Returns:
        What undoes it for the networks to come.
    """
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        return lambda: None
    pack_linear_layers(network)
    if GROUPED_HEADS in os.environ:
        return lambda: None
    os.environ[GROUPED_HEADS] = "1"

    def undo() -> None:
        os.environ.pop(GROUPED_HEADS, None)

    return undo


def pack_linear_layers(network: Any, *, limit_bytes: int = PACKED_BYTES) -> int:
    """Let the plain linear layers of a network multiply with packed copies of their weights.

    Only layers whose like (the first of their shape) gives what it gave before are changed; adapters and quantised
    layers are of other kinds.

    Args:
        network: is not trained any more; its parameters stay as they are.
        limit_bytes: most memory the copies may take.

    Returns:
        How many layers were changed.
    """
    import torch

    layers = [layer for layer in network.modules() if type(layer) is torch.nn.Linear and not hasattr(layer, "_hf_hook")]
    layers = [layer for layer in layers if layer.weight.dtype == torch.float32 and layer.weight.device.type == "cpu"]
    if sum(layer.weight.nbytes for layer in layers) > limit_bytes:
        return 0
    by_shape: dict[tuple[Any, ...], list[Any]] = {}
    for layer in layers:
        by_shape.setdefault((layer.weight.shape, layer.bias is None), []).append(layer)
    with torch.inference_mode():
        return sum(_pack(alike) for alike in by_shape.values())


def _pack(layers: Sequence[Any]) -> int:
    """Change layers of one shape, if the first gives what it gave; tells how many."""
    first, *others = layers

    def pack() -> list[Callable[[Any], Any]]:
        forward = _packed(first)
        return [forward, *map(_packed, others)] if _is_right(first, forward) else []

    packed = attempt(pack)
    if isinstance(packed, Broken):
        return 0
    for layer, forward in zip(layers, packed, strict=False):
        layer.forward = forward
    return len(packed)


def _is_right(layer: Any, forward: Callable[[Any], Any]) -> bool:
    import torch

    probe = torch.linspace(-1, 1, 3 * layer.in_features).reshape(1, 3, layer.in_features)
    plain = torch.nn.functional.linear(probe, layer.weight, layer.bias)
    return bool((forward(probe) - plain).abs().max() <= ROUNDING * plain.abs().max())


def _packed(layer: Any) -> Callable[[Any], Any]:
    """Make what computes a layer from packed weights; raises whatever a build of torch does that cannot."""
    import torch

    # What torch's own compiler puts in the place of a frozen linear layer; without a compiler at hand.
    weight, bias = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach()), layer.bias
    multiply = torch.ops.mkldnn._linear_pointwise

    def forward(rows: Any) -> Any:
        return multiply(rows, weight, bias, "none", [], "")

    return forward
