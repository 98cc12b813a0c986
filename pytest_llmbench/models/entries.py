"""What an entry of the models file may say, per provider, as pydantic classes.

Unknown keys are refused.  Paths are made absolute by the catalog, against the file the
entry stands in, before a provider sees them (fields marked `PathText`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pytest_llmbench.models.presets import preset_of
from pytest_llmbench.models.validation import Count, NotNegative, Positive, PositiveShare, Switch, Text, Whole, kept

PATH = "path"
PathText = Annotated[str, PATH]
"""A text that names a file or folder, relative to the models file."""

TrainingText = Annotated[str | None, PATH]
"""The file that says what a model was trained on, which cannot be looked for beside its weights."""

PATH_OR_ID = "path or id"
PathOrIdText = Annotated[str, PATH_OR_ID]
"""A path if it starts with `.`, `/` or `~`, ends in `.gguf`, or exists beside the models file; else a hub id."""

PATH_OR_MODULE = "path or module"
"""Marks a list of names: a path if it exists beside the models file or is no name of a module, else a module."""


class Strict(BaseModel):
    """A table with no other keys than those named."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), defer_build=True)


def _stops(given: object) -> object:
    if not isinstance(given, str | list | tuple):
        raise ValueError("must be a text or a list of texts")
    return (given,) if isinstance(given, str) else given


Stops = Annotated[tuple[Text, ...], BeforeValidator(_stops, json_schema_input_type=Text | list[Text])]
"""Texts at which an answer ends; one may stand for itself."""


class SamplingKeys(Strict):
    """Parts of a sampling; what is not set is left to the suite."""

    max_tokens: Count | None = None
    temperature: NotNegative | None = None
    top_p: PositiveShare | None = None
    stop: Stops | None = None
    seed: Whole | None = None


def _reasoning(given: object) -> object:
    if given in ("auto", "none"):
        return given
    is_pair = isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(mark, str) for mark in given)
    if not is_pair or not all(mark.strip() for mark in given) or given[0] == given[1]:  # type: ignore[index,attr-defined]
        raise ValueError('must be "auto", "none", or a list of two different marks, as ["<think>", "</think>"]')
    return tuple(given)  # type: ignore[arg-type]


Reasoning = Annotated[
    Literal["auto", "none"] | tuple[str, str],
    BeforeValidator(_reasoning, json_schema_input_type=Literal["auto", "none"] | tuple[Text, Text]),
]
"""Where a model's reasoning stands: between known marks, nowhere, or between two marks of its own."""


def _device_map(given: object) -> object:
    is_table = isinstance(given, Mapping) and all(type(device) in (int, str) for device in given.values())
    if not isinstance(given, str) and not is_table:
        raise ValueError('must be a text such as "auto", or a table of layers and their devices')
    return given


class Price(Strict):
    """US dollars per million tokens."""

    input_per_million: NotNegative
    output_per_million: NotNegative


class Entry(Strict):
    """What every entry may say."""

    provider: str
    prompt_style: Literal["chat", "completion", "auto"] = "auto"
    concurrency: Count | None = None
    sampling: SamplingKeys = SamplingKeys()
    price: Price | None = None
    reasoning: Reasoning = "auto"
    reasoning_tokens: Annotated[int, Field(ge=0), kept(int, float)] | None = None


def _no_client(address: str) -> str:
    if address.startswith("ray://"):
        raise ValueError(
            "cannot be ray://, Ray Client is limited for such work; run pytest on a node of the cluster, or with "
            "ray job submit -- pytest ..."
        )
    return address


def _without_keys(given: dict[str, Any]) -> dict[str, Any]:
    variables = given.get("env_vars")
    for name in variables if isinstance(variables, dict) else ():
        if any(word in str(name).upper() for word in ("KEY", "TOKEN", "SECRET", "PASSWORD")):
            raise ValueError(f"holds {name}, and a key does not belong into a file; set it on the nodes")
    return given


class ClusterKeys(Strict):
    """Where the replicas of a model are: a Ray cluster, and what each of them needs there."""

    address: Annotated[str, Field(min_length=1), AfterValidator(_no_client)] = "auto"
    replicas: Count | None = None
    gpus: NotNegative = 0
    cpus: NotNegative = 1
    memory_gib: Positive | None = None
    resources: dict[str, Positive] = {}
    wait_s: NotNegative = 0
    ship: Switch = True
    runtime_env: Annotated[dict[str, Any], AfterValidator(_without_keys)] = {}


class Replicable(Entry):
    """A model that may be opened several times, on the nodes of a cluster."""

    cluster: ClusterKeys | None = None


class TransformersEntry(Replicable):
    """A local model through torch and transformers.

    `model` is a hub id, a folder, a `.gguf` file, or `package:NAME/FILE` (a file inside an
    installed Python package).
    """

    model: PathOrIdText
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: str = "auto"
    device_map: Annotated[str | dict[str, int | str] | None, BeforeValidator(_device_map)] = None
    revision: str | None = None
    adapter: Annotated[str | None, PATH_OR_ID] = None
    quantization: Literal["int8", "int4"] | None = None
    merge_adapter: Switch | None = None
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    prefix_cache: Switch = True
    trust_remote_code: Switch = False
    threads: Count | None = None

    @field_validator("merge_adapter")
    @classmethod
    def _has_what_it_merges(cls, merge: bool | None, info: ValidationInfo) -> bool | None:
        if merge is not None and info.data.get("adapter") is None:
            raise ValueError("there is no adapter to merge; name one as adapter, or leave merge_adapter out")
        if merge and info.data.get("quantization") is not None:
            raise ValueError(
                "an adapter cannot be merged into quantised weights; leave out merge_adapter or quantization"
            )
        return merge


class OpenAIEntry(Entry):
    """An API that speaks OpenAI's protocol; what its provider's preset says fills the keys that are not written."""

    model: Text
    base_url: Text | None = None
    api: Literal["chat", "completions"] = "chat"
    api_key_env: str = "OPENAI_API_KEY"
    headers_env: dict[str, str] = {}
    extra_body: dict[str, object] = {}
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    omit: tuple[Literal["max_tokens", "temperature", "top_p", "stop", "seed"], ...] = ()
    api_version: Text | None = None
    stream: Switch = True
    timeout_s: Positive | None = None
    max_retries: Whole = Field(default=4, ge=0)
    serve: str | None = None
    serve_timeout_s: Positive = 600
    training: TrainingText = None

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        keys = dict(preset_of(str(table.get("provider"))).keys)
        if table.get("serve") is not None:  # then the server has an address of its own
            keys.pop("base_url", None)
        return {**keys, **table}


class RecordedEntry(Entry):
    """Answers from a file: JSON lines, or an OpenAI batch output file."""

    answers: PathText
    training: TrainingText = None
