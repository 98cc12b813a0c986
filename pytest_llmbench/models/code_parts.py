"""Which parts of a text are code: a mark that stands in one is a mention, not a mark."""

import re
from bisect import bisect_right

_FENCE = re.compile(r"^[ \t>]*(?P<ticks>`{3,}|~{3,})(?P<rest>[^\n]*)$", re.MULTILINE)
# an apostrophe within a word opens nothing, and a quotation mark before a blank closes nothing
_QUOTED = re.compile(r"(?<![\w'])'(?=\S)(?:[^'\n]|'')*'(?!\w)|(?<![\w\"])\"(?=\S)[^\"\n]*(?<=\S)\"(?!\w)|`[^`\n]+`")


class CodeParts:
    """The parts of a text that are code or quoted: closed fences, `inline code`, SQL's strings and names.

    Args:
        text: to look into.
        place: from where on.
    """

    def __init__(self, text: str, place: int):
        spans = self._fences(text, place)
        spans += [found.span() for found in _QUOTED.finditer(text, place)]
        spans.sort()
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def __contains__(self, place: int) -> bool:
        at = bisect_right(self._starts, place)
        return any(place < end for end in self._ends[max(0, at - 2) : at])

    @staticmethod
    def _fences(text: str, place: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        opened: re.Match[str] | None = None
        for fence in _FENCE.finditer(text, place):
            if opened is None:
                opened = fence
            elif fence["ticks"].startswith(opened["ticks"]) and not fence["rest"].strip():
                found.append((opened.start(), fence.end()))
                opened = None
        return found
