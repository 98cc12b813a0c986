"""The check `tools`: which tools an answer calls, and with which arguments.

Modes: `superset` asks for these calls, whatever others there are; `exact` for these in this order and no others;
`subset` for no others than these; `ordered` for these in this order, with others between them; `none` for no call at
all, or for none of these.  The words are those of LangChain's agentevals and of agentv.

Arguments match as those of `json_subset` do: those that are written must be there, others are free.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.grading.base import Finding, Severity
from pytest_llmbench.grading.checks.base import CheckFields, CheckKind, Placed, Test, each
from pytest_llmbench.grading.checks.json_values import check_rules, is_rule, lacking, unmatched
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Switch
from pytest_llmbench.values import Answer, Case, Grade, Reason, Suite, ToolCall


class Mode(StrEnum):
    """How the calls of an answer are compared with those written."""

    SUPERSET = "superset"
    EXACT = "exact"
    SUBSET = "subset"
    ORDERED = "ordered"
    NONE = "none"


class WantedCall(Strict):
    """One call. An `optional` one may be left out; `match` is how its arguments are compared."""

    name: Annotated[str, Field(strict=True, min_length=1)]
    arguments: dict[str, Any] = Field(default_factory=dict)
    match: Literal["subset", "exact", "ignore"] = "subset"
    optional: Switch = False

    @field_validator("arguments")
    @classmethod
    def _rules_are_some(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for value in arguments.values():  # the arguments themselves are no rule, whatever their names are
            check_rules(value)
        return arguments

    def __str__(self) -> str:
        written = "..." if self.match == "ignore" else _written(self.arguments)
        return f"{self.name}({written}){' (optional)' if self.optional else ''}"

    def fault(self, call: ToolCall) -> str | None:
        """Describe by what a call of this name differs; None if by nothing."""
        if self.match == "ignore":
            return None
        if isinstance(call.arguments, str):
            return f"the arguments are no JSON object: {clip(call.arguments, 60)}"
        for name, want in self.arguments.items():
            if name not in call.arguments:
                return f'at $: key "{name}" is missing'
            fault = lacking(want, call.arguments[name], at=f"$.{name}")
            if fault is not None:
                return fault
        return _surplus(self.arguments, call.arguments, "$") if self.match == "exact" else None

    def fits(self, call: ToolCall) -> bool:
        """Tell whether a call is this one."""
        return call.name == self.name and self.fault(call) is None


class WantedCalls(Strict):
    """What the calls of an answer must hold to."""

    mode: Mode = Mode.SUPERSET
    calls: tuple[WantedCall, ...] = ()

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.calls and self.mode is not Mode.NONE:
            raise ValueError(f"mode {self.mode} needs `calls`; for an answer without any, write {{mode: none}}")
        if self.mode in (Mode.SUBSET, Mode.NONE) and any(call.optional for call in self.calls):
            raise ValueError(f"`optional` has no meaning with mode {self.mode}, where no call is needed; take it out")
        return self

    def __str__(self) -> str:
        calls = ", ".join(map(str, self.calls))
        return {
            Mode.SUPERSET: f"the calls {calls}",
            Mode.EXACT: f"the calls {calls}, in this order and no others",
            Mode.SUBSET: f"no other calls than {calls}",
            Mode.ORDERED: f"the calls {calls}, in this order",
            Mode.NONE: f"none of the calls {calls}" if self.calls else "no call",
        }[self.mode]


class ToolsFields(CheckFields):
    """The tools that an answer calls."""

    tools: WantedCalls


def _written(arguments: Any) -> str:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    return "" if text == "{}" else clip(text, 200)


def written_call(call: ToolCall) -> str:
    """Write a call in a line: `search({"text": "refund"})`."""
    return f"{call.name}({_written(dict(call.arguments) if isinstance(call.arguments, Mapping) else call.arguments)})"


def _surplus(want: Any, got: Any, at: str) -> str | None:
    """Describe the first key that a value has and the one asked for has not, which is no rule."""
    if isinstance(want, Mapping) and isinstance(got, Mapping):
        extra = next((key for key in got if key not in want), None)
        if extra is not None:
            return f'at {at}: key "{extra}" is too much'
        pairs = ((want[key], value, f"{at}.{key}") for key, value in got.items() if not is_rule(want[key]))
        faults = (_surplus(*pair) for pair in pairs)
        return next(filter(None, faults), None)
    if isinstance(want, list) and isinstance(got, list):
        both = enumerate(zip(want, got, strict=False))
        faults = (_surplus(*pair, f"{at}[{place}]") for place, pair in both if not is_rule(pair[0]))
        return next(filter(None, faults), None)
    return None


Calls = Sequence[ToolCall]
Wanted = Sequence[WantedCall]


def _superset(wanted: Wanted, made: Calls) -> str | None:
    needed = [call for call in wanted if not call.optional]
    place = unmatched([[at for at, call in enumerate(made) if want.fits(call)] for want in needed])
    return None if place is None else _missing(needed[place], made)


def _missing(want: WantedCall, made: Calls) -> str:
    same = [call for call in made if call.name == want.name]
    faults = [fault for call in same if (fault := want.fault(call)) is not None]
    if faults:
        return f"{want.name}: {faults[0]}"
    return f"{want} is missing" if not same else f"{want} is missing once more"


def _subset(wanted: Wanted, made: Calls) -> str | None:
    place = unmatched([[at for at, want in enumerate(wanted) if want.fits(call)] for call in made])
    return None if place is None else _too_much(made[place], wanted)


def _too_much(call: ToolCall, wanted: Wanted) -> str:
    faults = [fault for want in wanted if want.name == call.name and (fault := want.fault(call)) is not None]
    return f"{call.name}: {faults[0]}" if faults else f"{written_call(call)} is too much"


def _ordered(wanted: Wanted, made: Calls) -> str | None:
    # what is needed is looked for at the earliest place; optional calls need no place, for others may stand between
    place = 0
    for want in wanted:
        if want.optional:
            continue
        found = next((at for at in range(place, len(made)) if want.fits(made[at])), None)
        if found is None:
            is_elsewhere = any(want.fits(call) for call in made)
            return f"{want} comes too early" if is_elsewhere else _missing(want, made)
        place = found + 1
    return None


def _exact(wanted: Wanted, made: Calls) -> str | None:
    # reached[n]: the first n calls that were made are accounted for by the wanted ones so far
    reached = {0}
    furthest = 0
    for want in wanted:
        nexts = {at + 1 for at in reached if at < len(made) and want.fits(made[at])}
        nexts |= reached if want.optional else set()
        if not nexts:
            return _misplaced(want, made[max(reached) :])
        reached, furthest = nexts, max(furthest, *nexts)
    return None if len(made) in reached else f"{written_call(made[furthest])} is too much"


def _misplaced(want: WantedCall, rest: Calls) -> str:
    if not rest:
        return f"{want} is missing"
    fault = want.fault(rest[0]) if rest[0].name == want.name else None
    return f"{want.name}: {fault}" if fault else f"{written_call(rest[0])} stands where {want} belongs"


def _none(wanted: Wanted, made: Calls) -> str | None:
    bad = next((call for call in made if not wanted or any(want.fits(call) for want in wanted)), None)
    return None if bad is None else f"{written_call(bad)} is called"


_FAULTS: Mapping[Mode, Callable[[Wanted, Calls], str | None]] = MappingProxyType(
    {
        Mode.SUPERSET: _superset,
        Mode.EXACT: _exact,
        Mode.SUBSET: _subset,
        Mode.ORDERED: _ordered,
        Mode.NONE: _none,
    }
)


def _test(fields: ToolsFields) -> Test:
    want = fields.tools
    names = {call.name for call in want.calls}

    def test(case: Case, answer: Answer) -> Grade:
        del case
        made = answer.tool_calls
        fault = _FAULTS[want.mode](want.calls, made)
        is_broken = any(isinstance(call.arguments, str) and call.name in names for call in made)
        reason = Reason.CORRECT if fault is None else Reason.UNPARSED if is_broken else Reason.DIFFERENT
        found = ", ".join(map(written_call, made)) or "none"
        why = "" if fault is None else f" ({fault})"
        return Grade(
            score=float(fault is None),
            passed=fault is None,
            reason=reason,
            explanation=f"Expected {want}, found {clip(found, 400)}{why}.",
        )

    return test


def _always(fields: ToolsFields) -> bool | None:
    needed = [call for call in fields.tools.calls if not call.optional]
    return True if fields.tools.mode in (Mode.SUPERSET, Mode.ORDERED) and not needed else None


def _findings(placed: Sequence[Placed], suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    """Find calls of tools that the suite does not have, and arguments that those do not take."""
    del root
    known = {tool.name: tool for tool in suite.tools}
    if not known or not is_thorough:
        return ()
    found = []
    for one in placed:
        for call in one.fields.tools.calls:
            if call.name not in known:
                near = get_close_matches(call.name, known, n=1)
                guess = f" did you mean {near[0]}?" if near else ""
                message = f"the suite has no tool {call.name};{guess} its tools are: {', '.join(known)}."
                found.append(Finding(severity=Severity.ERROR, message=message, case=one.case.id))
                continue
            taken = (known[call.name].parameters or {}).get("properties")
            if not isinstance(taken, Mapping):
                continue
            for name in call.arguments:
                if name not in taken:
                    message = f"the tool {call.name} takes no {name}; its arguments are: {', '.join(taken) or 'none'}."
                    found.append(Finding(severity=Severity.WARNING, message=message, case=one.case.id))
    return tuple(found)


TOOLS = CheckKind(
    name="tools",
    fields=ToolsFields,
    build=each(_test),
    expected=lambda fields: str(fields.tools),
    is_local=False,
    findings=_findings,
    always=_always,
)
