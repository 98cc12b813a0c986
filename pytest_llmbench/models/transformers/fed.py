"""What scoring needs of rows in flight."""

from collections.abc import Sequence
from typing import Any, Protocol


class Fed(Protocol):
    """Rows whose prompts have been fed."""

    @property
    def logits(self) -> Any:
        """[R, V], of what comes next."""

    def look_ahead(self, places: Sequence[int], ids: Sequence[Sequence[int]]) -> Any:
        """Return the logits [N, T, V] after each of T tokens that are fed to copies of some rows."""
