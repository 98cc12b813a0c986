"""What the beginning of a statement looks like, apart from prose that begins with the same word.

"Select the users from ...", "Use the following", "With this query" and "From the table" begin
sentences; a shape is the keyword with as much behind it as only SQL has.
"""

import re

_NAME = r"(?:\w[\w$-]*|\"[^\"\n]+\"|`[^`\n]+`|\[[^\]\n]+\])"
_PATH = rf"(?:{_NAME}(?:\s*\.\s*{_NAME})*|`[^`\n]+`|'[^'\n]+')"
_PROSE_AHEAD = (
    r"(?!\s+(?:(?:all|only|any|each)\s+)?(?:the|this|that|these|those|your|our|my|which|whether)\s+[a-z]+\b(?!\s*[(,=]))"
    r"(?!\s+(?:an?|it|is|and|or|all|only|some)\s+(?!(?:from|as|into)\b)[a-z]+\s+(?!(?:from|as)\b)[a-z]+\b(?!\s*[(,=]))"
    r"(?!\s+(?:statements?|query|queries|clauses?|keyword)\b)"
)
_READS = {
    "select": rf"select\b{_PROSE_AHEAD}",
    "with": rf"with\s+(?:recursive\s+)?{_NAME}\s*(?:\([^()]*\)\s*)?as\s*(?:(?:not\s+)?materialized\s*)?\(",
    "from": rf"from\s+(?:{_PATH}|\()[^;.]{{0,200}}?"
    r"(?:;|\Z|\b(?:select|where|group\s+by|order\s+by|join|limit|having|qualify)\b)",
    "values": r"values\s*\(",
    "table": rf"table\s+{_PATH}\s*(?:;|\Z)",
    "pivot": rf"(?:un)?pivot\s*(?:{_PATH}\s+on\b|\(\s*(?:select|from|with)\b)",
}
_WRITES = {
    "insert": r"insert\s+(?:into|overwrite|or\s+\w+\s+into|ignore)\b",
    "update": rf"update\s+(?:or\s+\w+\s+)?{_PATH}(?:\s+(?:as\s+)?\w+)?\s+set\b",
    "delete": r"delete\s+from\b",
    "merge": r"merge\s+into\b",
    "replace": r"(?:replace|upsert)\s+into\b",
    "bulk insert": rf"bulk\s+insert\s+{_PATH}\s+from\b",
    "truncate": rf"truncate\s+(?:table\s+)?{_PATH}\s*(?:;|\Z|\n|cascade|restart)",
    "drop": r"drop\s+(?:temp\w*\s+)?"
    r"(?:table|view|schema|database|index|sequence|function|procedure|macro|type|user|role|"
    r"trigger|secret|materialized|persistent|aggregate)\b",
    "create": r"create\s+(?:or\s+replace\s+)?(?:global\s+|local\s+)?"
    r"(?:temp\w*\s+|unique\s+|persistent\s+|unlogged\s+|external\s+)?"
    r"(?:table|view|schema|database|index|sequence|function|procedure|macro|type|user|role|trigger|secret|materialized|extension)\b",
    "alter": r"alter\s+(?:table|view|schema|database|sequence|user|role|system|session|index|type)\b",
    "copy": rf"copy\s+(?:{_PATH}|\(|from\b)",
    "attach": r"attach\s+(?:or\s+replace\s+)?(?:database\s+)?(?:if\s+not\s+exists\s+)?['\":\w]",
    "detach": rf"detach\s+(?:database\s+)?{_NAME}\s*(?:;|\Z)",
    "export": r"export\s+database\b",
    "import": r"import\s+database\b",
    "install": rf"(?:force\s+)?install\s+{_PATH}\s*(?:;|\Z|from\b)",
    "load": rf"load\s+(?:data\b|{_PATH}\s*(?:;|\Z))",
    "grant": r"grant\s+\w+[\w\s,]*\s+(?:on|to)\b",
    "revoke": r"revoke\s+\w+[\w\s,]*\s+(?:on|from)\b",
    "comment": r"comment\s+on\s+(?:table|column|view|database|schema)\b",
}
_ORDERS = {
    "set": r"set\s+(?:session\s+|local\s+|global\s+|variable\s+)?[@\w.]+\s*(?:=|:=|\bto\b)",
    "reset": r"reset\s+(?:session\s+|global\s+|all\b)?\w*\s*(?:;|\Z)",
    "pragma": r"pragma\s+\w+",
    "use": rf"use\s+(?:database\s+|schema\s+)?{_PATH}\s*(?:;|\Z|\n\s*(?:select|with|go)\b)",
    "show": r"show\s+(?:all\s+)?(?:tables|databases|schemas|columns|create|variables|settings|processlist|grants)\b",
    "describe": rf"desc(?:ribe)?\s+(?:table\s+)?{_PATH}\s*(?:;|\Z)",
    "describe query": r"desc(?:ribe)?\s+(?:select|with|from)\b",
    "summarize": rf"summarize\s+{_PATH}\s*(?:;|\Z)",
    "explain": r"explain\s+(?:analyze\s+|\([^)]*\)\s*|query\s+plan\s+|verbose\s+)*"
    r"(?:select|with|insert|update|delete|from)\b",
    "call": rf"call\s+{_PATH}\s*\(",
    "execute": rf"exec(?:ute)?\s+(?:immediate\s+)?(?:{_PATH}|\(|@)[^\n.]*?(?:;|\Z)",
    "prepare": rf"prepare\s+{_NAME}\s+(?:as|from)\b",
    "deallocate": rf"deallocate\s+(?:prepare\s+)?{_NAME}\s*(?:;|\Z)",
    "declare": r"declare\s+@?\w+",
    "begin": r"(?:begin|start)\s*(?:transaction|work|tran)?\s*(?:;|\Z|\n\s*(?:select|delete|update|insert|drop)\b)",
    "commit": r"(?:commit|rollback)\s*(?:transaction|work)?\s*(?:;|\Z)",
    "vacuum": rf"(?:vacuum|analyze|checkpoint|force\s+checkpoint)\s*(?:full\s+|analyze\s+)*{_NAME}?\s*(?:;|\Z)",
    "kill": r"kill\s+(?:query\s+|connection\s+)?\d+",
    "do": r"do\s+\$\$",
    "lock": rf"lock\s+tables?\s+{_PATH}",
    "savepoint": rf"savepoint\s+{_NAME}\s*(?:;|\Z)",
    "maintain": rf"(?:optimize|reindex|refresh|cache|uncache|msck\s+repair)\s+table\s+{_PATH}",
    "back up": rf"(?:backup|restore)\s+(?:database|table)\s+{_PATH}",
    "wait": r"waitfor\s+(?:delay|time)\s+'",
    "shut down": r"shutdown\s*(?:;|\Z)",
}


def _any_of(*shapes: dict[str, str]) -> str:
    return "|".join(f"(?:{shape})" for group in shapes for shape in group.values())


STATEMENT = _any_of(_READS, _WRITES, _ORDERS)
"""A pattern (ignoring case) of every statement, without a group."""

CHANGE = re.compile(_any_of(_WRITES, _ORDERS), re.IGNORECASE)
"""Statements that write, or that order the database to do something: all but queries."""
