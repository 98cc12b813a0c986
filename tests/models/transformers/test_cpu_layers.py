"""Layers made faster give what they gave, and what cannot be made faster stays as it was."""

import copy
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from pytest_llmbench.models.transformers.cpu_layers import GROUPED_HEADS, group_heads, pack_linear_layers

CONFIG = transformers.LlamaConfig(
    attn_implementation="sdpa",
    num_hidden_layers=2,
    hidden_size=32,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=64,
    vocab_size=96,
)


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(copy.deepcopy(CONFIG)).eval()


def logits(network: Any, n_rows: int) -> Any:
    """Feed rows that are padded on the left."""
    ids = torch.arange(n_rows * 7).reshape(n_rows, 7) % 96
    mask = torch.ones_like(ids)
    mask[: n_rows // 2, :3] = 0
    with torch.inference_mode():
        return network(input_ids=ids, attention_mask=mask).logits[mask.bool()]


@pytest.mark.parametrize("n_rows", [1, 2, 33])
def test_a_network_computes_what_it_did(network: Any, n_rows: int) -> None:
    """With packed weights and grouped heads, the logits of padded rows are the same but for rounding."""
    before = logits(network, n_rows)

    pack_linear_layers(network)
    group_heads(network)

    torch.testing.assert_close(logits(network, n_rows), before)


def test_every_plain_layer_is_packed(network: Any) -> None:
    """Seven a layer of the network and its head; the weights themselves are still there."""
    weights = copy.deepcopy(network.state_dict())

    assert pack_linear_layers(network) == 7 * 2 + 1
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())


def test_a_bias_is_added() -> None:
    """Some architectures have one."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.Linear(8, 8, bias=False))
    rows = torch.randn(5, 16)
    before = network(rows).detach()

    assert pack_linear_layers(network) == 2
    with torch.inference_mode():
        torch.testing.assert_close(network(rows), before)


def test_copies_that_would_take_too_much_memory_are_not_made(network: Any) -> None:
    """A large network stays whole."""
    assert pack_linear_layers(network, limit_bytes=1000) == 0
    assert not any("forward" in vars(module) for module in network.modules())


def test_other_kinds_of_layers_stay() -> None:
    """Of another dtype, of a class of its own, or moved between devices by a hook."""

    class Own(torch.nn.Linear):
        pass

    hooked = torch.nn.Linear(4, 4)
    hooked._hf_hook = object()
    network = torch.nn.Sequential(torch.nn.Linear(4, 4, dtype=torch.bfloat16), Own(4, 4), hooked)

    assert pack_linear_layers(network) == 0


@pytest.mark.parametrize("fault", ["missing", "wrong"])
def test_a_build_of_torch_that_cannot_leaves_all_as_it_is(
    network: Any, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Nothing is taken on trust: a kernel that is not there, or gives other numbers, is not used."""
    wrong = SimpleNamespace(
        _reorder_linear_weight=lambda weight: weight, _linear_pointwise=lambda rows, weight, *rest: rows @ weight.T + 1
    )
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace() if fault == "missing" else wrong)

    assert pack_linear_layers(network) == 0


def test_heads_are_grouped_in_one_network_only(network: Any) -> None:
    """Neither the environment of the process nor another network is changed, and the logits stay the same."""
    other, environment = transformers.LlamaForCausalLM(copy.deepcopy(CONFIG)).eval(), dict(os.environ)
    before = logits(network, 6)

    assert group_heads(network)

    assert dict(os.environ) == environment
    assert network.config._attn_implementation == GROUPED_HEADS
    assert other.config._attn_implementation == "sdpa"
    torch.testing.assert_close(logits(network, 6), before)


def test_heads_are_left_where_nothing_is_to_be_gained(network: Any) -> None:
    """Each head has its own keys, or another implementation was chosen."""
    config = copy.deepcopy(CONFIG)
    config.num_key_value_heads = config.num_attention_heads
    alone = transformers.LlamaForCausalLM(config).eval()
    network.set_attn_implementation("eager")

    assert not group_heads(alone)
    assert not group_heads(network)
    assert (alone.config._attn_implementation, network.config._attn_implementation) == ("sdpa", "eager")


def test_a_network_that_gives_other_logits_with_grouped_heads_stays(network: Any) -> None:
    """The change is not taken on trust: an architecture may compute something else under another name."""

    class Particular(transformers.LlamaForCausalLM):
        def forward(self, *args: Any, **rest: Any) -> Any:
            output = super().forward(*args, **rest)
            return output if self.config._attn_implementation == "sdpa" else replace(output, logits=-output.logits)

    particular = Particular(copy.deepcopy(CONFIG)).eval()

    assert not group_heads(particular)
    assert particular.config._attn_implementation == "sdpa"
