"""Find the query in what a model wrote.

The first statement of the answer counts: in the first fenced block that holds one, after a
reasoning block is taken off.  A statement starts at a line's start, after a colon or a shell's prompt, in a fence,
a back quote, an XML tag or a call's string, so that prose about "select ... from" is not a query.  Where no
semicolon ends it, shorter texts are offered as well, cut before lines that read as prose or as a
new statement, never before a clause: dropping a WHERE that does not parse would forgive it.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.sql.extract.answer_marks import STOP, spoken
from pytest_llmbench.sql.extract.statement_shapes import CHANGE, STATEMENT
from pytest_llmbench.sql.extract.tokens import Kind, pieces

MAX_STATEMENT_BYTES = 8_000
"""The longest statement that is read: planning time and memory grow with the text."""

_MAX_ANSWER_CHARS = 200_000  # a longer answer is looked at no further; a reasoning block fits in it
_MAX_SHORTENINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The statement found.

    `candidates` are its texts, the longest first; a shorter one is meant for the case that none
    of the longer can be parsed.  Empty: it is longer than `MAX_STATEMENT_BYTES` and was not read.
    `change` is the keyword with which it, or a statement behind it in the same block, would change
    something.
    """

    candidates: tuple[str, ...]
    change: str | None = None


_TYPOGRAPHY = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "≥": ">=", "≤": "<=", "≠": "<>", "−": "-"}
    | dict(zip("（），；＝＜＞", "(),;=<>", strict=True))
)
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})[ \t]*[\w+#.-]*[^\n`]*$", re.MULTILINE)
_TAG = r"sql|query|answer|sql_query|final_answer|code"
_BOXED = re.compile(r"\\boxed\{(?:\\(?:text|texttt|mathtt)\{)?([^{}]{0,9000})\}")
_TAGGED = re.compile(rf"<({_TAG})\b[^<>]{{0,100}}>(.*?)(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)

# possessive, so that a long run of spaces is matched in one way
_LABEL = (
    r"(?![ \t]*+--)[ \t]*+(?:[>•*-][ \t]++)*+\*{0,2}(?:\d{1,2}[.)][ \t]++)?(?:\w{1,20}(?:=?>|=#)[ \t]++)?"
    r"(?:[^\n]{0,400}?:[ \t*]*+)??"
)
_START = re.compile(
    rf"^{_LABEL}(?P<open>[`\"'({{ \t]*+)(?:/\*.{{0,500}}?\*/\s*)*(?P<statement>{STATEMENT})",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE = re.compile(rf"(?P<open>`)(?P<statement>{STATEMENT})", re.IGNORECASE)
_PASSED = re.compile(rf"[=(,]\s*[rf]?(?P<open>\"{{3}}|'{{3}}|[\"'])\s*(?P<statement>{STATEMENT})", re.IGNORECASE)
_SELECT = re.compile(r"(?P<open>)(?P<statement>\b(?:SELECT|select)\b)")
_STATEMENT_LINE = re.compile(rf"\s*\(*(?:{STATEMENT})", re.IGNORECASE)
_GO_LINE = re.compile(r"^\s*GO\s*$", re.MULTILINE)

_QUOTED = (Kind.STRING, Kind.DOUBLE, Kind.BACKTICK)
_CLAUSE_WORDS = frozenset(
    """
    select from where and or not group order having limit offset fetch union except intersect minus join inner
    left right full cross natural asof on using with qualify window case when then else end as in between like
    ilike is exists distinct count sum avg min max over partition lateral values asc desc interval top all any
    null for
    """.split()  # noqa: SIM905 - words read better in a row
)
_PROSE = re.compile(
    r"(?:[*_#>-]+\s*)?[A-Z][\w']*(?:[ ,:]|[.!]?(?:\s|$))|[*_#>-]+ ?\w|(?:[a-z]+ ){3}[a-z]|\w{3,}:(?:\s|$)"
    r"|\(?(?:Note|This|Here|It)\b"
)
_ENDS_OPEN = re.compile(
    r"(?:\b(?:union|all|except|intersect|minus|as|distinct|from|join|in|exists)|[(,]|\))\s*\Z", re.IGNORECASE
)
_SQL_KEYS = (
    "sql",
    "query",
    "sql_query",
    "sqlquery",
    "statement",
    "code",
    "answer",
    "result",
    "output",
    "response",
    "arguments",
)


def extract(answer: str) -> Extraction | None:
    """Find the statement an answer gives, or None where it gives none."""
    text = spoken(answer[:_MAX_ANSWER_CHARS])
    stop = STOP.search(text)
    # a heading before the query is no end
    for part in (text[: stop.start()], text) if stop else (text,):
        for block, is_fenced in _blocks(part):
            found = _first_statement(block, is_fenced=is_fenced)
            if found is not None:
                return found
    return None


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of an answer to look into, the most explicit first, each with whether it is delimited."""
    fences = list(_FENCE.finditer(text))
    leading = text[: fences[0].start()] if fences else ""
    if _STATEMENT_LINE.match(_without_comments(leading)):
        yield leading, True  # the prompt opened the fence, or the query stands before one
    for opening, closing in _pairs(fences):
        block = text[opening.end() : closing.start() if closing else len(text)]
        yield from ((text, True) for text in _envelope(block))
        yield block, True
    yield from ((text, True) for text in _envelope(text))
    for match in _TAGGED.finditer(text):
        yield match.group(2), True
    for match in _BOXED.finditer(text):
        yield match.group(1), True
    yield text, False


def _without_comments(text: str) -> str:
    """Drop the comments a text begins with."""
    while match := re.match(r"\s*(?:--[^\n]*(?:\n|\Z)|#[^\n]*(?:\n|\Z)|/\*.{0,2000}?\*/)", text, re.DOTALL):
        text = text[match.end() :]
    return text


def _pairs(fences: Sequence[re.Match[str]]) -> Iterator[tuple[re.Match[str], re.Match[str] | None]]:
    """Pair opening fence lines with their closing ones; the last may have none."""
    waiting = iter(fences)
    for opening in waiting:
        yield opening, next((fence for fence in waiting if fence.group(1)[0] == opening.group(1)[0]), None)


def _envelope(block: str) -> Iterator[str]:
    """Yield the texts in the JSON object, array or string a block begins with, likely SQL first."""
    stripped = block.strip()
    if not stripped.startswith(("{", "[", '"')):
        return
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(stripped)
    except (ValueError, RecursionError):
        return
    yield from _texts(value, depth=0)


def _texts(value: object, *, depth: int) -> Iterator[str]:
    """Yield the strings in a JSON value, known keys first; a string may be JSON again (tool arguments are)."""
    if isinstance(value, str):
        yield from _envelope(value) if depth and value.lstrip().startswith("{") else ()
        yield value
    elif isinstance(value, dict) and depth < 4:
        named = {str(key).lower(): item for key, item in value.items()}
        for key in sorted(named, key=lambda key: _SQL_KEYS.index(key) if key in _SQL_KEYS else len(_SQL_KEYS)):
            yield from _texts(named[key], depth=depth + 1)
    elif isinstance(value, list) and depth < 4:
        for item in value:
            yield from _texts(item, depth=depth + 1)


def _first_statement(block: str, *, is_fenced: bool) -> Extraction | None:
    """Find the first statement of one block."""
    block = re.sub(r"(?m)^([ \t]*)#+(?=\s|$|[A-Za-z(])", r"\1--", block)  # comments of MySQL, or of the prompt run on
    found = [match for match in (_START.search(block), _INLINE.search(block), _PASSED.search(block)) if match]
    if not found:
        return None
    match = min(found, key=lambda match: match.start("statement"))
    if block[match.start() :].lstrip().startswith(">"):
        start = match.start()
        block = block[:start] + re.sub(r"(?m)^[ \t]*>", " ", block[start:])  # a quotation, to its end
    if match.group("statement")[:4].lower() == "from":
        # a FROM at a line's start may belong to a SELECT in the middle of the line of prose before
        match = next(reversed(list(_SELECT.finditer(block, 0, match.start("statement")))), match)
    opening = match.group("open")
    brackets = re.search(r"[( \t]*\Z", opening)
    start = (
        match.end("open") - len(brackets.group().lstrip())
        if brackets and "(" in brackets.group()
        else match.start("statement")
    )
    region = _unescape(_closed_by(block[start : start + MAX_STATEMENT_BYTES + 500], opening))
    statement, rest = _cut_at_end(region)
    texts = [
        text
        for text in (statement, *_shortenings(statement))
        if len(text.encode(errors="replace")) <= MAX_STATEMENT_BYTES
    ]
    change = CHANGE.match(_without_comments(statement).lstrip())
    keyword = change.group().split()[0].upper() if change else _change_in(rest, is_fenced=is_fenced)
    return Extraction(candidates=tuple(texts), change=keyword)


def _closed_by(region: str, opening: str) -> str:
    """End a statement that stands in back quotes or in a string at the closing one."""
    region = region.partition('"""')[0]
    if "`" in opening:
        line = region.partition("\n")[0]
        ticks = [index for index, char in enumerate(line) if char == "`"]
        if not ticks:
            return region.partition("`")[0]
        # an odd number: names inside are quoted too, and the last one closes
        return line[: ticks[-1] if len(ticks) % 2 else ticks[0]]
    if '"' in opening:
        end = re.search(r'(?<!\\)"(?=\s*(?:""|[,)}\]]|$))', region, re.MULTILINE)
    elif "'" in opening:
        end = re.search(r"(?<![\\\w%])'(?:''|\s*[,)}\]]|\s*$)", region)
    else:
        return region
    return region[: end.start()] if end else region


def _unescape(text: str) -> str:
    """Undo typography, and the escapes of HTML, JSON and markdown, where they stand outside strings."""
    text = "".join(piece.text if piece.kind in _QUOTED else piece.text.translate(_TYPOGRAPHY) for piece in pieces(text))
    if re.search(r"&(?:gt|lt|amp|quot|apos|nbsp|#39|#34);", text):
        text = html.unescape(text)
    if "\\" not in text:
        return text
    for quote in "\"'":
        if not re.search(rf"(?<!\\){quote}", text):
            text = text.replace("\\" + quote, quote)
    if "\n" not in text.strip():
        text = re.sub(r"\\[nrt]", "\n", text)
    # markdown: user\_id, COUNT(\*), \>=
    return "".join("" if piece.text == "\\" and piece.kind is Kind.SIGN else piece.text for piece in pieces(text))


def _cut_at_end(region: str) -> tuple[str, str]:
    """Split at the first semicolon outside strings and comments, or at a line that says GO."""
    for piece in pieces(region):
        if piece.kind is Kind.SIGN and piece.text == ";":
            return _trimmed(region[: piece.start]), region[piece.start + 1 :]
    batch = _GO_LINE.search(region)
    if batch:
        return _trimmed(region[: batch.start()]), region[batch.end() :]
    return _trimmed(region), ""


def _trimmed(text: str) -> str:
    """Take marks of formatting off a statement's end; a back quote stays where it closes a name."""
    text = text.rstrip("*~ \t\n")
    return text.rstrip("` \t\n") if text.endswith("``") or text.count("`") % 2 else text


def _shortenings(statement: str) -> tuple[str, ...]:
    """Give the statement's beginnings that end before prose or before another statement, the longest first."""
    texts: list[str] = []
    depth = 0
    for piece in pieces(statement):
        depth += (piece.text == "(") - (piece.text == ")")
        if piece.kind is not Kind.SPACE or "\n" not in piece.text or depth > 0:
            continue
        before, line = statement[: piece.start], statement[piece.start + len(piece.text) :].partition("\n")[0]
        if line.startswith("--"):
            continue
        is_new_statement = _STATEMENT_LINE.match(line) and line[:4].lower() != "from" and not _ENDS_OPEN.search(before)
        if is_new_statement or (not _begins_clause(line) and _PROSE.match(line)):
            texts.append(_trimmed(before))
    return tuple(reversed([text for text in texts if text][:_MAX_SHORTENINGS]))


def _begins_clause(line: str) -> bool:
    """Tell whether a line goes on with a clause; `Where` and `In` begin sentences, `WHERE` and `in` do not."""
    word = re.match(r"\w*", line)
    first = word.group() if word else ""
    return first.lower() in _CLAUSE_WORDS and (first.isupper() or first.islower())


def _change_in(rest: str, *, is_fenced: bool) -> str | None:
    """Find the keyword of a changing statement in what follows: in a fence all of it, else the same paragraph.

    A base model runs on with other questions after a blank line; a chat model's `; DROP TABLE`
    is part of its answer.
    """
    if not is_fenced:
        rest = re.split(r"\n\s*\n", rest, maxsplit=1)[0]
    ends = [piece.start + 1 for piece in pieces(rest) if piece.kind is Kind.SIGN and piece.text == ";"]
    for start in (0, *ends):
        if match := CHANGE.match(_without_comments(rest[start:]).lstrip()):
            return match.group().split()[0].upper()
    return None
