"""What one attempt at a request can end with other than an answer."""

import email.utils
import math
import time
from collections.abc import Mapping

from pytest_llmbench.models.openai.request_body import Extra
from pytest_llmbench.models.openai.retries import Load

RETRIED_STATUSES = frozenset({408, 409, 429})
FULL_STATUSES = frozenset({429, 503})
BODY_STATUSES = frozenset({400, 422})
FORBIDDEN_AT_FIRST = 3
"""So many replies of HTTP 403, with no answer before them, mean that the key is refused.

A firewall or a moderation answers so to a single prompt, which may be the first one.
"""


class Failure(Exception):
    """One attempt at a request failed.

    Args:
        cause: what happened, for people.
        is_retryable: another attempt may succeed.
        is_fatal: no request of this model can succeed.
        status: the HTTP status it met; None where there was none.
        asked_pause_s: the pause the server asked for.
        blamed: the extras that the server does not know, by its own words.
        was_kept: it was sent on a connection kept from an earlier reply, and that was closed before a byte came.
        refusal: the content filter of the provider, where that is why.
        is_unreached: no connection was made.
    """

    def __init__(
        self,
        cause: str,
        *,
        is_retryable: bool = False,
        is_fatal: bool = False,
        status: int | None = None,
        asked_pause_s: float | None = None,
        blamed: frozenset[Extra] = frozenset(),
        was_kept: bool = False,
        refusal: str | None = None,
        is_unreached: bool = False,
    ):
        super().__init__(cause)
        self.cause = cause
        self.is_retryable = is_retryable
        self.is_fatal = is_fatal
        self.status = status
        self.asked_pause_s = asked_pause_s
        self.blamed = blamed
        self.was_kept = was_kept
        self.refusal = refusal
        self.is_unreached = is_unreached

    @property
    def is_about_body(self) -> bool:
        """Whether the server could not take what it was sent."""
        return self.status in BODY_STATUSES

    @property
    def load(self) -> Load:
        """What it tells about how busy the server is."""
        if self.status in FULL_STATUSES:
            return Load.REFUSED
        is_mine = self.status is not None and not is_retried(self.status)
        return Load.SERVED if is_mine else Load.UNKNOWN


def is_retried(status: int) -> bool:
    """Tell whether a request that met this HTTP status is worth sending again."""
    return status in RETRIED_STATUSES or not 400 <= status < 500


def asked_pause_s(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` (RFC 9110, 10.2.3: seconds or a date), or OpenAI's `retry-after-ms`."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            pause_s = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if math.isfinite(pause_s) and pause_s >= 0:
            return pause_s
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())
