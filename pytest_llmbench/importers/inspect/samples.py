"""Read a file of samples of Inspect (CSV, JSON, JSON lines) as suites: what `json_dataset` and `csv_dataset` read.

A file names no scorer, for the task does that, in Python; so the user names it.  The prompts are those that
`generate()` sends, or `multiple_choice()` for the scorer `choice`: inputs of the cases, never parsed as templates.
Source: inspect_ai 0.3.285, `dataset/_util.py`, `solver/_multiple_choice.py`.
"""

import ast
import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.importers.base import (
    Imported,
    ImportedCase,
    ImportedSuite,
    LeftOut,
    NotMapped,
    Place,
    SourceFault,
    not_json,
)
from pytest_llmbench.importers.inspect.log import MOST_TOKENS, names_of, prompt_of
from pytest_llmbench.importers.inspect.scorers import NoCheck, check_of, read_of
from pytest_llmbench.importers.source import Folder
from pytest_llmbench.suites.case_reader import CASE_KEYS
from pytest_llmbench.suites.data_files import allow_long_fields
from pytest_llmbench.values import Json

_FIELDS = ("input", "target", "choices", "id", "metadata")
_ELSEWHERE = ("sandbox", "files", "setup")
_ENDINGS = (".csv", ".json", ".jsonl")
_LOOKED_AT = 65_536
_POSITIONS: Mapping[str, tuple[str, ...]] = {
    "match": ("location",),
    "includes": ("ignore_case",),
    "pattern": ("pattern", "ignore_case", "match_all"),
    "exact": (),
    "choice": (),
}
"""The scorers that are mapped, with the names of what may stand in them without one."""

_NAMED: Mapping[str, tuple[str, ...]] = {"match": ("ignore_case", "numeric")}
_TAKEN = CASE_KEYS | {"expected", "checks", "pass_score", "turns", "stop_on_fail", "inputs", "split"}


def looks_like(path: Path) -> bool:
    """Tell whether a file looks like one of samples: its first record has `input` and `target`."""
    if path.suffix.lower() not in _ENDINGS:
        return False
    try:
        with path.open("rb") as file:
            begin = file.read(_LOOKED_AT).decode("utf-8-sig", "replace")
    except OSError:
        return False
    if path.suffix.lower() == ".csv":
        return {"input", "target"} <= set(next(csv.reader(io.StringIO(begin.partition("\n")[0])), []))
    text = begin.lstrip().removeprefix("[").lstrip()
    try:
        first, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and {"input", "target"} <= set(first)


