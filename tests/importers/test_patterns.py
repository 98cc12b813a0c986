"""Patterns of JavaScript as patterns of `regex`; their meaning is tested against promptfoo in test_peer_verdicts."""

import pytest
import regex

from pytest_llmbench.importers.promptfoo.patterns import translated

SAME = {
    r"\d": ("1", True),
    r"^\d$": ("\u0661", False),
    r"a$": ("a\n", False),
    r"[\S]": ("\u00a0", False),
    r"[^\S]": ("\ufeff", True),
    r"\bé": (" é", False),
    r"é\b": ("éa", True),
    r"a.b": ("a\u2028b", False),
    "x{,2}": ("x{,2}", True),
    "a#b": ("a#b", True),
    r"[a&&b]": ("&", True),
    r"\x41\u0042": ("AB", True),
}


@pytest.mark.parametrize(("pattern", "text", "found"), [(key, *value) for key, value in SAME.items()])
def test_a_pattern_finds_what_javascript_finds(pattern: str, text: str, found: bool) -> None:
    """Classes are of ASCII, `$` is the very end, and braces that count nothing are braces."""
    assert (regex.search(translated(pattern), text) is not None) == found


@pytest.mark.parametrize("pattern", [r"\p{L}", "a++", "(?i)a", "(?>a)", r"\cA", "(", "[a", r"\ud83d", r"[\B]"])
def test_a_pattern_that_means_something_else_is_refused(pattern: str) -> None:
    """What one of the two does not have is named, never guessed."""
    with pytest.raises(ValueError, match=r"."):
        translated(pattern)
