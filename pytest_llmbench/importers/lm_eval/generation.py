"""From a task that generates texts to suites: one for each pipeline of filters, all with the same requests.

The prompts are those that the harness sends, byte for byte: inputs of the cases, never parsed as templates.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmbench.importers.base import ImportedCase, ImportedSuite, LeftOut, NotMapped, slug
from pytest_llmbench.importers.lm_eval.task import Row, Task, check_of, is_stripped, read_of
from pytest_llmbench.values import Answer, Json

_MOST_TOKENS = 256
"""What the harness asks of a model where a task names no limit."""

_KNOWN = frozenset({"until", "max_gen_toks", "temperature", "do_sample", "top_p"})


def suites_of(task: Task, rows: Sequence[Row], about: Mapping[str, Json]) -> list[ImportedSuite]:
    """Give a suite for each pipeline of filters."""
    suites = []
    for pipeline in task.pipelines:
        name = str(pipeline.get("name"))
        label = slug(name) if len(task.pipelines) > 1 else ""
        mine = [row for row in rows if row.document.get("filter") in (None, name)]
        suites.append(_suite(task, label, mine, pipeline, {"task": task.name, "filter": name, **about}))
    return suites


def _suite(
    task: Task, label: str, rows: Sequence[Row], pipeline: Mapping[str, Any], about: Mapping[str, Json]
) -> ImportedSuite:
    cases: list[ImportedCase] = []
    left_out: list[LeftOut] = []
    answers: list[tuple[int, Mapping[str, Json]]] = []
    verdicts: list[tuple[int, Answer, bool]] = []
    first: tuple[dict[str, Any], tuple[str, ...]] | None = None
    for row in rows:
        try:
            messages, settings = _sent(row)
            expected = _expected(row, strips=is_stripped(pipeline))
            first = first or (settings, tuple(messages))
            if first != (settings, tuple(messages)):
                raise row.fault("its settings or roles differ from those of the first document.")
        except NotMapped as fault:
            given = {"doc_id": row.document.get("doc_id"), "target": row.document.get("target")}
            left_out.append(LeftOut(given=given, why=(fault.unmapped,)))
            continue
        cases.append(case_of(row, messages, {"expected": expected}))
        if row.document.get("resps"):
            text, verdict = str(row.document["resps"][0][0]), row.document.get("exact_match")
            kept = {"source_verdict": verdict} if verdict in (0, 1) else {}
            answers.append((len(cases) - 1, {"answer": text, **kept}))
            if kept:
                verdicts.append((len(cases) - 1, Answer(text=text), bool(verdict)))
    settings, names = first or ({}, ())
    keys: dict[str, Any] = {"sampling": settings, "prompt": prompt_of(names)}
    reads = read_of(pipeline)
    return ImportedSuite(
        label=label,
        keys={**keys, "read": reads} if reads is not None else keys,
        checks=[check_of(task, strips=is_stripped(pipeline))],
        cases=cases,
        left_out=left_out,
        notes=task.notes,
        about=about,
        is_data_file=True,
        answers=answers,
        verdicts=verdicts,
    )


def case_of(row: Row, messages: Mapping[str, str], fields: Mapping[str, Json]) -> ImportedCase:
    """Give the case of a document: it is named by the digest that the harness gives it."""
    name = str(row.document.get("doc_hash"))[:12]
    return ImportedCase(inputs=messages, place=row.place, name=name, fields=fields, given={"doc_hash": name})


def messages_of(row: Row, prompt: object) -> dict[str, str]:
    """Give what was sent, as one prompt or as messages, by the names of their inputs."""
    if not isinstance(prompt, str):
        raise row.fault("its request is more than text.")
    try:
        found = json.loads(prompt)
    except (ValueError, RecursionError):
        found = None
    if not (isinstance(found, list) and found and all(_is_message(one) for one in found)):
        return {"prompt": prompt}
    return {f"message_{number}_{one['role']}": one["content"] for number, one in enumerate(found, start=1)}


def _is_message(one: Any) -> bool:
    is_known = isinstance(one, dict) and one.get("role") in ("system", "user", "assistant")
    return is_known and isinstance(one.get("content"), str)


def prompt_of(names: Sequence[str]) -> dict[str, Any]:
    """Give the prompt of a suite, by the names of the inputs that hold it."""
    if not names or names[0] == "prompt":
        return {"completion": "{{ prompt }}"}
    return {"chat": [{"role": name.rpartition("_")[2], "content": f"{{{{ {name} }}}}"} for name in names]}


def _sent(row: Row) -> tuple[dict[str, str], dict[str, Any]]:
    """Give what was sent, and how it was to be answered."""
    arguments = row.document.get("arguments") or {}
    answers = row.document.get("resps")
    has_one_answer = answers is None or (len(answers) == 1 and len(answers[0]) == 1)
    if list(arguments) != ["gen_args_0"] or not has_one_answer:
        raise row.fault("a document must have one request and one answer.")
    asked = arguments["gen_args_0"].get("arg_1")
    if not isinstance(asked, dict):
        raise row.fault("its request is more than text.")
    return messages_of(row, arguments["gen_args_0"].get("arg_0")), _sampling(row, asked)


def _expected(row: Row, *, strips: bool) -> str:
    target = row.document.get("target")
    if isinstance(target, bool) or not isinstance(target, str | int | float):
        raise row.fault("its target is no single text.")
    text = str(target)
    if not text.strip():
        raise row.fault("its target is blank, and a blank text cannot be expected.")
    if strips and text != text.strip():
        raise row.fault("its target has blanks round it, which a filtered answer never has.")
    return text


def _sampling(row: Row, asked: Mapping[str, Any]) -> dict[str, Any]:
    unknown = next((key for key in asked if key not in _KNOWN), None)
    if unknown is not None:
        raise row.fault(f"the setting `{unknown}` is not mapped.")
    until = asked.get("until") or []
    listed = [until] if isinstance(until, str) else until
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise row.fault("`until` is no list of texts.")
    numbers = [asked.get(key) for key in ("max_gen_toks", "temperature", "top_p") if asked.get(key) is not None]
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise row.fault("a setting of the sampling is no number.")
    found: dict[str, Any] = {"max_tokens": asked.get("max_gen_toks", _MOST_TOKENS)}
    found["temperature"] = float(asked.get("temperature") or 0) if asked.get("do_sample", True) else 0.0
    found |= {"top_p": asked["top_p"]} if asked.get("top_p") is not None else {}
    return found | ({"stop": listed} if listed else {})