def read(path: Path, folder: Folder) -> Imported:
    """Read a file of samples.

    Raises:
        UsageFault: no scorer is named, or a field that there is none of.
        SourceFault: the file cannot be read, or lacks a column.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise SourceFault(f"{path}: this is no log of Inspect, and no file of samples (.csv, .json, .jsonl).")
    name, options = scorer_of(folder.settings.scorer)
    fields = _Fields(folder.settings.fields)
    records = list(_records(path, folder))
    if not records:
        raise SourceFault(f"{path}: this file has no samples.")
    fields.check({key: None for _, record in records for key in record}, path)
    groups: dict[tuple[str, ...], list[ImportedCase]] = {}
    left_out: list[LeftOut] = []
    try:
        reads = read_of(name, options)
    except NoCheck as fault:
        raise UsageFault(f"--scorer {name}: {fault}.") from None
    for place, record in records:
        try:
            roles, case = _case(fields, record, place, (name, options))
            groups.setdefault(roles, []).append(case)
        except NotMapped as fault:
            left_out.append(LeftOut(given=dict(record), why=(fault.unmapped,)))
    suites = [
        ImportedSuite(
            label="-".join(roles) if len(groups) > 1 else "",
            keys={
                "sampling": {"max_tokens": MOST_TOKENS},
                "prompt": prompt_of(roles),
                **({} if reads is None else {"read": dict(reads)}),
            },
            cases=cases,
            left_out=left_out if not number else (),
            about={"scorer": folder.settings.scorer or name},
            is_data_file=False,
        )
        for number, (roles, cases) in enumerate((groups or {("user",): []}).items())
    ]
    return Imported(suites=suites, files=(path,))


def scorer_of(text: str | None) -> tuple[str, dict[str, Any]]:
    """Read a scorer as a task names it: `match`, or `match(location="begin", numeric=True)`.

    Raises:
        UsageFault: there is none, or it is written otherwise.
    """
    known = ", ".join(_POSITIONS)
    if text is None:
        raise UsageFault(f"a file of samples names no scorer; pass the task's own, as in --scorer 'match()' ({known}).")
    try:
        call = ast.parse(text.strip(), mode="eval").body
        name = call if isinstance(call, ast.Name) else call.func if isinstance(call, ast.Call) else None
        if not isinstance(name, ast.Name) or name.id not in _POSITIONS:
            raise UsageFault(f"--scorer {text}: those mapped are: {known}.")
        positions = _POSITIONS[name.id]
        if not isinstance(call, ast.Call):
            return name.id, {}
        pairs = [*zip(positions, call.args, strict=False), *((str(one.arg), one.value) for one in call.keywords)]
        options = {key: ast.literal_eval(value) for key, value in pairs}
    except (SyntaxError, ValueError):
        raise UsageFault(f"--scorer {text}: write it as in Python, with plain values: match(numeric=True).") from None
    unknown = next((key for key in options if key not in (*positions, *_NAMED.get(name.id, ()))), None)
    if unknown is not None or len(call.args) > len(positions):
        raise UsageFault(f"--scorer {text}: {name.id} has no `{unknown or 'such argument'}`.")
    if name.id == "pattern" and "pattern" not in options:
        raise UsageFault(f"--scorer {text}: pattern needs one, as in pattern('ANSWER: (.*)').")
    return name.id, options


class _Fields:
    """Which columns hold which fields of a sample.

    Raises:
        UsageFault: a field that there is none of is mapped.
    """

    def __init__(self, given: Sequence[tuple[str, str]]):
        unknown = next((field for field, _ in given if field not in _FIELDS), None)
        if unknown is not None:
            raise UsageFault(f"--map {unknown}=...: a sample has no such field; its fields are: {', '.join(_FIELDS)}.")
        self._columns = {field: column for field, column in given if field != "metadata"}
        self._metadata = [column for field, column in given if field == "metadata"]

    def check(self, columns: Mapping[str, object], path: Path) -> None:
        """Check that the columns are there that were named, and those of input and target.

        Raises:
            SourceFault: one is not.
        """
        wanted = {"input": "input", "target": "target"} | self._columns
        for field, column in [*wanted.items(), *(("metadata", column) for column in self._metadata)]:
            if column not in columns:
                there = ", ".join(map(str, columns))
                raise SourceFault(
                    f'{path}:1: there is no column "{column}" for {field}; there are: {there}. Name it with --map.'
                )

    def get(self, record: Mapping[str, Any], field: str) -> Any:
        """Give the value of a field; None where there is none."""
        value = record.get(self._columns.get(field, field))
        is_missing = value == "" or (isinstance(value, float) and math.isnan(value))
        return None if is_missing else value

    def metadata(self, record: Mapping[str, Any], place: Place) -> dict[str, Json]:
        """Give what else a sample holds, by names that inputs may have."""
        if self._metadata:
            found = {column: record.get(column) for column in self._metadata}
        else:
            found = self.get(record, "metadata") or {}
            found = _parsed(found, place) if isinstance(found, str) else found
        if not isinstance(found, Mapping):
            raise NotMapped("its metadata is no mapping.", place)
        return {f"{key}_" if key in _TAKEN else str(key): value for key, value in found.items()}


def _parsed(text: str, place: Place) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise NotMapped("its metadata is no JSON.", place) from None


def _records(path: Path, folder: Folder) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Give the records of a file, and where each stands."""
    if path.suffix.lower() == ".json":
        tree = folder.tree(path)
        if not isinstance(tree.value, list):
            raise SourceFault(f"{path}:1: a file of samples is a list of records.")
        found = [(one.place, one.plain()) for one in tree.items]
    elif path.suffix.lower() == ".csv":
        allow_long_fields()
        rows = csv.DictReader(io.StringIO(folder.text(path), newline=""))
        found = [(Place(path=path, line=rows.line_num), row) for row in rows]
    else:
        lines = enumerate(folder.text(path).split("\n"), start=1)
        found = [(Place(path=path, line=number), _json(line, path, number)) for number, line in lines if line.strip()]
    for place, record in found:
        if not isinstance(record, Mapping) or None in record:
            raise SourceFault(f"{path}:{place.line}: this is no record of fields, or has more values than fields.")
        yield place, record


