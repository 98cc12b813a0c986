"""From a task of multiple choice to suites: one for each of its metrics, which divide the same log-probabilities.

Source: lm_eval 0.4.13, `api/task.py`, `construct_requests` and `process_results`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmbench.importers.base import ImportedCase, ImportedSuite, LeftOut, NotMapped, slug
from pytest_llmbench.importers.lm_eval.generation import case_of, messages_of, prompt_of
from pytest_llmbench.importers.lm_eval.task import NORMS, Row, Task
from pytest_llmbench.values import Answer, Json


def suites_of(task: Task, rows: Sequence[Row], about: Mapping[str, Json]) -> list[ImportedSuite]:
    """Give a suite for each metric."""
    delimiter = str(task.config.get("target_delimiter", " "))
    if about.get("chat_template"):
        # there the delimiter is the template's end, but for a prefix of the answer
        delimiter = "" if not task.config.get("gen_prefix") else delimiter
    return [
        _suite(task, slug(name) if len(task.mapped) > 1 else "", rows, name, delimiter, about) for name in task.mapped
    ]


def _suite(
    task: Task, label: str, rows: Sequence[Row], metric: str, delimiter: str, about: Mapping[str, Json]
) -> ImportedSuite:
    cases: list[ImportedCase] = []
    left_out: list[LeftOut] = []
    answers: list[tuple[int, Mapping[str, Json]]] = []
    verdicts: list[tuple[int, Answer, bool]] = []
    names: tuple[str, ...] | None = None
    for row in rows:
        try:
            messages, choices = _sent(row, delimiter)
            expected = _expected(row, choices)
            names = names or tuple(messages)
            if names != tuple(messages):
                raise row.fault("its roles differ from those of the first document.")
        except NotMapped as fault:
            left_out.append(LeftOut(given={"doc_id": row.document.get("doc_id")}, why=(fault.unmapped,)))
            continue
        cases.append(case_of(row, messages, {"choices": choices, "expected": expected}))
        logprobs = _logprobs(row, choices)
        if logprobs is not None:
            verdict = row.document.get(metric)
            kept = {"source_verdict": verdict} if verdict in (0, 1) else {}
            answers.append((len(cases) - 1, {"choice_logprobs": logprobs, **kept}))
            if kept:
                verdicts.append((len(cases) - 1, Answer(text="", label_logprobs=logprobs), bool(verdict)))
    keys = {"grader": "choices", "choice_norm": NORMS[metric], "target_delimiter": delimiter}
    return ImportedSuite(
        label=label,
        keys={**keys, "prompt": prompt_of(names or ())},
        cases=cases,
        left_out=left_out,
        notes=task.notes,
        about={"task": task.name, "metric": metric, **about},
        is_data_file=True,
        answers=answers,
        verdicts=verdicts,
    )


def _sent(row: Row, delimiter: str) -> tuple[dict[str, str], list[str]]:
    """Give the prompt, and the choices behind it."""
    requests = [tuple(one.values()) for one in (row.document.get("arguments") or {}).values()]
    if not requests or not all(len(one) == 2 and isinstance(one[1], str) for one in requests):
        raise row.fault("its requests are no prompts with a choice each.")
    if any(prompt != requests[0][0] for prompt, _ in requests):
        raise row.fault("its choices stand in the prompt, with one text behind them; that is not mapped.")
    if not all(text.startswith(delimiter) for _, text in requests):
        raise row.fault(f"its choices do not begin with the delimiter {delimiter!r}.")
    choices = [text.removeprefix(delimiter) for _, text in requests]
    if len(choices) < 2 or "" in choices:
        raise row.fault("it must have two or more choices, none of them empty.")
    prompt = requests[0][0]
    if not isinstance(prompt, str) or not prompt.strip():
        raise row.fault("its prompt is blank.")
    return messages_of(row, prompt), choices


def _expected(row: Row, choices: Sequence[str]) -> str | list[str]:
    """Give the right choices: the task names them by their places, from 0, or one by its text."""
    target = row.document.get("target")
    if row.document.get("resps") is not None and isinstance(target, str) and re.fullmatch(r"\[[\d, ]*\]", target):
        target = json.loads(target)  # a log writes a list as a text, too
    places = target if isinstance(target, list) else [target]
    if not places:
        raise row.fault("it has no right choice.")
    found = list(dict.fromkeys(_right(row, choices, place) for place in places))
    twice = next((text for text in found if choices.count(text) > 1), None)
    if twice is not None:
        raise row.fault(f'its right choice "{twice}" stands there twice, and only one of them is right.')
    return found[0] if len(found) == 1 else found


def _right(row: Row, choices: Sequence[str], target: Any) -> str:
    is_place = isinstance(target, int) and 0 <= target < len(choices)
    if isinstance(target, str) and target in choices:
        if _is_written_place(row, target, len(choices)) and choices[int(target)] != target:
            raise row.fault(f'its target "{target}" may be a choice or the place of one; freeze the task instead.')
        return target
    if _is_written_place(row, target, len(choices)) or is_place:
        return choices[int(target)]
    raise row.fault(f"its target {target!r} is none of its {len(choices)} choices, so no answer is right.")


def _is_written_place(row: Row, target: Any, count: int) -> bool:
    """Tell whether a target may be a place: a log writes every target as a text."""
    is_logged = row.document.get("resps") is not None
    return is_logged and isinstance(target, str) and target.isascii() and target.isdigit() and int(target) < count


def _logprobs(row: Row, choices: Sequence[str]) -> dict[str, float] | None:
    """Give the recorded log-probability of each choice; None where the document has none, or an infinite one."""
    given = row.document.get("resps") or []
    try:
        found = {choice: float(one[0][0]) for choice, one in zip(choices, given, strict=True)}
    except (TypeError, ValueError, IndexError):
        return None
    return found if all(map(math.isfinite, found.values())) else None
