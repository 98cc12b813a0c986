"""Half characters are replaced in a copy of a JSON file; everything else stays byte for byte."""

import json
from pathlib import Path

import pytest

from pytest_llmbench.results.half_characters import write_whole_characters


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        (r'"a \ud800 b"', r'"a \ufffd b"'),
        (r'"\uDFFF\uD83D\uDE00"', r'"\ufffd\uD83D\uDE00"'),
        (r'"\ud800\ud83d\ude00\ud83d"', r'"\ufffd\ud83d\ude00\ufffd"'),
        (r'"\\ud800 \\\ud800"', r'"\\ud800 \\\ufffd"'),
    ],
)
def test_half_characters_are_replaced(written: str, whole: str, tmp_path: Path) -> None:
    """A pair is a character, and behind an escaped backslash there is no escape."""
    (tmp_path / "run.json").write_text(f"[\n{written},\n1]\n")

    has_any = write_whole_characters(tmp_path / "run.json", tmp_path / "copy.json")

    assert has_any
    assert (tmp_path / "copy.json").read_text() == f"[\n{whole},\n1]\n"


def test_a_file_of_whole_characters_is_copied(tmp_path: Path) -> None:
    """Nothing is replaced in it."""
    (tmp_path / "run.json").write_text(json.dumps(["\U0001f600", "\\ud800", "\n"]))

    has_any = write_whole_characters(tmp_path / "run.json", tmp_path / "copy.json")

    assert not has_any
    assert (tmp_path / "copy.json").read_text() == (tmp_path / "run.json").read_text()
