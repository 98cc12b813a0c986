"""What a run must know of a model before it is opened: the traits of the providers, and of those that give none."""

from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench import Entry, OpenSettings, PromptStyle, Traits
from pytest_llmbench.models.base import Model
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.entries import OpenAIEntry, TransformersEntry

MODELS = """\
[local]
provider = "transformers"
model = "some/model"
[placed]
provider = "transformers"
model = "some/model"
device = "cuda:1"
[spread]
provider = "transformers"
model = "some/model"
device_map = "auto"
[api]
provider = "openai"
model = "gpt"
[served]
provider = "openai"
model = "gpt"
serve = "serve --port {port}"
[recorded]
provider = "recorded"
answers = "answers.jsonl"
[function]
provider = "python"
target = "app:answer"
[function-of-a-version]
provider = "python"
target = "app:answer"
version_of = ["app"]
[service]
provider = "http"
url = "http://host/chat"
[service-of-a-version]
provider = "http"
url = "http://host/chat"
version = "3"
"""


def spec(folder: Path, name: str) -> ModelSpec:
    file = folder / "models.toml"
    file.write_text(MODELS)
    (found,) = Catalog(file, {}).choose([name], folder)
    return found


@pytest.mark.parametrize(
    ("name", "traits"),
    [
        ("local", Traits(is_local=True, is_free=True, takes_device=True, scores_choices=True)),
        ("placed", Traits(is_free=True, takes_device=True, is_placed=True, scores_choices=True)),
        ("spread", Traits(is_free=True, takes_device=True, is_placed=True, scores_choices=True)),
        ("api", Traits(is_local=False, is_api=True, takes_tools=True)),
        ("served", Traits(is_local=True, is_free=True, is_api=True, takes_tools=True)),
        ("recorded", Traits(is_local=False, is_free=True, is_recorded=True, scores_choices=True)),
        ("function", Traits(takes_inputs=True, takes_tools=True, reports_cost=True, is_unversioned=True)),
        ("function-of-a-version", Traits(takes_inputs=True, takes_tools=True, reports_cost=True)),
        (
            "service",
            Traits(
                is_local=False, is_api=True, takes_inputs=True, takes_tools=True, reports_cost=True, is_unversioned=True
            ),
        ),
        (
            "service-of-a-version",
            Traits(is_local=False, is_api=True, takes_inputs=True, takes_tools=True, reports_cost=True),
        ),
    ],
)
def test_each_provider_knows_the_traits_of_its_entries(tmp_path: Path, name: str, traits: Traits) -> None:
    """They follow from the entry alone: nothing is opened, and no key, folder or file is looked for."""
    assert spec(tmp_path, name).traits == traits


class Bare:
    """A provider of another package, with what a provider must have and no more."""

    entry_type = Entry
    target_field = "provider"

    def prompt_style(self, entry: Any) -> PromptStyle | None:
        del entry
        return None

    def open(self, entry: Any, settings: OpenSettings) -> Model:
        raise NotImplementedError


def test_a_provider_without_traits_gets_the_safe_ones() -> None:
    """Nothing is known of its models: they may be local and may cost, and they are asked and stored as any other."""
    unknown = ModelSpec(role="m", name="m", entry=Entry(provider="bare"), provider=Bare())

    assert unknown.traits == Traits(is_local=True, is_free=False, is_recorded=False, is_api=False)


def test_requests_of_a_local_model_are_written_for_a_server_of_it() -> None:
    """A batch of requests names the model and the API of its prompt style."""
    from pytest_llmbench.models.transformers.provider import PROVIDER

    entry = TransformersEntry(provider="transformers", model="some/model", prompt_style="completion")

    assert PROVIDER.batch_entry(entry) == OpenAIEntry(provider="openai", model="some/model", api="completions")
