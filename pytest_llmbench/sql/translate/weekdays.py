"""Days of the week and weeks of the year, which every dialect numbers in its own way.

All of these run in DuckDB as they stand, with other numbers and without a word.
"""

from sqlglot import exp

from pytest_llmbench.sql.translate.tree import UnreadableError, call, interval, number, stamp, text

_SUNDAY_IS_1 = frozenset({"mysql", "spark", "tsql", "bigquery"})


def weekday(node: exp.Expr, dialect: str) -> exp.Expr:
    """WEEKDAY counts from Monday as 0 in MySQL and Spark, from Sunday in DuckDB."""
    if dialect not in ("mysql", "spark") or len(node.expressions) != 1:
        return node
    return exp.Paren(this=exp.Sub(this=call("ISODOW", stamp(node.expressions[0])), expression=number(1)))


def day_of_week(node: exp.Expr, dialect: str) -> exp.Expr:
    """DAYOFWEEK gives Sunday as 1 in MySQL, Spark, T-SQL and BigQuery, as 0 in DuckDB."""
    return _sunday_first(node.this) if dialect in _SUNDAY_IS_1 else node


def _sunday_first(moment: exp.Expr) -> exp.Expr:
    inner = moment.this if isinstance(moment, exp.TsOrDsToDate) else moment
    return exp.Paren(this=exp.Add(this=call("DAYOFWEEK", stamp(inner)), expression=number(1)))


def extract(node: exp.Expr, dialect: str) -> exp.Expr:
    """EXTRACT(part FROM x) and DATEPART: days of the week and weeks are numbered differently."""
    part = node.this.name.upper()
    if part in ("DATE", "TIME") and dialect == "bigquery":
        return exp.cast(node.expression, part)
    if part == "YEAR_MONTH":  # of MySQL
        years = exp.Mul(this=call("YEAR", node.expression), expression=number(100))
        return exp.Paren(this=exp.Add(this=years, expression=call("MONTH", node.expression.copy())))
    if (
        part in ("DAYOFWEEK", "DOW", "WEEKDAY", "DW")
        and dialect in _SUNDAY_IS_1
        and not (part == "DOW" and dialect == "bigquery")
    ):
        return _sunday_first(node.expression)
    if part in ("WEEK", "WK", "WW") and dialect == "bigquery":
        return _sunday_week(node.expression)
    if part in ("WEEK", "WK", "WW") and dialect == "tsql":
        raise UnreadableError("T-SQL's week number")
    if part in ("ISOWEEK", "ISO_WEEK", "WEEKISO"):
        node.set("this", exp.var("WEEK"))
    return node


def _sunday_week(moment: exp.Expr) -> exp.Expr:
    """Give the week of the year with Sundays first, from 0."""
    return exp.cast(call("STRFTIME", stamp(moment), text("%U")), "INT")


def week(node: exp.Expr, dialect: str) -> exp.Expr:
    """WEEK(x, mode) of MySQL: mode 0, the default, begins on Sundays; 1 and 3 on Mondays."""
    if dialect != "mysql":
        return node
    moment = node.this.this if isinstance(node.this, exp.TsOrDsToDate) else node.this
    mode = node.args.get("mode")
    if mode is None or mode.name == "0":
        return _sunday_week(moment)
    if mode.name in ("1", "3"):
        return call("WEEKOFYEAR", stamp(moment))
    raise UnreadableError(f"MySQL's WEEK with mode {mode.name}")


def year_week(node: exp.Expr, dialect: str) -> exp.Expr:
    """YEARWEEK of MySQL: mode 0 is only good for comparing two, a day later so that Sundays begin the week."""
    if dialect != "mysql":
        return node
    mode = node.expressions[1].name if len(node.expressions) > 1 else "0"
    if mode in ("1", "3"):
        return call("YEARWEEK", stamp(node.expressions[0]))
    if mode == "0" and isinstance(node.parent, exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE):
        return call("YEARWEEK", exp.Add(this=stamp(node.expressions[0]), expression=interval(number(1), "DAY")))
    raise UnreadableError("MySQL's YEARWEEK with Sundays first")
