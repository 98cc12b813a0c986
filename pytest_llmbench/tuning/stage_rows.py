"""The rows of a stage, with the cases and the prompts that they are made of."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
CaseKey = tuple[str, str, str | None]
"""A case's digest, its prompt's digest, and its cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRows:
    """What one stage is trained on.

    `cases` are the cases behind the rows, by suite and id; `foreign` the digests of prompts that are no case's.
    `remarks` say what was left out, and why.
    """

    rows: tuple[Row, ...]
    cases: Mapping[str, Mapping[str, CaseKey]] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The rows as JSON lines, half characters as escapes; the same rows give the same text."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        return text.encode("utf-8", "backslashreplace").decode()

    @property
    def sha256(self) -> str:
        """The digest of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSizes:
    """Tokens of the rows of a stage: of all, of the longest sequence, and of each row's longest."""

    total: int
    longest: int
    each: tuple[int, ...]


def measure(rows: Sequence[Row], tokenizer: Any, *, answer_tokens: int) -> RowSizes:
    """Count the tokens of rows as a trainer will see them.

    Args:
        rows: with prompt and answers, with answers that begin with their prompt, or with prompts alone.
        tokenizer: of the model.
        answer_tokens: room for an answer, where rows have none.
    """
    lengths = [[_count(sequence, tokenizer) for sequence in _sequences(row)] for row in rows]
    each = tuple(
        max(row) + (0 if _has_answer(given) else answer_tokens) for row, given in zip(lengths, rows, strict=True)
    )
    return RowSizes(total=sum(map(sum, lengths)), longest=max(each, default=0), each=each)


def _sequences(row: Row) -> list[Any]:
    prompt = row.get("prompt")
    answers = [row[name] for name in ("completion", "chosen", "rejected") if name in row]
    if prompt is None:
        return answers
    return [prompt + answer for answer in answers] or [prompt]


def _has_answer(row: Row) -> bool:
    return not row.keys().isdisjoint({"completion", "chosen", "rejected"})


def _count(sequence: Any, tokenizer: Any) -> int:
    if isinstance(sequence, str):
        return len(tokenizer(sequence)["input_ids"]) + 1  # the end token, which the trainer appends
    is_open = sequence[-1]["role"] != "assistant"
    text = tokenizer.apply_chat_template(list(sequence), tokenize=False, add_generation_prompt=is_open)
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
