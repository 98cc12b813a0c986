"""Find the query in what a model wrote.

The first statement of the answer counts: in the first fenced block that holds one, after a
reasoning block is taken off.  A statement starts at a line's start, after a colon or a shell's prompt, in a fence,
a back quote, an XML tag or a call's string, so that prose about "select ... from" is not a query.  Where no
semicolon ends it, shorter texts are offered as well, cut before lines that read as prose or as a
new statement, never before a clause: dropping a WHERE that does not parse would forgive it.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pytest_llmbench.sql.extract import fences
from pytest_llmbench.sql.extract.answer_marks import STOP, spoken
from pytest_llmbench.sql.extract.envelope import envelope
from pytest_llmbench.sql.extract.fences import Block
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
    something; `is_change`: it is the statement itself.
    """

    candidates: tuple[str, ...]
    change: str | None = None
    is_change: bool = False


_TYPOGRAPHY = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "≥": ">=", "≤": "<=", "≠": "<>", "−": "-"}
    | dict(zip("（），；＝＜＞", "(),;=<>", strict=True))
)
_TAG = r"sql|query|answer|sql_query|final_answer|code"
_BOXED = re.compile(r"\\boxed\{(?:\\(?:text|texttt|mathtt)\{)?([^{}]{0,9000})\}")
_TAGGED = re.compile(rf"<({_TAG})\b[^<>]{{0,100}}>(.*?)(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)

# possessive, so that a long run of spaces is matched in one way
_LABEL = (
    r"(?![ \t]*+--)[ \t]*+(?:[>•*-][ \t]++)*+\*{0,2}(?:\d{1,2}[.)][ \t]++)?(?:\w{1,20}(?:=?>|=#)[ \t]++)?"
    r"(?:[^\n]{0,400}?[:：][ \t*]*+)??"
)
_START = re.compile(
    rf"^{_LABEL}(?P<open>[`\"'({{ \t]*+)(?:/\*.{{0,500}}?\*/\s*)*(?P<statement>{STATEMENT})",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE = re.compile(rf"(?P<open>`)(?P<statement>{STATEMENT})", re.IGNORECASE)
_PASSED = re.compile(rf"[=(,]\s*[rf]?(?P<open>\"{{3}}|'{{3}}|[\"'])\s*(?P<statement>{STATEMENT})", re.IGNORECASE)
_SELECT = re.compile(r"(?P<open>)(?P<statement>\b(?:SELECT|select)\b)")
_STATEMENT_LINE = re.compile(rf"\s*\(*(?:{STATEMENT})", re.IGNORECASE)
_CLOSING_MARK = re.compile(
    r"\[/\s*[A-Z_]{2,}\s*\]|\[END[_ ]?(?:OF[_ ])?(?:SQL|QUERY|ANSWER|CODE|STATEMENT)\]"
    r"|\n\s*\[([A-Z_]+)\](?=(?s:.*)\[/\1\])"
    r"|<\|(?:end_?(?:of_)?|/)(?:sql|query|answer|code|statement)\|>"
    r"|\\(?:begin|end)\{\w+\*?\}|\n'{3}[ \t]*(?=\n|\Z)",
    re.IGNORECASE,
)
_OPENING_MARK = re.compile(
    r"\[(?:(?:BEGIN|START)[_ ])?(?:OF[_ ])?(?:SQL|QUERY|ANSWER|CODE)\](?=\s*(?:SELECT|WITH)\b)"
    rf"|<\|(?:(?:begin|start)_?(?:of_)?)?(?:sql|query|answer|code|statement)\|>(?=\s*\(*(?:{STATEMENT}))",
    re.IGNORECASE,
)
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
    r"|\(?(?:Note|This|Here|It)\b|[^\W\d_a-zA-Z]"  # or a letter of another script
)
_ENDS_OPEN = re.compile(
    r"(?:\b(?:union|all|except|intersect|minus|as|distinct|from|join|in|exists)|[(,]|\))\s*\Z", re.IGNORECASE
)


def extract(answer: str, *, tables: frozenset[str] = frozenset(), begins: str | None = None) -> Extraction | None:
    """Find the statement an answer gives, or None where it gives none.

    Args:
        answer: what the model wrote.
        tables: the names of the database's tables, in lower case.
        begins: the word of the statement that the prompt ended in: SELECT or WITH.
    """
    text = spoken(answer[:_MAX_ANSWER_CHARS])
    stop = STOP.search(text)
    # a heading before the query is no end
    for part in (text[: stop.start()], text) if stop else (text,):
        found = _found(part, tables)
        begun = None if begins is None else _begun(part, begins)
        if begun is not None:
            return replace(begun, candidates=begun.candidates + (found.candidates if found is not None else ()))
        if found is not None:
            return found
    return None


def _begun(text: str, begins: str) -> Extraction | None:
    """Read an answer as the rest of the statement that its prompt began; None where it begins one itself."""
    leading = _without_comments(text).lstrip()
    if not leading or _STATEMENT_LINE.match(leading) or leading[0] in "`~<{[" or fences.leading_text(text + "\n"):
        return None
    return _first_statement(f"{begins} {text}", is_fenced=False)


def _found(text: str, tables: frozenset[str]) -> Extraction | None:
    """Find the statement in a text: that of the fenced block which is the answer, else the first."""
    text = _OPENING_MARK.sub("\n", text)
    leading = fences.leading_text(text)
    is_statement = _STATEMENT_LINE.match(_without_comments(leading)) is not None
    fenced: list[tuple[Block, Extraction]] = []
    for block in fences.blocks(text, leading if is_statement else ""):
        statements = (_first_statement(one, is_fenced=True) for one in (*envelope(block.text), block.text))
        inner = next(filter(None, statements), None)
        if inner is not None and not fences.repeats_schema(block.text, tables):
            fenced.append((block, inner))
    queries = [block for block, found in fenced if not found.is_change]
    announced = fences.announced_prose(text)
    if announced is not None and not any(block.is_announced for block in queries):
        return _first_statement(announced, is_fenced=False)
    if queries:
        answer = fences.chosen(queries)
        # a change in a block before the answer would run before it
        return next(found for block, found in fenced if found.is_change or block is answer)
    if fenced:
        return fenced[0][1]
    for block_text, is_delimited in _blocks(text):
        found = _first_statement(block_text, is_fenced=is_delimited)
        if found is not None:
            return found
    return None


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the unfenced parts to look into, the most explicit first, each with whether it is delimited."""
    yield from ((text, True) for text in envelope(text))
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
    region = _before_closing_mark(block[start : start + MAX_STATEMENT_BYTES + 500])
    region = _unescape(_closed_by(region, opening))
    statement, rest = _cut_at_end(region)
    texts = [
        text
        for text in (statement, *_without_full_stop(statement), *_shortenings(statement))
        if len(text.encode(errors="replace")) <= MAX_STATEMENT_BYTES
    ]
    change = CHANGE.match(_without_comments(statement).lstrip())
    keyword = change.group().split()[0].upper() if change else _change_in(rest, is_fenced=is_fenced)
    return Extraction(candidates=tuple(texts), change=keyword, is_change=change is not None)


def _without_full_stop(statement: str) -> tuple[str, ...]:
    """Give the statement without the full stop of the sentence it ends, where it ends in one."""
    return (statement[:-1],) if re.search(r"[\w)'\"`]\.\Z", statement) else ()


def _before_closing_mark(region: str) -> str:
    """End a statement at a mark that closes a block around it: [/SQL], [END_SQL], the end of a TeX block."""
    marks = list(_CLOSING_MARK.finditer(region))
    if not marks:
        return region
    quoted = [(piece.start, piece.start + len(piece.text)) for piece in pieces(region) if piece.kind in _QUOTED]
    for mark in marks:
        if not any(start <= mark.start() < end for start, end in quoted):
            return region[: mark.start()]
    return region


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
    """Split at the first semicolon outside strings and comments, or at a line of GO."""
    for piece in pieces(region):
        if piece.kind is Kind.SIGN and piece.text == ";":
            return _trimmed(region[: piece.start]), region[piece.start + 1 :]
    batch = _GO_LINE.search(region)
    if batch:
        return _trimmed(region[: batch.start()]), region[batch.end() :]
    return _trimmed(region), ""


def _trimmed(text: str) -> str:
    """Take marks of formatting off a statement's end; a back quote stays where it closes a name."""
    text = text.rstrip("*~。 \t\n")
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
