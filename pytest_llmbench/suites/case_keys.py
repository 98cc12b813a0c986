"""Keys of cases that are probably not what their author means, and texts that a YAML comment cuts.

Each key of a case that is no field is an input of the prompt templates, so that a misspelt or misplaced field is one
that nothing reads.  One that no template uses is refused where it is a field somewhere else, or nearly one here.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from pytest_llmbench.grading.base import Finding, GraderKind, Severity
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.suites import yaml12
from pytest_llmbench.values import Case

_OF_SUITES = frozenset({"grader", "sampling", "prompt", "trust"})
"""Keys of every suite that make no sense as an input; `suite`, `data` and `cases` may be columns of a data file."""

_OF_CHECKS = frozenset({"checks", "pass_score", "turns", "stop_on_fail"})
"""Keys of cases in suites with `checks`."""

_SHORTEST = 4
"""Fields of fewer letters are near to too many words."""


def misplaced(key: str, kind: GraderKind, kinds: Mapping[str, GraderKind], *, case_keys: Set[str]) -> str | None:
    """Explain why a key that no template uses cannot be an input; None if it can.

    Args:
        key: of a case.
        kind: the grader of its suite.
        kinds: graders of other packages by name.
        case_keys: the fields of every case.
    """
    if key in _OF_CHECKS:
        return (
            f'this suite has the grader "{kind.name}", and `{key}` is for one without; '
            "write that grader as a check of the suite, see docs/checks.md."
        )
    if key == "split":
        return (
            "`split` needs one of the suite, or no case is on a side; write `split: {train: 0.5}` at the top level of "
            "the suite file, or take it out of the case."
        )
    if key in kind.suite_keys | _OF_SUITES:
        return f"`{key}` is a field of the suite, not of a case; write it at the top level of the suite file."
    fields = kind.case_keys | case_keys
    near = next((field for field in sorted(fields) if len(field) >= _SHORTEST and is_one_edit(key, field)), None)
    if near is not None:
        return (
            f"`{key}` is not a field, and no prompt template uses it; did you mean `{near}`? "
            "An input needs another name, or a place in a template."
        )
    for name, other in {**BUILT_IN, **kinds}.items():
        if key in other.case_keys | other.suite_keys:
            return (
                f'`{key}` is a field of the grader "{name}", and this suite has "{kind.name}"; '
                "take it out, or use it in a prompt template."
            )
    return None


def is_one_edit(word: str, other: str) -> bool:
    """Tell whether one letter put in, taken out or changed, or two neighbours swapped, make one word the other."""
    if abs(len(word) - len(other)) > 1 or word == other:
        return False
    begin = next((place for place, pair in enumerate(zip(word, other, strict=False)) if pair[0] != pair[1]), None)
    if begin is None:
        return True
    left, right = word[begin:], other[begin:]
    swapped = left[1:2] + left[:1] + left[2:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped == right


def unused_inputs(cases: Sequence[Case], used: Set[str]) -> Iterator[Finding]:
    """Warn of each input that no template uses."""
    counts: dict[str, int] = {}
    for case in cases:
        for key in case.inputs.keys() - used:
            counts[key] = counts.get(key, 0) + 1
    for key, count in sorted(counts.items()):
        cases_of = "1 case has" if count == 1 else f"{count} cases have"
        message = f"no prompt template uses the input `{key}`, which {cases_of}; use it, or take it out."
        yield Finding(severity=Severity.WARNING, message=message)


def cut_texts(text: str, cases: yaml12.Node | None, path: Path) -> Iterator[Finding]:
    """Warn of each text in the cases of a YAML file that ends where a comment begins, if that looks like its rest."""
    for case in yaml12.items(cases, path, "`cases`") if cases is not None else ():
        entries = yaml12.table(case, path, "a case").entries
        case_id = yaml12.text(entries["id"], path, "`id`") if "id" in entries else None
        for value, gap, comment in yaml12.comments_behind(case, text):
            is_hashtag = comment[1:2].strip("# ") != ""
            if is_hashtag or (len(gap) == 1 and " " in value):
                message = (
                    f"the text `{value}` ends before `{comment}`, which YAML reads as a comment; "
                    "put the whole text in quotes, or two blanks and `# ` before a comment."
                )
                yield Finding(severity=Severity.WARNING, message=message, case=case_id)
