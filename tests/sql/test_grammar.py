"""What no database runs is refused before a forgiving parser sees it."""

import pytest

from pytest_llmbench.sql.translate import grammar

REFUSED = [
    ("SELECT , a FROM t", 'a comma directly behind "SELECT" with nothing to separate'),
    ("SELECT a,, b FROM t", 'a comma directly behind "," with nothing to separate'),
    ("SELECT f(, a) FROM t", 'a comma directly behind "(" with nothing to separate'),
    ("SELECT a FROM t GROUP BY , a", 'a comma directly behind "BY" with nothing to separate'),
    ("SELECT a FROM t WHERE b = 1 , GROUP BY a", 'a comma directly behind "1" with nothing to separate'),
    ("SELECT a FROM t , JOIN u ON t.a = u.a", 'a comma directly behind "t" with nothing to separate'),
    ("SELECT a FROM t LIMIT 1 GROUP BY a", "GROUP BY behind LIMIT"),
    ("SELECT a FROM t GROUP BY a WHERE b = 1", "WHERE behind GROUP BY"),
    ("SELECT a FROM t HAVING a > 1 GROUP BY a", "GROUP BY behind HAVING"),
    ("SELECT a FROM t WHERE a = 1 WHERE b = 2", "WHERE twice"),
    ("SELECT a FROM t ORDER BY a ORDER BY b", "ORDER BY twice"),
    ("SELECT a FROM t ORDER BY a UNION SELECT b FROM t", "ORDER BY before UNION"),
    ("SELECT a FROM t WHERE a IN (SELECT b FROM u LIMIT 1 WHERE c = 1)", "WHERE behind LIMIT"),
    ("SELECT a FROM t ORDER BY a ASC DESC", "ASC DESC"),
    ("SELECT AS a FROM t", "AS directly before A"),
    ("SELECT a AS , b FROM t", "AS directly before ,"),
    ("SELECT a ALL FROM t", 'ALL behind "a"'),
    ("SELECT a FROM t WHERE b IN AND (1, 2)", "IN directly before AND"),
    ("SELECT a FROM t JOIN u ON WHERE t.a = u.a", "ON directly before WHERE"),
    ("SELECT a FROM t LIMIT 2 BY", "BY directly before the end"),
    ("SELECT max((a) FROM t", "a bracket that is not closed"),
    ("SELECT CASE WHEN a = 1 'x' ELSE 'y' END FROM t", "a WHEN without THEN"),
    ("SELECT a FROM t GROUP GROUP BY a", "GROUP directly before GROUP"),
    ("SELECT IFNULL(a, b, 0) FROM t", "IFNULL with 3 values"),
    ("SELECT ifnull(f(a, b)) FROM t", "IFNULL with 1 values"),
    ("SELECT a FROM t WHERE IsNull(a, (SELECT max(b) FROM u), 'x, y') = 1", "ISNULL with 3 values"),
    ("SELECT IFNULL() FROM t", "IFNULL with 0 values"),
]
ALLOWED = [
    "SELECT a, b, FROM t",
    "SELECT a FROM t GROUP BY a, ORDER BY a,",
    "FROM t SELECT a WHERE b = 1",
    "SELECT a FROM t WHERE a IS NOT DISTINCT FROM b",
    "SELECT * EXCEPT (a) FROM t",
    "SELECT AS STRUCT a, b FROM t",
    "SELECT ALL a FROM t WHERE a > ALL (SELECT b FROM u)",
    "SELECT a FROM t GROUP BY ALL ORDER BY ALL",
    "SELECT count(*) FILTER (WHERE a > 1), sum(a) OVER (PARTITION BY b ORDER BY c) FROM t WHERE d = 1",
    "SELECT a FROM t WHERE b = 1 UNION ALL SELECT a FROM u WHERE b = 2 ORDER BY a LIMIT 3",
    "(SELECT a FROM t ORDER BY a LIMIT 1) UNION (SELECT b FROM u ORDER BY b LIMIT 1)",
    "WITH x AS (SELECT a FROM t WHERE b = 1 LIMIT 2), y AS (SELECT 1) SELECT * FROM x WHERE c = 2",
    "SELECT extract(day FROM a), trim(both FROM b), substring(c FROM 1 FOR 2) FROM t",
    "SELECT listagg(a, ',') WITHIN GROUP (ORDER BY a) FROM t",
    "SELECT t.from, u.order, a AS limit FROM t JOIN u ON t.a = u.a",
    "SELECT string_agg(a ORDER BY b LIMIT 2) FROM t LIMIT 5",
    "SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a) = 1 ORDER BY a",
    "SELECT CASE a WHEN 1 THEN CASE WHEN b THEN 2 END ELSE 3 END FROM t -- WHERE twice, WHERE ,",
    "SELECT ', , WHERE' FROM t WHERE a LIKE '%,' AND b NOT IN (1) AND NOT c BETWEEN 1 AND 2",
    "SELECT TOP 5 a FROM t ORDER BY a OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY",
    "SELECT DISTINCT ON (a) a FROM t",
    "SELECT IFNULL(f(a, b), 'x, y'), ISNULL(a), ISNULL([a, b], 0), NVL(a, b, c), t.ifnull(a, b, c), COALESCE(a, b, c) FROM t",
    "FROM t |> WHERE a = 1 |> SELECT a |> WHERE a > 2",
]


@pytest.mark.parametrize(("statement", "fault"), REFUSED)
def test_what_no_database_runs_is_named(statement: str, fault: str) -> None:
    """A stray comma, a clause twice or out of order, a keyword without its value: each is found and named."""
    assert grammar.fault(statement) == fault


@pytest.mark.parametrize("statement", ALLOWED)
def test_what_some_database_runs_is_let_through(statement: str) -> None:
    """Trailing commas, clauses inside brackets and keywords used as names are left to the parsers."""
    assert grammar.fault(statement) is None


@pytest.mark.parametrize(
    ("statement", "is_subscript"),
    [
        ("SELECT name[1] FROM t", True),
        ("SELECT f(a)[1] FROM t", True),
        ("SELECT name [1] FROM t", True),
        ("SELECT [name] FROM [dbo].[t]", False),
        ("SELECT[name]FROM[t]", False),
        ("SELECT a AS [the name] FROM t", False),
        ("SELECT a [the name] FROM t", False),
    ],
)
def test_subscript_is_no_quoted_alias(statement: str, *, is_subscript: bool) -> None:
    """Brackets directly behind a value, or with a number in them, are a subscript."""
    assert grammar.has_subscript(statement) is is_subscript
