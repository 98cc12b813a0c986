"""What `--plan` says of memory, against the sums of the literature."""

import pytest

from pytest_llmbench.tuning.memory import Training, _visible, memory_sum
from pytest_llmbench.tuning.model_shape import KNOWN, ModelShape, shape_of
from pytest_llmbench.tuning.recipe import TARGETS


def lora(shape: ModelShape, **more: object) -> Training:
    adapter = shape.adapter_parameters(16, TARGETS)
    fields = {"dtype": "bfloat16", "adapter": adapter, "tokens": 2048, "is_checkpointed": True} | more
    return Training(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "weights_gb", "full_gb", "adapter_gb"),
    [
        ("huggyllama/llama-7b", 13.5, 108, 0.64),
        ("huggyllama/llama-13b", 26, 208, 1.0),
        ("huggyllama/llama-30b", 65, 520, 1.95),
        ("huggyllama/llama-65b", 130, 1_043, 3.2),
    ],
)
def test_the_llamas_have_their_known_sizes(name: str, weights_gb: float, full_gb: float, adapter_gb: float) -> None:
    """Weights in bfloat16, an adapter of rank 16 with Adam, and sixteen bytes a weight for full fine-tuning."""
    shape = KNOWN[name]

    adapted = memory_sum(shape, lora(shape))
    full = memory_sum(shape, lora(shape, adapter=None))

    assert adapted.weights_gb == pytest.approx(weights_gb, rel=0.01)
    assert adapted.training_gb == pytest.approx(adapter_gb, rel=0.01)
    assert full.training_gb == pytest.approx(full_gb, rel=0.01)
    assert full.weights_gb == 0


def test_a_llama_of_7b_fits_into_24_gigabytes() -> None:
    """About 17 with 2,048 tokens, and about half with a base of four bits."""
    shape = KNOWN["huggyllama/llama-7b"]

    assert memory_sum(shape, lora(shape)).total_gb == pytest.approx(17, rel=0.03)
    assert memory_sum(shape, lora(shape, dtype="int4")).total_gb < 10


def test_zero3_divides_the_weights() -> None:
    """65B on eight devices has 16.3 GB of weights on each; ZeRO-2 divides only what belongs to training."""
    shape = KNOWN["huggyllama/llama-65b"]

    third, second = memory_sum(shape, lora(shape, sharing=8)), memory_sum(shape, lora(shape, sharing_moments=8))

    assert third.weights_gb == pytest.approx(16.3, rel=0.01)
    assert second.weights_gb == pytest.approx(130, rel=0.01)
    assert second.training_gb == third.training_gb == pytest.approx(3.2 / 8, rel=0.01)


def test_sizes_are_read_from_a_configuration() -> None:
    """With shared heads and tied embeddings; a configuration of another kind gives none."""
    config = {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    }

    shape = shape_of(config)

    assert shape is not None
    assert shape.parameters == 134_515_008  # what the checkpoint of SmolLM2-135M holds
    assert shape.adapter_parameters(16, TARGETS) == 4_884_480
    assert shape_of({"d_model": 512}) is None


@pytest.mark.parametrize(
    ("chosen", "seen"), [(None, (1.0, 2.0, 3.0)), ("", ()), ("2,0", (3.0, 1.0)), ("GPU-ab12", (1.0,)), ("7", ())]
)
def test_only_visible_devices_count(chosen: str | None, seen: tuple[float, ...]) -> None:
    """CUDA_VISIBLE_DEVICES names devices by number, or by an id that says how many there are."""
    environment = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}

    assert _visible((1.0, 2.0, 3.0), environment) == seen
