r"""Reasoning is not the answer: `separate` takes apart what a model wrote, for every provider, grader and judge.

The rules (docs/models.md, "Models that reason"):

- A block between marks is reasoning where it stands at the beginning of the text, or directly behind another one.
- A closing mark that nothing opened ends reasoning that the chat template began, unless it is quoted as code.
- An opening mark that nothing closes has nothing but reasoning behind it.
- Of gpt-oss's channels ("harmony") the last `final` one is the answer; without one there is none.
- White space between the reasoning and the answer belongs to neither.

The marks are those of the models' chat templates and of the servers' reasoning parsers (vLLM, SGLang, llama.cpp).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from pytest_llmbench.models.code_parts import CodeParts

Setting: TypeAlias = Literal["auto", "none"] | tuple[str, str]
"""What an entry may say of its model's reasoning: known marks, no marks, or a pair of its own."""

_LONGEST_ATTRIBUTES = 200
_ATTRIBUTES = rf"(?:\s[^<>]{{0,{_LONGEST_ATTRIBUTES}}})?>"


def _tag(name: str) -> tuple[str, str]:
    return rf"(?i:<\s?{name}{_ATTRIBUTES})", rf"(?i:</\s?{name}\s*>)"


_KNOWN: tuple[tuple[str, str], ...] = (
    _tag(r"(?:[a-z]{1,12}[:_]?)?think(?:ing)?(?:_process)?"),  # DeepSeek, Qwen, seed:, mm:, longcat_, ant
    _tag("(?:chain_of_|inner_)?thoughts?(?:_process)?"),
    _tag("(?:internal_)?reasoning(?:_content)?"),
    _tag("(?:inner_|internal_)?monologue"),
    _tag("rationale"),
    _tag("reflection"),
    _tag("analysis"),
    _tag("scratchpad"),
    (r"(?i:\[think\])", r"(?i:\[/think\])"),  # Magistral
    (r"<\|think(?:ing)?\|>", r"<\|/think(?:ing)?\|>"),
    ("◁think▷", "◁/think▷"),  # Kimi
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Cohere
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    (r"Here are my reasoning steps:", r"\[BEGIN FINAL RESPONSE\]"),  # Apriel
    (r"<\|channel>\s*thought\b", r"<channel\|>"),  # Gemma 4
    (r"<unused94>\s*thought\b", r"<unused95>"),  # MedGemma
    (r"Here(?:'s| is) my thought process:", r"Here(?:'s| is) my response:"),  # Granite 3.2
)
_WORDS_KIND = str(len(_KNOWN) - 1)
"""The last kind: its closing mark is ordinary words where nothing opened it."""

_DETAILS = re.compile(r"(?i:<details" + _ATTRIBUTES + r"|(?P<closing></details\s*>))")
"""The marks of a folded block, as web front ends write reasoning; it is the answer where nothing follows."""

_LEAD = re.compile(r"(?:[\s\ufeff\u200b]|<s>|<bos>|<\|begin_of_text\|>|<\|im_start\|>assistant|<think\s*/>)*")
"""What may stand before the opening mark."""

_WRAPPERS = (
    (re.compile(r"(?i:<response>)"), re.compile(r"(?i:</response>)")),  # Granite 3.3
    (re.compile(r"<\|START_RESPONSE\|>"), re.compile(r"<\|END_RESPONSE\|>")),
    (re.compile(r"<\|begin_of_solution\|>"), re.compile(r"<\|end_of_solution\|>")),
    (  # GLM; two boxes are two answers
        re.compile(r"<\|begin_of_box\|>(?=(?s:(?:(?!<\|end_of_box\|>).)*+)<\|end_of_box\|>\s*\Z)"),
        re.compile(r"<\|end_of_box\|>"),
    ),
)
"""Marks around an answer, behind its reasoning."""

_WRAPPED_ALONE = ("<|START_RESPONSE|>", "<|begin_of_box|>")
"""Those that may stand there without any reasoning."""

