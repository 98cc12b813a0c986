"""Which of several fenced blocks holds the answer.

The block that the text announces as final, corrected or revised; else the last one with a query, unless what follows
the first is an alternative to it or a demonstration.  A block that only repeats the schema is prose.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.sql.extract import foreign_prose

_FENCE = re.compile(r"^[ \t>]*(?:(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*|('{3})[ \t]*(\w*)[ \t]*)$", re.MULTILINE)

_QUERY = r"(?:sql\s+)?(?:query|quer(?:y|ies)|sql|statement|answer|version|solution|result|command|code)"
_ANNOUNCES = re.compile(
    rf"\bfinal(?:ly|i[sz]ed)?\s+(?:\w+\s+){{0,2}}?{_QUERY}\b|\bfinal\s*:|\bcorrect(?:ed|ion)\b|\bcorrect\s+{_QUERY}\s+(?:is|would|should)"
    rf"|\brevised\b|\brevision\b|\b(?:complete|full|combined|fixed|updated)\s+{_QUERY}\b"
    r"|\bputting\s+(?:it|this|that|them|everything)\s+(?:all\s+)?together\b|\bshould\s+(?:have\s+been|be\s+instead)\b"
    rf"|{foreign_prose.ANNOUNCES}",
    re.IGNORECASE,
)
_DIALECT = (
    r"(?:mysql|mariadb|postgres(?:ql)?|sqlite|sql\s+server|t-?sql|oracle|snowflake|bigquery|redshift|duckdb|spark|presto|trino"
    r"|databricks|clickhouse|hive|standard\s+sql)"
)
_OTHER = re.compile(
    rf"\balternativ|\b{_DIALECT}\b|\bif\s+(?:you|your|the|we|there|it|only)\b|\bin\s+case\b|\boption(?:ally|al)?\b"
    r"|\banother\s+(?:way|option|approach|version|form)|\bother\s+(?:way|option|approach)|^\W*or\b|\bor,?\s+(?:you|using|with|if|more)\b"
    r"|\bequivalent|\bvariant|\bvariation|\bsame\s+(?:query|result|thing|logic|as)\b|\bshorter\b|\bsimpler\b|\bmore\s+(?:efficient|readable|concise|compact)"
    r"|\balso\b(?!\s+(?:needs?|have|has|must|should|wants?|requires?)\b)|\byou\s+(?:can|could|may|might)\b|\binstead\s+of\b|\brewritten\b|\bto\s+(?:include|exclude|handle|avoid|account)\b"
    r"|\bversion\b|^\W*(?:using|with)\b[^\n]*:\W*$"
    rf"|{foreign_prose.OTHER}",
    re.IGNORECASE | re.MULTILINE,
)
_SHOWN = re.compile(
    r"\bexample|\be\.g\.|\bfor\s+instance\b|\bsample\b|\bdemonstrat|\btest(?:ing|s)?\b|\btry\b|\bverif|\bto\s+(?:see|check|inspect|show)\b"
    r"|\bind(?:ex|ices)|\bperformance\b|\boutput\b|\bresults?\s*(?::|would|might|will|looks?|is|set)|\breturns?\b|\bbonus\b|\bnote\b|\bexplanation\b"
    r"|\bhow\s+it\s+works\b|\bbreakdown\b|\bparts?\b|\bwhere\b.*\bis\b"
    rf"|{foreign_prose.SHOWN}",
    re.IGNORECASE,
)
_STEP = re.compile(
    rf"^[\W_]*(?:step\b|\d+[.)]|now\b|next\b|then\b|second|third|last(?:ly)?\b|finally\b|{foreign_prose.STEP})",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"\s*(?:--|#)([^\n]*)")
_SCHEMA = re.compile(
    r"create\s+table\s+(?:if\s+not\s+exists\s+)?((?:[\w.]|\"[^\"\n]+\"|`[^`\n]+`|\[[^\]\n]+\])+)\s*\((?:(?!\bselect\b).)*",
    re.I | re.S,
)
_LOOKED_BACK_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block, and the prose between it and the block before (with the comment it begins with)."""

    text: str
    before: str
    is_leading: bool = False

    @property
    def is_announced(self) -> bool:
        """Whether the prose presents it as the answer."""
        return _ANNOUNCES.search(self.before) is not None

    @property
    def is_aside(self) -> bool:
        """Whether the prose presents it as another form of the answer, or as a demonstration."""
        paragraphs = re.split(r"\n\s*\n", self.before.strip())
        if _STEP.match(paragraphs[-1]) and not _OTHER.search(paragraphs[-1]):
            return False
        lead = "\n\n".join(paragraphs[-2:])  # a heading, and the sentence under it
        return _OTHER.search(lead) is not None or _SHOWN.search(lead) is not None


def blocks(text: str, leading: str) -> Iterator[Block]:
    """Yield the fenced blocks of an answer in their order.

    Args:
        text: the answer.
        leading: what stands before the first fence, if it is a statement: the prompt opened that fence, or the query
            stands before it.
    """
    fences = list(_FENCE.finditer(text))
    end = 0
    if leading:
        yield Block(text=leading, before="", is_leading=True)
        end = fences[0].start()
        if not (fences[0].group(2) or fences[0].group(4)):
            end, fences = fences[0].end(), fences[1:]  # it closes what the prompt opened
    for opening, closing in _pairs(fences):
        inner = text[opening.end() : closing.start() if closing else len(text)]
        comment = _COMMENT.match(inner)
        before = text[end : opening.start()] + (f"\n\n{comment.group(1)}" if comment else "")
        yield Block(text=inner, before=before[-_LOOKED_BACK_CHARS:])
        end = closing.end() if closing else len(text)


def leading_text(text: str) -> str:
    """Give what stands before the first fence, nothing where there is none."""
    first = _FENCE.search(text)
    return text[: first.start()] if first else ""


def repeats_schema(block: str, tables: frozenset[str]) -> bool:
    """Tell whether a block holds nothing but CREATE TABLE statements of tables that the database has."""
    statements = [part.strip() for part in _without_all_comments(block).split(";") if part.strip()]
    found = [_SCHEMA.fullmatch(statement) for statement in statements]
    return bool(found) and all(
        match is not None and re.split(r"\.", match.group(1))[-1].strip('"`[]').lower() in tables for match in found
    )


def chosen(found: Sequence[Block]) -> Block:
    """Choose among the blocks that hold a query: the last announced one, else the last that is no aside."""
    announced = [block for block in found if block.is_announced]
    if announced:
        return announced[-1]
    if found[0].is_leading:
        return found[0]
    return next((block for block in reversed(found[1:]) if not block.is_aside), found[0])


def announced_prose(text: str) -> str | None:
    """Give what follows the last announcement outside fences that a statement follows at once, None without one."""
    for match in reversed(list(_ANNOUNCES.finditer(text))):
        line = re.compile(r"[^\n:：]{0,80}[:：][\s*_`]*(?=(?:select|with)\b)", re.IGNORECASE).match(text, match.end())
        if line:
            return text[line.end() :]
    return None


def _pairs(fences: Sequence[re.Match[str]]) -> Iterator[tuple[re.Match[str], re.Match[str] | None]]:
    """Pair opening fence lines with their closing ones; the last may have none."""
    waiting = iter(fences)
    for opening in waiting:
        yield opening, next((fence for fence in waiting if _sign(fence) == _sign(opening)), None)


def _sign(fence: re.Match[str]) -> str:
    return (fence.group(1) or fence.group(3))[0]


def _without_all_comments(text: str) -> str:
    return re.sub(r"--[^\n]*|/\*.{0,2000}?\*/", "", text, flags=re.DOTALL)
