"""The annotations of answers by people: a file of JSON lines, kept and reviewed like code.

An annotation belongs to a case as it was judged and to the very text of an answer, so it survives
re-runs and renamed models, and never leaks onto a changed answer.  It is about the whole answer, or about one
requirement of it: a check, or a point of a check for key points.  The file is only ever added to; of several by one
person on the same the last counts.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.results.records import Record

DEFAULT_FILE = Path("verdicts.jsonl")

_JSON_NAMES = {"mark": "verdict"}
"""The names in the file of fields that are called otherwise here."""

_NAMES_OF_PARTS = ("check", "point")
"""Fields that are absent in the file where the annotation is about the whole answer."""


class Mark(StrEnum):
    """The mark that a person gives an answer; `verdict` in the file."""

    PASS = "pass"  # noqa: S105 - a mark, no password
    PART = "part"
    FAIL = "fail"


class Drawn(StrEnum):
    """How an answer came before a person: by chance, or chosen by its grade."""

    RANDOM = "random"
    CHOSEN = "chosen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One person's mark for one answer.

    `key` is the digest of case and answer, `at` an ISO time, `drawn` None where it is not known how the answer was
    chosen.  `check` and `point` name what the mark is about; both are None where it is about the whole answer.
    """

    key: str
    case: str
    suite: str
    answer_sha256: str
    answer: str
    mark: Mark
    by: str
    at: str
    note: str = ""
    drawn: Drawn | None = None
    check: str | None = None
    point: str | None = None

    @property
    def about(self) -> tuple[str, str | None, str | None]:
        """What it is about: the digest of case and answer, and the names of check and point."""
        return self.key, self.check, self.point


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationFile:
    """The content of a file of annotations: those that count, in the order written, and what could not be read."""

    annotations: tuple[Annotation, ...]
    faults: tuple[str, ...]


def answer_key(case_sha256: str, answer: str) -> str:
    """Give the digest that an annotation of this answer to this case is known by."""
    return _sha256(f"{case_sha256}\n{answer}")


def answer_sha256(answer: str) -> str:
    """Give the digest of an answer's text."""
    return _sha256(answer)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def annotation_on(record: Record, answer: str, mark: Mark, *, by: str, at: str, drawn: Drawn) -> Annotation:
    """Make the annotation of one answer of a record."""
    return Annotation(
        key=answer_key(record.case_sha256, answer),
        case=record.case,
        suite=record.suite,
        answer_sha256=answer_sha256(answer),
        answer=answer,
        mark=mark,
        by=by,
        at=at,
        drawn=drawn,
    )


def add_annotation(path: Path, annotation: Annotation) -> None:
    """Write one annotation behind the others; the file is made where there is none.

    Raises:
        UsageFault: it cannot be written.
    """
    written = {_JSON_NAMES.get(name, name): getattr(annotation, name) for name in Annotation.__dataclass_fields__}
    written = {name: value for name, value in written.items() if value is not None or name not in _NAMES_OF_PARTS}
    line = json.dumps(written, ensure_ascii=False)
    try:
        with path.open("a+b") as file:
            if file.tell():
                file.seek(-1, 2)
                # a line that was cut off must not take this one with it
                line = line if file.read(1) == b"\n" else f"\n{line}"
            # a lone surrogate, which UTF-8 cannot hold, is written as its JSON escape
            file.write(f"{line}\n".encode("utf-8", "backslashreplace"))
    except OSError as fault:
        raise UsageFault(f"{path}: cannot be written: {fault.strerror}.") from None


def named_annotations(path: Path) -> AnnotationFile:
    """Read the file that `--verdicts` names; only the default one may be missing.

    Raises:
        UsageFault: there is no such file, or it cannot be read.
    """
    if path != DEFAULT_FILE and not path.exists():
        raise UsageFault(f"--verdicts {path}: there is no such file; llmbench review writes one.")
    return read_annotations(path)


def read_annotations(path: Path) -> AnnotationFile:
    """Read a file of annotations; a line that is none is left out and named, and a missing file is empty.

    Raises:
        UsageFault: the file is there and cannot be read.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as fault:
        raise UsageFault(f"{path}: cannot be read: {fault.strerror}.") from None
    counted: dict[tuple[object, str], Annotation] = {}
    faults: list[str] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            annotation = _from_json(json.loads(line))
        except (ValueError, RecursionError) as fault:
            faults.append(f"{path}:{number}: this line is not an annotation and is left out: {_cause(fault)}.")
        else:
            counted.pop((annotation.about, annotation.by), None)
            counted[annotation.about, annotation.by] = annotation
    return AnnotationFile(annotations=tuple(counted.values()), faults=tuple(faults))


def _cause(fault: ValueError | RecursionError) -> str:
    if isinstance(fault, json.JSONDecodeError):
        return f"not JSON ({fault.msg})"
    if isinstance(fault, RecursionError):
        return "nested too deep"
    return "not UTF-8" if isinstance(fault, UnicodeDecodeError) else str(fault)


def _from_json(found: Any) -> Annotation:
    if not isinstance(found, Mapping):
        raise ValueError("not an object")
    for name in ("key", "case", "suite", "answer_sha256", "answer", "by", "at"):
        if not isinstance(found.get(name), str):
            raise ValueError(f'it has no "{name}"' if name not in found else f'its "{name}" is not a text')
    if answer_sha256(found["answer"]) != found["answer_sha256"]:
        raise ValueError('its "answer" was changed: it does not match "answer_sha256"')
    for name in _NAMES_OF_PARTS:
        if not isinstance(found.get(name), str | None):
            raise ValueError(f'its "{name}" is not a text')
    if found.get("verdict") not in tuple(Mark):
        raise ValueError(f'its "verdict" is {json.dumps(found.get("verdict"))}; it must be {", ".join(Mark)}')
    drawn = found.get("drawn")
    return Annotation(
        **{name: found[name] for name in ("key", "case", "suite", "answer_sha256", "answer", "by", "at")},
        mark=Mark(found["verdict"]),
        note=str(found.get("note") or ""),
        drawn=Drawn(drawn) if drawn in tuple(Drawn) else None,
        check=found.get("check"),
        point=found.get("point"),
    )
