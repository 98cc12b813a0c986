"""Where a service is, and the headers that let a request in. Values of headers come from the environment alone.

Not covered: a secret in `body` or `query`, which are no place for one.
"""

import os
from urllib.parse import urlsplit

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.http.entry import HttpEntry
from pytest_llmbench.models.openai.endpoint import PLACEHOLDER_KEY, Endpoint, is_loopback_host


def endpoint_of(entry: HttpEntry) -> Endpoint:
    """Find an entry's address and headers.

    Raises:
        UsageFault: the address cannot be one, holds a password, or a variable is not set.
    """
    try:
        parts = urlsplit(entry.url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageFault(f'url = "{entry.url}" is no web address; write one such as "http://127.0.0.1:8000/api/chat".')
    if parts.username or parts.password:
        raise UsageFault(
            f"The url of {parts.hostname} holds a user or password; send it in a header, with its value in the "
            'environment: headers_env = { Authorization = "VARIABLE" }.'
        )
    if parts.query or parts.fragment:
        raise UsageFault(f'The url of {parts.hostname} has a query; write it as a table: query = {{ name = "value" }}.')
    headers = {}
    for header, variable in entry.headers_env.items():
        value = os.environ.get(variable, "").strip()
        if not value:
            raise UsageFault(
                f"The service at {parts.hostname} needs a value for the header {header}: set {variable}, or name "
                "another variable in headers_env."
            )
        if not (value.isascii() and value.isprintable()):
            raise UsageFault(f"{variable} holds characters that cannot be sent in a header; set it to plain ASCII.")
        headers[header] = value
    return Endpoint(
        url=entry.url,
        key=PLACEHOLDER_KEY,
        key_variable="",
        headers=headers,
        is_loopback=is_loopback_host(parts.hostname or ""),
    )
