"""Local models that reason, on a network that recites: each token has one that follows it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.separated import SeparatedModel
from pytest_llmbench.models.transformers.provider import PROVIDER
from pytest_llmbench.values import Answer, Message, Prompt, Request, Sampling

MakeReciter = Callable[..., Path]


def ask(folder: Path, tmp_path: Path, *, reasoning: Any = "auto", **sampling: Any) -> Answer:
    entry = TransformersEntry.model_validate({"provider": "transformers", "model": str(folder), "threads": 1})
    entry = entry.model_copy(update={"reasoning": reasoning})
    prompt = Prompt(messages=(Message(role="user", content="Is it so?"),))
    request = Request(suite="s", case="c", sample=0, prompt=prompt, sampling=Sampling(**sampling))
    with PROVIDER.open(entry, OpenSettings(cache_dir=tmp_path / "cache")) as model:
        (answer,) = SeparatedModel(model, reasoning).answer([request])
    assert isinstance(answer, Answer), answer
    return answer


THOUGHT = ("It", " may", " be.", "\n", "No.")


@pytest.fixture
def reasoner(make_reciter: MakeReciter, tmp_path: Path) -> Path:
    """Give a model that writes its marks itself."""
    return make_reciter(tmp_path / "m", "<think>", *THOUGHT, "</think>", "\n\n", "yes", "\n ", "and more")


def test_stop_behind_the_reasoning(reasoner: Path, tmp_path: Path) -> None:
    """A stop string ends the answer, not the reasoning, and white space between the two is part of neither."""
    answer = ask(reasoner, tmp_path, stop=("\n",), max_tokens=64)

    assert (answer.text, answer.reasoning, answer.finish_reason) == ("yes", "It may be.\nNo.", "stop")
    assert (answer.output_tokens, answer.reasoning_tokens) == (10, 8)
    assert answer.ttft_s is not None
    assert answer.ttfa_s is not None
    assert answer.ttft_s < answer.ttfa_s <= (answer.latency_s or 0)


@pytest.mark.parametrize(
    ("sampling", "text", "n_tokens"),
    [
        ({"max_tokens": 4}, "", 4),
        ({"max_tokens": 1, "reasoning_tokens": 64}, "yes", 9),
        ({"max_tokens": 2, "reasoning_tokens": 64}, "yes\n ", 10),
        ({"max_tokens": 2, "reasoning_tokens": 3}, "", 5),
    ],
)
def test_room(reasoner: Path, tmp_path: Path, sampling: dict[str, int], text: str, n_tokens: int) -> None:
    """`max_tokens` bounds the answer, `reasoning_tokens` is room on top; cut reasoning is no answer."""
    answer = ask(reasoner, tmp_path, **sampling)

    assert (answer.text, answer.finish_reason, answer.output_tokens) == (text, "length", n_tokens)
    assert (answer.reasoning or "").startswith("It may")


def test_room_is_for_reasoning_alone(make_reciter: MakeReciter, tmp_path: Path) -> None:
    """A model that does not reason gets no longer answers by it."""
    folder = make_reciter(tmp_path / "m", "yes", " or", " no", " maybe")

    answer = ask(folder, tmp_path, max_tokens=2, reasoning_tokens=64)

    assert (answer.text, answer.reasoning, answer.reasoning_tokens) == ("yes or", None, None)
    assert answer.ttft_s == answer.ttfa_s


def test_template_that_opens_the_reasoning(make_reciter: MakeReciter, tmp_path: Path) -> None:
    """A prompt that ends inside an opening mark makes the text begin in the reasoning."""
    end = "<think>\n"
    folder = make_reciter(tmp_path / "m", "<think>", *THOUGHT, "</think>", "yes", template_end=end)

    whole = ask(folder, tmp_path, stop=("\n",), max_tokens=64)
    cut = ask(folder, tmp_path, stop=("\n",), max_tokens=4)

    assert (whole.text, whole.reasoning, whole.reasoning_tokens) == ("yes", "It may be.\nNo.", 6)
    assert (cut.text, cut.reasoning, cut.finish_reason) == ("", "It may be.", "length")
    assert cut.ttfa_s is None


def test_marks_that_are_special_tokens(make_reciter: MakeReciter, tmp_path: Path) -> None:
    """Special tokens are in no text, but marks of reasoning that are some are still known for what they are."""
    folder = make_reciter(tmp_path / "m", "[THINK]", *THOUGHT, "[/THINK]", "yes", special=("[THINK]", "[/THINK]"))

    answer = ask(folder, tmp_path, stop=("\n",), max_tokens=64)

    assert (answer.text, answer.reasoning) == ("yes", "It may be.\nNo.")


def test_none(reasoner: Path, tmp_path: Path) -> None:
    """Where an entry says that there is no reasoning, the text is whole, and the first stop string ends it."""
    answer = ask(reasoner, tmp_path, reasoning="none", stop=("\n",), max_tokens=64)

    assert (answer.text, answer.reasoning) == ("<think>It may be.", None)


def test_pair_of_the_entry(make_reciter: MakeReciter, tmp_path: Path) -> None:
    """An entry's own marks are known as well."""
    folder = make_reciter(tmp_path / "m", "(*", "no", "\n", "*)", "yes")

    assert ask(folder, tmp_path, reasoning=("(*", "*)"), stop=("\n",), max_tokens=9).text == "yes"


def test_words_that_resemble_reasoning(make_reciter: MakeReciter, tmp_path: Path) -> None:
    """A text that only begins as gpt-oss's reasoning does is cut at its stop string in the end."""
    folder = make_reciter(tmp_path / "m", "analysis", ": yes", "\n", "no")

    answer = ask(folder, tmp_path, stop=("\n",), max_tokens=9)

    assert (answer.text, answer.reasoning, answer.finish_reason) == ("analysis: yes", None, "stop")
