"""Where a statement begins and ends in what a model wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.sql.extract.extract import MAX_STATEMENT_BYTES, extract
from pytest_llmbench.sql.extract.tokens import pieces

FOUND = [
    ("SELECT 1;", "SELECT 1"),
    ("  SELECT 1 ; SELECT 2", "SELECT 1"),
    ("Here you go:\n\n```sql\nSELECT a FROM t;\n```\nThat's all.", "SELECT a FROM t"),
    ("```\nSELECT a\nFROM t", "SELECT a\nFROM t"),
    ("SELECT a FROM t;\n```\nThis query", "SELECT a FROM t"),
    ("~~~sql\nSELECT a FROM t\n~~~", "SELECT a FROM t"),
    ("The answer is ```SELECT a FROM t```.", "SELECT a FROM t"),
    ("Use `SELECT a FROM t` for that.", "SELECT a FROM t"),
    ("Use `SELECT `a` FROM `t``.", "SELECT `a` FROM `t`"),
    ("SELECT `a` FROM t`;", "SELECT `a` FROM t"),
    ("<think>select x</think>SELECT a FROM t", "SELECT a FROM t"),
    ("I think so.</think>\nSELECT a FROM t", "SELECT a FROM t"),
    (
        "<|channel|>analysis<|message|>SELECT x<|end|><|start|>assistant<|channel|>final<|message|>SELECT a FROM t<|return|>",
        "SELECT a FROM t",
    ),
    ("<sql>SELECT a FROM t</sql>", "SELECT a FROM t"),
    ("SQL: SELECT a FROM t", "SELECT a FROM t"),
    ("**Answer:** SELECT a FROM t", "SELECT a FROM t"),
    ("1. SELECT a FROM t", "SELECT a FROM t"),
    ("> SELECT a FROM t", "SELECT a FROM t"),
    ('{"sql": "SELECT a FROM t WHERE b = \\"x\\""}', 'SELECT a FROM t WHERE b = "x"'),
    ('{"thoughts": "easy", "tool": {"arguments": "{\\"query\\": \\"SELECT a FROM t\\"}"}}', "SELECT a FROM t"),
    ('["SELECT a FROM t"]', "SELECT a FROM t"),
    ('{"sql": "SELECT a FROM t', "SELECT a FROM t"),
    ('```python\ncursor.execute("""\n    SELECT a FROM t\n""")\n```', "SELECT a FROM t"),
    ("FROM t SELECT a", "FROM t SELECT a"),
    ("The query is SELECT a\nFROM t\nWHERE b = 1", "SELECT a\nFROM t\nWHERE b = 1"),
    ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH x AS (SELECT 1) SELECT * FROM x"),
    ("(SELECT 1) UNION (SELECT 2)", "(SELECT 1) UNION (SELECT 2)"),
    ("SELECT ';' || \"a;b\" -- it's; done\nFROM t; x", "SELECT ';' || \"a;b\" -- it's; done\nFROM t"),
    ("-- the users\nSELECT a FROM t", "SELECT a FROM t"),
    ("/* the users */ SELECT a FROM t", "SELECT a FROM t"),
    ("SELECT COUNT(\\*) FROM t WHERE user\\_id \\> 3", "SELECT COUNT(*) FROM t WHERE user_id > 3"),
    ("SELECT a FROM t WHERE b &gt;= 3 AND c &lt;&gt; 4", "SELECT a FROM t WHERE b >= 3 AND c <> 4"),
    ("SELECT a FROM t WHERE b = “x” AND c = 'it’s'", "SELECT a FROM t WHERE b = \"x\" AND c = 'it’s'"),
    ("\ufeffSELECT\xa0a FROM t", "SELECT a FROM t"),
    ("ÿþ" + "".join(char + "\0" for char in "SELECT a FROM t"), "SELECT a FROM t"),
    ("SELECT a FROM t\nGO\nSELECT b FROM t", "SELECT a FROM t"),
    ("SELECT a FROM t</s> SELECT b", "SELECT a FROM t"),
    ("DELETE FROM t", "DELETE FROM t"),
    ("rows = con.execute(\"SELECT a FROM t WHERE b = 'x'\").fetchall()", "SELECT a FROM t WHERE b = 'x'"),
    ('query = """\nSELECT a\nFROM t\n"""\nrun(query)', "SELECT a\nFROM t"),
    ("mysql> SELECT a FROM t;\n+---+\n| a |\n+---+", "SELECT a FROM t"),
    ("postgres=# SELECT a FROM t;\n a\n---", "SELECT a FROM t"),
    ("> SELECT a\n> FROM t\n> WHERE b > 1", "SELECT a\n  FROM t\n  WHERE b > 1"),
    ("SELECT a FROM t WHERE b\n> 1", "SELECT a FROM t WHERE b\n> 1"),
    ("The answer is $\\boxed{\\text{SELECT a FROM t}}$.", "SELECT a FROM t"),
    ('<pre><code class="sql">SELECT a FROM t WHERE b &gt; 1</code></pre>', "SELECT a FROM t WHERE b > 1"),
    ("<sql><![CDATA[SELECT a FROM t WHERE b < 2]]></sql>", "SELECT a FROM t WHERE b < 2"),
    ("<sql>SELECT a FROM t WHERE b[c[1]]>2</sql>", "SELECT a FROM t WHERE b[c[1]]>2"),
    ("<s> SELECT a FROM t</s>", "SELECT a FROM t"),
    ("<|begin_of_sql|>SELECT a FROM t<|end_of_sql|>", "SELECT a FROM t"),
    ("Here: <|begin_of_sql|> (SELECT a FROM t) <|end_of_sql|> It counts.", "(SELECT a FROM t)"),
    ("<|sql|>SELECT a FROM t WHERE b = '<|end_of_sql|>' <|/sql|>", "SELECT a FROM t WHERE b = '<|end_of_sql|>'"),
    ("<|start_of_query|>\nDROP TABLE t", "DROP TABLE t"),
    ("<｜begin▁of▁sentence｜>SELECT a FROM t<｜end▁of▁sentence｜>SELECT b", "SELECT a FROM t"),
    ("### SQL\nSELECT a FROM t;\n### Explanation\nNone.", "SELECT a FROM t"),
    ("Here it is.\n\n### Query\n\nSELECT a FROM t;", "SELECT a FROM t"),
    ("SELECT COUNT（a） FROM t WHERE b = '（'；", "SELECT COUNT(a) FROM t WHERE b = '（'"),
    ("PIVOT (SELECT a, b FROM t) ON a USING count(*)", "PIVOT (SELECT a, b FROM t) ON a USING count(*)"),
]
NOTHING = [
    "",
    "   \n",
    "42",
    "I would select the users from events.",
    "Select the users from the events table.",
    "Select all the rows from it.",
    "With this query you get the users.",
    "From the table we take the users.",
    "Use the following approach.",
    "Show me the tables first.",
    "Create a list of users.",
    "Delete the old rows first, then count.",
    "<think>SELECT 1",
    "\0\0\0",
    "\ud800",
    "-- SELECT 1",
    "<|begin_of_sql|>Select the users from the events table.<|end_of_sql|>",
]


@pytest.mark.parametrize(("answer", "statement"), FOUND)
def test_first_statement_is_found(answer: str, statement: str) -> None:
    """The first statement counts, without what stands around it."""
    found = extract(answer)

    assert found is not None
    assert found.candidates[0] == statement


@pytest.mark.parametrize("answer", NOTHING)
def test_prose_is_no_statement(answer: str) -> None:
    """Sentences that begin with a keyword, thoughts and comments hold no statement."""
    assert extract(answer) is None


@pytest.mark.parametrize(
    ("answer", "shorter"),
    [
        ("SELECT a FROM t\n\nThis query counts the users.", "SELECT a FROM t"),
        ("SELECT a\nFROM t\nExplanation: it counts.", "SELECT a\nFROM t"),
        ("SELECT a FROM t\n\nSELECT b FROM u", "SELECT a FROM t"),
        ("SELECT a FROM t\n# Count the others\nSELECT b FROM u", "SELECT a FROM t\n-- Count the others"),
        ("SELECT a FROM t\n\nit counts all of the users", "SELECT a FROM t"),
        ("SELECT a FROM t\nCounts.", "SELECT a FROM t"),
        ("sql: |\n  SELECT a\n  FROM t\nexplanation: all of it", "SELECT a\n  FROM t"),
    ],
)
def test_prose_behind_a_statement_is_offered_cut_off(answer: str, shorter: str) -> None:
    """Without a semicolon, the text up to prose or to the next statement is offered as well."""
    found = extract(answer)

    assert found is not None
    assert shorter in found.candidates[1:]


@pytest.mark.parametrize(
    "answer",
    [
        "SELECT a FROM t\nWHERE b c d",
        "SELECT a FROM t\n\nAND b",
        "SELECT a\nFROM t\nGROUP a",
        "SELECT a\n\n, b c d FROM t",
        "SELECT a FROM t WHERE x IN (\nSELECT b FROM u",
    ],
)
def test_clause_is_never_cut_off(answer: str) -> None:
    """A clause that cannot be parsed is not forgiven by dropping it."""
    found = extract(answer)

    assert found is not None
    assert found.candidates == (answer,)


@pytest.mark.parametrize(
    ("answer", "keyword"),
    [
        ("SELECT 1; DROP TABLE t", "DROP"),
        ("```sql\nSELECT 1;\n\n-- now\nDELETE FROM t;\n```", "DELETE"),
        ("SELECT 1; SELECT 2; UPDATE t SET a = 1", "UPDATE"),
        ("DROP TABLE t", "DROP"),
        ("SELECT 1;\n\n-- next question\nCREATE TABLE t (a INT)", None),
        ("SELECT 1; -- DROP TABLE t", None),
        ("SELECT 1; SELECT 2", None),
        ("```sql\nSELECT 1;\n```\nNever run DROP TABLE t.", None),
    ],
)
def test_change_behind_a_query_is_part_of_the_answer(answer: str, keyword: str | None) -> None:
    """A statement that writes, in the same fence or paragraph, is seen; a base model's next question is not."""
    found = extract(answer)

    assert found is not None
    assert found.change == keyword


