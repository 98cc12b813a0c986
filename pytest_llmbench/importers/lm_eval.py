"""Read the samples that lm-evaluation-harness logs (`--log_samples`) as suites with their recorded answers.

The task is frozen, and nothing of it is executed: the prompts are those that were sent, byte for byte, with their
shots, and they are inputs of the cases, never parsed as templates.  One filter pipeline is one suite.
Source: lm_eval 0.4.13, `loggers/evaluation_tracker.py`, `filters/extraction.py`, `api/metrics.py`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import regex

from pytest_llmbench.importers.base import (
    Imported,
    ImportedCase,
    ImportedSuite,
    LeftOut,
    NotMapped,
    Place,
    SourceFault,
    Unmapped,
    slug,
)
from pytest_llmbench.importers.shapes import Document, Results, read_as
from pytest_llmbench.importers.source import Folder
from pytest_llmbench.values import Json

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<stamp>\d{4}-\d{2}-\d{2}T[\d.:-]+)\.jsonl")
_TOOL = "lm-evaluation-harness"
_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_OPTIONS = frozenset(
    {"metric", "aggregation", "higher_is_better", "ignore_case", "ignore_punctuation", "regexes_to_ignore"}
)
_MOST_TOKENS = 256
"""What the harness asks of a model where a task names no limit."""

_KNOWN = frozenset({"until", "max_gen_toks", "temperature", "do_sample", "top_p"})


def samples_file(path: Path) -> Path | None:
    """Give the log of samples that a path names: itself, or the only one of a folder; None if there is none."""
    if path.is_dir():
        found = [one for one in path.iterdir() if _SAMPLES.fullmatch(one.name)]
        return found[0] if len(found) == 1 else None
    return path if _SAMPLES.fullmatch(path.name) else None


def read(path: Path, folder: Folder) -> Imported:
    """Read a log of samples; the results of the run lie beside it.

    Raises:
        SourceFault: it is none, or its results are missing.
    """
    file = samples_file(path)
    if file is None:
        raise SourceFault(f"{path}: name one log of samples, samples_TASK_TIME.jsonl, as --log_samples writes it.")
    named = _SAMPLES.fullmatch(file.name)
    task = named["task"] if named else ""
    results = file.with_name(f"results_{named['stamp'] if named else ''}.json")
    if not results.is_file():
        raise SourceFault(f"{file}: the results of its run are not beside it; there is no {results.name}.")
    run = read_as(Results, _parsed(folder.text(results), results, 1), results, _TOOL)
    config = run["configs"].get(task)
    if config is None:
        raise SourceFault(f"{results}: it has no task {task}.")
    lines = folder.text(file).split("\n")
    rows = [
        (number, read_as(Document, _parsed(line, file, number), file, _TOOL, number))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    place = Place(path=results)
    try:
        compared = _compared(config, place)
    except NotMapped as fault:
        return Imported(suites=(), files=(file,), unmapped=[fault.unmapped])
    suites: list[ImportedSuite] = []
    unmapped: list[Unmapped] = []
    pipelines = config.get("filter_list") or [{"name": "none", "filter": [{"function": "take_first"}]}]
    for pipeline in pipelines:
        name = str(pipeline.get("name"))
        mine = [(number, row) for number, row in rows if row.get("filter", "none") == name]
        try:
            reads = _read(pipeline.get("filter") or [], place)
            label = slug(name) if len(pipelines) > 1 else ""
            suites.append(_suite(label, file, mine, reads, compared, _about(run, task, name)))
        except NotMapped as fault:
            unmapped.append(fault.unmapped)
    return Imported(suites=suites, files=(file,), unmapped=unmapped)


def _parsed(text: str, path: Path, line: int) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise SourceFault(f"{path}:{line}: this is not JSON: {fault}.") from None
    if not isinstance(found, dict):
        raise SourceFault(f"{path}:{line}: this is no log of lm-evaluation-harness.")
    return found


def _compared(config: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Give the check of a task, but for what is expected.

    Raises:
        NotMapped: the task is not of generation, or is not compared by `exact_match`.
    """
    kind = config.get("output_type")
    if kind != "generate_until":
        raise NotMapped(f"tasks of `{kind}` are not mapped: they compare the likelihood of given texts.", place)
    if config.get("process_results"):
        raise NotMapped("`process_results` is code; write it as package.module:function.", place)
    if (config.get("repeats") or 1) != 1:
        raise NotMapped("`repeats` above 1 is not mapped; log one answer for each document.", place)
    metrics = config.get("metric_list") or []
    metric = next((one for one in metrics if one.get("metric") == "exact_match"), None)
    if metric is None:
        names = ", ".join(str(one.get("metric")) for one in metrics) or "none"
        raise NotMapped(f"the metric must be `exact_match`, and the task has: {names}.", place)
    unknown = next((key for key in metric if key not in _OPTIONS), None)
    if unknown is not None:
        raise NotMapped(f"the option `{unknown}` of `exact_match` is not mapped.", place)
    deleted = [str(one) for one in metric.get("regexes_to_ignore") or []]
    deleted += [_PUNCTUATION] if metric.get("ignore_punctuation") else []
    for one in deleted:
        _check_pattern(one, place)
    check: dict[str, Any] = {"verbatim": True, "trim": False}
    check |= {"ignore_case": True} if metric.get("ignore_case") else {}
    return check | ({"delete": deleted} if deleted else {})


