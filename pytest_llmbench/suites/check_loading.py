"""Read the `checks` of a suite and of its cases: templates rendered, validated, with the line of each fault."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Finding, GraderKind, Severity
from pytest_llmbench.grading.checks.grader import checks_kind
from pytest_llmbench.grading.checks.of_case import CaseChecks, Check, ConversationChecks
from pytest_llmbench.grading.checks.registry import COMBINATIONS, KINDS, TEXT_KEYS
from pytest_llmbench.grading.checks.tree import (
    CheckFault,
    Place,
    canonical_form,
    case_checks,
    conversation_form,
    read_check,
    short_form,
)
from pytest_llmbench.grading.registry import CHECKS, grader_kind
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.check_remarks import remarks_on
from pytest_llmbench.suites.data_files import Row
from pytest_llmbench.suites.prompts import TemplateFault, ValueTemplate
from pytest_llmbench.values import Case, Json

_JSON_KINDS = frozenset({"json", "json_subset"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A check as it is written: ready, or with templates to be rendered for each case."""

    given: Any
    place: Place
    template: ValueTemplate | None
    check: Check | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFields:
    """What the checks of a case are read with: `inputs` for what the user says, `fields` for templates in checks."""

    id: str
    inputs: Mapping[str, Json]
    fields: Mapping[str, Json]
    pass_score: float
    stop_on_fail: bool = False


