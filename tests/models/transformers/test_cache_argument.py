"""How a network takes its cache is found by feeding it a token, whatever its forward is called with."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import transformers

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.transformers.batch import CACHE_ARGUMENTS, cache_argument
from pytest_llmbench.models.transformers.provider import PROVIDER

CONFIG = transformers.LlamaConfig(
    vocab_size=32,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
)
NEW, OLD = CACHE_ARGUMENTS


class TakesCache(transformers.LlamaForCausalLM):
    """A network as of transformers 5.24: the old name is deprecated."""

    def forward(self, input_ids: Any, cache: Any = None, **rest: Any) -> Any:
        if OLD in rest:
            warnings.warn(f"`{OLD}` is deprecated", FutureWarning, stacklevel=2)
            cache = rest.pop(OLD)
        return super().forward(input_ids, **{LLAMA_TAKES: cache}, **rest)


class TakesPastKeyValues(transformers.LlamaForCausalLM):
    """A network as of transformers 5.23: any other keyword goes on to its layers, which ignore it."""

    def forward(self, input_ids: Any, past_key_values: Any = None, **rest: Any) -> Any:
        rest.pop(NEW, None)
        return super().forward(input_ids, **{LLAMA_TAKES: past_key_values}, **rest)


class TakesNoOther(transformers.LlamaForCausalLM):
    """A network whose forward refuses what it does not name."""

    def forward(
        self, input_ids: Any, attention_mask: Any = None, past_key_values: Any = None, use_cache: Any = None
    ) -> Any:
        return super().forward(
            input_ids, attention_mask=attention_mask, use_cache=use_cache, **{LLAMA_TAKES: past_key_values}
        )


class IgnoresIt(transformers.LlamaForCausalLM):
    def forward(self, input_ids: Any, past_key_values: Any = None, cache: Any = None, **rest: Any) -> Any:
        return super().forward(input_ids, **rest)


class RefusesIt(transformers.LlamaForCausalLM):
    def forward(self, input_ids: Any, attention_mask: Any = None, use_cache: Any = None) -> Any:
        return super().forward(input_ids, attention_mask=attention_mask)


LLAMA_TAKES = str(cache_argument(transformers.LlamaForCausalLM(CONFIG).eval()))


@pytest.mark.parametrize(
    ("kind", "argument"),
    [(TakesCache, NEW), (TakesPastKeyValues, OLD), (TakesNoOther, OLD), (IgnoresIt, None), (RefusesIt, None)],
)
def test_what_is_found(kind: Any, argument: str | None) -> None:
    """The new name where it works, without a warning for the old one; None where no cache is filled."""
    assert cache_argument(kind(CONFIG).eval()) == argument


def test_a_network_that_breaks_says_why() -> None:
    """A fault that is not about the argument is no sign that there is no cache."""

    class Breaks(transformers.LlamaForCausalLM):
        def forward(self, *args: Any, **rest: Any) -> Any:
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        cache_argument(Breaks(CONFIG).eval())


def test_a_model_without_a_cache_is_refused(tmp_path: Path) -> None:
    """The first GPT computes everything anew for each token."""
    config = transformers.OpenAIGPTConfig(vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    transformers.OpenAIGPTLMHeadModel(config).save_pretrained(tmp_path / "gpt")
    entry = TransformersEntry(provider="transformers", model=str(tmp_path / "gpt"), threads=1)

    with pytest.raises(ModelFault) as fault:
        PROVIDER.open(entry, OpenSettings(cache_dir=tmp_path / "cache"))

    assert str(fault.value) == (
        f'The model "{tmp_path / "gpt"}" cannot be used: this model cannot reuse its key-value cache here, which would '
        "make it unusably slow; choose another model."
    )


def test_recurrent_layers_fill_a_cache_too() -> None:
    """Their state is no keys and values; it counts where the network takes it under a name of attention's."""
    config = transformers.MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1, state_size=4)

    # Before transformers 5.24 Mamba takes it as `cache_params`.
    expected = NEW if LLAMA_TAKES == NEW else None
    assert cache_argument(transformers.MambaForCausalLM(config).eval()) == expected
