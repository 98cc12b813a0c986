"""What of a task of lm-evaluation-harness is mapped: its metrics and filters; and what no suite can hold.

Source: lm_eval 0.4.13, `api/task.py`, `config/task.py`, `filters/`, `api/metrics.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import regex

from pytest_llmbench.importers.base import NotMapped, Place, Unmapped
from pytest_llmbench.values import Json

TOOL = "lm-evaluation-harness"
GENERATION = "generate_until"
CHOICES = "multiple_choice"
NORMS: Mapping[str, str] = {"acc": "none", "acc_norm": "chars", "acc_bytes": "bytes"}
"""What the metrics of multiple choice divide a log-probability by, in the words of the grader `choices`."""

_DEFAULT_METRICS: Mapping[str, tuple[str, ...]] = {GENERATION: ("exact_match",), CHOICES: ("acc", "acc_norm")}
_BESIDE = frozenset({"f1", "mcc"})
"""Metrics of all cases together, which are left out beside a mapped one, with a note."""

_PLAIN = frozenset({"metric", "aggregation", "higher_is_better"})
_OPTIONS: Mapping[str, frozenset[str]] = {
    "exact_match": _PLAIN | {"ignore_case", "ignore_punctuation", "regexes_to_ignore"}
}
_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_EDGES = (r"\A\s+", r"\s+\Z")
_FILTERS = "regex, remove_whitespace, take_first"


class PlaceOf(Protocol):
    """Gives where something of a task stands: a key, then keys and numbers below it."""

    def __call__(self, *steps: str | int) -> Place:
        """Give the place."""
        ...


class Code(str):
    """The name of a function, where a task has code."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task: its name, its keys with includes merged, and where they stand."""

    name: str
    config: Mapping[str, Any]
    place: PlaceOf

    @property
    def metrics(self) -> Sequence[Mapping[str, Any]]:
        """Its metrics with their options; those of its kind where it names none."""
        named = self.config.get("metric_list")
        if named is None:
            return [{"metric": name} for name in _DEFAULT_METRICS.get(str(self.config.get("output_type")), ())]
        return [one if isinstance(one, Mapping) else {"metric": one} for one in named]

    @property
    def mapped(self) -> tuple[str, ...]:
        """The names of its metrics that become suites."""
        known = NORMS if self.config.get("output_type") == CHOICES else {"exact_match": ""}
        return tuple(str(one["metric"]) for one in self.metrics if one.get("metric") in known)

    @property
    def pipelines(self) -> Sequence[Mapping[str, Any]]:
        """Its pipelines of filters; one that takes the whole answer where it names none."""
        return self.config.get("filter_list") or [{"name": "none", "filter": [{"function": "take_first"}]}]

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know of its import."""
        beside = [str(one["metric"]) for one in self.metrics if one.get("metric") in _BESIDE]
        return (f"{', '.join(beside)}: a figure of all cases together, which is not carried over",) if beside else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A document of a task, as `shapes.Document` reads it, and where it stands; `name` precedes a fault of it."""

    place: Place
    document: Mapping[str, Any]
    name: str = ""

    def fault(self, message: str) -> NotMapped:
        """Make a fault of this document."""
        return NotMapped(f"{self.name}{message}", self.place)


def faults(task: Task) -> Iterator[Unmapped]:
    """Give all that no suite can hold of a task."""
    for check in (_kind_fault, _code_fault, _metric_faults, _filter_faults):
        yield from (Unmapped(place=place, message=message) for place, message in check(task))


def _kind_fault(task: Task) -> Iterator[tuple[Place, str]]:
    kind = task.config.get("output_type") or GENERATION
    if "class" in task.config:
        yield (
            task.place("class"),
            "`class` makes the task a Python class, which is not mapped; write its cases yourself.",
        )
    elif kind not in (GENERATION, CHOICES):
        reason = "they compare the likelihood of whole documents, which no grader does"
        yield task.place("output_type"), f"tasks of `{kind}` are not mapped: {reason}."
    for key in ("doc_to_image", "doc_to_audio"):
        if task.config.get(key):
            yield task.place(key), f"`{key}` is not mapped: prompts are texts."


def _code_fault(task: Task) -> Iterator[tuple[Place, str]]:
    if task.config.get("process_results"):
        yield task.place("process_results"), "`process_results` is code; write it as package.module:function."
    repeats = task.config.get("repeats")
    if isinstance(repeats, int) and repeats > 1:
        yield task.place("repeats"), "`repeats` above 1 is not mapped; log one answer for each document."


