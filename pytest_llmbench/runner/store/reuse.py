"""Which stored answers are used again."""

from enum import StrEnum


class Reuse(StrEnum):
    """Which stored answers are used again."""

    AUTO = "auto"
    """Those of the last runs of the model in its role that did not finish, back to one that did."""
    ALL = "all"
    """Any with the same request, the newest first."""
    NONE = "none"
