"""What a reading takes for granted beside its dialect."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manner:
    """How a statement is read beside its dialect.

    `is_hinted`: the case or suite names the dialect, and what it does by default counts (LIKE ignores case).
    `groups_loosely`: a column that nothing groups by has a value whatever the dialect.
    """

    is_hinted: bool = False
    groups_loosely: bool = False


PLAIN = Manner()
"""Nothing beside the dialect."""
