"""Stop strings end answers, not reasoning: they are looked for behind the reasoning, in whole and in growing texts."""

from collections.abc import Callable, Iterable

from pytest_llmbench.models.reasoning import TAIL_CHARACTERS, Marks, separate


def first_stop(text: str, stop: Iterable[str]) -> int | None:
    """Find where the first stop string in a text begins; None if there is none."""
    return min((place for place in (text.find(word) for word in stop if word) if place >= 0), default=None)


def cut_at_stop(text: str, stop: Iterable[str], marks: Marks | None, *, has_reasoning: bool = False) -> str | None:
    """Cut a text before the first stop string in its answer, reasoning kept; None if there is none.

    `transformers serve` (5.23) and others stop at the string but leave it in the text.

    Args:
        text: what a model wrote.
        stop: the strings.
        marks: of its reasoning.
        has_reasoning: some came in a field of its own, so white space at the beginning is no part of the answer.
    """
    found = separate(text, marks)
    start = found.end - len(found.text.lstrip()) if has_reasoning else found.start
    place = first_stop(text[start : found.end], stop)
    return None if place is None else text[: start + place]


_LONGEST_BEGINNING = 400
"""Characters: a longer text that is undecided is no beginning of a mark, and waits for a closing one."""


class AnswerWatch:
    """Follows a growing text: whether its answer has begun, and whether a stop string has ended it.

    `is_open` tells that it is within its reasoning, `is_behind` that its answer stands behind some.

    Args:
        marks: of the reasoning.
        stop: the strings that end an answer.
        is_patient: the model is known to reason, so a text without an opening mark may still turn out to be
            reasoning that the chat template opened: no stop string ends it before a closing mark.
    """

    def __init__(self, marks: Marks | None, stop: Iterable[str], *, is_patient: bool = False):
        self.has_begun = False
        self.is_ended = False
        self._marks = marks
        self._stop = tuple(word for word in stop if word)
        self._is_patient = is_patient
        self._is_waiting = False
        self.is_open = False
        self.is_behind = False

    @property
    def tail_characters(self) -> int:
        """How many characters at the end of a text `look` needs to see, beside those that are new."""
        return max(TAIL_CHARACTERS, *(len(word) for word in self._stop), 0)

    def look(self, tail: str, whole: Callable[[], str], *, has_reasoning: bool = False) -> None:
        """Take note of what the text has grown to.

        Args:
            tail: its end, with all that is new.
            whole: gives all of it, asked for where the end is not enough.
            has_reasoning: some came in a field of its own.
        """
        may_end = self._marks is not None and self._marks.may_end(tail)
        if (self.is_open or self._is_waiting) and not may_end:
            return
        if self.has_begun and not may_end and not any(word in tail for word in self._stop):
            return
        text = whole()
        found = separate(text, self._marks, is_whole=False)
        self.is_open = found.is_open
        self.is_behind = has_reasoning or found.start > 0
        answer = found.text.lstrip() if self.is_behind else found.text
        is_undecided = self._marks is not None and self._marks.may_begin(text, found.start)
        self._is_waiting = is_undecided and len(found.text.strip()) > _LONGEST_BEGINNING
        self.has_begun = bool(answer) and not found.is_open and not is_undecided
        may_stop = self.has_begun and (self.is_behind or not self._is_patient)
        self.is_ended = may_stop and first_stop(answer, self._stop) is not None