# What begins like this and holds no sign has no mark; looking for these costs a fraction of looking for the marks.
_PLAIN_BEGIN = re.compile(r"\s*[^\s<\[◁aH\ufeff\u200b]")
_SIGNS = ("</", "[BEGIN FINAL RESPONSE]", "[/THINK]", "[/think]", "[/Think]", "◁/think▷", "|>", "<unused95>")

_BEGUN_MARK = re.compile(
    rf"<\|?\s?[\w:|]{{0,30}}\Z|<\s?[\w:]{{1,30}}\s[^<>]{{0,{_LONGEST_ATTRIBUTES}}}\Z"
    r"|<\|channel>\s*\w{0,7}\Z|<unused94>\s*\w{0,7}\Z|<\|start\|>[^<]{0,100}(?:<[|\w]*)?\Z"
)
_BEGUN_WORDS = (
    "Here are my reasoning steps:",
    "[THINK]",
    "[think]",
    "[Think]",
    "◁think▷",
    "Here is my thought process:",
    "Here's my thought process:",
)

_CHANNEL_MARK = "<|channel|>"
_HARMONY_MESSAGE = re.compile(
    r"(?:<\|start\|>[^<]{0,100})?<\|channel\|>\s*(?P<channel>\w*)[^<]{0,200}"
    r"(?:<\|constrain\|>[^<]{0,100})?<\|message\|>"
)
_HARMONY_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_LOOSE_BEGIN, _LOOSE_FINAL = "analysis", "assistantfinal"

_MOST_LAYERS = 4
"""A final channel may hold a block, and a block's answer a wrapper; beyond that nothing is taken off."""

TAIL_CHARACTERS = 160
"""So many characters at the end of a text hold any mark that has just been completed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Separated:
    """A text taken apart: the answer is what stands from `start` to `end`.

    `reasoning` is None where there is none, or nothing but white space in it.  `is_open` tells that the text ends
    within its reasoning.
    """

    text: str
    reasoning: str | None
    start: int
    end: int
    is_open: bool = False


class Marks:
    """The marks that a model's reasoning stands between.

    Args:
        pairs: patterns of the opening and of the closing mark.
        is_known: these are the known ones, to which forms without a pair of marks belong too.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], *, is_known: bool):
        self.is_known = is_known
        self._pairs = pairs
        self._words = _BEGUN_WORDS if is_known else tuple(re.sub(r"\\(.)", r"\1", opening) for opening, _ in pairs)

    # compiled with the first text that may hold a mark, which few do

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?P<k{kind}>{opening})" for kind, (opening, _) in enumerate(self._pairs)))

    @cached_property
    def _kinds(self) -> list[re.Pattern[str]]:
        return [re.compile(f"(?P<closing>{closing})|{opening}") for opening, closing in self._pairs]

    @cached_property
    def _any(self) -> re.Pattern[str]:
        each = "|".join(f"(?P<o{kind}>{pair[0]})|(?P<c{kind}>{pair[1]})" for kind, pair in enumerate(self._pairs))
        return re.compile(f"(?=[<\\[◁H])(?:{each})" if self.is_known else each)

    @cached_property
    def _closing(self) -> re.Pattern[str]:
        return re.compile("|".join(closing for _, closing in self._pairs))

    def opening(self, text: str, place: int) -> re.Match[str] | None:
        """Find the opening mark that stands at a place, white space and beginning-of-text marks aside."""
        return self._opening.match(text, _led(text, place))

    def end(self, text: str, opened: re.Match[str], *, is_whole: bool) -> tuple[int, int] | None:
        """Find where the closing mark of a block begins and ends: the outermost one; None if nothing closes it.

        Where fewer marks close than open, it is the last one in a text that is whole.
        """
        depth, last = 1, None
        for mark in self._kinds[int(str(opened.lastgroup)[1:])].finditer(text, opened.end()):
            if mark["closing"] is None:
                depth += 1
                continue
            depth, last = depth - 1, mark.span()
            if not depth:
                return last
        return last if is_whole else None

    def orphan(self, text: str, place: int) -> tuple[int, int] | None:
        """Find the last closing mark that nothing opens behind a place, and that is no code."""
        if self.is_known and not any(text.find(sign, place) >= 0 for sign in _SIGNS):
            return None
        open_: Counter[str] = Counter()
        found: list[tuple[int, int]] = []
        for mark in self._any.finditer(text, place):
            side, kind = str(mark.lastgroup)[0], str(mark.lastgroup)[1:]
            if side == "o":
                open_[kind] += 1
            elif open_[kind]:
                open_[kind] -= 1
            elif kind != _WORDS_KIND or not self.is_known:
                found.append(mark.span())
        code = CodeParts(text, place) if found else None
        return next((span for span in reversed(found) if code is not None and span[0] not in code), None)

    def may_end(self, tail: str) -> bool:
        """Tell whether a closing mark stands in the end of a text."""
        return self._closing.search(tail) is not None or (
            self.is_known and ("<|message|>" in tail or _LOOSE_FINAL in tail)
        )

    def may_begin(self, text: str, place: int) -> bool:
        """Tell whether what stands behind a place may still become an opening mark, or is nothing yet."""
        rest = text[_led(text, place) :]
        if not rest or any(word.startswith(rest) for word in self._words):
            return True
        if not self.is_known:
            return False
        is_loose = _LOOSE_BEGIN.startswith(rest[: len(_LOOSE_BEGIN)])
        return (is_loose and place == 0) or _BEGUN_MARK.match(rest) is not None


