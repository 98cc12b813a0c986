"""Read ChatLLaMA's files: JSON arrays of `user_input`, with `completion` and `score` where they are known.

Their rows have no case and no grader, so they give no reward and no verdict; the prompts are known by their digest, so
that a case with an equal prompt is no held-out case for a model trained on them.
Source: the three files of ChatLLaMA (actor, reward, rlhf); its own loader drops scores of 0, which are kept here.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.tuning.rows import MOST_POINTS, Format, Row, completion_value, prompt_value
from pytest_llmbench.values import Message, Prompt, PromptStyle


class FileKind(StrEnum):
    """What a file of ChatLLaMA is for, by the keys of its rows."""

    ACTOR = "actor"
    REWARD = "reward"
    RLHF = "rlhf"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRow:
    """A row of a file that knows no case; `score` lies between 0 and 5."""

    user_input: str
    completion: str | None = None
    score: float | None = None

    def prompt(self, style: PromptStyle) -> Prompt:
        """Give the prompt in a style: in chat, the whole is one message of the user."""
        if style is PromptStyle.COMPLETION:
            return Prompt(text=self.user_input)
        return Prompt(messages=(Message(role="user", content=self.user_input),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFile:
    """A file of rows."""

    path: Path
    kind: FileKind
    rows: tuple[ForeignRow, ...]

    @property
    def prompt_digests(self) -> tuple[str, ...]:
        """The sha256 of each `user_input`, sorted: what a manifest lists as `foreign`."""
        return tuple(
            sorted({hashlib.sha256(row.user_input.encode("utf-8", "surrogatepass")).hexdigest() for row in self.rows})
        )


def read_chatllama(path: Path) -> ForeignFile:
    """Read a file of ChatLLaMA.

    Raises:
        UsageFault: it cannot be read, is none, or has no row that can be used.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as fault:
        raise UsageFault(f"{path} cannot be read: {fault.strerror}; correct the path.") from None
    except ValueError as fault:
        raise UsageFault(f"{path} is not JSON ({fault}); ChatLLaMA's files are JSON arrays.") from None
    if not isinstance(found, list) or not found:
        _fail(path, "it is no JSON array with rows; ChatLLaMA's files are arrays of objects with `user_input`")
    rows = [_row(path, number, row) for number, row in enumerate(found, start=1)]
    if not any("score" in row for row in found):
        kind = FileKind.ACTOR if any("completion" in row for row in found) else FileKind.RLHF
        if kind is FileKind.ACTOR and (number := _first_without_completion(rows)):
            _fail(path, f"row {number} has no completion; write one, or take the row out")
        return ForeignFile(path=path, kind=kind, rows=tuple(rows))
    scored = tuple(row for row in rows if row.score is not None)
    if not scored:
        _fail(path, "every score is null; grade the rows, or take `score` out to use them as actor data")
    if number := _first_without_completion(scored):
        _fail(path, f"scored row {number} has no completion; write one, or take the row out")
    return ForeignFile(path=path, kind=FileKind.REWARD, rows=scored)


def foreign_rows(files: tuple[ForeignFile, ...], kind: Format, style: PromptStyle) -> tuple[Row, ...]:
    """Give the rows that a format can take from these files: actor for sft, reward for pairs, any for prompts.

    Args:
        files: ChatLLaMA's.
        kind: sft, preference, reward or prompts; nothing for others.
        style: of the prompts.
    """
    found: list[Row] = []
    for file in files:
        if kind is Format.SFT and file.kind is FileKind.ACTOR:
            found += [_sft(row, style) for row in file.rows]
        elif kind in (Format.PREFERENCE, Format.REWARD) and file.kind is FileKind.REWARD:
            found += _pairs(file.rows, kind, style)
        elif kind is Format.PROMPTS and file.kind is FileKind.RLHF:
            found += [{"prompt": prompt_value(row.prompt(style)), **_about(row.prompt(style))} for row in file.rows]
    return tuple(found)


def _about(prompt: Prompt, score: float | None = None) -> Row:
    """Give the further columns of a row without a case, so that all rows of a file have the same."""
    named = dict.fromkeys(("suite", "case_id", "case_sha256"))
    return {
        **named,
        "prompt_sha256": prompt.sha256,
        "grader": None,
        "grader_version": None,
        "score": score,
        "source": "chatllama",
    }


def _sft(row: ForeignRow, style: PromptStyle) -> Row:
    prompt = row.prompt(style)
    completion = _value(row, style)
    return {"prompt": prompt_value(prompt), "completion": completion, **_about(prompt)}


def _value(row: ForeignRow, style: PromptStyle) -> Any:
    return completion_value(row.prompt(style), (row.completion or "").strip())


def _pairs(rows: tuple[ForeignRow, ...], kind: Format, style: PromptStyle) -> list[Row]:
    """Pair the answers to the same prompt that have different scores, the better one chosen."""
    by_prompt: dict[str, list[ForeignRow]] = {}
    for row in rows:
        by_prompt.setdefault(row.user_input, []).append(row)
    made: list[Row] = []
    for group in by_prompt.values():
        for pair in combinations(group, 2):
            better, worse = sorted(pair, key=lambda row: -(row.score or 0.0))
            if better.score == worse.score:
                continue
            prompt = better.prompt(style)
            front: Any = prompt_value(prompt)
            chosen, rejected = _value(better, style), _value(worse, style)
            about = {**_about(prompt, (better.score or 0.0) / MOST_POINTS), "rejected_source": "chatllama"}
            about["rejected_score"] = (worse.score or 0.0) / MOST_POINTS
            if kind is Format.REWARD:
                made.append({"chosen": front + chosen, "rejected": front + rejected, **about})
            else:
                made.append({"prompt": front, "chosen": chosen, "rejected": rejected, **about})
    return made


def _row(path: Path, number: int, found: object) -> ForeignRow:
    if not isinstance(found, dict) or not isinstance(found.get("user_input"), str):
        _fail(path, f"row {number} has no text as `user_input`; correct it, or take the row out")
    completion, score = found.get("completion"), found.get("score")
    if completion is not None and not isinstance(completion, str):
        _fail(path, f"row {number} has a `completion` that is no text; correct it, or take the row out")
    is_number = isinstance(score, int | float) and not isinstance(score, bool) and isfinite(score)
    if score is not None and not (is_number and 0 <= score <= MOST_POINTS):
        _fail(path, f"row {number} has the score {score!r}; a score is a number from 0 to {MOST_POINTS}, or null")
    return ForeignRow(user_input=found["user_input"], completion=completion, score=score)


def _first_without_completion(rows: "list[ForeignRow] | tuple[ForeignRow, ...]") -> int | None:
    return next((number for number, row in enumerate(rows, start=1) if row.completion is None), None)


def _fail(path: Path, what: str) -> NoReturn:
    raise UsageFault(f"{path}: {what}.")
