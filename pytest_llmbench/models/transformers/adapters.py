"""PEFT adapters: loaded into the layers of a network, and merged into its weights where they can be.

A merged network has the layers of its base, so it is as fast, and faster layers (`cpu_layers`) apply to it.
"""

import warnings
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.transformers.libraries import Broken, attempt

MERGE_KEY = "merge_adapter"


def load_adapter(network: Any, folder: Path, *, merge: bool | None) -> tuple[Any, bool]:
    """Put an adapter into a network.

    Args:
        network: the base, with its weights.
        folder: the adapter's.
        merge: add it to the weights; None to do so wherever they can be changed.

    Returns:
        The network, and whether the adapter is merged.

    Raises:
        ValueError: the adapter is of a kind that adds to the prompt.
        ModelFault: the adapter cannot be merged, although it must.
    """
    import peft

    obstacle = _fixed_weights(network)
    if merge and obstacle is not None:
        raise ModelFault(f"{MERGE_KEY} = true does not apply: {obstacle}; leave {MERGE_KEY} out.")
    is_merged = obstacle is None if merge is None else merge
    adapted = peft.PeftModel.from_pretrained(network, folder).eval()
    if adapted.active_peft_config.is_prompt_learning:
        kind = adapted.active_peft_config.peft_type.value
        raise ValueError(
            f"an adapter of the kind {kind} adds to the prompt; only those that change weights can be used"
        )
    if not is_merged:
        # The adapter is in the layers of the base model; the wrapper adds nothing to its forward.
        return adapted.get_base_model(), False
    merged = attempt(lambda: _merged(adapted))
    if isinstance(merged, Broken):
        raise ModelFault(
            f"The adapter in {folder} cannot be merged into its base model: {merged.message}; set {MERGE_KEY} = false."
        )
    return merged.eval(), True


def _fixed_weights(network: Any) -> str | None:
    """Name what keeps the weights of a network from being changed, None if nothing does."""
    if getattr(network, "hf_quantizer", None) is not None:
        return "the base model is quantised, and its weights cannot take the adapter in exactly"
    if any(parameter.device.type == "meta" for parameter in network.parameters()):
        return "device_map leaves a part of the base model out of memory"
    return None


def _merged(adapted: Any) -> Any:
    """Add an adapter to the weights of its base in float32, and give the base.

    The sum is rounded to the dtype of the weights once, whatever an adapter of its kind and peft's version do.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    for layer in [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]:
        base = layer.get_base_layer()
        dtypes = {name: weight.dtype for name, weight in base.named_parameters(recurse=False)}
        for name in dtypes:
            # A parameter of its own: one that is tied to another layer's stays as it is there.
            whole = getattr(base, name).detach().to(torch.float32, copy=True)
            setattr(base, name, torch.nn.Parameter(whole, requires_grad=False))
        layer.merge()
        for name, dtype in dtypes.items():
            weight = getattr(base, name)
            weight.data = weight.data.to(dtype)
    # Merges no layer again, and warns of that; checks whether the adapter may be merged, and removes its layers.
    with warnings.catch_warnings(action="ignore"):
        return adapted.merge_and_unload()
