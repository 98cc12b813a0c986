"""Read the cases of a suite: those of its file and those of its data file, checked one by one."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.models.validation import FROM_TEXT, chief_error, error_sentence
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.case_keys import misplaced
from pytest_llmbench.suites.data_files import Row
from pytest_llmbench.suites.data_keys import data_rows
from pytest_llmbench.suites.names import ID_PATTERN, RESERVED_MARKS, TAG_PATTERN
from pytest_llmbench.values import AnswerPart, Case, Json, Side

if TYPE_CHECKING:
    from pytest_llmbench.suites.check_loading import CaseFields, CheckReader
    from pytest_llmbench.suites.turns import TurnReader

CASE_KEYS = frozenset({"id", "tags", "cluster", "xfail"})
SPLIT_KEY = "split"
"""A field of the cases of a suite that has a split itself; elsewhere an input as any other."""

_MAY_BE_NULL = frozenset({"tags", "cluster", "xfail", SPLIT_KEY})
"""Case fields that null leaves out; in `id` and `expected` it is a word."""


class CaseReader:
    """The cases of one suite file.

    Args:
        table: the file.
        suite: its name.
        kind: its grader.
        kinds: graders of other packages by name.
        checks: its checks; None where it names a grader.
    """

    def __init__(
        self,
        table: yaml12.Table,
        suite: str,
        kind: GraderKind,
        kinds: Mapping[str, GraderKind],
        checks: "CheckReader | None",
    ):
        self.table = table
        self.path = table.path
        self.suite = suite
        self.kind = kind
        self.kinds = kinds
        self.checks = checks
        self.is_split = SPLIT_KEY in table.entries
        self.case_keys = CASE_KEYS | ({SPLIT_KEY} if self.is_split else set())
        self.turns = None if checks is None else _turn_reader(checks)
        self.rule_names = kind.case_keys
        expected = {"expected"} if kind.is_expected_text else set()
        self.null_keys = {"expected"} - expected
        self.text_keys = self.case_keys | expected | (kind.text_fields & self.rule_names)

    def rows(self) -> list[Row]:
        """Read the rows of the file, then those of its data file.

        Raises:
            SuiteFault: there are none, or one cannot be read.
        """
        rows = [*self._inline_rows(), *data_rows(self.table, self.text_keys)]
        if not rows:
            message = "the suite has no cases; write some under `cases:`, or name a file of them with `data:`."
            raise SuiteFault(message, path=self.path, line=1)
        return rows

    def _inline_rows(self) -> list[Row]:
        node = self.table.entries.get("cases")
        if node is None:
            return []
        rows = []
        for entry in yaml12.items(node, self.path, "`cases`"):
            case = yaml12.table(entry, self.path, "a case")
            values = {key: self._case_value(key, value) for key, value in case.entries.items()}
            checks = None if self.checks is None else case.entries.get("checks")
            turns = None if self.checks is None else case.entries.get("turns")
            rows.append(Row(path=self.path, line=case.line, values=values, checks=checks, turns=turns))
        return rows

    def _case_value(self, key: str, node: yaml12.Node) -> Json:
        if key in _MAY_BE_NULL & self.case_keys and yaml12.is_null(node):
            return None
        if self.checks is not None and key in ("checks", "turns"):
            return self._checks_value(key, node)
        read = yaml12.text_value if key in self.text_keys else yaml12.value
        found: Json = read(node, self.path)
        return found

    def _checks_value(self, key: str, node: yaml12.Node) -> Json:
        from pytest_llmbench.suites.check_loading import read_case_value
        from pytest_llmbench.suites.turns import read_turns_value

        found: Json
        if key == "checks":
            found = read_case_value(node, self.path)
        elif yaml12.is_null(node):
            found = None
        else:
            found = read_turns_value(node, self.path)
        return found

    def check_keys(self, rows: Sequence[Row], used: Set[str]) -> None:
        """Refuse a key that nothing reads, and that is a field somewhere else or nearly one.

        Raises:
            SuiteFault: there is one.
        """
        known = self.case_keys | self.rule_names | used
        if self.kind.reads_inputs:
            return
        first = {key: row for row in reversed(rows) for key in row.values if key not in known}
        for key, row in first.items():
            message = misplaced(key, self.kind, self.kinds, case_keys=self.case_keys)
            if message is not None:
                raise row.fault(f'case "{row.values["id"]}": {message}' if "id" in row.values else message)

    def cases(self, rows: Sequence[Row], of_suite: object, part: AnswerPart | None) -> tuple[Case, ...]:
        """Make the cases.

        Args:
            rows: as they are written.
            of_suite: the fields of the suite for its grader.
            part: of each answer that is graded, which counts for the digests.

        Raises:
            SuiteFault: a field of one is wrong, or two have the same id.
        """
        first_seen: dict[str, Row] = {}
        cases = []
        for row in rows:
            case = self._case(row, of_suite, part)
            if case.id in first_seen:
                before = first_seen[case.id]
                raise row.fault(f'case id "{case.id}" occurs twice, first at {before.place}; ids must be unique.')
            first_seen[case.id] = row
            cases.append(case)
        return tuple(cases)

    def _case(self, row: Row, of_suite: object, part: AnswerPart | None) -> Case:
        values = {key: value for key, value in row.values.items() if not (self.is_split and key == SPLIT_KEY)}
        case_id = values.get("id")
        if not isinstance(case_id, str) or not case_id:
            columns = ", ".join(values)
            if case_id is not None:
                raise row.fault('the id of a case must be a text of letters, digits, ".", "_" and "-", and not empty.')
            raise row.fault(f"a case has no id; every case needs a unique, permanent one (it has: {columns}).")
        if not ID_PATTERN.fullmatch(case_id):
            raise row.fault(f'"{case_id}" is not a valid case id; use letters, digits, ".", "_" and "-".')
        own: dict[str, Json] = {
            key: value
            for key, value in values.items()
            if key in self.rule_names and (value is not None or key in self.null_keys)
        }
        expected = own.get("expected")
        inputs = self._inputs(row, case_id)
        counted = _counted(_flat(values, inputs, self.case_keys | self.rule_names), self.null_keys)
        rules = self._case_rules(row, case_id, own)
        if self.checks is None or self.turns is None:
            sha256 = _digest(self.kind.name, {**self.kind.in_digest(of_suite), **counted})
        else:
            from pytest_llmbench.suites.check_loading import digest

            fields = self._fields(case_id, inputs, own, rules, of_suite)
            checks = self.turns.of_case(row, fields) or self.checks.of_case(row, fields)
            rules, sha256 = checks, digest(counted, checks)
        sha256 = sha256 if part is None else _with_part(sha256, part)
        return Case(
            suite=self.suite,
            id=case_id,
            inputs=inputs,
            rules=rules,
            expected=tuple(map(str, expected)) if isinstance(expected, list) else _text_or_none(expected),
            tags=self._tags(row, case_id),
            cluster=self._plain_text(row, case_id, "cluster"),
            side=_side(row, case_id) if self.is_split else None,
            xfail=self._plain_text(row, case_id, "xfail"),
            sha256=sha256,
            path=row.path,
            line=row.line,
        )

    @staticmethod
    def _fields(
        case_id: str, inputs: Mapping[str, Json], own: Mapping[str, Json], of_case: object, of_suite: object
    ) -> "CaseFields":
        """Give what the checks of a case are read with; a key that the case leaves out is the suite's."""
        from pytest_llmbench.suites.check_loading import CaseFields

        def chosen(key: str) -> Any:
            found = getattr(of_case, key)
            return getattr(of_suite, key) if found is None else found

        expected = {"expected": own["expected"]} if "expected" in own else {}
        return CaseFields(
            id=case_id,
            inputs=inputs,
            fields={**inputs, "id": case_id, **expected},
            pass_score=chosen("pass_score"),
            stop_on_fail=chosen("stop_on_fail"),
        )

    def _inputs(self, row: Row, case_id: str) -> dict[str, Json]:
        """Give the inputs of a case: those under `inputs`, where that is a mapping, else all keys that are no field."""
        fields = self.case_keys | self.rule_names
        others = {key: value for key, value in row.values.items() if key not in fields}
        own = others.pop("inputs", None)
        if not isinstance(own, Mapping):
            return others if own is None else {**others, "inputs": own}
        if others:
            message = f"`{next(iter(others))}` is not a field; this case has `inputs`, so write its inputs there."
            raise row.fault(f'case "{case_id}": {message}')
        return dict(own)

    def _case_rules(self, row: Row, case_id: str, own: dict[str, Json]) -> object:
        try:
            return self.kind.case_fields.model_validate(own, context=FROM_TEXT if row.is_text else None)
        except ValidationError as fault:
            error = fault.errors()[0]
            if error["type"] == "missing" and len(error["loc"]) == 1:
                name = error["loc"][0]
                message = f'case "{case_id}" has no {name}; each {self.kind.name} case needs one, see docs/suites.md.'
                raise row.fault(message) from None
            raise row.fault(f'case "{case_id}": {first_fault(fault, self.kind.case_fields)}') from None

    def _plain_text(self, row: Row, case_id: str, key: str) -> str | None:
        found = row.values.get(key)
        if isinstance(found, list | dict):
            raise row.fault(f'case "{case_id}": `{key}` must be a text.')
        return _text_or_none(found)

    def _tags(self, row: Row, case_id: str) -> tuple[str, ...]:
        given = row.values.get("tags")
        if given is None:
            return ()
        if isinstance(given, str):
            given = re.split(r"[\s,;]+", given.strip()) if given.strip() else []
        if not isinstance(given, list):
            raise row.fault(f'case "{case_id}": `tags` must be a list of words.')
        for tag in given:
            if not isinstance(tag, str) or not TAG_PATTERN.fullmatch(tag):
                raise row.fault(f'case "{case_id}": "{tag}" is not a valid tag; use a-z, 0-9, "_" and "-".')
            if tag.startswith("_"):
                raise row.fault(f'case "{case_id}": "{tag}" cannot be a tag, no mark may begin with "_"; take it off.')
            if tag in RESERVED_MARKS:
                raise row.fault(f'case "{case_id}": "{tag}" cannot be a tag, pytest uses it; take another word.')
        return tuple(map(str, given))


