"""What every grader reads first: tidied text, and whether an answer is one at all.

An answer without text is `empty`; one that declines is a `refusal`.  Both fail with
score 0 under every grader, which `graded_unless_void` sees to in one place.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Self

import regex

from pytest_llmbench.grading.base import Grader
from pytest_llmbench.values import CONTENT_FILTER, Answer, Case, Grade, Reason

CLIP_AT = 200

EMPTY = Grade(score=0.0, passed=False, reason=Reason.EMPTY, explanation="The answer is empty.")
"""What a part of an answer gets in which there is nothing to read."""

EDGES = " \t\r\n\f\v\u00a0\ufeff\u200b\u2060"
"""What is not seen at the ends of an answer."""

_END_TOKENS = re.compile(
    r"(?:\s*(?:<[|｜][^<>|｜\s]{1,40}[|｜]>|</s>|<(?:eos|pad|end_of_turn|end_of_text|eot)>|\[/INST\]"
    r"|\[END FINAL RESPONSE\]))+\s*\Z",
    re.IGNORECASE,
)
_LONGEST_ENDING = 400
_BEGIN_TOKENS = re.compile(
    r"(?:(?:<s>|<bos>|\[/INST\]|<[|｜](?:begin_of_text|startoftext|begin▁of▁sentence|assistant)[|｜]>"
    r"|<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>|<start_of_turn>model)\s*)+",
    re.IGNORECASE,
)
_CLOSED_BEFORE_MORE = re.compile(r".*</s>.*\S", re.IGNORECASE)
"""What follows `<s>` where that is markup: struck text, and more on its line."""

_NEXT_TURN = re.compile(
    r"(?:<[|｜](?:im_end|eot_id|eom_id|end|end_of_turn|end_of_text|endoftext|return|end▁of▁sentence)[|｜]>|<end_of_turn>)"
    r"(?=\s*(?:\n|<[|｜]\w|<start_of_turn>))",
    re.IGNORECASE,
)
"""A token that ends a turn, where the text goes on with another one."""

GRADED_CHARACTERS = 20_000
"""How much of a free text is graded."""

_TIDY = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′´ʼ", "'"),
        **dict.fromkeys("“”„‟″", '"'),
        **dict.fromkeys("‐‑‒−", "-"),
        # of no width: soft hyphen, joiners, marks of direction, byte order mark, variation selectors
        **dict.fromkeys([*"\u00ad\u034f\u061c\u180e\ufeff", *map(chr, range(0x200B, 0x2010))], None),
        **dict.fromkeys(map(chr, (*range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10))), None),
    }
)

_DECLINES = (
    r"\b(?:i|we)(?: (?:can't|cannot|can not|won't|will not|(?:must|have to) (?:\w+ )?(?:decline|refuse)"
    r"|(?:do not|don't) (?:have|feel|know|understand))|(?:'m| am|'re| are) (?:unable|not able))\b"
)
_WORK = r"(?:assist|comply|fulfil|engage|participate in|(?:help|answer|provide|produce|generate|discuss)\b(?! but))"
# Openings that decline as a whole.  "I can't" alone is none: people explain jokes in the first person.
_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:(?:i'm|i am) (?:\w+ )?sorry|sorry|my apologies|i apologi[sz]e)\b[^.!?\"]{0,60}?" + _DECLINES,
        r"as an? (?:\w+ ){0,2}(?:ai|artificial intelligence|language model)\b[^.!?\"]{0,60}?" + _DECLINES,
        r"(?:unfortunately, )?i(?: (?:can't|cannot|can not|won't|will not)|(?:'m| am) (?:unable|not able) to) " + _WORK,
        r"i (?:must|have to|will have to) (?:\w+ )?(?:decline|refuse)\b",
        r"(?:i'm|i am) not comfortable\b|i (?:do not|don't) feel comfortable\b",
    )
)
# In other languages, up to the verb, so that an apology that explains ("lo siento") is none.
_DECLINED_ABROAD = re.compile(
    r"(?:(?:es )?tut mir (?:sehr )?leid|entschuldigung|leider)\b[^.!?]{0,60}?\bkann ich\b[^.!?]{0,80}?"
    r"\bnicht (?:\w+ ){0,2}(?:helfen|beantworten|erfüllen|weiterhelfen|unterstützen|ausführen|bereitstellen)\b"
    r"|(?:je suis (?:vraiment )?désolée?|désolée?)\b[^.!?]{0,60}?\bje ne (?:peux|suis)\b[^.!?]{0,30}?"
    r"\b(?:aider|répondre|fournir|satisfaire|assister|traiter)\b"
    r"|(?:lo siento|lo lamento|disculpa|perdón)\b[^.!?]{0,60}?\bno puedo\b[^.!?]{0,30}?"
    r"\b(?:ayudar|responder|proporcionar|cumplir|asistir|procesar)\w*"
    r"|(?:desculpe|sinto muito|lamento)\b[^.!?]{0,60}?\bnão posso\b[^.!?]{0,30}?\b(?:ajudar|responder|fornecer)\w*"
    r"|mi dispiace\b[^.!?]{0,60}?\bnon posso\b[^.!?]{0,30}?\b(?:aiutar|risponder|fornire|soddisfare)\w*"
    r"|(?:很?抱歉|对不起|對不起)[^。!?]{0,40}?(?:无法|無法|不能)[^。!?]{0,20}?(?:回答|协助|協助|帮助|幫助|提供|处理|處理|满足|完成)"
    r"|(?:申し訳(?:ありません|ございません)|すみません)[^。!?]{0,60}?(?:できません|できかねます|お答えできない)",
    re.IGNORECASE,
)
_LABEL_IN_FRONT = re.compile(r"\w+: ")
_OPENING = 300


def normalise(text: str) -> str:
    """Give the text in NFKC, with plain quotes, and each run of whitespace as one blank."""
    return " ".join(unicodedata.normalize("NFKC", with_plain_quotes(text)).split())


def with_plain_quotes(text: str) -> str:
    """Give the text with the keyboard's quotes and hyphens, without invisible characters."""
    return text.translate(_TIDY)


