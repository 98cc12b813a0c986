"""What an entry of the models file may hold for an application that is a Python function."""

import re
from typing import Annotated

from pydantic import AfterValidator

from pytest_llmbench.models.entries import PATH_OR_MODULE, Entry
from pytest_llmbench.models.validation import Positive, Text

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _target(given: str) -> str:
    if not _TARGET.fullmatch(given):
        raise ValueError(f'must be MODULE:FUNCTION, as "my_app:answer", not "{given}"')
    return given


class PythonEntry(Entry):
    """A function of the project, `module:function`, that answers.

    `version_of` lists the modules, files and folders whose content is the version of the application; `version` is
    one that is written by hand.
    """

    target: Annotated[str, AfterValidator(_target)]
    version_of: Annotated[tuple[Text, ...], PATH_OR_MODULE] = ()
    version: Text | None = None
    timeout_s: Positive | None = None

    @property
    def module(self) -> str:
        """The module of the function."""
        return self.target.partition(":")[0]

    @property
    def function(self) -> str:
        """The function in its module, with the names it stands below."""
        return self.target.partition(":")[2]
