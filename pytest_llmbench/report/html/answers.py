"""One record as the page's script reads it: its answers, why they were graded so, and where in the text that stands.

Keys are short because there are many of them; page.js names them again.  An empty key is left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmbench.report.safe_text import clipped
from pytest_llmbench.report.transcript import TURNS, transcript
from pytest_llmbench.results.checks import CheckPart, check_parts, deciding_parts
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.values import Json, Outcome, Reason

SHOWN_APART = frozenset({"points", "forbidden", "reading", "sql", "instance", "difference", "checks", TURNS})
"""The parts of a grade that have a look of their own; the others are listed."""

_SILENT = frozenset({"expected", "labels", "positive", "strict", "lenient", "lenient_correct", "rule", "reference"})
"""Parts that repeat the explanation, or that the section of labels sums up."""

_IS_CHECK = 2
"""What stands where a point is forbidden or not: it is neither, but a check that passed or failed."""

_PART_CHARACTERS = 400
_CHECK_CHARACTERS = 160
_REASONING_CHARACTERS = 4000

Packed = dict[str, Any]


def packed_sample(sample: Sample, *, is_old: bool = False) -> Packed:
    """Write one answer with its grade; of an old one what shows how it was graded."""
    talk = transcript(sample)
    answer = sample.answer if talk is None else talk
    found: Packed = {
        "a": answer,
        "o": str(sample.outcome),
        "v": sample.score,
        "w": sample.reason,
        "x": sample.explanation,
        "g": list(evidence(sample.parts, answer or "")),
        "e": sample.error,
        "h": "\n".join(map(str, sample.tool_calls if talk is None else ())) or None,
    }
    if not is_old:
        found |= {
            "k": None if sample.format_ok is not False else 1,
            "l": None if sample.latency_s is None else round(sample.latency_s, 4),
            "t": None if sample.ttft_s is None else round(sample.ttft_s, 4),
            "f": None if sample.ttfa_s in (None, sample.ttft_s) else round(sample.ttfa_s or 0.0, 4),
            "y": None if sample.reasoning is None else clipped(sample.reasoning, _REASONING_CHARACTERS),
            "n": sample.output_tokens,
            "c": sample.concurrency if sample.concurrency and sample.concurrency > 1 else None,
            "z": sample.finish_reason if sample.finish_reason not in (None, "stop") else None,
            "u": 1 if sample.reused else None,
            "r": sample.attempts if sample.attempts > 1 else None,
            "q": _reading(deciding_parts(sample.parts), answer or ""),
            "m": list(_others(sample.parts)),
        }
    return {key: value for key, value in found.items() if value not in (None, [], {})}


def bad_format(record: Record) -> bool:
    """Tell whether an answer broke the asked format."""
    return any(sample.format_ok is False for sample in record.samples)


def is_slip(record: Record) -> bool:
    """Tell whether the right answer is there and only the asked format was not kept."""
    failed = [sample for sample in record.samples if sample.outcome is Outcome.FAILED]
    return bool(failed) and all(sample.reason == Reason.FORMAT and not _has_wrong_label(sample) for sample in failed)


def _has_wrong_label(sample: Sample) -> bool:
    parts = deciding_parts(sample.parts)
    return parts.get("lenient") != parts.get("expected")


# -- key points


def evidence(parts: Mapping[str, Json], answer: str) -> Iterator[list[Any]]:
    """Give what was looked for in an answer: name, whether it was found, whether it is forbidden, and where.

    Places count UTF-16 units, as the page's script does; -1 where the answer does not hold it in one piece.
    What stands within a combination of checks follows it, with its depth behind.
    """
    units = _Units(answer)
    yield from _points(parts, units)
    for check in check_parts(parts):
        yield from _check(check, units, 0)


def _points(parts: Mapping[str, Json], units: "_Units") -> Iterator[list[Any]]:
    for key, is_forbidden in (("points", 0), ("forbidden", 1)):
        listed = parts.get(key)
        for point in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
            if isinstance(point, Mapping) and "name" in point:
                start, end = _span(point, units.text)
                yield [str(point["name"]), int(bool(point.get("hit"))), is_forbidden, units(start), units(end)]


def _check(check: CheckPart, units: "_Units", depth: int) -> Iterator[list[Any]]:
    name = check.name if check.is_counted else f"{check.name} (advice)"
    if depth and not check.inner and check.explanation:
        # within a combination several often have one name
        name = clipped(f"{name}: {check.explanation}", _CHECK_CHARACTERS)
    start, end = _span(check.parts, units.text) if check.is_judged else (-1, -1)  # of what the judge quotes
    found = [[name, int(check.passed is True), _IS_CHECK, units(start), units(end)], *_points(check.parts, units)]
    yield from ([*row, depth] if depth else row for row in found)
    for inner in check.inner:
        yield from _check(inner, units, depth + 1)


def _span(point: Mapping[str, Json], answer: str) -> tuple[int, int]:
    start, end, quote = point.get("start"), point.get("end"), point.get("quote")
    if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(answer):
        return start, end
    if isinstance(quote, str) and quote and (found := answer.find(quote)) >= 0:
        return found, found + len(quote)
    return -1, -1


class _Units:
    """Counts places of a text in UTF-16 units."""

    def __init__(self, text: str):
        self.text = text
        self._is_plain = text.isascii() or max(text, default="") < "\U00010000"

    def __call__(self, place: int) -> int:
        if self._is_plain or place < 0:
            return place
        return place + sum(character >= "\U00010000" for character in self.text[:place])


# -- SQL, and graders of other packages


def _reading(parts: Mapping[str, Json], answer: str) -> Packed:
    """Give how an SQL answer was read, what ran if that is another text, and the rows by which it differs."""
    sql, difference = parts.get("sql"), parts.get("difference")
    found: Packed = {"d": parts.get("reading"), "i": parts.get("instance")}
    if isinstance(sql, str) and sql.strip() != answer.strip():
        found["s"] = sql
    if isinstance(difference, Mapping):
        found |= {name: _rows(difference.get(name)) for name in ("missing", "unexpected")}
        columns = difference.get("columns")
        if isinstance(columns, Mapping):
            found["columns"] = [_row(columns.get(side)) for side in ("reference", "answer")]
    return {key: value for key, value in found.items() if value not in (None, [])}


def _rows(found: Json) -> list[list[str]]:
    return [_row(row) for row in found] if isinstance(found, Sequence) and not isinstance(found, str) else []


def _row(found: Json) -> list[str]:
    cells = found if isinstance(found, Sequence) and not isinstance(found, str) else [found]
    return ["NULL" if cell is None else str(cell) for cell in cells]


def _others(parts: Mapping[str, Json]) -> Iterator[list[str]]:
    for name, value in parts.items():
        if name not in SHOWN_APART and name not in _SILENT and value not in (None, 0, False, "", 1.0):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield [str(name), clipped(text, _PART_CHARACTERS)]
