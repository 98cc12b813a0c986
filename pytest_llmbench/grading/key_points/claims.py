"""What an English explanation claims: phrases that are there and not denied, and how often it hedges.

A phrase counts unless a negation stands before it in the same clause; one that holds its negation
itself counts, but for denials of meaning ("not about").  A few phrases deny the clause before them ("plays no
role").  What a quoted phrase denies or hedges is what is quoted ('no comment'), and "instead of" names what a pun
replaces.  This reads words, not sentences: irony, and a question that answers itself are beyond it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from time import monotonic
from typing import Self

import regex

from pytest_llmbench.grading.answer_text import MappedText, with_plain_quotes

_NOT = r"(?:\bnot|n't)(?: really| actually| exactly| quite)?"
_CLAIMING = r"(?:mean|means|meant|meaning|imply|implies|suggest|suggests|say|saying|think|believe|claim|true|case|much)"

_BORDER = regex.compile(
    "|".join(
        (
            r"[.!?](?=[\s\"')\]]|$)",
            r"[;:()\n—–]| -{1,2} ",
            # a comma inside a list that ends in "or" goes on with the list: not bread, flour, or dough
            r",(?! (?:[\w'-]+(?: [\w'-]+){0,2}, ){0,6}(?:[\w'-]+ ){0,2}n?or\b)",
            r"\b(?:but|except|unless|who|whose|where|when|while|whereas|although|though|however|yet)\b",
            # not because of X, not so X: these deny X
            rf"(?<!{_NOT} )\b(?:because|since|which|so(?! much))\b",
            # he does not know that X is no denial of X; it does not mean that X is one
            rf"(?<!{_NOT} )(?<!\b{_CLAIMING} )\bthat\b",
            r"\band (?=(?:he|she|it|they|we|i|you|this|that|there|so|then|instead)\b)",
            r"\band (?=(?:is|are|was|were|has|have|had|means|refers|sounds)\b)",
            # not so much X as about Y, nothing more than Y, not until Y: these claim Y
            r"\b(?:other|more|less|else) than\b|\bas (?:about|it is|on)\b|\buntil\b",
        )
    ),
    regex.IGNORECASE,
)
"""Where one clause ends and the next begins."""

_NEGATION = regex.compile(
    r"(?P<mock>(?:\bnot|n't) (?:only|just|merely|simply|solely|to mention|unlike)\b"
    r"|(?:\bnot|n't)(?: \w+){0,4} enough\b"  # what is too little is there
    r"|\bno (?:doubt|wonder)\b|\bwithout (?:a |any )?(?:doubt|question)\b)"
    r"|(?P<near>\b(?:rather than|without)\b"
    # "X is used instead of Y" explains a pun with both; only "instead of Y it is about X" denies Y
    r"|(?:^|(?<=[.!?,;:\n] )|(?<=\n))instead of\b"
    r"(?= [^\"'.!?;:,]{1,40},? (?:it|this|that|the (?:joke|pun|word))(?:'s| is| means?)\b))"
    r"|n't\b|\b(?:not|cannot|never|no|none|nothing|neither|nor|(?:is|are|was|were|do|does|did|could|would)nt)\b",
    regex.IGNORECASE,
)
"""What denies the rest of its clause; `near` only a few words of it, and `mock` nothing."""

_MEANING_DENIED = regex.compile(
    r"(?:\bnot|n't|\bcannot|\bnever)(?: (?:be|really|actually|exactly|so much))*"
    r" (?:about|(?:mean|means|meant)(?! to\b)|refer(?:s|red|ring)? to"
    r"|an? (?:reference to|(?:pun|play|joke) (?:on|about)))\b",
    regex.IGNORECASE,
)
"""A denial of what the joke is about.  It denies a phrase that holds it, too: alternatives that allow for a
negation, such as "(not|n't) .{0,20}money" for "could not earn money", would count "not about money"."""

_SENTENCE_DENIED = regex.compile(
    r"(?:\bnot|n't) (?:really |actually |quite )?(?:true|the case|correct|right|so)"
    r" (?:to (?:say|think|claim|believe) )?that\b"
    r"|\b(?:false|wrong|untrue|incorrect|mistaken) (?:to (?:say|think|claim|believe|assume) )?that\b",
    regex.IGNORECASE,
)
"""What denies all the rest of its sentence, however many clauses it has."""

_DENIED_BEHIND = regex.compile(
    r"\b(?:(?:is|are|was|were)(?:n't| not)(?: really| actually)?"
    r" (?:what (?:is|was|it is|the (?:joke|pun|word) (?:is|means))|meant|intended|the point|relevant|at issue)\b"
    r"|(?:is|are) irrelevant\b|(?:plays?|has|have) no (?:role|part|relevance)\b"
    r"|(?:has|have) nothing to do with (?:it|this|that|the joke)\b"
    r"|(?:doesn't|don't|does not|do not) (?:matter|come into)\b)",
    regex.IGNORECASE,
)
"""What denies the clause before it: money is not what is meant."""

_OF_ONE = regex.compile(r"(?:is|was|plays|has|does)(?:n't)?\b", regex.IGNORECASE)
"""How a denial of one thing begins: "it means money and the food does not matter" denies the food alone."""

_QUOTED = regex.compile(
    r"\"(?P<double>[^\"\n.!?]{1,80})[.!?,]?\"|(?<!\w)'(?P<single>(?:[^'\n.!?]|(?<=\w)'(?=\w)){1,80})[.!?,]?'(?!\w)"
)
_QUOTED_WORDS = 8
"""A quotation of at most so many words is a phrase that is quoted; a longer one may be the explanation itself."""

_SENTENCE_END = regex.compile(r"[.!?](?=[\s\"')\]]|$)|\n")

_NEAR = regex.compile(r"(?:\W*[\w'-]+){0,4}")

_BRACKETS_ONLY = regex.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^()]", regex.DOTALL)

# Phrases that offer one more explanation.  "Another meaning", "can also mean" and "or it could mean" explain puns.
_HEDGE = (
    r"(?:alternatively|either way|or (?:maybe|perhaps|possibly)"
    r"|another (?:possible |potential |likely )?(?:interpretation|explanation|possibility)"
    r"|(?:it|this|that|the joke|the humou?r) (?:could|might|may) (?:also|equally|instead|just as well) be"
    r"|(?:it|this|that|the (?:joke|humou?r|pun|punch ?line)) (?:could|might|may|can) also be"
    r" (?:interpreted|understood|read|explained)"
    r"|or (?:it|this|the joke|the humou?r) (?:could|might|may)(?! (?:also )?(?:mean|refer|sound)\b)"
    r"|on the other hand,? (?:it|this|the joke|the humou?r) (?:could|might|may)"
    r"|it(?:'s| is) (?:also|equally) possible)"
)
_HEDGES = regex.compile(rf"\b{_HEDGE}\b", regex.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """Alternatives that make the same claim.

    Each is a regular expression (those of the `regex` package) that matches whole words in any case.
    """

    name: str
    patterns: tuple[regex.Pattern[str], ...]

    @classmethod
    def of(cls, name: str, alternatives: Sequence[str]) -> Self:
        """Compile the alternatives.

        Raises:
            ValueError: one is no pattern, or matches the empty text; the message names it.
        """
        return cls(name=name, patterns=tuple(_compiled(source) for source in alternatives))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A phrase found: its place in the original text, and the text there."""

    start: int
    end: int
    quote: str