def _check_pattern(pattern: str, place: Place) -> None:
    if "{{" in pattern:
        raise NotMapped(f"{pattern!r} has two braces, which a check reads as a template.", place)
    try:
        regex.compile(pattern)
    except regex.error as fault:
        raise NotMapped(f"{pattern!r} is no pattern here ({fault}).", place) from None


def _read(filters: Sequence[Mapping[str, Any]], place: Place) -> dict[str, Any] | None:
    """Give the key `read` of a pipeline of filters; None for one that takes the whole answer.

    Raises:
        NotMapped: a filter does something else.
    """
    steps = [one for one in filters if one.get("function") != "take_first"]
    if not steps:
        return None
    if len(steps) > 1 or steps[0].get("function") != "regex":
        names = ", ".join(str(one.get("function")) for one in filters)
        raise NotMapped(f"the filters {names} are not mapped; those that are: regex, take_first.", place)
    select = steps[0].get("group_select", 0)
    if select not in (0, -1):
        raise NotMapped(f"`group_select: {select}` is not mapped; a suite reads the first or the last match.", place)
    pattern = str(steps[0].get("regex_pattern", r"#### (\-?[0-9\.\,]+)"))
    _check_pattern(pattern, place)
    fallback = str(steps[0].get("fallback", "[invalid]"))
    return {"regex": pattern, "match": "last" if select else "first", "otherwise": fallback}


def _about(run: Mapping[str, Any], task: str, pipeline: str) -> dict[str, Json]:
    about: dict[str, Json] = {
        "task": task,
        "filter": pipeline,
        "version": str((run.get("versions") or {}).get(task, "")),
    }
    about |= {"lm_eval": str(run.get("lm_eval_version") or ""), "shots": (run.get("n-shot") or {}).get(task)}
    return about | {"model": str(run.get("model_name") or ""), "chat_template": run.get("chat_template_sha")}


