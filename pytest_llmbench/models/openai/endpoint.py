"""Where an entry's server is, and what lets us in."""

import hashlib
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.presets import AZURE, preset_of

OFFICIAL_URL = "https://api.openai.com/v1"
USUAL_PATHS = frozenset({"", "/v1"})
PLACEHOLDER_KEY = "no-key"
MESSAGE_LENGTH = 200
_VERSION = "api-version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an entry's server is, and what lets a request in. Never shown: it holds secrets."""

    url: str
    key: str = field(repr=False)
    key_variable: str
    headers: Mapping[str, str] = field(repr=False)
    is_loopback: bool
    is_azure: bool = False

    @property
    def has_key(self) -> bool:
        """The key is one, not the placeholder a loopback server gets."""
        return self.key != PLACEHOLDER_KEY

    @property
    def has_azure_key(self) -> bool:
        """Azure takes its key in a header of its own, and a token where the entry gives one in place of it."""
        has_token = any(name.lower() == "authorization" for name in self.headers)
        return self.is_azure and self.has_key and not has_token

    @property
    def address(self) -> str:
        """The URL without its query."""
        return urlunsplit(urlsplit(self.url)._replace(query="", fragment=""))

    @property
    def query(self) -> dict[str, str]:
        """What stands behind the path of each request."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def host(self) -> str:
        """Host and port, without anything that may be secret."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return f"{host}:{parts.port}" if parts.port is not None else host

    @property
    def path_digest(self) -> str | None:
        """A digest of the path, since it may hold secrets; None where it is a usual one, which tells nothing."""
        path = urlsplit(self.url).path.rstrip("/")
        return None if path in USUAL_PATHS else f"sha256:{hashlib.sha256(path.encode()).hexdigest()[:16]}"

    def masked(self, text: str, *, length: int = MESSAGE_LENGTH) -> str:
        """Give a text of a server without the secrets it may have echoed, on one line, cut to a readable length."""
        parts = urlsplit(self.url)
        secrets = {*self.headers.values()}
        for part in (parts.username, parts.password):  # a token may stand in either
            secrets |= {part, unquote(part)} if part else set()
        secrets |= {self.key} if self.has_key else set()
        secrets |= {value for name, value in self.query.items() if name != _VERSION}
        for secret in sorted(secrets - {""}, key=len, reverse=True):
            text = text.replace(secret, "***")
        line = " ".join(text.split())
        return line if len(line) <= length else line[: length - 1] + "…"


def endpoint_of(entry: OpenAIEntry) -> Endpoint:
    """Find an entry's server and secrets, in the entry and the environment.

    Raises:
        UsageFault: a variable is missing, or the address cannot be one.
    """
    url = _url(entry)
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageFault(
            f'Model "{entry.model}" has a base_url that is no web address; write one such as "http://127.0.0.1:8000/v1".'
        )
    _refuse_whole_path(entry, parts.path)
    is_loopback = is_loopback_host(parts.hostname or "")
    headers = {}
    for header, variable in entry.headers_env.items():
        headers[header] = _secret(variable)
        if not headers[header]:
            raise UsageFault(
                f'Model "{entry.model}" needs a value for the header {header}: set {variable}, '
                "or name another variable in headers_env."
            )
    key = _secret(entry.api_key_env)
    is_let_in = any(name.lower() in ("authorization", "api-key") for name in headers)
    has_other_way = is_loopback or parts.username or is_let_in or not preset_of(entry.provider).needs_key
    if not key and not has_other_way:
        raise UsageFault(
            f'Model "{entry.model}" needs an API key: set {entry.api_key_env}, '
            "or name another variable with api_key_env."
        )
    return Endpoint(
        url=url,
        key=key or PLACEHOLDER_KEY,
        key_variable=entry.api_key_env,
        headers=headers,
        is_loopback=is_loopback,
        is_azure=entry.provider == AZURE,
    )


def _url(entry: OpenAIEntry) -> str:
    if entry.provider == AZURE:
        return _azure_url(entry)
    return entry.base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL


def _azure_url(entry: OpenAIEntry) -> str:
    """Give the URL of a deployment: the model's name is that of its deployment.

    A base URL that ends in /openai/v1 is that of Azure's newer API, which has neither deployments nor versions.
    """
    variable = preset_of(AZURE).url_env or ""
    url = entry.base_url or os.environ.get(variable) or ""
    if not url:
        raise UsageFault(
            f'Model "{entry.model}" needs the address of its Azure resource: write base_url = '
            f'"https://RESOURCE.openai.azure.com" in its entry, or set {variable}.'
        )
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path.endswith("/openai/v1"):
        return url
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    version = entry.api_version or query.get(_VERSION) or os.environ.get("OPENAI_API_VERSION")
    if not version:
        raise UsageFault(
            f'Model "{entry.model}" needs the version of Azure\'s API: write api_version = "2024-10-21" in its entry, '
            "or a base_url that ends in /openai/v1."
        )
    if "/deployments/" not in path:
        path = f"{path.removesuffix('/openai')}/openai/deployments/{quote(entry.model, safe='')}"
    return urlunsplit(parts._replace(path=path, query=urlencode({**query, _VERSION: version})))


def _refuse_whole_path(entry: OpenAIEntry, path: str) -> None:
    for added in ("/chat/completions", "/completions"):
        if path.rstrip("/").endswith(added):
            raise UsageFault(
                f'Model "{entry.model}" has a base_url that ends in {added}, which is added to it: '
                f'cut "{added}" off, so that it ends before, as in "http://127.0.0.1:8000/v1".'
            )


def _secret(variable: str) -> str:
    """Read a secret; a line end that came with it from a file is no part of it."""
    value = os.environ.get(variable, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise UsageFault(f"{variable} holds characters that cannot be sent in a header; set it to plain ASCII.")
    return value


def is_loopback_host(host: str) -> bool:
    """Return whether a host is this machine's loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
