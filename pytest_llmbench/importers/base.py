"""What every importer gives: suites, what they lack of their source, and what a user should read.

An importer reads; it writes nothing.  Whatever it cannot carry over with the meaning it has at the peer is `Unmapped`,
with the place where it stands, and `importers.written` decides what becomes of it.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.values import Answer, Json

_NOT_OF_IDS = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_OF_TAGS = re.compile(r"[^a-z0-9_-]+")
_LONGEST_ID = 60


class SourceFault(UsageFault):
    """A source cannot be read, or is not what an importer reads; nothing is imported of it."""


def not_json(fault: ValueError | RecursionError) -> str:
    """State why a text could not be read as JSON; what Python states of one nested too deep differs by version."""
    if isinstance(fault, RecursionError):
        return "this is nested too deep; write it flatter"
    return f"this is not JSON: {fault}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line of a file of the source, from 1; 0 where the file has no lines."""

    path: Path
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}" if self.line else self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmapped:
    """Something that no suite can hold with the meaning it has in its source; `message` ends with the way out."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class NotMapped(Exception):
    """Raised where something cannot be mapped, and caught where it is known what it takes with it."""

    def __init__(self, message: str, place: Place):
        self.unmapped = Unmapped(place=place, message=message)
        super().__init__(str(self.unmapped))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCase:
    """A case as a suite will hold it.

    `name` is what the peer calls it, for its id; `keyed_by` are the inputs that make an id where it has no name.
    `given` is how the source holds it, for the file of what is left out.  `database` names the one it needs of
    `Imported.databases`.
    """

    inputs: Mapping[str, Json]
    place: Place
    name: str | None = None
    keyed_by: Json = None
    checks: Sequence[Mapping[str, Any]] = ()
    pass_score: float | None = None
    tags: tuple[str, ...] = ()
    fields: Mapping[str, Json] = field(default_factory=dict)
    given: Any = None
    database: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A case that is not taken, as its source holds it, and why."""

    given: Any
    why: tuple[Unmapped, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSuite:
    """A suite as it will be written; `label` tells several of one source apart.

    `keys` are those of the suite file beside `suite`, `source`, `checks`, `cases` and `data`.
    `data` names a file for the cases, in place of `cases` in the suite.
    `answers` are lines of a file for a recorded model.
    """

    label: str = ""
    keys: Mapping[str, Any]
    checks: Sequence[Mapping[str, Any]] = ()
    cases: Sequence[ImportedCase] = ()
    left_out: Sequence[LeftOut] = ()
    notes: tuple[str, ...] = ()
    about: Mapping[str, Json] = field(default_factory=dict)
    is_data_file: bool = False
    answers: Sequence[tuple[int, Mapping[str, Json]]] = ()
    """Recorded answers, each with the place of its case in `cases`."""
    verdicts: Sequence[tuple[int, Answer, bool]] = ()
    """What the source decided about answers: the place of the case, the answer, and whether it was right."""

    def only(self, numbers: Sequence[int]) -> "ImportedSuite":
        """Give a suite of the cases at some places, in this order, with their answers and verdicts."""
        places = {number: place for place, number in enumerate(numbers)}
        return replace(
            self,
            cases=[self.cases[number] for number in numbers],
            answers=[(places[number], answer) for number, answer in self.answers if number in places],
            verdicts=[(places[number], text, is_right) for number, text, is_right in self.verdicts if number in places],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """All that a source gives.

    `unmapped` concerns the source as a whole: it cannot be left out with a case.  `printed` is for the user, and no
    part of what is written, such as a models file.  `files` are all that were read.  `databases` are folders for the
    grader `sql`, by their names: files by their relative paths.
    """

    suites: Sequence[ImportedSuite]
    files: Sequence[Path]
    unmapped: Sequence[Unmapped] = ()
    printed: Sequence[str] = ()
    databases: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    """Files of the package of functions that checks call, by their paths in it."""


def literal(value: Any) -> Any:
    """Give a value whose texts a suite reads as they are: braces in a check would be a template.

    Raises:
        ValueError: a text holds the word that ends such a text.
    """
    if isinstance(value, Mapping):
        return {key: literal(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [literal(entry) for entry in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    if "endraw" in value:
        raise ValueError(f"{value!r} holds braces and `endraw`")
    return f"{{% raw %}}{value}{{% endraw %}}"


def slug(text: str) -> str:
    """Give a text as a case id or the name of a file: its letters and digits, with dashes between."""
    return _NOT_OF_IDS.sub("-", text).strip("-._")[:_LONGEST_ID].strip("-._")


def tag(text: str) -> str | None:
    """Give a text as a tag; None if nothing is left of it."""
    found = _NOT_OF_TAGS.sub("-", text.lower()).strip("-_")
    return found or None


def hashed_id(content: Json) -> str:
    """Give eight hex digits for what a case asks: the same content has the same id, wherever it stands."""
    written = json.dumps(content, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def case_ids(cases: Iterable[ImportedCase]) -> list[str]:
    """Give each case its permanent id: its name, else a digest of its inputs; never its number.

    Cases of one name get the digest behind it; cases that are equal in all are numbered, for nothing tells them apart.
    """
    found = list(cases)
    names = [slug(case.name) if case.name else "" for case in found]
    counts = Counter(names)
    ids: list[str] = []
    taken: dict[str, int] = {}
    for case, name in zip(found, names, strict=True):
        content = case.inputs if case.keyed_by is None else case.keyed_by
        digest = hashed_id(content)
        one = digest if not name else name if counts[name] == 1 else f"{name}-{digest}"
        number = taken[one] = taken.get(one, 0) + 1
        ids.append(one if number == 1 else f"{one}-{number}")
    return ids
