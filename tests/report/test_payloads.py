"""The texts that try to act, by which everything that shows a model's answer is tested."""

from typing import Any


def test_the_list_is_long_and_tells_each_apart(payloads: tuple[Any, ...]) -> None:
    """There are at least 60, none is there twice, and one is a line of a megabyte."""
    names = {payload.name for payload in payloads}

    assert len(names) == len(payloads) >= 60
    assert any(len(payload.text) > 1_000_000 and "\n" not in payload.text for payload in payloads)


def test_a_test_that_takes_a_payload_runs_once_for_each(payload: Any, payloads: tuple[Any, ...]) -> None:
    """Each is one of the list, with what it would do."""
    assert payload in payloads
    assert payload.text
    assert payload.acts