def _suite(
    label: str,
    path: Path,
    rows: Sequence[tuple[int, Mapping[str, Any]]],
    reads: Mapping[str, Any] | None,
    compared: Mapping[str, Any],
    about: Mapping[str, Json],
) -> ImportedSuite:
    cases: list[ImportedCase] = []
    left_out: list[LeftOut] = []
    answers: list[tuple[int, Mapping[str, Json]]] = []
    verdicts: list[tuple[int, str, bool]] = []
    settings: dict[str, Any] | None = None
    roles: tuple[str, ...] | None = None
    for line, row in sorted(rows, key=lambda one: one[1].get("doc_id", 0)):
        place = Place(path=path, line=line)
        try:
            messages, asked = _sent(row, place)
            expected = _expected(row, place, is_stripped=reads is not None)
            own = _sampling(asked, place)
            if (settings or own, roles or tuple(messages)) != (own, tuple(messages)):
                raise NotMapped("its settings or roles differ from those of the first document.", place)
        except NotMapped as fault:
            given = {"doc_id": row.get("doc_id"), "target": row.get("target")}
            left_out.append(LeftOut(given=given, why=(fault.unmapped,)))
            continue
        settings, roles = own, tuple(messages)
        cases.append(
            ImportedCase(
                inputs=messages,
                place=place,
                name=str(row.get("doc_hash"))[:12],
                keyed_by=[row.get("doc"), line],
                fields={"expected": expected},
            )
        )
        text = str(row["resps"][0][0])
        answers.append((len(cases) - 1, {"answer": text}))
        if row.get("exact_match") in (0, 1):
            verdicts.append((len(cases) - 1, text, bool(row["exact_match"])))
    keys: dict[str, Any] = {"sampling": settings or {}, "prompt": _prompt(roles or ())}
    if reads is not None:
        keys["read"] = dict(reads)
    # the regex filter strips what it finds
    edges = [r"\A\s+", r"\s+\Z"] if reads is not None else []
    check = {"equals": "{{ expected }}", **compared}
    if edges:
        check["delete"] = [*edges, *check.get("delete", [])]
    return ImportedSuite(
        label=label,
        keys=keys,
        checks=[check],
        cases=cases,
        left_out=left_out,
        about=about,
        is_data_file=True,
        answers=answers,
        verdicts=verdicts,
    )


def _sent(row: Mapping[str, Any], place: Place) -> tuple[dict[str, str], Mapping[str, Any]]:
    """Give what was sent, as one prompt or as messages by the names of their inputs, and how it was to be answered."""
    arguments = row.get("arguments") or {}
    answers = row.get("resps") or []
    if list(arguments) != ["gen_args_0"] or len(answers) != 1 or len(answers[0]) != 1:
        raise NotMapped("a document must have one request and one answer.", place)
    prompt, asked = arguments["gen_args_0"].get("arg_0"), arguments["gen_args_0"].get("arg_1")
    if not isinstance(prompt, str) or not isinstance(asked, dict):
        raise NotMapped("its request is more than text.", place)
    try:
        messages = json.loads(prompt)
    except ValueError:
        messages = None
    is_chat = isinstance(messages, list) and messages and all(_is_message(one) for one in messages)
    if not is_chat:
        return {"prompt": prompt}, asked
    named = {f"message_{number}_{one['role']}": one["content"] for number, one in enumerate(messages, start=1)}
    return named, asked


def _is_message(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and one.get("role") in ("system", "user", "assistant")
        and isinstance(one.get("content"), str)
    )


def _prompt(names: Sequence[str]) -> dict[str, Any]:
    if not names or names[0] == "prompt":
        return {"completion": "{{ prompt }}"}
    return {"chat": [{"role": name.rpartition("_")[2], "content": f"{{{{ {name} }}}}"} for name in names]}


def _expected(row: Mapping[str, Any], place: Place, *, is_stripped: bool) -> str:
    target = row.get("target")
    if isinstance(target, bool) or not isinstance(target, str | int | float):
        raise NotMapped("its target is no single text.", place)
    text = str(target)
    if not text.strip():
        raise NotMapped("its target is blank, and a blank text cannot be expected.", place)
    if is_stripped and text != text.strip():
        raise NotMapped("its target has blanks round it, which a filtered answer never has.", place)
    return text


def _sampling(asked: Mapping[str, Any], place: Place) -> dict[str, Any]:
    unknown = next((key for key in asked if key not in _KNOWN), None)
    if unknown is not None:
        raise NotMapped(f"the setting `{unknown}` is not mapped.", place)
    until = asked.get("until") or []
    listed = [until] if isinstance(until, str) else until
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise NotMapped("`until` is no list of texts.", place)
    numbers = [asked.get(key) for key in ("max_gen_toks", "temperature", "top_p") if asked.get(key) is not None]
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise NotMapped("a setting of the sampling is no number.", place)
    found: dict[str, Any] = {"max_tokens": asked.get("max_gen_toks", _MOST_TOKENS)}
    found["temperature"] = float(asked.get("temperature") or 0) if asked.get("do_sample", True) else 0.0
    found |= {"top_p": asked["top_p"]} if asked.get("top_p") is not None else {}
    return found | ({"stop": listed} if listed else {})
