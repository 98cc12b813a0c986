"""Run files of earlier schemas, rewritten to the present one.

Readers accept every earlier schema, so this is for what else reads the files, and for comparisons of texts: with
schema 1 the reasoning of a model stood in its answer.  Grades stay as they were given.
"""

import json
import os
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.models.reasoning import separate
from pytest_llmbench.results.run_file import record_objects
from pytest_llmbench.results.run_json import SCHEMA, JsonObject
from pytest_llmbench.results.run_object import read_run_file


def migrate_file(source: Path, target: Path) -> bool:
    """Write a run file in the present schema; return whether it was in an earlier one.

    Raises:
        RunFileFault: it cannot be read or written, or is no run.
    """
    found = read_run_file(source)
    is_old = bool(found["llmbench"]["schema"] < SCHEMA)
    for record in record_objects(found):
        if isinstance(record, dict):
            is_old |= _migrate_record(record)
    found["llmbench"]["schema"] = SCHEMA
    if is_old or source != target:
        _write(found, target)
    return is_old


def _migrate_record(record: JsonObject) -> bool:
    schema = record.get("schema")
    if not isinstance(schema, int) or schema >= SCHEMA:
        return False
    record["schema"] = SCHEMA
    samples = record.get("samples")
    for sample in samples if isinstance(samples, list) else ():
        if isinstance(sample, dict):
            _take_reasoning_off(sample)
    return True


def _take_reasoning_off(sample: JsonObject) -> None:
    for key in ("reasoning", "reasoning_tokens", "ttfa_s"):
        sample.setdefault(key, None)
    answer = sample.get("answer")
    if not isinstance(answer, str):
        return
    found = separate(answer)
    if found.text == answer:
        return
    sample["answer"], sample["reasoning"] = found.text, found.reasoning
    parts = sample.get("parts")
    for key in ("points", "forbidden"):
        points = parts.get(key) if isinstance(parts, dict) else None
        for point in points if isinstance(points, list) else ():
            if isinstance(point, dict):
                _shift(point, found.start)


def _shift(point: dict[str, Any], by: int) -> None:
    """Move a place of evidence along with the beginning of the answer."""
    for key in ("start", "end"):
        if isinstance(point.get(key), int):
            point[key] -= by


def _write(found: JsonObject, target: Path) -> None:
    """Write the file whole or not at all."""
    draft = target.with_name(f".{target.name}.draft")
    try:
        draft.write_text(json.dumps(found, indent=1), encoding="utf-8")
        os.replace(draft, target)
    except OSError as fault:
        raise RunFileFault(f"{target}: this file cannot be written: {fault.strerror}.") from None
