"""Write what was imported: all or nothing, each suite loaded before it takes its place.

A suite is written beside its target first and loaded from there, so that whatever an importer makes is a suite; then
all files take their places.  Texts that look like keys of services are never written.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import SuiteFault, caught
from pytest_llmbench.importers.base import (
    Imported,
    ImportedCase,
    ImportedSuite,
    LeftOut,
    SourceFault,
    Unmapped,
    case_ids,
    hashed_id,
)
from pytest_llmbench.importers.databases import project_of
from pytest_llmbench.importers.yaml_text import yaml_text
from pytest_llmbench.models.reasoning import separate
from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.suites.registry import grader_of
from pytest_llmbench.values import Grade

_SECRET = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|hf_[A-Za-z0-9]{30,}|glpat-[\w-]{20,}|eyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_SECRET_KEY = re.compile(r"(?i)(?:api_?key|authorization|_token$|^token$|secret|password|cookie)")
_HIDDEN = "(not copied)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where suites come from, as each of them says."""

    kind: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A suite with the file it goes to."""

    name: str
    path: Path
    suite: ImportedSuite
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """All that is to be written, by path, and the suites among it.

    `outdated` are files of an earlier import that list cases as left out, where none are any more.
    """

    texts: Mapping[Path, str]
    targets: Sequence[Target]
    outdated: Sequence[Path] = ()


def unmapped_of(imported: Imported) -> list[Unmapped]:
    """Give all that is not mapped, each line once, in the order of the source."""
    found = [*imported.unmapped]
    for suite in imported.suites:
        found += [why for one in suite.left_out for why in one.why]
    unique = {str(one): one for one in found}
    return sorted(unique.values(), key=lambda one: (str(one.place.path), one.place.line))


def without_secrets(imported: Imported) -> Imported:
    """Leave out the cases that hold what looks like the key of a service, or to which an answer does."""
    return replace(imported, suites=[_without_secrets(suite) for suite in imported.suites])


def _without_secrets(suite: ImportedSuite) -> ImportedSuite:
    is_secret = _SECRET.search(json.dumps(suite.keys, default=str))
    with_secret = {number for number, answer in suite.answers if _SECRET.search(json.dumps(answer, ensure_ascii=False))}
    kept, left_out = [], list(suite.left_out)
    for number, case in enumerate(suite.cases):
        text = json.dumps([case.inputs, list(case.checks), dict(case.fields)], ensure_ascii=False, default=str)
        if is_secret or number in with_secret or _SECRET.search(text):
            message = "this holds what looks like the key of a service, which is never copied; take it out."
            left_out.append(LeftOut(given=case.given, why=(Unmapped(place=case.place, message=message),)))
        else:
            kept.append(number)
    return replace(suite.only(kept), left_out=left_out)


def code_name(target: Path) -> str:
    """Give the name of the package that code of a source is written to."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', target.stem).strip('_').lower()}_code"


def _code(imported: Imported, target: Path, *, is_update: bool) -> Iterator[tuple[Path, str]]:
    """Give the files of the package in the root directory of the project, from where functions are imported.

    Raises:
        SourceFault: it is there already, or holds what looks like the key of a service.
    """
    folder = project_of(target) / code_name(target)
    if imported.code and folder.exists() and not is_update:
        raise SourceFault(f"{folder} is there already; pass --update to renew it, or name another file with -o.")
    for name, text in imported.code.items():
        if _SECRET.search(text):
            message = "holds what looks like the key of a service, which is never copied; take it out"
            raise SourceFault(f"nothing written: code of the source ({name}) {message}.")
        yield folder / name, text


