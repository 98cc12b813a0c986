"""Fields that several graders read in cases and suites."""

from pytest_llmbench.models.entries import Strict


class NoFields(Strict):
    """A suite that has no fields for its grader."""