class Explanation:
    """A text in which claims are looked for; its clauses and denials are found once."""

    def __init__(self, original: str, *, limit: int, time_s: float):
        """Read the first `limit` characters; all searches together may take `time_s` seconds."""
        self.original = original
        self.mapped = MappedText.of(original, limit)
        self.words = len(self.mapped.text.split())
        self._quoted = _quoted_stretches(self.mapped.text)
        self._denied = _denied_stretches(self.mapped.text, self._quoted)
        self._meanings_denied = [denial.start() for denial in _MEANING_DENIED.finditer(self.mapped.text)]
        self._deadline = monotonic() + time_s

    @property
    def hedges(self) -> int:
        """How often the text switches to one more explanation."""
        places = self._hedges()
        text = self.mapped.text
        return bool(places) + sum(not _is_one_switch(text[a[1] : b[0]]) for a, b in pairwise(places))

    @property
    def switch(self) -> int | None:
        """Where in the original the text first switches to one more explanation; None if it does not."""
        places = self._hedges()
        return self.mapped.place(*places[0])[0] if places else None

    def share_after(self, place: int) -> float:
        """Give the share of the words that stand behind a place in the original."""
        begin = bisect_left(self.mapped.starts, place)
        return len(self.mapped.text[begin:].split()) / self.words if self.words else 0.0

    def _hedges(self) -> list[tuple[int, int]]:
        spans = (hedge.span() for hedge in _HEDGES.finditer(self.mapped.text))
        return [span for span in spans if not _is_within(self._quoted, span[0])]

    def find(self, phrases: Phrases) -> Claim | None:
        """Give the first match of any alternative that is not denied.

        Raises:
            TimeoutError: the time is up; the message names the phrase and its pattern.
        """
        found = [match for pattern in phrases.patterns if (match := self._first(phrases.name, pattern))]
        if not found:
            return None
        start, end = self.mapped.place(*min(found))
        return Claim(start=start, end=end, quote=self.original[start:end])

    def _first(self, name: str, pattern: regex.Pattern[str]) -> tuple[int, int] | None:
        try:
            time_left_s = max(self._deadline - monotonic(), 0.001)
            matches = pattern.finditer(self.mapped.text, overlapped=True, timeout=time_left_s)
            return next((span for span in (match.span() for match in matches) if self._is_claim(*span)), None)
        except TimeoutError:
            raise TimeoutError(
                f'"{name}": the pattern {pattern.pattern} takes too long on this text; '
                "take nested repetitions out of it"
            ) from None

    def _is_claim(self, start: int, end: int) -> bool:
        if _is_within(self._denied, start):
            return False
        inside = bisect_left(self._meanings_denied, start)
        return start < end and not (inside < len(self._meanings_denied) and self._meanings_denied[inside] < end)


