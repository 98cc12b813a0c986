"""What the models of a run are asked, and who hears of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pytest_llmbench.exchanges import SharedModel
from pytest_llmbench.models import Model
from pytest_llmbench.values import Answer, AnswerError, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """All samples of one item. `needs_model` keeps the model open until the item is done."""

    key: str
    requests: tuple[Request, ...]
    needs_model: bool = False


def directly(model: Model) -> Model:
    """Put nothing between a plan and its model."""
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """What one model is asked.

    `through` gives what the plan's requests go through, such as the answer store; what tests ask the
    model themselves does not.  `check` is called with the model, requests and answers when all are asked, before
    it is closed.
    """

    role: str
    open: Callable[[], Model]
    asks: tuple[Ask, ...]
    through: Callable[[Model], Model] = directly
    check: "Check | None" = None


Check: TypeAlias = Callable[[SharedModel, Sequence[Request], Sequence[Answer | AnswerError]], None]


class Listener(Protocol):
    """Hears from the thread that asks what it has come to. It raises nothing."""

    def answered(self, key: str, answers: tuple[Answer | AnswerError, ...]) -> None:
        """Hear that an item has all its answers, once for each."""
        ...

    def closed(self, role: str) -> None:
        """Hear that a model is closed; the next one is opened when this returns."""
        ...
