"""Providers that people name, each the provider `openai` with keys of its own (docs/models.md, "Presets").

A key that an entry writes itself comes before that of its preset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a provider needs.

    `keys` are those of an entry, with their values.  `url_env` names a variable that holds the base URL where the
    entry has none.  `needs_key` is False where servers may have none.  `refuses` are the extras
    (`openai.request_body.Extra`) that its servers are known to refuse or ignore.
    """

    keys: Mapping[str, object]
    url_env: str | None = None
    needs_key: bool = True
    refuses: frozenset[str] = field(default_factory=frozenset)


def _hosted(base_url: str, api_key_env: str, *refuses: str, **keys: object) -> Preset:
    return Preset(keys={"base_url": base_url, "api_key_env": api_key_env, **keys}, refuses=frozenset(refuses))


def _own(port: int, api_key_env: str) -> Preset:
    return Preset(keys={"base_url": f"http://localhost:{port}/v1", "api_key_env": api_key_env}, needs_key=False)


AZURE = "azure"

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        AZURE: Preset(keys={"api_key_env": "AZURE_OPENAI_API_KEY"}, url_env="AZURE_OPENAI_ENDPOINT"),
        "ollama": _own(11434, "OLLAMA_API_KEY"),
        "vllm": _own(8000, "VLLM_API_KEY"),
        "lmstudio": _own(1234, "LMSTUDIO_API_KEY"),
        "openrouter": _hosted("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        "anthropic": _hosted(
            "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "logprobs", "response_format", omit=("seed",)
        ),
        "gemini": _hosted(
            "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", "logprobs", omit=("seed",)
        ),
        "groq": _hosted("https://api.groq.com/openai/v1", "GROQ_API_KEY", "logprobs"),
        "mistral": _hosted(
            "https://api.mistral.ai/v1", "MISTRAL_API_KEY", "logprobs", "stream_options", omit=("seed",)
        ),
    }
)
"""By the name that an entry gives as its provider."""

_NONE = Preset(keys={})


def preset_of(provider: str) -> Preset:
    """Give the preset of a provider; of one that has none, an empty one."""
    return PRESETS.get(provider, _NONE)