def _is_within(stretches: Sequence[tuple[int, int]], place: int) -> bool:
    """Tell whether a place lies in one of the sorted stretches that do not touch."""
    before = bisect_right(stretches, place, key=lambda stretch: stretch[0])
    return before > 0 and place < stretches[before - 1][1]


def _is_one_switch(between: str) -> bool:
    # "Alternatively, it could also be" offers one explanation more, not two
    return len(between.split()) <= 1 and not set(".;!?") & set(between)


@lru_cache(maxsize=1 << 14)  # a pattern takes 0.3 ms, and a suite's are asked for again by its check
def _compiled(source: str) -> regex.Pattern[str]:
    plain = with_plain_quotes(source)
    try:
        if not _is_balanced(plain):
            raise regex.error("unbalanced parenthesis")
        # "(not|n't) expect" is what people write, and its n't begins inside a word
        whole_words = regex.compile(rf"(?:(?<!\w)|(?=n't))(?:{plain})(?!\w)", regex.IGNORECASE)
    except regex.error as fault:
        what = str(fault).partition(" at position")[0]
        raise ValueError(f"{source!r} is no pattern ({what})") from None
    if whole_words.fullmatch(""):
        raise ValueError(f"{source!r} matches even the empty text")
    return whole_words


def _is_balanced(pattern: str) -> bool:
    # "a)(b" would close the group around it, and compile
    depth = 0
    for character in _BRACKETS_ONLY.sub("", pattern):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return True


def _quoted_stretches(text: str) -> list[tuple[int, int]]:
    """Give where phrases are quoted: sorted stretches.  A quoted denial of what the joke is about stays one."""
    return [
        quoted.span()
        for quoted in _QUOTED.finditer(text)
        if len(quoted[0].split()) <= _QUOTED_WORDS
        and not _MEANING_DENIED.search(quoted[0])
        and quoted[0] != text.strip()
    ]


def _denied_stretches(text: str, quoted: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give where a phrase must begin to be denied: sorted stretches, each from a negation to its clause's end."""
    borders = [border.start() for border in _BORDER.finditer(text)]
    stretches: list[tuple[int, int]] = []
    for negation in _NEGATION.finditer(text):
        if negation["mock"] or _is_within(quoted, negation.start()):
            continue
        begin = negation.end()
        next_border = bisect_left(borders, begin)
        end = borders[next_border] if next_border < len(borders) else len(text)
        if negation["near"] and (near := _NEAR.match(text, begin, end)):
            end = near.end()
        stretches.append((begin, end))
    sentence_ends = [*(end.start() for end in _SENTENCE_END.finditer(text)), len(text)]
    denials = (denial.end() for denial in _SENTENCE_DENIED.finditer(text))
    stretches += [(begin, sentence_ends[bisect_left(sentence_ends, begin)]) for begin in denials]
    for denial in _DENIED_BEHIND.finditer(text):
        before = bisect_left(borders, denial.start())
        begin = borders[before - 1] if before else 0
        if _OF_ONE.match(denial[0]):
            begin = max(begin, text.rfind(" and ", begin, denial.start()))
        stretches.append((begin, denial.start()))
    return _merged(stretches)


def _merged(stretches: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort stretches, and make one of those that touch."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged
