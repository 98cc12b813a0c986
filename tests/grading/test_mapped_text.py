import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.grading.answer_text import MappedText, normalise


@pytest.mark.parametrize(
    ("original", "text"),
    [
        ("It’s a “pod”", 'It\'s a "pod"'),
        ("ｗｈａｌｅｓ", "whales"),
        ("cafe\u0301 ﬁn…", "café fin..."),
        ("  two \t\n lines ", "two lines "),
        ("**bold** _it_ `code` snake_case __init__", "bold it code snake_case init"),
        ("one\n\ntwo", "one\ntwo"),
        ("one\n- two\n2. three\nfour", "one\n- two\n2. three four"),
        ("a\u200bb \u200b c", "ab c"),
        ("non‑breaking", "non-breaking"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_text_is_tidied(original: str, text: str) -> None:
    """Typography, Markdown's emphasis and whitespace come out plain; paragraphs and list items begin on a new line."""
    mapped = MappedText.of(original, 1000)

    assert mapped.text == text


def test_only_the_first_characters_are_read() -> None:
    """The limit counts from the first character that is not blank."""
    mapped = MappedText.of(" " * 50 + "abcdef", 3)

    assert mapped.text == "abc"
    assert mapped.place(0, 3) == (50, 53)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_places_are_inside_the_original_and_in_order(original: str) -> None:
    """Every character comes from a stretch of the original, and none before an earlier one's."""
    mapped = MappedText.of(original, 1000)

    assert len(mapped.starts) == len(mapped.ends) == len(mapped.text)
    assert all(0 <= a < b <= len(original) for a, b in zip(mapped.starts, mapped.ends, strict=True))
    assert list(mapped.starts) == sorted(mapped.starts)
    assert list(mapped.ends) == sorted(mapped.ends)


@given(st.text("aé’“ｗ \u0301ﬁ.1", max_size=20))
def test_map_reads_what_the_plain_form_reads(original: str) -> None:
    """Without Markdown and paragraphs the tidied text is the normalised one."""
    mapped = MappedText.of(original, 1000)

    assert mapped.text.strip() == normalise(original)
