"""All knowledge of where pytest (9.2) keeps the fixtures of a test.

Used here and not documented there: `_fixtureinfo` of a function, with `name2fixturedefs`.
"""

import pytest


def lacks_fixture(item: pytest.Item, name: str) -> bool:
    """Return whether a test asks for a fixture that nobody defines."""
    found = getattr(item, "_fixtureinfo", None)
    return found is not None and name in found.names_closure and name not in found.name2fixturedefs
