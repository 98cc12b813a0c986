"""Texts from outside are made safe to print; numbers are written as people do."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.report.format import seconds
from pytest_llmbench.report.safe_text import clipped, on_one_line, printed_json, visible

HOSTILE = {
    "colour": ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
    "eight-bit escape": ("\x9b31m", r"\x9b31m"),
    "title": ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
    "overwritten": ("secret\rpublic", r"secret\rpublic"),
    "rubbed out": ("passw\x08\x08", r"passw\x08\x08"),
    "nul and delete": ("\x00\x7f", r"\x00\x7f"),
    "next line": ("a\x85b\x0bc\x0cd", r"a\x85b\x0bc\x0cd"),
    "right to left": ("\u202etxt.exe\u2069", r"\u202etxt.exe\u2069"),
    "marks": ("\u200e\u200f\u061c", r"\u200e\u200f\u061c"),
    "zero width": ("a\u200bb\ufeffc\u2060d\u00ade", r"a\u200bb\ufeffc\u2060d\xade"),
    "separators": ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
    "tags": ("\U000e0041", r"\U000e0041"),
    "half a character": ("\ud83d", r"\ud83d"),
    "interlinear": ("\ufff9x\ufffb", r"\ufff9x\ufffb"),
    "lines and tabs": ("a\n\tb", "a\n\tb"),
    "accents, signs, emoji": ("naïve 日本 🙂 “ok” \\x1b", "naïve 日本 🙂 “ok” \\x1b"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_what_could_act_on_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    """Controls, bidirectional and invisible characters become their escapes; letters, line breaks and tabs stay."""
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_what_is_shown_can_be_printed_anywhere(text: str) -> None:
    """The result encodes as UTF-8, holds no control but line break and tab, and is its own result."""
    shown = visible(text)

    shown.encode()
    assert not {character for character in shown if ord(character) < 32 or 127 <= ord(character) < 160} - {"\n", "\t"}
    assert visible(shown) == shown


Harms = Callable[[str], Sequence[str]]


def test_nothing_of_a_payload_acts(payload: Any, harms: Harms) -> None:
    """What would is gone from whatever it stood in, and nothing comes to act by what was taken out."""
    assert harms(visible(payload.text)) == []


COMMANDS = {
    "::error file=a.py,line=1::broken": r"\x3a:error file=a.py,line=1::broken",
    "a\n \t::add-mask::x": "a\n \t\\x3a:add-mask::x",
    "\u3000::group::x": "\u3000\\x3a:group::x",
    "a ##[error]b ##[group]c": r"a #\x23[error]b #\x23[group]c",
    "###[error]": r"##\x23[error]",
    "##vso[task.setvariable]x": r"#\x23vso[task.setvariable]x",
    "##teamcity[x]": r"#\x23teamcity[x]",
}


@pytest.mark.parametrize(("text", "shown"), COMMANDS.items())
def test_what_a_log_would_obey_is_shown_as_an_escape(text: str, shown: str, harms: Harms) -> None:
    """A model's answer stands in the log of a CI job, where such lines set variables and hide what follows."""
    assert harms(text) != []

    assert visible(text) == shown
    assert harms(shown) == []


@pytest.mark.parametrize("text", ["a::int", "SELECT x::date", "::date", "# [link]", "## [1]", "::", "a ::b::"])
def test_what_only_looks_like_a_command_stays(text: str) -> None:
    """Casts of SQL and headings of Markdown are read as they are."""
    assert visible(text) == text


def test_printed_json_is_the_same_json_and_does_nothing(payloads: tuple[Any, ...], harms: Harms) -> None:
    """It is read back as it was, and may be looked at on a terminal and stand in a log."""
    table = {clipped(payload.text, 2000): [clipped(payload.text, 2000)] for payload in payloads}

    printed = printed_json(table)

    assert json.loads(printed) == table
    assert [line for line in printed.splitlines() if harms(line)] == []


def test_a_name_is_on_one_line(payloads: tuple[Any, ...], harms: Harms) -> None:
    """So that a cell of a table stays one."""
    for payload in payloads:
        shown = on_one_line(payload.text)

        assert "\n" not in shown, payload.name
        assert harms(shown) == [], payload.name


def test_a_long_text_is_cut_in_its_middle() -> None:
    """Beginning and end stay, and what is left out is counted."""
    assert clipped("a" * 600 + "b" * 1200 + "c" * 600, 1200) == f"{'a' * 600} [... 1,200 characters ...] {'c' * 600}"
    assert clipped("ab" * 20 + "c", 5) == "ab [... 37 characters ...] bc"


@given(st.text(max_size=60), st.integers(1, 30))
def test_a_text_is_never_made_longer(text: str, limit: int) -> None:
    """One that fits stays whole, and so does one to which the mark would add more than is left out."""
    found = clipped(text, limit)

    assert len(found) <= len(text)
    assert found == text or len(text) > limit
    assert found.startswith(text[: limit // 2])


@pytest.mark.parametrize(
    ("value_s", "shown"),
    [
        (0.0, "0ms"),
        (0.0000728, "0.07ms"),
        (0.00012, "0.12ms"),
        (0.000004, "<0.01ms"),
        (0.0123, "12.3ms"),
        (0.0994, "99.4ms"),
        (0.0995, "0.10s"),
        (0.25, "0.25s"),
        (9.99, "9.99s"),
        (9.996, "10.0s"),
        (123.456, "123.5s"),
    ],
)
def test_a_duration_has_the_digits_that_matter(value_s: float, shown: str) -> None:
    """Milliseconds below a tenth of a second, then seconds."""
    assert seconds(value_s) == shown
