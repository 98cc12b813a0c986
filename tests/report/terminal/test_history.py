"""The history of runs of strangers: what stands in their files acts in no form of it."""

import csv
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_llmbench.report.terminal.history import history_lines
from pytest_llmbench.results.history import Entry, History


def entry(name: str, **others: Any) -> Entry:
    made = {
        "file": f"{name}.json", "date": name, "commit": name, "suite": name, "role": name, "model": name, "cases": 1,
        "errors": 0, "score": 1.0, "interval": (0.2, 1.0), "format_rate": None, "p50_s": None,
    }  # fmt: skip
    return Entry(**{**made, **others})


@pytest.mark.parametrize("form", ["text", "csv", "json"])
def test_names_of_a_run_act_in_no_form(
    payloads: tuple[Any, ...], harms: Callable[[str], Sequence[str]], form: str
) -> None:
    """Two models of one role, so that the models are listed too."""
    for payload in payloads:
        text = payload.text[:500]
        found = History(entries=(entry(text), entry(text, model="other")), left_out=())

        shown = "\n".join(history_lines(found, form))

        assert harms(shown) == [], payload.name
        if form == "json":
            assert json.loads(shown)[0]["suite"] == text, payload.name
        if form == "csv":
            assert [row["cases"] for row in csv.DictReader(shown.splitlines())] == ["1", "1"], payload.name
            values = [value for row in csv.reader(shown.splitlines()) for value in row]
            assert not any(value.startswith(("=", "+", "-", "@")) for value in values), payload.name