def files_of(imported: Imported, target: Path, provenance: Provenance, *, is_update: bool) -> Files:
    """Give what an import writes.

    Args:
        imported: with at least one case.
        target: the file of a suite; several suites get their labels behind its name.
        provenance: of all of them.
        is_update: keep the ids that the suites have now for the inputs that they have now.

    Raises:
        SourceFault: a file is there already and no update was asked for, or is no suite.
    """
    texts: dict[Path, str] = {}
    targets = []
    for suite in imported.suites:
        if not suite.cases:
            continue
        name = f"{target.stem}-{suite.label}" if suite.label else target.stem
        path = target.with_name(f"{name}{target.suffix}")
        if path in texts:
            raise SourceFault(f'two suites of this source would be named "{name}"; give its prompts labels.')
        _refuse_to_replace(path, is_update=is_update)
        ids = _kept_ids(path, suite.cases) if path.exists() else case_ids(suite.cases)
        targets.append(Target(name=name, path=path, suite=suite, ids=tuple(ids)))
        try:
            own = dict(_texts(targets[-1], provenance, imported.unmapped))
        except RecursionError:
            raise SourceFault("nothing written: a value of the source is nested too deep; write it flatter.") from None
        except UnicodeEncodeError:
            message = "nothing written: a text of the source holds half a character (a lone surrogate); take it out."
            raise SourceFault(message) from None
        for file in own:
            _refuse_to_replace(file, is_update=is_update)
        texts |= own
    before = [_unmapped_file(one) for one in targets] if is_update else []
    return Files(
        texts=texts | dict(_code(imported, target, is_update=is_update)),
        targets=targets,
        outdated=[path for path in before if path not in texts and path.is_file()],
    )


def _refuse_to_replace(path: Path, *, is_update: bool) -> None:
    if path.exists() and not is_update:
        raise SourceFault(f"{path} is there already; pass --update to renew it, or name another file with -o.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A verdict of a source that a suite does not share: whether it was right there, and what the answer gets here."""

    case: str
    was_right: bool
    here: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Regraded:
    """How many of the verdicts in a source a suite agrees with, and those with which it does not."""

    name: str
    same: int
    different: tuple[Difference, ...]


def write(files: Files) -> list[Regraded]:
    """Write all files, or none, and take away those outdated; gives how the suites grade what their source has graded.

    Raises:
        SourceFault: a suite does not load, or a file cannot be written.
    """
    folder = files.targets[0].path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".llmbench-import-") as scratch:
            written, regraded = _trial(files, Path(scratch))
            for path, place in written.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(place, path)
        for path in files.outdated:
            path.unlink(missing_ok=True)
    except OSError as fault:
        raise SourceFault(f"{fault.filename}: cannot be written: {fault.strerror}.") from None
    return regraded


def check(files: Files) -> list[Regraded]:
    """Load the suites without writing them to their places.

    Raises:
        SourceFault: one does not load.
    """
    with tempfile.TemporaryDirectory(prefix="llmbench-import-") as scratch:
        return _trial(files, Path(scratch))[1]


def _trial(files: Files, scratch: Path) -> tuple[dict[Path, Path], list[Regraded]]:
    folder = files.targets[0].path.parent
    written = {
        path: scratch / (path.name if path.parent == folder else f"code/{number}-{path.name}")
        for number, path in enumerate(files.texts)
    }
    for path, place in written.items():
        place.parent.mkdir(exist_ok=True)
        place.write_text(files.texts[path], encoding="utf-8", newline="\n")
    regraded = []
    for target in files.targets:
        try:
            loaded = load_suite(written[target.path])
            if loaded is not None and target.suite.verdicts:
                regraded.append(_regraded(loaded, target))
        except SuiteFault as fault:
            message = str(fault).replace(str(scratch), str(target.path.parent))
            raise SourceFault(f"nothing written, for what is imported is no suite: {message}") from None
    return written, regraded


