"""Stop strings in whole and in growing texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.models.reasoning import AUTO
from pytest_llmbench.models.stops import AnswerWatch, cut_at_stop


@pytest.mark.parametrize(
    ("text", "stop", "cut"),
    [
        (" yes\n", ("\n",), " yes"),
        ("a;b\n", ("\n", ";"), "a"),
        ("\nyes", ("\n",), ""),
        ("yes", ("\n",), None),
        ("yes", (), None),
        ("yes", ("",), None),
        ("<think>a\nb</think>\n\nyes\nno", ("\n",), "<think>a\nb</think>\n\nyes"),
        ("<think>a\nb", ("\n",), None),
        ("a\nb</think>\nyes\n", ("\n",), "a\nb</think>\nyes"),
        ("analysisa\nassistantfinal\nyes\n", ("\n",), "analysisa\nassistantfinal\nyes"),
        ("<|channel|>final<|message|>yes<|return|>\n", ("\n",), None),
    ],
)
def test_cut_at_stop(text: str, stop: tuple[str, ...], cut: str | None) -> None:
    """A text is cut before the first of the stop strings in its answer, wherever it stands."""
    assert cut_at_stop(text, stop, AUTO) == cut


def test_space_behind_a_field() -> None:
    """Behind reasoning of a field of its own, white space is no part of the answer."""
    assert cut_at_stop("\n\nyes\nno", ("\n",), AUTO, has_reasoning=True) == "\n\nyes"
    assert cut_at_stop("\n\n", ("\n",), AUTO, has_reasoning=True) is None


def test_without_marks() -> None:
    """Where texts are not taken apart, the first stop string is the first in the text."""
    assert cut_at_stop("<think>a\nb</think>yes", ("\n",), None) == "<think>a"


def watched(text: str, step: int, *, is_patient: bool = False) -> list[tuple[bool, bool]]:
    watch = AnswerWatch(AUTO, ("\n",), is_patient=is_patient)
    seen = []
    for place in range(step, len(text) + step, step):
        part = text[:place]
        watch.look(part[-watch.tail_characters - step :], lambda part=part: part)
        seen.append((watch.has_begun, watch.is_ended))
    return seen


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "<think>a\nb</think>\n\nyes\n",
        "<think>a<think>\nb</think>\nc</think>\n\nyes\n",
        "<analysis>a\n</analysis>\n<reflection>\nb</reflection>yes\n",
        "<|channel|>analysis<|message|>a\n<|end|><|start|>assistant<|channel|>final<|message|>yes\n",
        "analysisa\nb assistantfinalyes\n",
        "◁think▷a\n◁/think▷yes\n",
        "yes\n",
    ],
)
def test_growing(text: str, step: int) -> None:
    """A growing text is ended by a stop string in its answer, and by none before."""
    seen = watched(text, step)

    assert seen[-1] == (True, True)
    assert not any(is_ended for _, is_ended in seen[:-2])


def test_white_space_first() -> None:
    """White space alone may still stand before a mark; with a word behind it, it is the answer's."""
    assert watched("\nyes", 1) == [(False, False), (True, True), (True, True), (True, True)]


def test_a_long_text_is_not_read_again_and_again() -> None:
    """What may be gpt-oss's reasoning without its marks is read whole only until it is long, and at its end."""
    watch = AnswerWatch(AUTO, ("\n",))
    text, n_read = "analysis", 0

    def whole() -> str:
        nonlocal n_read
        n_read += 1
        return text

    for piece in (*["it may\n"] * 1000, "assistantfinal", "yes", "\n"):
        text += piece
        watch.look(text[-watch.tail_characters :], whole)

    assert watch.is_ended
    assert n_read < 100


def test_patience() -> None:
    """Where a model is known to reason, nothing ends a text before a closing mark."""
    text = "a\nb\n</think>\nyes\n"

    assert (True, True) in watched(text.partition("</think>")[0], 1)
    assert not any(is_ended for _, is_ended in watched(text, 1, is_patient=True)[:-1])
    assert watched(text, 1, is_patient=True)[-1] == (True, True)


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "yes", "\n", " ", "[THINK]", "[/THINK]"]), max_size=8).map("".join)
)
def test_a_stop_that_ended_a_text_cuts_it(text: str) -> None:
    """Where a stop string ended a growing text, the text as far as it came is cut at it."""
    seen = watched(text, 1) if text else []
    ended = next((place for place, (_, is_ended) in enumerate(seen) if is_ended), None)

    assert ended is None or cut_at_stop(text[: ended + 1], ("\n",), AUTO) is not None
