"""All knowledge of where pytest (9.2) keeps the fixtures of a test.

Used here and not documented there: `_fixtureinfo` of a function, with `name2fixturedefs`, and the `func` of those.
"""

import pytest


def has_fixture_of(item: pytest.Item, module: str) -> bool:
    """Return whether a test asks for a fixture that this module defines, and that nobody else defines nearer to it."""
    found = getattr(item, "_fixtureinfo", None)
    definitions = () if found is None else found.name2fixturedefs.values()
    return any(several[-1].func.__module__ == module for several in definitions if several)
