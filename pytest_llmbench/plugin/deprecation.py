"""The warning for what a later version will not have any more; docs/stability.md has the rule."""

import pytest


class LlmbenchDeprecationWarning(pytest.PytestDeprecationWarning):
    """Something public is used that will go.

    Its text names what replaces it, and the version that is the first without it.  Raised for at least one minor
    version before that; `filterwarnings = error::pytest_llmbench.LlmbenchDeprecationWarning` makes it a failure.
    """

    __module__ = "pytest_llmbench"
