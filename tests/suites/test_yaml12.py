"""Plain scalars mean what YAML 1.2's core schema says, and nothing breaks the reader."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.suites import yaml12

PATH = Path("suite.yaml")


def read(text: str) -> object:
    node = yaml12.compose(text, PATH)
    assert node is not None
    return yaml12.value(node, PATH)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("0", 0),
        ("-12", -12),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:20", "1:20"),
        ("2024-02-29", "2024-02-29"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-2.E-1", -0.2),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("+.Inf", math.inf),
        ("'1'", "1"),
        ('"true"', "true"),
        ("|-\n  1", "1"),
    ],
)
def test_a_scalar_means_what_the_core_schema_says(written: str, value: object) -> None:
    """Only plain scalars are anything but text, and 1.1's words, dates and sexagesimals are text."""
    found = read(written)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("written", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_read_however_it_is_written(written: str) -> None:
    """The three spellings of the specification are floats."""
    found = read(written)

    assert isinstance(found, float)
    assert math.isnan(found)


def test_digits_without_end_are_text() -> None:
    """What is longer than any number is taken as it is written."""
    assert read("9" * 5000) == "9" * 5000


@given(st.text(max_size=12))
def test_any_text_is_a_value_or_a_fault_of_the_file(text: str) -> None:
    """No text breaks the reader."""
    found = fault_or_value(text)

    assert found is None or isinstance(found, SuiteFault | bool | int | float | str | list | dict)


def fault_or_value(text: str) -> object:
    try:
        node = yaml12.compose(text, PATH)
        return None if node is None else yaml12.value(node, PATH)
    except SuiteFault as fault:
        return fault


@given(st.text(alphabet="0123456789.+-eExoinfaINFA_:", max_size=8))
def test_what_looks_like_a_number_never_breaks_the_reader(text: str) -> None:
    """Near misses of numbers are numbers or text."""
    assert isinstance(fault_or_value(text), SuiteFault | int | float | str | dict | list | None)


def test_a_key_that_stands_twice_names_both_lines() -> None:
    """Of two values of a key neither can be the right one."""
    with pytest.raises(SuiteFault) as raised:
        read("a: 1\nb: {c: 1}\na: 2\n")

    assert str(raised.value) == 'suite.yaml:3: this has "a" twice, first in line 1; take one out.'