def _json(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise SourceFault(f"{path}:{number}: {not_json(fault)}.") from None


def _case(
    fields: _Fields, record: Mapping[str, Any], place: Place, scorer: tuple[str, Mapping[str, Any]]
) -> tuple[tuple[str, ...], ImportedCase]:
    name, options = scorer
    for key in _ELSEWHERE:
        if record.get(key):
            raise NotMapped(f"it has `{key}`, and no suite has a sandbox.", place)
    messages = _messages(fields.get(record, "input"), place)
    choices = _choices(fields.get(record, "choices"))
    if bool(choices) != (name == "choice"):
        raise NotMapped(
            f"it has {'' if choices else 'no '}choices, and the scorer is {name}; choices go with `choice`.", place
        )
    if choices:
        messages[-1] = (messages[-1][0], _question(messages[-1][1], choices))
    target = fields.get(record, "target")
    targets = [str(one) for one in (target if isinstance(target, list) else [target]) if one is not None]
    try:
        check = check_of(name, options, targets)
    except NoCheck as fault:
        raise NotMapped(f"{fault}.", place) from None
    roles = tuple(role for role, _ in messages)
    inputs: dict[str, Json] = dict(zip(names_of(roles), (text for _, text in messages), strict=True))
    given = fields.get(record, "id")
    return roles, ImportedCase(
        inputs={**fields.metadata(record, place), **inputs},
        place=place,
        name=None if given is None else str(given),
        keyed_by=dict(inputs),
        checks=(check,),
        given=dict(record),
    )


def _messages(given: Any, place: Place) -> list[tuple[str, str]]:
    if isinstance(given, str) and given.strip():
        return [("user", given)]
    messages = given if isinstance(given, list) else []
    found = [
        (str(one["role"]), str(one["content"]))
        for one in messages
        if isinstance(one, Mapping)
        and one.get("role") in ("system", "user", "assistant")
        and isinstance(one.get("content"), str)
        and not one.get("tool_calls")
    ]
    if not found or len(found) != len(messages) or found[-1][0] != "user":
        raise NotMapped("its input is no text, and no list of messages of text whose last is the user's.", place)
    return found


def _choices(given: Any) -> list[str]:
    if isinstance(given, str):
        parts = given.split(",") if "," in given else given.split()
        return [one.strip() for one in parts if one.strip()]
    listed = given if isinstance(given, list) else [] if given is None else [given]
    return [str(one) for one in listed if str(one).strip()]


def _question(question: str, choices: Sequence[str]) -> str:
    """Give what `multiple_choice()` sends."""
    letters = [chr(ord("A") + number) for number in range(len(choices))]
    listed = "\n".join(f"{letter}) {choice}" for letter, choice in zip(letters, choices, strict=True))
    return (
        "Answer the following multiple choice question. The entire content of your response should be of the following "
        f"format: 'ANSWER: $LETTER' (without quotes) where LETTER is one of {','.join(letters)}.\n\n"
        f"{question}\n\n{listed}"
    )
