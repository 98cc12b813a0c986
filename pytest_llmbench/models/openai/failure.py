"""What one attempt at a request can end with other than an answer."""

import email.utils
import math
import time
from collections.abc import Mapping
from enum import Enum, auto

from pytest_llmbench.models.openai.request_body import Extra
from pytest_llmbench.models.openai.retries import Load
from pytest_llmbench.values import AnswerError

RETRIED_STATUSES = frozenset({408, 409, 429})
FULL_STATUSES = frozenset({429, 503})
BODY_STATUSES = frozenset({400, 422})
FORBIDDEN_AT_FIRST = 3
"""So many replies of HTTP 403, with no answer before them, mean that the key is refused.

A firewall or a moderation answers so to a single prompt, which may be the first one.
"""


class Retry(Enum):
    """What another attempt may bring."""

    FATAL = auto()
    """Nothing, and no request of this model can succeed."""
    NEVER = auto()
    """The same failure."""
    LATER = auto()
    """An answer, after a pause."""
    AT_ONCE = auto()
    """An answer, on a new connection: the one kept from an earlier reply was closed before a byte came."""
    UNREACHED = auto()
    """An answer, after a pause, if the server is there by then: no connection was made."""


class Failure(Exception):
    """One attempt at a request failed.

    Args:
        cause: what happened, for people.
        retry: what another attempt may bring.
        status: the HTTP status it met; None where there was none.
        asked_pause_s: the pause the server asked for.
        blamed: the extras that the server does not know, by its own words.
        refusal: the content filter of the provider, where that is why.
    """

    def __init__(
        self,
        cause: str,
        retry: Retry = Retry.NEVER,
        *,
        status: int | None = None,
        asked_pause_s: float | None = None,
        blamed: frozenset[Extra] = frozenset(),
        refusal: str | None = None,
    ):
        super().__init__(cause)
        self.cause = cause
        self.retry = retry
        self.status = status
        self.asked_pause_s = asked_pause_s
        self.blamed = blamed
        self.refusal = refusal

    @property
    def is_retryable(self) -> bool:
        """Whether another attempt may succeed."""
        return self.retry not in (Retry.FATAL, Retry.NEVER)

    def as_error(self, attempts: int, in_flight: int, *, is_let_in: bool) -> AnswerError:
        """Give the error of a request that is given up after so many attempts.

        Args:
            attempts: made of it.
            in_flight: requests at most.
            is_let_in: the server has answered some request.
        """
        cause = self.cause if attempts == 1 else f"{self.cause} ({attempts} attempts)"
        # where nobody ever answered, all other requests would wait as long for nothing
        is_fatal = self.retry is Retry.FATAL or (self.retry is Retry.UNREACHED and not is_let_in)
        return AnswerError(cause=cause, attempts=attempts, concurrency=in_flight, is_fatal=is_fatal)

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
