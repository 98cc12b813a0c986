"""Layers made faster give what they gave, and what cannot be made faster stays as it was."""

import copy
import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from pytest_llmbench.models.transformers.cpu_layers import GROUPED_HEADS, pack_linear_layers, speed_up

CONFIG = transformers.LlamaConfig(
    num_hidden_layers=2,
    hidden_size=32,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=64,
    vocab_size=96,
)


@pytest.fixture(autouse=True)
def _no_grouped_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GROUPED_HEADS, "")
    monkeypatch.delenv(GROUPED_HEADS)


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(CONFIG).eval()


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

    undo = speed_up(network)

    assert os.environ[GROUPED_HEADS] == "1"
    torch.testing.assert_close(logits(network, n_rows), before)
    undo()
    assert GROUPED_HEADS not in os.environ


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


def test_a_choice_of_the_user_stands(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who set the variable for transformers keeps it."""
    monkeypatch.setenv(GROUPED_HEADS, "0")

    speed_up(network)()

    assert os.environ[GROUPED_HEADS] == "0"
