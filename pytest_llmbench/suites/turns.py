"""Read the `turns` of cases: what the user says in a fixed conversation, and the checks of each answer.

The checks of the suite and of the case hold for the answer of every turn, those of a turn for its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.checks.of_case import ConversationChecks, TurnChecks
from pytest_llmbench.grading.checks.tree import CheckFault, case_checks
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.case_prompts import clause
from pytest_llmbench.suites.check_loading import CaseFields, CheckReader, Written, read_case_value, replaces
from pytest_llmbench.suites.data_files import Row
from pytest_llmbench.suites.prompts import PromptTemplate, TemplateFault, compile_template
from pytest_llmbench.values import Json, PromptStyle

_KEYS = {"user", "checks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _WrittenTurn:
    """A turn as it is written: what the user says, and the row that stands for it with its checks."""

    user: PromptTemplate
    row: Row
    checks: tuple[Written, ...]


def read_turns_value(node: yaml12.Node, path: Any) -> Any:
    """Read `turns` of a case in the suite file, checks as those of a case are."""
    if yaml12.is_mapping(node) or not isinstance(node.value, list):
        return yaml12.value(node, path)
    return [_turn_value(entry, path) for entry in node.value]


def _turn_value(node: yaml12.Node, path: Any) -> Any:
    if not yaml12.is_mapping(node):
        return yaml12.value(node, path)
    readers = {"user": yaml12.text_value, "checks": read_case_value}
    entries = yaml12.table(node, path, "a turn").entries
    return {key: readers.get(key, yaml12.value)(entry, path) for key, entry in entries.items()}


class TurnReader:
    """The turns of the cases of one suite file.

    Args:
        checks: of the suite.
    """

    def __init__(self, checks: CheckReader):
        self._checks = checks
        self._of_cases: dict[int, tuple[_WrittenTurn, ...]] = {}

    def names(self, rows: Sequence[Row]) -> frozenset[str]:
        """Give the fields of cases that the turns use; reads the turns of these rows.

        Raises:
            SuiteFault: a turn is written wrongly.
        """
        for row in rows:
            if row.values.get("turns") is not None:
                self._of_cases[id(row)] = tuple(self._read(row))
        turns = [turn for own in self._of_cases.values() for turn in own]
        used = frozenset[str]().union(*(turn.user.names for turn in turns))
        written = [one.template for turn in turns for one in turn.checks if one.template is not None]
        return used.union(*(template.names for template in written))

    def of_case(self, row: Row, case: CaseFields) -> ConversationChecks | None:
        """Give the turns of a case, rendered with its fields; None where it has none.

        Raises:
            SuiteFault: one is wrong for this case, or none has a check.
        """
        written = self._of_cases.get(id(row))
        if written is None:
            return None
        shared = self._checks.rendered_all(row, case)
        turns = []
        for turn in written:
            own = [self._checks.rendered(one, turn.row, case, is_of_suite=False) for one in turn.checks]
            all_of = own if replaces(turn.row) else [*shared, *own]
            try:
                user = turn.user.render(case.inputs).messages[0].content
                checks = case_checks(all_of, case.pass_score) if all_of else None
            except TemplateFault as fault:
                raise turn.row.fault(f"{_of(turn.row)}: {clause(fault)}.") from None
            except CheckFault as fault:
                raise turn.row.fault(f"{_of(turn.row)}: {fault.message}") from None
            turns.append(TurnChecks(user=user, checks=checks))
        if all(turn.checks is None for turn in turns):
            raise row.fault(
                f'case "{case.id}" has no check; write `checks` in a turn, the case or the suite, see docs/checks.md.'
            )
        return ConversationChecks(turns=tuple(turns), stop_on_fail=case.stop_on_fail)

    def _read(self, row: Row) -> list[_WrittenTurn]:
        given = row.values["turns"]
        if not isinstance(given, list | tuple) or not given:
            _fail(row, "`turns` must be a list of {user: ..., checks: [...]}, at least one.", ())
        return [self._turn(row, number, turn) for number, turn in enumerate(given)]

    def _turn(self, row: Row, number: int, given: Json) -> _WrittenTurn:
        name = f"turn {number + 1}"
        if not isinstance(given, Mapping) or not {"user"} <= set(given) <= _KEYS:
            known = ", ".join(map(str, given)) if isinstance(given, Mapping) else "none"
            _fail(row, f"{name} has the keys {known}; a turn has `user`, and may have `checks`.", (number,))
        if not isinstance(given["user"], str) or not given["user"].strip():
            _fail(row, f"{name}: `user` must be a text; it is what the user says.", (number, "user"))
        try:
            user = compile_template(PromptStyle.CHAT, [("user", given["user"])])
        except TemplateFault as fault:
            _fail(row, f"{name}: {clause(fault)}.", (number, "user"))
        node: Any = row.turns
        own = Row(
            path=row.path,
            line=row.line if node is None else yaml12.line_at(node, (number,)),
            values={"id": row.values.get("id"), "checks": given.get("checks")},
            has_lines=row.has_lines,
            is_text=row.is_text,
            checks=None if node is None else yaml12.node_at(node, (number, "checks")),
            turn=number + 1,
        )
        return _WrittenTurn(user=user, row=own, checks=tuple(self._checks.written(own)))


def _of(row: Row) -> str:
    return f'case "{row.values.get("id")}", turn {row.turn}'


def _fail(row: Row, message: str, place: tuple[str | int, ...]) -> NoReturn:
    text = f'case "{row.values.get("id")}": {message}'
    node: Any = row.turns
    if node is None:
        raise row.fault(text)
    raise SuiteFault(text, path=row.path, line=yaml12.line_at(node, place))