AUTO = Marks(_KNOWN, is_known=True)
"""The known marks."""


def marks_of(setting: Setting) -> Marks | None:
    """Give the marks that an entry asks for; None where its texts are not to be taken apart."""
    if setting == "none":
        return None
    return AUTO if setting == "auto" else Marks([(re.escape(setting[0]), re.escape(setting[1]))], is_known=False)


def separate(text: str, marks: Marks | None = AUTO, *, is_whole: bool = True) -> Separated:
    """Take reasoning and answer apart. What has been taken apart stays as it is.

    Args:
        text: what the model wrote.
        marks: of its reasoning; None for none.
        is_whole: nothing follows; a text that still grows keeps a block open until as many marks close as open.
    """
    found = Separated(text=text, reasoning=None, start=0, end=len(text))
    if marks is None or (marks.is_known and _PLAIN_BEGIN.match(text) and not any(sign in text for sign in _SIGNS)):
        return found
    for _ in range(_MOST_LAYERS):
        inner = _peeled(found.text, marks, is_whole=is_whole)
        if len(inner.text) == len(found.text):
            break
        thoughts = [thought for thought in (found.reasoning, inner.reasoning) if thought is not None]
        start = found.start + inner.start
        found = replace(inner, reasoning=_joined(thoughts), start=start, end=start + len(inner.text))
    return found


def _peeled(text: str, marks: Marks, *, is_whole: bool) -> Separated:
    """Take off one layer of marks."""
    harmony = _harmony(text) if marks.is_known else None
    if harmony is not None:
        return harmony
    taken: list[str] = []
    place = 0
    while True:
        opened = marks.opening(text, place)
        if opened is not None:
            closing = marks.end(text, opened, is_whole=is_whole)
            if closing is None:
                taken.append(text[opened.end() :])
                return Separated(text="", reasoning=_joined(taken), start=len(text), end=len(text), is_open=True)
            taken.append(text[opened.end() : closing[0]])
            place = closing[1]
            continue
        folded = _folded(text, place) if marks.is_known else None
        closing = marks.orphan(text, place) if folded is None else folded
        if closing is None:
            break
        taken.append(text[place : closing[0]])
        place = closing[1]
    return _unwrapped(text, place, taken)


def opened_by(prompt: str, marks: Marks | None = AUTO) -> str:
    """Give the opening mark that a prompt ends in, so that what follows is reasoning; empty if it ends in none."""
    if marks is None:
        return ""
    end = prompt[-TAIL_CHARACTERS:].rstrip()
    for start in range(len(end) - 1, -1, -1):
        opened = marks.opening(end, start) if end[start] in "<[◁H" or not marks.is_known else None
        if opened is not None and opened.end() == len(end):
            return f"{opened[0]}\n"
    harmony = re.search(r"<\|channel\|>\s*(?:analysis|commentary)(?:<\|message\|>)?\Z", end)
    return harmony[0] if harmony is not None and marks.is_known else ""


