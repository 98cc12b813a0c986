"""A judge's replies to the answers of a plan: asked for as those come in, by a producer of its own.

A test waits for its own replies alone.  What comes in while the judge is at work is asked next, in one go.

A judge that shares this machine with the model it judges is opened only after that model is closed, and closed
before the next is opened.  Any other works beside the models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.errors import Caught, caught
from pytest_llmbench.models.base import Identity, Model
from pytest_llmbench.runner.prefetch import Prefetcher
from pytest_llmbench.runner.slots import ModelPlan, PlannedItem, Progress, directly
from pytest_llmbench.values import Answer, AnswerError, Request

Answers = Sequence[Answer | AnswerError]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """What a judge is asked.

    `items` maps each item to be judged to the role of its model; `requests(key, answers)` gives what is asked about
    its answers.  `n_replies` is how many replies are wanted at most.  `through` is as in `ModelPlan`.  `alone_with`
    are the roles whose models may not be open at the same time.  `objection(role, identity)` gives the reason why
    the judge may not judge that model, now that it is known what it is; None if it may.
    """

    name: str
    open: Callable[[], Model]
    items: Mapping[str, str]
    requests: Callable[[str, Answers], tuple[Request, ...]]
    n_replies: int
    objection: Callable[[str, Identity], str | None]
    through: Callable[[Model], Model] = directly
    alone_with: frozenset[str] = frozenset()


class Judge:
    """The producer of one run's replies. It listens to the producer of answers (see `Listener`).

    An item is dealt to it when its answers are there and its model is not in the way.
    """

    def __init__(self, plan: JudgePlan):
        self._plan = plan
        self._replies = Prefetcher(
            [
                ModelPlan(
                    role=plan.name,
                    open=plan.open,
                    items=tuple(PlannedItem(key=key, requests=None) for key in plan.items),
                    through=plan.through,
                    n_requests=plan.n_replies,
                    objection=lambda key, identity: plan.objection(plan.items[key], identity),
                )
            ],
            is_dealt=True,
            name="judge",
        )
        self._held_back: dict[str, list[str]] = {role: [] for role in plan.alone_with}

    @property
    def identity(self) -> Identity | None:
        """What the judge is, once it is opened."""
        return self._replies.identities.get(self._plan.name)

    def start(self) -> None:
        """Begin to wait for answers."""
        self._replies.start()

    # -- called by the producer of answers, in its thread

    def answered(self, key: str, answers: Answers) -> None:
        """Take the answers of an item, to be judged when its turn comes."""
        role = self._plan.items.get(key)
        if role is None:
            return
        made = caught(self._plan.requests, key, answers)
        if isinstance(made, Caught):
            self._replies.supply(key, AnswerError(cause=f"the judge's prompt broke: {made.cause}\n{made.details}"))
        else:
            self._replies.supply(key, made)
        if role in self._held_back:
            self._held_back[role].append(key)
        else:
            self._replies.deal([key])

    def closed(self, role: str) -> None:
        """Have the items of a closed model judged; a judge that may not be open beside the next one is closed first."""
        self._replies.deal(self._held_back.pop(role, []))
        if self._plan.alone_with:
            self._replies.rest()

    # -- called by tests

    def take(self, key: str, while_waiting: Callable[[Progress], None] | None = None) -> Answers:
        """Wait for the replies about an item, in the order of its requests; none for one that is not judged.

        After `close`, what has not come is an error with the cause "stopped".
        """
        return self._replies.wait(key, while_waiting) if key in self._plan.items else ()

    def arrived(self, key: str) -> Answers:
        """Give what has come about an item by now; as `take`, but without waiting."""
        return self._replies.so_far(key) if key in self._plan.items else ()

    def close(self) -> None:
        """Stop sending requests; returns within about a second."""
        self._replies.close()
