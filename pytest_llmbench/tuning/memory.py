"""The memory a stage needs, as a sum that can be read before a weight is loaded.

The items are those of training with Adam in mixed precision (Rajbhandari et al., 2020, ZeRO): two bytes a frozen
weight, sixteen a trained one.  It is an estimate: what libraries keep for themselves is `OVERHEAD_GB`.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pytest_llmbench.tuning.model_shape import ModelShape

GB = 1e9
BYTES = MappingProxyType({"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int4": 0.55})
"""Bytes a frozen weight; four bits with the scales of their blocks."""

TRAINED_BYTES = 16
"""A trained weight: itself and its gradient, and in float32 a copy and the two moments of Adam."""

OVERHEAD_GB = 1.5
"""What CUDA, kernels and their buffers take on a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What decides how much memory a stage takes.

    `dtype` is that of the frozen weights; `adapter` the number of weights of the adapter, None for full fine-tuning.
    `tokens` are those of one pass on one device, `sharing` the devices that share weights and moments (ZeRO-3), and
    `sharing_moments` those that share the trained weights' state (ZeRO-1 and 2).
    """

    dtype: str
    adapter: int | None
    tokens: int
    is_checkpointed: bool
    sharing: int = 1
    sharing_moments: int = 1
    overhead_gb: float = OVERHEAD_GB


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySum:
    """Gigabytes (10^9 bytes) on one device."""

    weights_gb: float
    training_gb: float
    activations_gb: float
    overhead_gb: float

    @property
    def total_gb(self) -> float:
        """All of it."""
        return self.weights_gb + self.training_gb + self.activations_gb + self.overhead_gb

    def __str__(self) -> str:
        return (
            f"{self.total_gb:.1f} GB a device: weights {self.weights_gb:.1f}, training {self.training_gb:.1f}, "
            f"activations {self.activations_gb:.1f}, libraries {self.overhead_gb:.1f}"
        )


def memory_sum(shape: ModelShape, training: Training) -> MemorySum:
    """Add up what a stage needs on one device."""
    trained = shape.parameters if training.adapter is None else training.adapter
    frozen = 0 if training.adapter is None else shape.parameters
    return MemorySum(
        weights_gb=frozen * BYTES[training.dtype] / training.sharing / GB,
        training_gb=trained * TRAINED_BYTES / max(training.sharing, training.sharing_moments) / GB,
        activations_gb=_activations(shape, training) / GB,
        overhead_gb=training.overhead_gb,
    )


def _activations(shape: ModelShape, training: Training) -> float:
    """Count bytes kept for the gradients: the inputs of all layers, one layer in full, and the logits in float32."""
    width = 4 if training.dtype == "float32" else 2
    inputs = training.tokens * shape.hidden * shape.layers * width
    # vectors that a layer keeps, of its width and its inner width, as measured: 3.6 GB for SmolLM2 with 4 x 192 tokens
    layer = training.tokens * (14 * shape.hidden + 3.5 * shape.inner) * width
    logits = 2 * training.tokens * shape.vocabulary * 4
    return inputs + (layer if training.is_checkpointed else shape.layers * layer) + logits


def gpus_gb() -> tuple[float, ...]:
    """Give the memory of the NVIDIA GPUs that can be seen, in gigabytes; empty if there are none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - no shell
    except (OSError, subprocess.SubprocessError):
        return ()
    sizes = [float(line) * 2**20 / GB for line in listed.stdout.split() if line.replace(".", "").isdecimal()]
    return _visible(tuple(sizes), os.environ)


def _visible(sizes: tuple[float, ...], environment: Mapping[str, str]) -> tuple[float, ...]:
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return sizes
    places = [part.strip() for part in chosen.split(",") if part.strip()]
    if all(part.isdecimal() for part in places):
        return tuple(sizes[int(part)] for part in places if int(part) < len(sizes))
    return sizes[: len(places)]


def machine_gb() -> float | None:
    """Give the memory of this machine, in gigabytes; None where it cannot be known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    except (ValueError, OSError, AttributeError):
        return None