def clip(text: str, limit: int = CLIP_AT) -> str:
    """Give the text on one line for an explanation, without control characters, cut at `limit` characters."""
    window = text.lstrip()[: 4 * limit]
    if not window.isprintable():
        window = "".join(c if c.isprintable() else " " for c in window)
    line = " ".join(window.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def is_empty(text: str) -> bool:
    """Tell whether there is nothing to read."""
    return not with_plain_quotes(text).strip()


def is_refusal(text: str) -> bool:
    """Tell whether the text opens by declining to answer.

    Only the opening counts, and a text that opens with a quotation mark quotes.
    """
    opening = normalise(text.lstrip()[:_OPENING]).replace("*", "")
    label = _LABEL_IN_FRONT.match(opening)
    starts = (0, label.end()) if label else (0,)
    return any(pattern.match(opening, start) for pattern in (*_REFUSALS, _DECLINED_ABROAD) for start in starts)


def ended(text: str) -> str:
    """Give the text from where the model began its turn to where it ended it, without the tokens and invisible edges.

    `</s>` closes `<s>` where that stands before it.
    """
    text = text.strip(EDGES)
    text = text[_begin_of_turn(text) :].strip(EDGES)
    text = text[: end_of_turn(text)].strip(EDGES)
    end = _END_TOKENS.search(text, max(0, len(text) - _LONGEST_ENDING))
    is_markup = end is not None and "</s>" in end[0].lower() and "<s>" in text.lower()
    return text if end is None or is_markup else text[: end.start()].strip(EDGES)


def has_token_at_edge(text: str) -> bool:
    """Tell whether a text begins or ends with a token of turns: one that asks about them, which `ended` takes off."""
    return ended(text) != text.strip(EDGES)


def _begin_of_turn(text: str) -> int:
    begin = _BEGIN_TOKENS.match(text)
    if begin is None:
        return 0
    opened = begin[0].lower().find("<s>")
    is_markup = opened >= 0 and _CLOSED_BEFORE_MORE.match(text, opened + len("<s>")) is not None
    return opened if is_markup else begin.end()


def end_of_turn(text: str) -> int:
    """Give where the model ended its turn, and a next one begins; the length of the text where none does."""
    turn = _NEXT_TURN.search(text)
    return len(text) if turn is None or not text[: turn.start()].strip(EDGES) else turn.start()


def graded_unless_void(grader: Grader) -> Grader:
    """Wrap a grader so that what is no answer fails.

    The grader grades an empty answer too, for its parts.  An answer that it passes is never called a refusal.
    """

    def grade(case: Case, answer: Answer) -> Grade:
        return void_or(grader(case, answer), answer)

    return grade


def void_or(grade: Grade, answer: Answer) -> Grade:
    """Give the grade of an answer, or that of an empty one or a refusal."""
    if is_empty(answer.text) or (not grade.passed and is_empty(ended(answer.text))):
        what = "nothing but reasoning" if answer.reasoning else "empty"
        return _void(grade, Reason.EMPTY, f"The answer is {what}.")
    if not grade.passed and is_refusal(answer.text):
        return _void(grade, Reason.REFUSAL, f"The model declined: {clip(answer.text)}")
    return grade


def refused(grade: Grade, answer: Answer) -> Grade:
    """Give the grade of an answer, or that of a refusal where the provider reported one beside the text."""
    if answer.finish_reason == CONTENT_FILTER:
        what = answer.refusal or "content filter"
        kept = "cut off the answer" if answer.text else "let no answer pass"
        return _void(grade, Reason.REFUSAL, f"The provider's {what} {kept}.")
    if answer.refusal is not None:
        return _void(grade, Reason.REFUSAL, f"The model declined: {clip(answer.refusal)}")
    return grade


def _void(grade: Grade, reason: Reason, explanation: str) -> Grade:
    return replace(grade, score=0.0, passed=False, reason=reason, explanation=explanation)


_TOKEN = regex.compile(
    r"(?P<blank>\s+)"
    r"|(?P<mark>[*`]+|(?<![^\W_])_+|_+(?![^\W_]))"  # emphasis of Markdown; an underscore inside a word stays
    r"|(?P<plain>[!-)+-^a-~]+(?!\p{M}))"  # ASCII but for * _ `, and but for a letter that carries an accent
    r"|\X"
)
_LIST_MARK = regex.compile(r"(?:[-*•+#]|\d{1,3}[.)])\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedText:
    r"""Text as graders search it.

    NFKC, plain quotes, no emphasis marks, runs of whitespace as one blank, or as one "\n" where a
    paragraph or a list item begins, so that a phrase cannot reach over it.

    Shapes: `starts` and `ends` have one entry a character of `text`: the place in the
    original of what it was made from, first character and one behind the last.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, original: str, limit: int) -> Self:
        """Tidy the first `limit` characters from the first one that is not blank."""
        begin = len(original) - len(original.lstrip())
        end = min(len(original), begin + limit)
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        is_after_blank = True
        for token in _TOKEN.finditer(original, begin, end):
            kind, (at, behind) = token.lastgroup, token.span()
            if kind == "mark" or (kind == "blank" and is_after_blank):
                continue
            if kind == "plain":
                piece = token[0]
                starts.extend(range(at, behind))
                ends.extend(range(at + 1, behind + 1))
            else:
                piece = _blank(original, at, behind) if kind == "blank" else normalise(token[0])
                starts.extend([at] * len(piece))
                ends.extend([behind] * len(piece))
            if piece:
                pieces.append(piece)
                is_after_blank = kind == "blank"
        return cls(text="".join(pieces), starts=tuple(starts), ends=tuple(ends))

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Give the place in the original of a non-empty stretch of the text."""
        return self.starts[start], self.ends[end - 1]


def _blank(original: str, at: int, behind: int) -> str:
    breaks = original.count("\n", at, behind)
    return "\n" if breaks > 1 or (breaks and _LIST_MARK.match(original, behind)) else " "
