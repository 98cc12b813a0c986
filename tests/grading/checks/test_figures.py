from decimal import Decimal

import pytest

from pytest_llmbench.grading.checks.figures import figure_in

ALONE = [
    ("42", "42"),
    ("42.", "42"),
    (".5", "0.5"),
    ("$1,234.50", "1234.50"),
    ("-$42", "-42"),
    ("1\u202f234", "1234"),
    ("1 234.5", "1234.5"),
    ("1'234", "1234"),
    ("\u22125", "-5"),
    ("\u20135", "-5"),
    ("\u200b42\ufeff", "42"),
    ("\uff14\uff12", "42"),
    ("\u201c42\u201d", "42"),
    ("42<|im_end|>", "42"),
    ("**42.**", "42"),
    ("1,2,3", None),
    ("12,34", None),
    ("1.234,50", None),
    ("1/2", None),
    ("42 apples", None),
    ("1 2", None),
    ("(42)", None),
]
LAST = [
    ("#### 42", "42"),
    ("The answer is \\boxed{1,234}.", "1234"),
    ("It is 1{,}234.", "1234"),
    ("It is 1\u00a0234.", "1234"),
    ("It goes 42km in 3 h, so 42km", "42"),
    ("答案是42。", "42"),
    ("정답은 42입니다", "42"),
    ("x = -5", "-5"),
    ("10-5 = 5", "5"),
    ("The total is 42 (as of 2024-03-05, 10:30).", "42"),
    ("The 3rd value is 42", "42"),
    ("5, 6", "6"),
    ("42\n<|im_end|>\n<|im_start|>user\nAnd 7?", "42"),
    ("about .5", "0.5"),
    ("3,5", None),
    ("It is 1.234,50 €.", None),
    ("between 3-5", None),
    ("42 ± 3", None),
    ("10..20", None),
    ("6.02×10^23", None),
    ("50%-60%", None),
    ("3 1/2", None),
    ("\\frac{1}{2}", None),
    ("on 2024-03-05", None),
    ("at 10:05", None),
    ("version 1.2.3", None),
    ("42万", None),
    ("It is 1 234 567.", None),
    ("the 2nd", None),
    ("CHF 1'000", None),
    ("3\u00bd", None),
    ("10\u2075", None),
]


@pytest.mark.parametrize(("text", "number"), ALONE)
def test_the_number_that_an_answer_is(text: str, number: str | None) -> None:
    """Signs, separators of thousands, quotes and what cannot be seen do not matter; a second number does."""
    found = figure_in(text, search=False)

    assert found == (None if number is None else Decimal(number))


@pytest.mark.parametrize(("text", "number"), LAST)
def test_the_last_number_of_an_answer(text: str, number: str | None) -> None:
    """A part of a fraction, a range, a decimal comma or a version is no number; dates and times are passed over."""
    found = figure_in(text, search=True)

    assert found == (None if number is None else Decimal(number))
