"""What the kinds of checks share: their keys, and how one is built.

A check is one requirement of a case, written as a mapping with the name of its kind: `{contains: "ACCT-1"}`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.grading.base import Finding, Severity
from pytest_llmbench.grading.checks.json_path import steps
from pytest_llmbench.grading.match import Expected
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Switch, Text, kept
from pytest_llmbench.values import Answer, Case, Grade, Json, Suite


def _positive(weight: float) -> float:
    if not 0 < weight < float("inf"):
        raise ValueError("must be above 0; a check that never counts is written `advice: true`")
    return weight


def scalar_text(value: Any) -> Any:
    """Give a number or truth value as the text that JSON writes: data files and templates hold such."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _texts(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _path(path: str) -> str:
    steps(path)
    return path


Weight = Annotated[float, Field(json_schema_extra={"exclusiveMinimum": 0}), kept(int, float), AfterValidator(_positive)]
Written = Annotated[Expected, BeforeValidator(scalar_text, json_schema_input_type=str)]
"""A text to compare with; a scalar of another type stands for how it is written."""
WrittenTexts = Annotated[
    tuple[Written, ...],
    Field(min_length=1),
    BeforeValidator(_texts, json_schema_input_type=str | list[str]),
]
"""One text or several."""


class CheckFields(Strict):
    """The keys of every check.

    `weight` is its share of the score; a `required` one must pass whatever the score is, one that is `advice` is
    reported and never counted.
    """

    name: Text | None = None
    weight: Weight = 1
    required: Switch = False
    advice: Switch = False

    @property
    def decides(self) -> bool:
        """Whether an answer can pass or fail; if not, the check only measures."""
        return True


class PathFields(CheckFields):
    """The keys of a check that may look at one value of a JSON answer alone.

    `fence` lets a code fence or other text stand round the JSON.
    """

    path: Annotated[str, AfterValidator(_path)] | None = None
    fence: Switch = True


class TextFields(PathFields):
    """The keys of a check that compares texts: `trim` takes whitespace off both, `verbatim` compares each character."""

    ignore_case: Switch = False
    trim: Switch = True
    verbatim: Switch = False


Test: TypeAlias = Callable[[Case, Answer], Grade]
"""Grade an answer by one check; what it raises is an error of the check, not a wrong answer."""

Short: TypeAlias = tuple[str, Mapping[str, Json]]
"""The grader that one check alone is the same as, and the fields that a case would have for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A check of one kind with a case that has it; one of the suite is given with its first case."""

    case: Case
    fields: Any


def _as_written(given: Mapping[str, Json], folder: Path) -> Mapping[str, Json]:
    del folder
    return given


def _no_grader(given: Mapping[str, Json], *, is_of_suite: bool) -> Short | None:
    del given, is_of_suite
    return None


def _no_findings(placed: Sequence[Placed], suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    del placed, suite, root, is_thorough
    return ()


def _no_remarks(fields: Any) -> Iterable[tuple[Severity, str]]:
    del fields
    return ()


def _undecided(fields: Any) -> bool | None:
    del fields
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckKind:
    """One kind of check.

    `fields` is the pydantic class of its keys; the one named as the kind holds what is expected.
    `build(placed, suite, root)` gives a test for each of the checks, in their order.
    `expected(fields)` describes what is asked in a few words.
    `with_files(given, folder)` reads what the keys name as a file below the suite's folder, and raises `ValueError`.
    `short(given)` gives the grader that the check is the same as where it is the only one of a case.
    `findings` are those of the grader behind it.  `always(fields)` is True or False where each answer that is not
    empty passes, or none.
    `is_local` is True where the test reads nothing but the text, so that it may be tried on made-up answers.
    `reads_json`: the test reads the value at a `path` as JSON, and not as its text.
    `is_judged`: a judge model decides; the test that is built breaks.
    `remarks(fields)` are remarks on what is written, for `llmbench validate`.
    """

    name: str
    fields: type[CheckFields]
    build: Callable[[Sequence[Placed], Suite, Path], Sequence[Test]]
    expected: Callable[[Any], str]
    version: int = 1
    is_local: bool = True
    reads_json: bool = False
    with_files: Callable[[Mapping[str, Json], Path], Mapping[str, Json]] = _as_written
    short: Callable[..., Short | None] = _no_grader
    findings: Callable[..., tuple[Finding, ...]] = _no_findings
    always: Callable[[Any], bool | None] = _undecided
    is_judged: bool = False
    remarks: Callable[[Any], Iterable[tuple[Severity, str]]] = _no_remarks


def each(make: Callable[[Any], Test]) -> Callable[[Sequence[Placed], Suite, Path], Sequence[Test]]:
    """Build the checks of a kind one by one, from their keys alone."""

    def build(placed: Sequence[Placed], suite: Suite, root: Path) -> Sequence[Test]:
        del suite, root
        return [make(one.fields) for one in placed]

    return build


def quoted(texts: Sequence[str], between: str) -> str:
    """Give texts in quotes, clipped."""
    return clip(f" {between} ".join(f'"{text}"' for text in texts))
