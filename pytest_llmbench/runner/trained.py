"""Which cases of a run its models were trained on, as far as anything is known of it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pytest_llmbench.models.base import HasTraining
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.values import Prompt

if TYPE_CHECKING:
    from pytest_llmbench.models.training_manifest import TrainingManifest


class TrainedCases:
    """Tells of each item whether its model was trained on it; what is known of a model is read once."""

    def __init__(self) -> None:
        self._known: dict[str, TrainingManifest | None] = {}

    def read(self, items: Iterable[Item]) -> None:
        """Read what is known of the models of items.

        Raises:
            UsageFault: it cannot be read.
        """
        for item in items:
            self._manifest(item)

    def why(self, item: Item, prompt: Prompt) -> Literal[False] | str | None:
        """Tell why an item's model counts as trained on its case; False if it was not, None if nothing is known."""
        known = self._manifest(item)
        if known is None:
            return None
        from pytest_llmbench.models.training_manifest import CaseToMatch

        case = item.case
        found = known.why_trained(
            CaseToMatch(suite=case.suite, id=case.id, sha256=case.sha256, cluster=case.cluster, prompt=prompt)
        )
        return False if found is None else str(found)

    def _manifest(self, item: Item) -> "TrainingManifest | None":
        role, provider = item.spec.role, item.spec.provider
        if role not in self._known:
            self._known[role] = provider.training(item.spec.entry) if isinstance(provider, HasTraining) else None
        return self._known[role]
