"""The key `source` of a suite: what it was imported from."""

from typing import Annotated

from pydantic import ConfigDict, Field

from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Text, kept
from pytest_llmbench.values import Source

Count = Annotated[int, Field(ge=0), kept(int)]


class SourceKeys(Strict):
    """Where a suite was imported from; an importer may write more than these keys."""

    model_config = ConfigDict(extra="allow")

    kind: Text
    path: Text = ""
    sha256: Text = ""
    importer: Text = ""
    left_out: Count = 0
    notes: tuple[Text, ...] = ()


def source_of(keys: SourceKeys) -> Source:
    """Give the source that the keys describe."""
    written = {name: getattr(keys, name) for name in SourceKeys.model_fields}
    return Source(**written, about=dict(keys.model_extra or {}))