def test_statement_too_long_is_not_read() -> None:
    """A statement over the length cap has no candidates; prose behind a short one does not count."""
    long = "SELECT a FROM t WHERE b IN (" + ", ".join(str(number) for number in range(MAX_STATEMENT_BYTES // 4)) + ")"
    followed = "SELECT a FROM t\n\nThis is why. " + "It goes on. " * MAX_STATEMENT_BYTES

    too_long, short = extract(long), extract(followed)

    assert too_long is not None
    assert short is not None
    assert too_long.candidates == ()
    assert short.candidates == ("SELECT a FROM t",)


@given(st.text(alphabet="SELECTFROMselectfrom abt1;'\"`-/*()\n\\$#,.<>{}“’\0", max_size=200))
def test_extraction_is_idempotent_and_never_fails(text: str) -> None:
    """What was extracted is extracted again unchanged, whatever the text."""
    found = extract(text)

    if found is not None and found.candidates and found.change is None:
        again = extract(found.candidates[0] + ";")
        assert again is not None
        assert again.candidates[0].strip() == found.candidates[0].strip()


@given(st.text(max_size=300))
def test_pieces_are_the_text(text: str) -> None:
    """The pieces of a text, joined, are the text."""
    assert "".join(piece.text for piece in pieces(text)) == text


def fenced(*parts: str) -> str:
    """Write prose and queries in turn, each query in a fence of its own."""
    return "\n".join(part if place % 2 == 0 else f"```sql\n{part}\n```" for place, part in enumerate(parts))


@pytest.mark.parametrize(
    ("answer", "statement"),
    [
        (fenced("Step 1: look.", "SELECT a FROM t", "Step 2: count.", "SELECT b FROM t"), "SELECT b FROM t"),
        (
            fenced("", "SELECT a FROM t", "It returns a, also NULL.\n\nThen count:", "SELECT b FROM t"),
            "SELECT b FROM t",
        ),
        (fenced("", "SELECT a FROM t", "Wait. Corrected:", "SELECT b FROM t"), "SELECT b FROM t"),
        (fenced("", "SELECT a FROM t", "Final query:", "SELECT b FROM t", "For MySQL:", "SELECT c"), "SELECT b FROM t"),
        (fenced("", "SELECT a FROM t", "Revised, if you like:", "SELECT b FROM t"), "SELECT b FROM t"),
        (fenced("", "-- draft\nSELECT a", "", "-- final query\nSELECT b FROM t"), "SELECT b FROM t"),
        (fenced("", "SELECT a FROM t", "Alternatively:", "SELECT b FROM t"), "SELECT a FROM t"),
        (fenced("", "SELECT a FROM t", "### Alternative\n\nThis takes a CTE.", "SELECT b FROM t"), "SELECT a FROM t"),
        (fenced("", "SELECT a FROM t", "Using a CTE:", "SELECT b FROM t"), "SELECT a FROM t"),
        (fenced("", "SELECT a FROM t", "To include ties:", "SELECT b FROM t"), "SELECT a FROM t"),
        (fenced("", "SELECT a FROM t", "For example, to see the rows:", "SELECT b FROM t"), "SELECT a FROM t"),
        (fenced("", "SELECT a FROM t", "", "-- Option 2\nSELECT b FROM t"), "SELECT a FROM t"),
        (fenced("", "SELECT a FROM t", "Its result:", "a\n1"), "SELECT a FROM t"),
        ("SELECT a FROM t;\n\nCorrected: SELECT b FROM t", "SELECT b FROM t"),
        (
            "SELECT a FROM t;\n```\nSo far the draft. The final query is:\n```sql\nSELECT b FROM t\n```",
            "SELECT b FROM t",
        ),
        ("'''sql\nSELECT a FROM t\n'''", "SELECT a FROM t"),
        ("[SQL] SELECT a FROM t [/SQL]", "SELECT a FROM t"),
        ("SELECT a FROM t WHERE b = '[/SQL]'", "SELECT a FROM t WHERE b = '[/SQL]'"),
        ("SELECT [END_DATE] FROM t ORDER BY [END_DATE]", "SELECT [END_DATE] FROM t ORDER BY [END_DATE]"),
    ],
)
def test_of_several_queries_the_answer_is_found(answer: str, statement: str) -> None:
    """The announced query is the answer, else the last that is no alternative and no demonstration."""
    found = extract(answer, tables=frozenset({"t"}))

    assert found is not None
    assert found.candidates[0].split("\n")[-1].strip() == statement


@pytest.mark.parametrize(
    ("block", "change"),
    [
        ("CREATE TABLE t (a INT);", None),
        ('-- the schema\nCREATE TABLE IF NOT EXISTS main."T" (a INT, PRIMARY KEY (a));\nCREATE TABLE u (b INT)', None),
        ("CREATE TABLE other (a INT);", "CREATE"),
        ("CREATE TABLE t AS SELECT 1 AS a", "CREATE"),
        ("CREATE TABLE t (a INT); DROP TABLE u", "CREATE"),
        ("DELETE FROM t", "DELETE"),
    ],
)
def test_block_that_repeats_the_schema_is_prose(block: str, change: str | None) -> None:
    """CREATE TABLE of known tables alone, in a block before the query, changes nothing; anything else does."""
    found = extract(fenced("Given:", block, "the query is:", "SELECT a FROM t"), tables=frozenset({"t", "u"}))

    assert found is not None
    assert found.change == change
