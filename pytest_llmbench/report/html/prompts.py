"""What is the same in all prompts of a suite, and what a case adds to it.

Prompts of a suite share their examples and differ in a line.  The shared beginning and end are kept once; the lines
that hold what is left distinguish a case from the others: its title.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_llmbench.report.tool_calls import tool_lines
from pytest_llmbench.results.records import Record, Run
from pytest_llmbench.values import Prompt

_TITLE_CHARACTERS = 160
_LONG_SHARED = 80
_USER = "[user]\n"
_SENTENCES = re.compile(r"(?<=[.?!:])\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The beginning and the end that all prompts of a suite in one style have."""

    start: str
    end: str

    def middle(self, text: str) -> str:
        """Give what a prompt has between them."""
        return text[len(self.start) : len(text) - len(self.end)]

    def distinct_lines(self, text: str) -> str:
        """Give the lines of a prompt that hold what is between them, whole.

        What a long line shares is left out up to the sentence that differs.
        """
        line = self.start[self.start.rfind("\n") + 1 :]
        if len(line) > _LONG_SHARED:
            line = _SENTENCES.split(line)[-1]
        return line + self.middle(text) + self.end.partition("\n")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The prompts of a run as texts, by digest, and the frame of each suite and style."""

    texts: Mapping[str, str] = field(default_factory=dict)
    frames: Mapping[tuple[str, str], Frame] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> "Wording":
        """Read the prompts of a run."""
        texts = {digest: prompt_text(prompt) for digest, prompt in run.facts.prompts.items()}
        groups: dict[tuple[str, str], dict[str, str]] = {}
        for record in run.records:
            if record.prompt_sha256 in texts:
                group = groups.setdefault((record.suite, record.prompt_style), {})
                group[record.prompt_sha256] = texts[record.prompt_sha256]
        return cls(texts=texts, frames={key: frame([*group.values()]) for key, group in groups.items()})

    def frame_of(self, record: Record) -> Frame:
        """Give the frame of a record's prompt."""
        return self.frames[record.suite, record.prompt_style]

    def title(self, record: Record) -> str:
        """Give in a line what a case asks; empty where its prompt is not known."""
        text = self.texts.get(record.prompt_sha256)
        if text is None:
            return ""
        title = " ".join(self.frame_of(record).distinct_lines(text).split())
        return title if len(title) <= _TITLE_CHARACTERS else f"{title[: _TITLE_CHARACTERS - 1]}…"


def prompt_text(prompt: Prompt) -> str:
    """Write a prompt as one text, the messages of a chat under their roles."""
    if prompt.text is not None:
        return prompt.text
    tools = "\n".join(tool_lines(prompt.tools))
    parts = [f"[tools]\n{tools}"] if tools else []
    return "\n\n".join([*parts, *(f"[{message.role}]\n{message.content}" for message in prompt.messages)])


def frame(texts: Sequence[str]) -> Frame:
    """Find what different prompts share at both ends, cut back to whole words.

    One alone shares what stands before the last message of a chat, and as a text nothing.
    """
    if len(texts) == 1:
        before, mark, _ = texts[0].rpartition(_USER)
        return Frame(start=before + mark, end="")
    start = _whole_words(_shared(texts))
    rest = [text[len(start) :][::-1] for text in texts]
    end = _whole_words(_shared(rest))[::-1]
    return Frame(start=start, end=end)


def _shared(texts: Sequence[str]) -> str:
    """Give the longest beginning of all: that of the first and the last in order of the alphabet."""
    first, last = min(texts), max(texts)
    differs = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, min(len(first), len(last)))]


def _whole_words(text: str) -> str:
    """Cut a text behind its last white space."""
    words = text.split()
    return text if not words or text[-1].isspace() else text[: len(text) - len(words[-1])]
