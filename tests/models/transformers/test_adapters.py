"""An adapter becomes part of the weights, as exactly as they hold numbers, or stays beside them."""

import copy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.transformers.adapters import load_adapter
from pytest_llmbench.models.transformers.cpu_layers import pack_linear_layers

pytestmark = [
    # peft 0.21 still asks transformers 5.23 for the old name.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    # Advice of peft, which the provider keeps quiet while it loads.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

IDS = torch.arange(20).reshape(2, 10)
LAYERS = ["q_proj", "v_proj", "down_proj"]


def make_base(*, is_tied: bool = False, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(2)
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        tie_word_embeddings=is_tied,
    )
    return transformers.LlamaForCausalLM(config).to(dtype).eval()


def save_adapter(folder: Path, base: Any, **how: Any) -> Path:
    """Save an adapter with small random weights."""
    torch.manual_seed(3)
    lora = peft.LoraConfig(**({"r": 4, "init_lora_weights": False, "target_modules": LAYERS} | how))
    peft.get_peft_model(copy.deepcopy(base), lora).save_pretrained(folder)
    return folder


def logits(network: Any) -> Any:
    with torch.inference_mode():
        return network(input_ids=IDS).logits.float()


@pytest.mark.parametrize(
    ("is_tied", "how"),
    [
        (False, {}),
        (True, {}),
        (True, {"target_modules": ["embed_tokens", "q_proj"]}),
        (False, {"use_dora": True}),
        (False, {"modules_to_save": ["lm_head"]}),
        (False, {"use_rslora": True, "rank_pattern": {"q_proj": 2}}),
        (False, {"layer_replication": [(0, 2), (0, 2)]}),
    ],
    ids=["plain", "tied", "embedding of a tied pair", "DoRA", "a layer of its own", "ranks", "replicated layers"],
)
def test_a_merged_network_computes_what_the_adapter_does(is_tied: bool, how: dict[str, Any], tmp_path: Path) -> None:
    """Merged and beside the weights, the logits are the same but for rounding, and are not the base's."""
    base = make_base(is_tied=is_tied)
    folder = save_adapter(tmp_path / "adapter", base, **how)
    before = logits(base)

    beside, is_beside_merged = load_adapter(copy.deepcopy(base), folder, merge=False)
    merged, is_merged = load_adapter(copy.deepcopy(base), folder, merge=None)

    assert (is_beside_merged, is_merged) == (False, True)
    torch.testing.assert_close(logits(merged), logits(beside), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(merged), before, atol=1e-3) or "modules_to_save" in how


def test_a_merged_network_has_the_layers_of_its_base(tmp_path: Path) -> None:
    """So every linear layer is packed, where an adapter beside the weights keeps its own from that."""
    base = make_base()
    folder = save_adapter(tmp_path / "adapter", base)
    beside, _ = load_adapter(copy.deepcopy(base), folder, merge=False)
    merged, _ = load_adapter(copy.deepcopy(base), folder, merge=True)

    assert [type(module) for module in merged.modules()] == [type(module) for module in base.modules()]
    assert pack_linear_layers(merged) == pack_linear_layers(base) == 7 * 2 + 1
    assert [name for name, module in beside.named_modules() if isinstance(module, peft.tuners.lora.LoraLayer)]


def test_weights_are_merged_in_float32(tmp_path: Path) -> None:
    """A bfloat16 weight is the exact sum, rounded once; a sum of rounded parts is another."""
    base = make_base(dtype=torch.bfloat16)
    folder = save_adapter(tmp_path / "adapter", base)
    exact, _ = load_adapter(copy.deepcopy(base).float(), folder, merge=True)

    merged, _ = load_adapter(copy.deepcopy(base), folder, merge=True)

    name = "model.layers.0.self_attn.q_proj.weight"
    before, wanted = base.state_dict()[name], exact.state_dict()[name]
    assert torch.equal(merged.state_dict()[name], wanted.to(torch.bfloat16))
    assert not torch.equal(merged.state_dict()[name], before + (wanted - before.float()).to(torch.bfloat16))


def test_quantised_weights_take_no_adapter_in(tmp_path: Path) -> None:
    """A checkpoint that is quantised already keeps the adapter beside its weights; merging it is refused."""
    base = make_base()
    folder = save_adapter(tmp_path / "adapter", base)
    base.hf_quantizer = object()

    with pytest.raises(ModelFault) as fault:
        load_adapter(base, folder, merge=True)

    assert str(fault.value) == (
        "merge_adapter = true does not apply: the base model is quantised, and its weights cannot take the adapter in "
        "exactly; leave merge_adapter out."
    )
    assert load_adapter(base, folder, merge=None)[1] is False


def test_an_adapter_that_cannot_be_merged(tmp_path: Path) -> None:
    """One with a bias for a layer that has none; the way out is named, and works."""
    base = make_base()
    folder = save_adapter(tmp_path / "adapter", base, lora_bias=True)

    with pytest.raises(ModelFault) as fault:
        load_adapter(copy.deepcopy(base), folder, merge=None)

    message = str(fault.value)
    assert message.startswith(f"The adapter in {folder} cannot be merged into its base model: RuntimeError: Impossible")
    assert message.endswith("; set merge_adapter = false.")
    assert load_adapter(base, folder, merge=False)[1] is False


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("merge_adapter = true", "there is no adapter to merge; name one as adapter, or leave merge_adapter out"),
        ("merge_adapter = false", "there is no adapter to merge; name one as adapter, or leave merge_adapter out"),
        (
            'merge_adapter = true\nadapter = "org/a"\nquantization = "int8"',
            "an adapter cannot be merged into quantised weights; leave out merge_adapter or quantization",
        ),
    ],
)
def test_an_entry_that_asks_for_what_cannot_be(keys: str, message: str, tmp_path: Path) -> None:
    """The models file is refused before anything is loaded."""
    file = tmp_path / "models.toml"
    file.write_text(f'[tuned]\nprovider = "transformers"\nmodel = "org/m"\n{keys}\n')

    with pytest.raises(UsageFault) as fault:
        Catalog(file, {}).choose(["tuned"], tmp_path)

    assert str(fault.value).endswith(f'"merge_adapter": {message}.')
    assert str(fault.value).startswith(f"{file}: ")
