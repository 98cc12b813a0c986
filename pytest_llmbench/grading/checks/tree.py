"""The checks of a case as a tree: read from what a suite holds, named, and written as a digest's canonical form."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from pytest_llmbench.grading.checks.base import CheckFields, Short
from pytest_llmbench.grading.checks.of_case import CaseChecks, Check, ConversationChecks
from pytest_llmbench.grading.checks.registry import COMBINATIONS, KINDS, unknown_kind
from pytest_llmbench.models.validation import FROM_TEXT, PositiveShare, chief_error, error_sentence
from pytest_llmbench.values import Json

Place: TypeAlias = tuple[str | int, ...]
"""Where in a list of checks something stands, as keys and numbers."""

_DEEPEST = 10


class CheckFault(Exception):
    """A check is written wrongly; `place` is where in it. The loader adds file and line."""

    def __init__(self, message: str, place: Place = ()):
        self.message = message
        self.place = place
        super().__init__(message)


class _InCombination(CheckFields):
    """The keys of `not` and `any`."""


class AllFields(CheckFields):
    """The keys of `all`; with `pass_score` it passes from that share of its checks on."""

    pass_score: PositiveShare = 1


def read_check(
    given: object, folder: Path, *, is_text: bool, is_of_suite: bool = False, place: Place, depth: int = 0
) -> Check:
    """Read one check.

    Args:
        given: as the suite holds it, templates rendered.
        folder: of the suite, to which files are relative.
        is_text: numbers and switches in it may be texts, as from a template or CSV.
        is_of_suite: it stands in the suite, and not in a case.
        place: of it in its list.
        depth: the number of combinations round it.

    Raises:
        CheckFault: it is no check.
    """
    if not isinstance(given, Mapping):
        raise CheckFault('a check must be a mapping such as {contains: "a text"}.', place)
    kinds = [key for key in given if key in KINDS or key in COMBINATIONS]
    if not kinds:
        raise CheckFault(unknown_kind(tuple(given)), place)
    if len(kinds) > 1:
        raise CheckFault(f"a check has one kind, and this one has {' and '.join(kinds)}; write two checks.", place)
    kind = kinds[0]
    if kind in COMBINATIONS:
        if depth >= _DEEPEST:
            raise CheckFault(f"checks are nested over {_DEEPEST} levels deep; write them flatter.", place)
        return _combination(kind, given, folder, is_text=is_text, place=place, depth=depth)
    found = KINDS[kind]
    try:
        read = found.with_files(given, folder)
    except ValueError as fault:
        raise CheckFault(f"{fault}.", (*place, kind)) from None
    fields = _validated(read, found.fields, is_text=is_text, place=place)
    if getattr(fields, "fence", True) is False and getattr(fields, "path", None) is None and not found.reads_json:
        message = f"`fence` is about how JSON is read, and {kind} reads text; give it a path, or take `fence` out."
        raise CheckFault(message, (*place, "fence"))
    if isinstance(fields, CheckFields) and fields.required and fields.advice:
        raise CheckFault("a check is `required` or `advice`, not both; take one out.", (*place, "advice"))
    try:
        dumped = fields.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    except ValueError:  # of pydantic, beyond its 255 levels
        raise CheckFault(f"what `{kind}` holds is nested too deep; write it flatter.", (*place, kind)) from None
    if found.version > 1:
        dumped["version"] = found.version
    short = found.short(read, is_of_suite=is_of_suite)
    return Check(kind=kind, fields=fields, canonical=dumped, short=short)


def _combination(
    kind: str, given: Mapping[str, object], folder: Path, *, is_text: bool, place: Place, depth: int
) -> Check:
    own = {key: value for key, value in given.items() if key != kind}
    fields = _validated(own, AllFields if kind == "all" else _InCombination, is_text=is_text, place=place)
    inner = given[kind]
    entries = [(inner, (*place, kind))] if kind == "not" else _listed(kind, inner, place)
    children = tuple(
        read_check(entry, folder, is_text=is_text, place=where, depth=depth + 1) for entry, where in entries
    )
    for child, (_, where) in zip(children, entries, strict=True):
        meaningless = {"advice"} if kind == "all" else {"weight", "required", "advice"}
        for key in sorted(meaningless & child.fields.model_fields_set):
            raise CheckFault(f"`{key}` has no meaning within `{kind}`; write it beside `{kind}`.", (*where, key))
        if not child.fields.decides:
            raise CheckFault(f"within `{kind}` a check must decide, and this one has no `min`; write one.", where)
    if any(child.fields.advice for child in children) and "advice" not in fields.model_fields_set:
        message = f"`{kind}` holds a check that is advice by itself; write `advice: true` or `false` beside `{kind}`."
        raise CheckFault(message, place)
    children = tuple(map(_counted_within, children))
    if fields.required and fields.advice:
        raise CheckFault("a check is `required` or `advice`, not both; take one out.", (*place, "advice"))
    canonical = fields.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    canonical[kind] = [child.canonical for child in children]
    names = names_of(children)
    return Check(kind=kind, fields=fields, children=children, canonical=canonical, child_names=names)


def _counted_within(child: Check) -> Check:
    """Count a check that is advice where it stands alone: what holds it decides whether it counts."""
    return replace(child, fields=child.fields.model_copy(update={"advice": False})) if child.fields.advice else child


def _listed(kind: str, inner: object, place: Place) -> list[tuple[object, Place]]:
    if not isinstance(inner, list | tuple) or not inner:
        raise CheckFault(f"`{kind}` holds a list of checks, at least one.", (*place, kind))
    return [(entry, (*place, kind, number)) for number, entry in enumerate(inner)]


def _validated(given: Mapping[str, object], fields: type[CheckFields], *, is_text: bool, place: Place) -> Any:
    try:
        return fields.model_validate(given, context=FROM_TEXT if is_text else None)
    except ValidationError as fault:
        error = chief_error(fault)
        raise CheckFault(error_sentence(error, fields), (*place, *error["loc"])) from None


def case_checks(checks: Sequence[Check], pass_score: float) -> CaseChecks:
    """Put the checks of a case together.

    Raises:
        CheckFault: two have the same written name, or none counts.
    """
    written = [check.fields.name for check in checks if check.fields.name is not None]
    for number, check in enumerate(checks):
        if check.fields.name is not None and written.count(check.fields.name) > 1:
            message = f'two checks of a case are named "{check.fields.name}"; rename one, reports name them.'
            raise CheckFault(message, (number, "name"))
    if checks and all(check.fields.advice for check in checks):
        raise CheckFault("all of its checks are `advice`, so nothing decides; let at least one count.", (0, "advice"))
    return CaseChecks(checks=tuple(checks), pass_score=pass_score, names=names_of(checks))


def names_of(checks: Sequence[Check]) -> tuple[str, ...]:
    """Give each of some checks a name of its own: the second `contains` is `contains 2`."""
    taken = {check.fields.name for check in checks if check.fields.name is not None}
    names: list[str] = []
    for check in checks:
        name, number = check.name, 1
        if check.fields.name is None:
            while name in taken:
                number += 1
                name = f"{check.name} {number}"
        taken.add(name)
        names.append(name)
    return tuple(names)


def canonical_form(checks: CaseChecks) -> Json:
    """Give what the digest of a case holds of its checks; those that never count are no part of it."""
    return [[check.canonical for check in checks.checks if not check.fields.advice], float(checks.pass_score)]


def conversation_form(conversation: ConversationChecks) -> Json:
    """Give what the digest of a case holds of its turns."""
    turns = [[turn.user, None if turn.checks is None else canonical_form(turn.checks)] for turn in conversation.turns]
    return [*turns, "stop_on_fail"] if conversation.stop_on_fail else turns


def short_form(checks: CaseChecks) -> Short | None:
    """Give the grader that the checks are the same as, and its fields of the case; None if they are like none."""
    counted = [check for check in checks.checks if not check.fields.advice]
    return counted[0].short if len(counted) == 1 else None
