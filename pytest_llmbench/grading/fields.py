"""Fields that several graders read in cases and suites."""

import json

from pydantic import ValidationInfo

from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import FROM_TEXT


class NoFields(Strict):
    """A suite that has no fields for its grader."""


def as_list(given: object, info: ValidationInfo) -> object:
    """Give several texts for one, or for a list; a field of CSV holds a list as JSON.

    Raises:
        ValueError: such a field looks like a list, and is no JSON; or it is neither a text nor a list.
    """
    if isinstance(given, list | tuple):
        return given
    if not isinstance(given, str):
        raise ValueError("must be a text or a list of texts")
    written = given.strip()
    if info.context == FROM_TEXT and written.startswith("[") and written.endswith("]"):
        try:
            return json.loads(written)
        except ValueError:
            raise ValueError(
                'it looks like a list, but is no JSON; write ["x", "y"] with double quotes (each doubled in a quoted '
                "field), also for a text that begins and ends with brackets"
            ) from None
    return [given]