def is_mark(token: str) -> bool:
    """Tell whether a special token of a tokenizer is a mark, so that it may not be left out of the text."""
    spoken = AUTO.opening(token, 0)
    is_wrapper = any(mark.fullmatch(token) for pair in _WRAPPERS for mark in pair)
    is_channel = token in (_CHANNEL_MARK, "<|message|>", "<|start|>", "<|constrain|>", "<|channel>", "<unused94>")
    return (spoken is not None and spoken[0] == token) or AUTO.may_end(token) or is_wrapper or is_channel


def _unwrapped(text: str, place: int, taken: Sequence[str]) -> Separated:
    """Give what is left behind a place, without the marks that some models put around an answer."""
    if place:
        place = _skip_space(text, place)
    end = len(text)
    for begin, close in _WRAPPERS:
        opened = begin.match(text, place) if place or text.startswith(_WRAPPED_ALONE) else None
        if opened is not None:
            place = _skip_space(text, opened.end())
            closed = close.search(text, place)
            end = len(text) if closed is None else closed.start()
    return Separated(text=text[place:end], reasoning=_joined(taken), start=place, end=end)


def _folded(text: str, place: int) -> tuple[int, int] | None:
    """Find the end of a folded block that stands at a place, where an answer follows: the outermost, or the last."""
    start = _led(text, place)
    if not text.startswith(("<details", "<DETAILS"), start) or _DETAILS.match(text, start) is None:
        return None
    depth, end = 0, None
    for mark in _DETAILS.finditer(text, start):
        depth += 1 if mark["closing"] is None else -1
        if mark["closing"] is not None:
            end = mark.end()
        if not depth:
            break
    return None if end is None or not text[end:].strip() else (end, end)


def _harmony(text: str) -> Separated | None:
    """Take apart the channels of gpt-oss, with their special tokens or decoded without; None if there are none."""
    start = _led(text, 0)
    if text.startswith(_LOOSE_BEGIN, start):
        place = text.rfind(_LOOSE_FINAL)
        if place < 0:
            return None
        answer = _skip_space(text, place + len(_LOOSE_FINAL))
        thought = _joined([text[start + len(_LOOSE_BEGIN) : place]])
        return Separated(text=text[answer:], reasoning=thought, start=answer, end=len(text))
    if _CHANNEL_MARK not in text:
        return None
    messages = list(_HARMONY_MESSAGE.finditer(text))
    final = next((message for message in reversed(messages) if message["channel"] == "final"), None)
    begins = text.startswith((_CHANNEL_MARK, "<|start|>"), start)
    if not begins and (final is None or final.start() in CodeParts(text, 0)):
        return None
    before = text[: messages[0].start()] if messages else text.replace(_CHANNEL_MARK, "")
    taken = [_HARMONY_END.sub("", before)]
    for message in messages:
        if message is not final:
            taken.append(text[message.end() : _harmony_end(text, message)])
    if final is None:
        return Separated(text="", reasoning=_joined(taken), start=len(text), end=len(text), is_open=True)
    answer = _skip_space(text, final.end())
    end = _harmony_end(text, final)
    return Separated(text=text[answer:end], reasoning=_joined(taken), start=answer, end=max(answer, end))


def _harmony_end(text: str, message: re.Match[str]) -> int:
    end = _HARMONY_END.search(text, message.end())
    return len(text) if end is None else end.start()


def _led(text: str, place: int) -> int:
    lead = _LEAD.match(text, place)
    return place if lead is None else lead.end()


def _skip_space(text: str, place: int) -> int:
    return len(text) - len(text[place:].lstrip())


def _joined(taken: Sequence[str]) -> str | None:
    return "\n\n".join(filter(None, (thought.strip() for thought in taken))) or None
