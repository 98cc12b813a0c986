"""Grading ahead of the tests: answers are graded as they arrive, several at once (`--llm-graders`).

Only graders that state it (`GraderKind.is_parallel`) are called in these threads: such a one waits for processes of
its own, while any other would only hold Python's lock, and a user's function was never promised threads.  A test
takes the grades of its item, so that the order of the tests, and what they report, is the same as without.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from pytest_llmbench.grading.parallel import MOST
from pytest_llmbench.models.base import Traits
from pytest_llmbench.runner.grade import Grades
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.runner.slots import Listener
from pytest_llmbench.values import Answer, AnswerError

if TYPE_CHECKING:
    from concurrent.futures import Future

Answers: TypeAlias = Sequence[Answer | AnswerError]

_WAIT_SLICE_S = 0.2


def default_graders(models: Iterable[Traits], n_cores: int, *, has_gpu: bool, is_worker: bool) -> int:
    """Give how many answers are graded at once unless it is said: one where the cores have other work.

    Args:
        models: those of the run.
        n_cores: that this process may use.
        has_gpu: local models run on a GPU.
        is_worker: this process is one of several that share the cores (xdist).
    """
    takes_cores = any(model.is_local and not (model.takes_device and has_gpu) for model in models)
    return 1 if is_worker or takes_cores else max(1, min(MOST, n_cores - 1))


class GradingAhead:
    """Grades items as their answers arrive. It listens to the producer of answers (see `Listener`).

    Args:
        items: those that may be graded so, by key.
        grade: gives the grades of an item's answers; raises nothing.
        n_graders: so many items are graded at once.
        listener: another one, called behind this.
    """

    def __init__(
        self,
        items: Mapping[str, Item],
        grade: Callable[[Item, Answers], Grades],
        n_graders: int,
        listener: Listener | None = None,
    ):
        from concurrent.futures import ThreadPoolExecutor

        self._items = items
        self._grade = grade
        self._listener = listener
        self._pool = ThreadPoolExecutor(n_graders, thread_name_prefix="llmbench-grader")
        self._futures: dict[str, Future[Grades]] = {}
        self._is_closed = False

    # -- called by the producer of answers, in its thread

    def answered(self, key: str, answers: tuple[Answer | AnswerError, ...]) -> None:
        """Have the answers of an item graded."""
        item = self._items.get(key)
        if item is not None and not self._is_closed and any(isinstance(answer, Answer) for answer in answers):
            try:
                self._futures[key] = self._pool.submit(self._grade, item, answers)
            except RuntimeError:  # closed meanwhile: the answers are graded when they are taken
                self._is_closed = True
        if self._listener is not None:
            self._listener.answered(key, answers)

    def closed(self, role: str) -> None:
        """Do nothing: an answer may be graded when its model is closed."""
        if self._listener is not None:
            self._listener.closed(role)

    # -- called by tests

    def take(self, key: str, while_waiting: Callable[[], None] | None = None) -> Grades | None:
        """Wait for the grades of an item whose answers are there; None where it is not graded ahead.

        Args:
            key: the item's.
            while_waiting: called every 0.2 s.
        """
        future = self._futures.get(key)
        if future is None or (self._is_closed and future.cancel()):
            return None
        while True:
            try:
                grades = future.result(_WAIT_SLICE_S)
            except TimeoutError:
                if while_waiting is not None:
                    while_waiting()
            else:
                del self._futures[key]
                return grades

    def close(self) -> None:
        """Grade nothing more that has not begun; returns at once."""
        self._is_closed = True
        self._pool.shutdown(wait=False)
        for future in tuple(self._futures.values()):
            future.cancel()