def _metric_faults(task: Task) -> Iterator[tuple[Place, str]]:
    is_choice = task.config.get("output_type") == CHOICES
    wanted = ", ".join(NORMS) if is_choice else "exact_match"
    names = [str(one.get("metric")) for one in task.metrics]
    if not task.mapped:
        yield (
            task.place("metric_list"),
            f"the metric must be `{wanted}`, and the task has: {', '.join(names) or 'none'}.",
        )
        return
    for number, one in enumerate(task.metrics):
        place, name = task.place("metric_list", number), str(one.get("metric"))
        if isinstance(one.get("metric"), Code) or (name not in task.mapped and name not in _BESIDE):
            yield place, f"the metric {name} is not mapped; those that are: {wanted}."
            continue
        unknown = next((key for key in one if key not in _OPTIONS.get(name, _PLAIN)), None)
        if unknown is not None:
            yield place, f"the option `{unknown}` of `{name}` is not mapped."
        if name in task.mapped and one.get("aggregation", "mean") != "mean":
            yield place, f"`aggregation: {one['aggregation']}` is not mapped: a score is the mean of its cases."
        for pattern in _deleted(one) if name == "exact_match" else ():
            fault = _pattern_fault(pattern)
            if fault:
                yield place, fault


def _filter_faults(task: Task) -> Iterator[tuple[Place, str]]:
    is_choice = task.config.get("output_type") == CHOICES
    for number, pipeline in enumerate(task.pipelines):
        place, steps = task.place("filter_list", number), _steps(pipeline)
        names = [str(one.get("function")) for one in steps]
        if is_choice and names:
            yield place, f"the filters {', '.join(names)} are not mapped for `{CHOICES}`."
        elif names not in ([], ["regex"], ["remove_whitespace"], ["regex", "remove_whitespace"]):
            shown = ", ".join(str(one.get("function")) for one in pipeline.get("filter") or [])
            yield place, f"the filters {shown} are not mapped; those that are: {_FILTERS}."
        elif names[:1] == ["regex"]:
            yield from ((place, fault) for fault in _regex_faults(steps[0]))


def _steps(pipeline: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in pipeline.get("filter") or [] if one.get("function") != "take_first"]


def _regex_faults(step: Mapping[str, Any]) -> Iterator[str]:
    select = step.get("group_select", 0)
    if select not in (0, -1):
        yield f"`group_select: {select}` is not mapped; a suite reads the first or the last match."
    fault = _pattern_fault(_pattern_of(step))
    if fault:
        yield fault


def _pattern_of(step: Mapping[str, Any]) -> str:
    return str(step.get("regex_pattern", r"#### (\-?[0-9\.\,]+)"))


def read_of(pipeline: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the key `read` of a pipeline of filters; None for one that takes the whole answer."""
    steps = _steps(pipeline)
    if not steps or steps[0].get("function") != "regex":
        return None
    last = steps[0].get("group_select", 0) == -1
    otherwise = str(steps[0].get("fallback", "[invalid]"))
    return {"regex": _pattern_of(steps[0]), "match": "last" if last else "first", "otherwise": otherwise}


def is_stripped(pipeline: Mapping[str, Any]) -> bool:
    """Tell whether a pipeline takes the blanks round an answer off: `regex` does so with what it finds."""
    return bool(_steps(pipeline))


def check_of(task: Task, *, strips: bool) -> dict[str, Json]:
    """Give the check of `exact_match`; `strips` where the filters take blanks off."""
    metric = next(one for one in task.metrics if one.get("metric") == "exact_match")
    deleted = [*(_EDGES if strips else ()), *_deleted(metric)]
    check: dict[str, Json] = {"equals": "{{ expected }}", "verbatim": True, "trim": False}
    check |= {"ignore_case": True} if metric.get("ignore_case") else {}
    return check | ({"delete": deleted} if deleted else {})


def _deleted(metric: Mapping[str, Any]) -> list[str]:
    deleted = [str(one) for one in metric.get("regexes_to_ignore") or []]
    return deleted + ([_PUNCTUATION] if metric.get("ignore_punctuation") else [])


def _pattern_fault(pattern: str) -> str | None:
    if "{{" in pattern:
        return f"{pattern!r} has two braces, which a check reads as a template."
    try:
        regex.compile(pattern)
    except regex.error as fault:
        return f"{pattern!r} is no pattern here ({fault})."
    return None
