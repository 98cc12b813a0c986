"""The providers of a configuration as entries of a models file, which is printed and never written.

A key, a token or a password is never copied: an entry names the environment variable instead.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from pytest_llmbench.importers.base import NotMapped, Place, Unmapped, slug
from pytest_llmbench.importers.source import Value
from pytest_llmbench.models.presets import preset_of

_PRESETS: Mapping[str, str] = {
    **{name: name for name in ("openai", "openrouter", "ollama", "anthropic", "groq", "mistral", "vllm", "azure")},
    "google": "gemini",
}
"""The provider here by the one of promptfoo."""

_STYLES = frozenset({"chat", "messages", "responses", "completion", "chatcompletion"})
_SAMPLING = {"temperature": "temperature", "max_tokens": "max_tokens", "top_p": "top_p", "seed": "seed", "stop": "stop"}
_SECRET = re.compile(r"(?i)(?:api_?key|authorization|token|secret|password|cookie|credential)")
_CODE = re.compile(r"\.(?:[cm]?[jt]sx?|rb|sh|go)(?::\w+)?$")
_MEMBER = re.compile(r"json(?P<path>(?:\.[A-Za-z_]\w*|\[\d+\])+)")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def models_file(providers: Value) -> tuple[list[str], list[Unmapped], list[str]]:
    """Give the lines of a models file, what has no entry, and the secrets that were left behind."""
    lines: list[str] = []
    refused: list[Unmapped] = []
    secrets: list[str] = []
    for entry in providers.items:
        try:
            lines += [*_entry(entry, secrets), ""]
        except NotMapped as fault:
            refused.append(fault.unmapped)
    return lines, refused, secrets


def secrets_below(value: Value, at: str = "") -> Iterator[tuple[str, Place]]:
    """Give the keys below a value that hold a secret, with their places."""
    for key in value.keys:
        entry = value.value[key]
        if _SECRET.search(key) and isinstance(entry.value, str) and not _is_no_secret(key):
            yield f"{at}{key}", entry.place
        else:
            yield from secrets_below(entry, f"{at}{key}.")
    if isinstance(value.value, list):
        for entry in value.value:
            yield from secrets_below(entry, at)


def _is_no_secret(key: str) -> bool:
    return bool(re.search(r"(?i)max_?(?:completion_|output_)?tokens|envar$|_env$", key))


def _entry(entry: Value, secrets: list[str]) -> Iterator[str]:
    name, config, label = _parts(entry)
    place = entry.place
    kind, _, target = name.partition(":")
    if name.startswith("file://") or kind in ("exec", "package") or _CODE.search(name):
        raise NotMapped(f'the provider "{name}" is code; write a provider `python` or `http` for it.', place)
    for key, where in secrets_below(config):
        secrets.append(f"{where}: the secret in `{key}` is not copied; set the environment variable of the entry.")
    style, _, model = target.partition(":")
    shown = slug(label or (model if style in _STYLES and model else target) or kind) or "model"
    yield f"[{shown}]"
    reply = _reply(entry, config)
    if kind in ("http", "https"):
        url = name if "//" in name else str(_plain(config, "url") or "")
        yield 'provider = "http"'
        yield f"url = {json.dumps(url)}" if is_public(url) else "# url = ... (not copied: it may hold a secret)"
        yield from _headers_env(config, shown)
        yield reply or "# write `reply` as docs/applications.md describes"
        yield "# write `body` as docs/applications.md describes"
        return
    if kind == "python":
        module = re.sub(r"\.py$", "", target.removeprefix("file://").partition(":")[0]).replace("/", ".").strip(".")
        yield 'provider = "python"'
        yield f"target = {json.dumps(f'{module}:call_api')}"
        yield "# call_api(prompt, options, context) is promptfoo's; write a function as docs/applications.md describes"
        return
    if kind not in _PRESETS:
        raise NotMapped(f'the provider "{name}" has no preset; use `openai` with a `base_url`, or `python`.', place)
    yield from _model(kind, target, config)
    yield from _headers_env(config, shown)


def _headers_env(config: Value, model: str) -> Iterator[str]:
    """Give the variables for headers that hold a secret in the source: EXAMPLE_COM_AUTHORIZATION for Authorization."""
    found = config.get("headers")
    secrets = [key for key, _ in secrets_below(found)] if found is not None else []
    written = ", ".join(f"{json.dumps(name)} = {json.dumps(_variable(f'{model}_{name}'))}" for name in secrets)
    if written:
        yield f"headers_env = {{ {written} }}"


def _variable(words: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper()
    return f"_{name}" if name[:1].isdigit() else name


def _reply(entry: Value, config: Value) -> str:
    """Give where the text of a reply stands, for a provider `http`.

    Raises:
        NotMapped: code changes what is sent or what is graded.
    """
    for value, key in ((entry, "transform"), (config, "transformRequest"), (config, "responseParser")):
        code = value.get(key)
        if code is not None:
            message = f"`{key}` of a provider is code that changes what is graded; write an application without it"
            raise NotMapped(f"{message}, or pass --partial.", code.place)
    code = config.get("transformResponse")
    if code is None:
        return ""
    member = _MEMBER.fullmatch(str(code.value).strip())
    if member is None:
        message = "`transformResponse` of a provider is code that changes what is graded; have the service answer so"
        raise NotMapped(f"{message}, or pass --partial.", code.place)
    return f"reply = {{ text = {json.dumps('$' + member['path'])} }}"


def _model(kind: str, target: str, config: Value) -> Iterator[str]:
    style, _, model = target.partition(":")
    if style not in _STYLES or not model:
        model = target
    yield f'provider = "{_PRESETS[kind]}"'
    yield f"model = {json.dumps(model)}"
    if style == "completion":
        yield 'api = "completions"'
    base = _plain(config, "apiBaseUrl") or _plain(config, "baseURL")
    if isinstance(base, str) and is_public(base):
        yield f"base_url = {json.dumps(base)}"
    variable = _plain(config, "apiKeyEnvar")
    if variable is None and config.get("apiKey") is not None:
        variable = preset_of(_PRESETS[kind]).keys.get("api_key_env", "OPENAI_API_KEY")
    if isinstance(variable, str) and _VARIABLE.fullmatch(variable):
        yield f'api_key_env = "{variable}"'
    sampling = {own: _plain(config, key) for key, own in _SAMPLING.items()}
    written = ", ".join(f"{key} = {json.dumps(value)}" for key, value in sampling.items() if _is_setting(value))
    if written:
        yield f"sampling = {{ {written} }}"


def is_public(url: str) -> bool:
    """Return whether a URL has neither user nor query, in which keys are sent, and no template."""
    parts = urlsplit(url)
    return "{{" not in url and "@" not in parts.netloc and not parts.query


def _is_setting(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str) and "{{" not in one for one in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parts(entry: Value) -> tuple[str, Value, str | None]:
    """Give a provider's id, configuration and label."""
    nothing = Value({}, entry.place)
    if isinstance(entry.value, str):
        return entry.value, nothing, None
    named = entry.get("id")
    if named is not None:
        label = entry.get("label")
        return str(named.value), entry.get("config") or nothing, None if label is None else str(label.value)
    if len(entry.keys) == 1:
        inner = entry.value[entry.keys[0]]
        return entry.keys[0], inner.get("config") or nothing, None
    raise NotMapped("a provider has an `id`; write one.", entry.place)


def _plain(config: Value, key: str) -> Any:
    found = config.get(key)
    return None if found is None or found.odd else found.plain()