def _turn_reader(checks: "CheckReader") -> "TurnReader":
    from pytest_llmbench.suites.turns import TurnReader

    return TurnReader(checks)


def _side(row: Row, case_id: str) -> Side | None:
    from pytest_llmbench.suites.split import side_as_written

    return side_as_written(row, case_id)


def first_fault(fault: ValidationError, fields: type[BaseModel]) -> str:
    """Put the first error of a validation into a sentence: where in the value, and what."""
    return error_sentence(chief_error(fault), fields)


def _counted(values: Mapping[str, Json], null_keys: Set[str]) -> dict[str, Json]:
    """Give the fields of a case that its digest is of."""
    return {
        key: value
        for key, value in values.items()
        if key not in ("tags", "cluster", "xfail") and (value is not None or key in null_keys)
    }


def _digest(kind: str, counted: Mapping[str, Json]) -> str:
    content = json.dumps([kind, counted], ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _flat(values: Mapping[str, Json], inputs: Mapping[str, Json], fields: Set[str]) -> Mapping[str, Json]:
    """Give a case as one that has its inputs beside its fields, so that both ways have one digest."""
    rest = {key: value for key, value in values.items() if key != "inputs"}
    is_nested = isinstance(values.get("inputs"), Mapping)
    return {**rest, **inputs} if is_nested and fields.isdisjoint(inputs) else values


def _with_part(sha256: str, part: AnswerPart) -> str:
    """Give the digest of a case of which a part of each answer is graded."""
    return hashlib.sha256(json.dumps([sha256, astuple(part)]).encode()).hexdigest()


def _text_or_none(found: Json) -> str | None:
    return None if found is None or found == "" else str(found)