class CheckReader:
    """The checks of one suite file.

    `kind` is the grader of its suite; with `expected` kept in its type where all checks read JSON.
    """

    def __init__(self, table: yaml12.Table):
        self._path = table.path
        self._node = table.entries.get("checks")
        self._remarks: dict[Finding, None] = {}
        self._of_cases: dict[int, list[Written]] = {}
        nodes = [] if self._node is None else yaml12.items(self._node, self._path, "`checks`")
        given = [read_value(node, self._path) for node in nodes]
        used = {kind for one in (*given, *_in_cases(table)) for kind in _kinds_in(one)}
        self.kind: GraderKind = checks_kind(used, is_expected_text=not used or not used <= _JSON_KINDS)
        self._of_suite = [self._written(one, (number,), row=None, is_of_suite=True) for number, one in enumerate(given)]
        self._shared: dict[float, CaseChecks] = {}

    def names(self, rows: Sequence[Row]) -> frozenset[str]:
        """Give the fields of cases that the checks use; reads the checks of these rows."""
        for row in rows:
            self._of_cases[id(row)] = list(self.written(row))
        written = [*self._of_suite, *(one for own in self._of_cases.values() for one in own)]
        return frozenset[str]().union(*(one.template.names for one in written if one.template is not None))

    @staticmethod
    def unused_expected(cases: Iterable[Case], used: frozenset[str]) -> Iterator[Finding]:
        """Warn of an `expected` that no check uses."""
        for case in cases:
            is_read = isinstance(case.rules, CaseChecks | ConversationChecks) and any(
                leaf.kind == "function" for leaf in case.rules.leaves
            )
            if case.expected is not None and "expected" not in used and not is_read:
                message = 'no check uses its `expected`; write {equals: "{{ expected }}"}, or take it out.'
                yield Finding(severity=Severity.WARNING, message=message, case=case.id)

    def of_case(self, row: Row, case: CaseFields) -> CaseChecks:
        """Give the checks of a case: the suite's and its own, rendered with its fields.

        Raises:
            SuiteFault: one is wrong for this case, or it has none.
        """
        is_shared = not self._of_cases[id(row)] and not replaces(row)
        is_shared = is_shared and all(one.check is not None for one in self._of_suite)
        if is_shared and case.pass_score in self._shared:
            return self._shared[case.pass_score]
        checks = self.rendered_all(row, case)
        if not checks:
            raise row.fault(
                f'case "{case.id}" has no check; write `checks` in it or in the suite, or give the suite a `grader`, '
                "see docs/checks.md."
            )
        try:
            found = case_checks(checks, case.pass_score)
        except CheckFault as fault:
            raise row.fault(f'case "{case.id}": {fault.message}') from None
        if is_shared:
            self._shared[case.pass_score] = found
        return found

    def rendered_all(self, row: Row, case: CaseFields) -> list[Check]:
        """Give the checks of the suite and those of a case, rendered with its fields.

        Raises:
            SuiteFault: one is wrong for this case.
        """
        of_suite = [] if replaces(row) else self._of_suite
        checks = [self.rendered(one, row, case, is_of_suite=True) for one in of_suite]
        return checks + [self.rendered(one, row, case, is_of_suite=False) for one in self._of_cases[id(row)]]

    def graded_alike(self, cases: Sequence[Case]) -> GraderKind:
        """Give the kind with the version of the grader that every case is the short form of, where there is one."""
        shorts = {None if short is None else short[0] for short in map(_short_of, cases)}
        if len(shorts) != 1 or None in shorts:
            return self.kind
        (name,) = shorts
        return replace(self.kind, version=grader_kind(str(name), {}).version)

    def written(self, row: Row) -> Iterator[Written]:
        """Read what a row has in `checks`: a list, or under `replace` one in place of the suite's."""
        given = _parsed(row)
        if given is None:
            return
        start: Place = ()
        if isinstance(given, Mapping):
            if set(given) != {"replace"}:
                self._fail(row, "`checks` of a case is a list, or {replace: [...]} in place of the suite's.", ())
            given, start = given["replace"], ("replace",)
        if not isinstance(given, list | tuple):
            self._fail(row, "`checks` must be a list.", start)
        for number, one in enumerate(given):
            yield self._written(one, (*start, number), row=row, is_of_suite=False)

    def _written(self, given: Any, place: Place, *, row: Row | None, is_of_suite: bool) -> Written:
        try:
            template = ValueTemplate.of(_without_name(given))
            is_text = row is not None and row.is_text
            check = None
            if template is None:
                folder = self._path.parent
                check = read_check(given, folder, is_text=is_text, is_of_suite=is_of_suite, place=place)
                self._remark(check, place, row)
        except TemplateFault as fault:
            self._fail(row, f"{str(fault).rstrip('.')}.", place)
        except CheckFault as fault:
            self._fail(row, fault.message, fault.place)
        return Written(given=given, place=place, template=template, check=check)

    def rendered(self, one: Written, row: Row, case: CaseFields, *, is_of_suite: bool) -> Check:
        """Render a check with the fields of a case.

        Raises:
            SuiteFault: it is wrong for this case.
        """
        if one.check is not None:
            return one.check
        owner = None if is_of_suite else row
        try:
            given = one.given if one.template is None else one.template.render(case.fields)
            if "name" in one.given:
                given = {**given, "name": one.given["name"]}
            folder = self._path.parent
            check = read_check(given, folder, is_text=True, is_of_suite=is_of_suite, place=one.place)
            self._remark(check, one.place, owner)
            return check
        except TemplateFault as fault:
            message, place = f"{str(fault).rstrip('.')}.", one.place
        except CheckFault as fault:
            message, place = fault.message, fault.place
        where = f'for case "{case.id}" ({row.path}, {row.place}): ' if is_of_suite else ""
        return self._fail(owner, f"{where}{message}", place)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Remarks on the checks that were read, each once."""
        return (*self._remarks, *self._nameless())

    def _nameless(self) -> Iterator[Finding]:
        """Say that rubrics without a name, each of a case of its own, are one check to whoever counts by names."""
        own = [
            json.dumps(one.given["rubric"], sort_keys=True, default=str)
            for written in self._of_cases.values()
            for one in written
            if isinstance(one.given, Mapping) and "rubric" in one.given and "name" not in one.given
        ]
        if len(set(own)) > 1:
            message = (
                f"{len(own)} rubrics of single cases have no `name`, and `llmbench agreement --by-check` counts their "
                f"{len(set(own))} criteria as one; name each, those that ask for the same alike."
            )
            yield Finding(severity=Severity.ADVICE, message=message)

    def _remark(self, check: Check, place: Place, row: Row | None) -> None:
        """Note the remarks on a check of a row, or of the suite where there is none."""
        node: Any = self._node if row is None else row.checks
        case_id = None if row is None else row.values.get("id")
        for severity, message, where in remarks_on(check, place):
            line = None if node is None else yaml12.line_at(node, where)
            case = case_id if isinstance(case_id, str) else None
            self._remarks[Finding(severity=severity, message=message, case=case, line=line)] = None

    def _fail(self, row: Row | None, message: str, place: Place) -> NoReturn:
        """Raise a fault with the line of a check of a row, or of the suite where there is none."""
        node: Any = self._node if row is None else row.checks
        case_id = None if row is None else row.values.get("id")
        text = f"check{_written_place(place)}: {message}" if place else message
        if isinstance(case_id, str) and row is not None:
            turn = "" if row.turn is None else f", turn {row.turn}"
            text = f'case "{case_id}"{turn}: {text}'
        if node is not None:
            raise SuiteFault(text, path=self._path, line=yaml12.line_at(node, place))
        if row is None:
            raise SuiteFault(text, path=self._path)
        raise row.fault(text)


def _written_place(place: Place) -> str:
    """Write the number of a check from 1, as people count."""
    number = next((step for step in place if isinstance(step, int)), None)
    return "" if number is None else f" {number + 1}"


def read_value(node: yaml12.Node, path: Path) -> Any:
    """Read one check: scalars of text keys as they are written, others in their types."""
    if not yaml12.is_mapping(node):
        return yaml12.value(node, path)
    found: dict[str, Any] = {}
    for key, entry in yaml12.table(node, path, "a check").entries.items():
        if key == "not":
            found[key] = read_value(entry, path)
        elif key in COMBINATIONS:
            is_list = not yaml12.is_mapping(entry) and isinstance(entry.value, list)
            found[key] = [read_value(one, path) for one in entry.value] if is_list else yaml12.value(entry, path)
        else:
            found[key] = (yaml12.text_value if key in TEXT_KEYS else yaml12.value)(entry, path)
    return found


def read_case_value(node: yaml12.Node, path: Path) -> Any:
    """Read the `checks` of a case: a list, or a mapping with `replace`."""
    if yaml12.is_null(node):
        return None
    if yaml12.is_mapping(node):
        entries = yaml12.table(node, path, "`checks`").entries
        return {key: read_case_value(entry, path) for key, entry in entries.items()}
    return [read_value(one, path) for one in yaml12.items(node, path, "`checks`")]


def digest(values: Mapping[str, Json], checks: CaseChecks | ConversationChecks) -> str:
    """Give the digest of a case: that of the grader which its checks are the short form of, if they are.

    Args:
        values: the fields of the case that count, without its checks.
        checks: all of them.
    """
    reads_expected = any(leaf.kind == "function" for leaf in checks.leaves)
    own = {
        key: value
        for key, value in values.items()
        if key not in ("checks", "pass_score", "turns", "stop_on_fail") and (key != "expected" or reads_expected)
    }
    if isinstance(checks, ConversationChecks):
        content = [CHECKS, own, conversation_form(checks)]
    else:
        short = short_form(checks)
        content = [CHECKS, own, canonical_form(checks)] if short is None else [short[0], {**own, **short[1]}]
    written = json.dumps(content, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


def _short_of(case: Case) -> Any:
    return short_form(case.rules) if isinstance(case.rules, CaseChecks) else None


def replaces(row: Row) -> bool:
    """Tell whether the checks of a row stand in place of those round it."""
    return isinstance(_parsed(row), Mapping)


def _parsed(row: Row) -> Any:
    """Give the checks of a row; a field of CSV holds them as JSON."""
    given = row.values.get("checks")
    if row.is_text and isinstance(given, str):
        with suppress(ValueError):
            return json.loads(given)
    return given


def _without_name(given: Any) -> Any:
    return {key: value for key, value in given.items() if key != "name"} if isinstance(given, Mapping) else given


def _in_cases(table: yaml12.Table) -> Iterator[Any]:
    """Give the checks that stand in the cases of the suite file, as far as they can be read."""
    cases = table.entries.get("cases")
    for case in getattr(cases, "value", ()) if cases is not None else ():
        turns = yaml12.node_at(case, ("turns",))
        for holder in (case, *(turns.value if turns is not None and isinstance(turns.value, list) else ())):
            node = yaml12.node_at(holder, ("checks",))
            found = None if node is None else read_case_value(node, table.path)
            yield from found if isinstance(found, list) else found.get("replace", ()) if found else ()


def _kinds_in(given: Any) -> Iterator[str]:
    if isinstance(given, Mapping):
        for key, value in given.items():
            if key in KINDS:
                yield key
            elif key == "not":
                yield from _kinds_in(value)
            elif key in COMBINATIONS and isinstance(value, list):
                yield from (kind for one in value for kind in _kinds_in(one))
