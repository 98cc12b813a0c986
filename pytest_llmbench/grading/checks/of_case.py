"""The checks of a case, as its rules: of its one answer, or of each turn. Light, as runs without checks know it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_llmbench.grading.checks.registry import KINDS
from pytest_llmbench.values import Case, Json

if TYPE_CHECKING:
    from pytest_llmbench.grading.checks.base import CheckKind, Short


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Check:
    """One check, ready to be built: a leaf with its kind, or a combination with `children`.

    `canonical` is what the digest of a case holds of it: wording of names and order of keys are no part of it.
    `short` is the grader that it is the same as where it is the only one.
    """

    kind: str
    fields: Any
    children: tuple["Check", ...] = ()
    canonical: Json = None
    short: "Short | None" = None
    child_names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name it was given, else one made of its kind."""
        if self.fields.name is not None:
            return str(self.fields.name)
        if self.kind == "not":
            return f"not {self.children[0].name}"
        if self.children:
            word = " or " if self.kind == "any" else " and "
            return f"{self.kind} of {word.join(child.name for child in self.children)}"
        path = getattr(self.fields, "path", None)
        return self.kind if path is None else f"{self.kind} {path}"

    @property
    def leaf_kind(self) -> "CheckKind | None":
        """The kind of a leaf; None of a combination."""
        return None if self.children else KINDS[self.kind]

    @property
    def leaves(self) -> Iterator["Check"]:
        """The leaves in it, itself where it is one."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves

    @property
    def is_judged(self) -> bool:
        """Whether a judge model decides it, or one within it."""
        return any(KINDS[leaf.kind].is_judged for leaf in self.leaves)

    @property
    def expected(self) -> str:
        """What it asks, in a few words."""
        if self.kind == "not":
            return f"not: {self.children[0].expected}"
        if self.children:
            return f"{self.kind} of: {'; '.join(child.expected for child in self.children)}"
        kind = KINDS[self.kind]
        path = getattr(self.fields, "path", None)
        return kind.expected(self.fields) if path is None else f"at {path}: {kind.expected(self.fields)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseChecks:
    """All checks of a case, each with a name of its own, and the score from which it passes."""

    checks: tuple[Check, ...]
    pass_score: float = 1.0
    names: tuple[str, ...] = field(default=())

    @property
    def leaves(self) -> Iterator[Check]:
        """The checks that hold no others."""
        return (leaf for check in self.checks for leaf in check.leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnChecks:
    """What the user says in a turn, and the checks of the answer to it; None where there are none."""

    user: str
    checks: CaseChecks | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationChecks:
    """The turns of a conversation; with `stop_on_fail`, those behind one that failed count as failed."""

    turns: tuple[TurnChecks, ...]
    stop_on_fail: bool = False

    @property
    def leaves(self) -> Iterator[Check]:
        """The checks that hold no others."""
        return (leaf for turn in self.turns if turn.checks is not None for leaf in turn.checks.leaves)


def checks_of(case: Case) -> CaseChecks:
    """Give the checks of a case.

    Raises:
        TypeError: it was loaded for a grader.
    """
    if not isinstance(case.rules, CaseChecks):
        raise TypeError(f'"{case.id}" holds {type(case.rules).__name__}, and no checks')
    return case.rules


def case_leaves(case: Case) -> Iterator[Check]:
    """Give the checks of a case that hold no others, those of all its turns."""
    return case.rules.leaves if isinstance(case.rules, ConversationChecks) else checks_of(case).leaves