def _regraded(loaded: LoadedSuite, target: Target) -> Regraded:
    """Grade the answers of a source again, as a run does."""
    grader = grader_of(loaded, target.path.parent)
    cases = {case.id: case for case in loaded.suite.cases}
    different: list[Difference] = []
    for number, answer, is_right in target.suite.verdicts:
        grade = caught(grader, cases[target.ids[number]], replace(answer, text=separate(answer.text).text))
        if not isinstance(grade, Grade) or grade.passed != is_right:
            here = str(grade) if isinstance(grade, Grade) else f"error: {grade.cause}"
            different.append(Difference(case=target.ids[number], was_right=is_right, here=here))
    same = len(target.suite.verdicts) - len(different)
    return Regraded(name=target.name, same=same, different=tuple(different))


def _texts(target: Target, provenance: Provenance, unmapped: Sequence[Unmapped]) -> Iterator[tuple[Path, str]]:
    suite, path = target.suite, target.path
    source: dict[str, Any] = {
        "kind": provenance.kind,
        "path": provenance.path,
        "sha256": provenance.sha256,
        **suite.about,
        "importer": version("pytest-llmbench"),
        "left_out": len(suite.left_out),
    }
    notes = [*suite.notes, *(str(one) for one in unmapped)]
    if notes:
        source["notes"] = [_shown(note) for note in notes]
    top: dict[str, Any] = {"suite": target.name, "source": source, **suite.keys}
    if suite.checks:
        top["checks"] = list(suite.checks)
    rows = [_row(one, case) for one, case in zip(target.ids, suite.cases, strict=True)]
    if suite.is_data_file:
        data = path.with_suffix(".jsonl")
        top["data"] = data.name
        yield data, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        top["cases"] = rows
    yield path, yaml_text(top)
    if suite.left_out:
        listed = [{"why": [str(why) for why in one.why], "case": scrubbed(one.given)} for one in suite.left_out]
        yield _unmapped_file(target), yaml_text({"unmapped": listed})
    if suite.answers:
        lines = ({"case": target.ids[number], **answer} for number, answer in suite.answers)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        yield path.with_name(f"{target.name}.answers.jsonl"), text


def _unmapped_file(target: Target) -> Path:
    """Give the file that lists the cases of a suite that were left out."""
    return target.path.with_name(f"{target.name}.unmapped.yaml")


def _row(case_id: str, case: ImportedCase) -> dict[str, Any]:
    row: dict[str, Any] = {"id": case_id, **case.inputs, **case.fields}
    if case.tags:
        row["tags"] = list(case.tags)
    if case.checks:
        row["checks"] = list(case.checks)
    if case.pass_score is not None and case.pass_score != 1:
        row["pass_score"] = case.pass_score
    return row


def _kept_ids(path: Path, cases: Sequence[ImportedCase]) -> list[str]:
    """Give cases whose inputs a suite has already their ids there, and others new ones."""
    try:
        loaded = load_suite(path)
    except SuiteFault as fault:
        raise SourceFault(f"{fault} It cannot be renewed; name another file with -o.") from None
    if loaded is None:
        raise SourceFault(f"{path} is no suite; name another file with -o.")
    before: dict[str, list[str]] = {}
    for case in loaded.suite.cases:
        before.setdefault(hashed_id(case.inputs), []).append(case.id)
    kept = [before[key].pop(0) if before.get(key := hashed_id(case.inputs)) else None for case in cases]
    taken = {one for one in kept if one is not None}
    ids = []
    for one, new in zip(kept, case_ids(cases), strict=True):
        found, number = one or new, 1
        while one is None and found in taken:
            number += 1
            found = f"{new}-{number}"
        taken.add(found)
        ids.append(found)
    return ids


def scrubbed(given: Any, key: str = "") -> Any:
    """Give a value of a source without its secrets."""
    if isinstance(given, Mapping):
        return {str(name): scrubbed(value, str(name)) for name, value in given.items()}
    if isinstance(given, list | tuple):
        return [scrubbed(value, key) for value in given]
    if isinstance(given, str) and (_SECRET_KEY.search(key) or _SECRET.search(given)):
        return _HIDDEN
    return given


def _shown(text: str) -> str:
    return _SECRET.sub(_HIDDEN, text)
