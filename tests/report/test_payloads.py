"""The texts that try to act, by which everything that shows a model's answer is tested."""

from typing import Any


def test_the_list_is_long_and_tells_each_apart(payloads: tuple[Any, ...]) -> None:
    """There are at least 60, none is there twice, and one is a line of a megabyte."""
    names = {payload.name for payload in payloads}

    assert len(names) == len(payloads) >= 60
    assert all(payload.text and payload.acts for payload in payloads)
    assert any(len(payload.text) > 1_000_000 and "\n" not in payload.text for payload in payloads)
