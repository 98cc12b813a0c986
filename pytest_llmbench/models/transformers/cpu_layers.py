"""A network made faster on a CPU by how its layers compute, not by what they compute.

Two things, together about a third of the CPU time of decoding thirty rows of a small model:

- Linear layers multiply with a copy of their weights laid out once as oneDNN wants them.  Multiplying with few
  rows is bound by reading the weights, and torch's own kernel reads them in an order it must first undo.
- Query heads that share keys and values are computed against those as they are.  Transformers (5.23) repeats the
  keys and values of every layer for each query head wherever there is a mask and more than one token.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmbench.models.transformers.libraries import Broken, attempt

PACKED_BYTES = 2 << 30
"""Most memory the copies of the weights may take; where they would take more, all layers stay as they are."""

ROUNDING = 1e-4
"""How much a packed layer's result may differ, as a share of the largest number in it; float32 differs by 1e-6,
other dtypes by their own precision."""

GROUPED_HEADS = "llmbench_grouped_heads"
"""The name of `attend_grouped` among the attention implementations of transformers."""


def is_on_cpu(network: Any) -> bool:
    """Return whether all of a network is on the CPU."""
    return all(parameter.device.type == "cpu" for parameter in network.parameters())


def group_heads(network: Any) -> bool:
    """Let the query heads of a network share keys and values without copies of them, where they did with copies.

    Kept only if the network gives what it gave before.

    Returns:
        Whether it does so now.
    """
    import transformers
    from transformers.masking_utils import sdpa_mask

    is_grouped = any(getattr(module, "num_key_value_groups", 1) > 1 for module in network.modules())
    if not is_grouped or network.config._attn_implementation != "sdpa":
        return False
    # By its name, in this network alone. The library's own switch for the same is an environment variable, which
    # would apply to every network of the process and to the processes it starts.
    transformers.AttentionInterface.register(GROUPED_HEADS, attend_grouped)
    transformers.AttentionMaskInterface.register(GROUPED_HEADS, sdpa_mask)

    def switch() -> bool:
        before = _probed(network)
        network.set_attn_implementation(GROUPED_HEADS)
        # Some old code takes no other implementation, and only logs that.
        return network.config._attn_implementation == GROUPED_HEADS and is_close(_probed(network), before)

    if attempt(switch) is True:
        return True
    if network.config._attn_implementation == GROUPED_HEADS:
        network.set_attn_implementation("sdpa")
    return False


def attend_grouped(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **rest: Any
) -> tuple[Any, None]:
    """Compute attention as transformers' "sdpa" does, with keys and values [R, key heads, S, width] as they are.

    Where there is no mask, or a bias, that implementation itself is used.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_mask is None or rest.get("position_bias") is not None or rest.get("softcap") is not None:
        output: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **rest
        )
        return output
    attended = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )
    return attended.transpose(1, 2).contiguous(), None


def _probed(network: Any) -> Any:
    """Return the logits of two short rows, one of them padded on the left."""
    import torch

    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]])
    with torch.inference_mode():
        logits = network(input_ids=torch.arange(8).reshape(2, 4), attention_mask=mask, use_cache=False).logits
    return logits[mask.bool()]


def is_close(found: Any, wanted: Any) -> bool:
    """Return whether numbers differ by rounding alone."""
    import torch

    rounding = max(ROUNDING, 4 * torch.finfo(wanted.dtype).eps)
    return bool((found - wanted).abs().max() <= rounding * wanted.abs().max())


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
    """Change layers of one shape, if the first gives what it gave; return how many."""
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
    return is_close(forward(probe), plain)


def _packed(layer: Any) -> Callable[[Any], Any]:
    """Make what computes a layer from packed weights; raises whatever a build of torch does that cannot."""
    import torch

    # What torch's own compiler puts in the place of a frozen linear layer; without a compiler at hand.
    weight, bias = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach()), layer.bias
    multiply = torch.ops.mkldnn._linear_pointwise

    def forward(rows: Any) -> Any:
        return multiply(rows, weight, bias, "none", [], "")

    return forward
