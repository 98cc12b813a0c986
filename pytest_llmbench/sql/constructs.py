"""The lists the gate goes by: what a statement may be made of, and what it must not reach for."""

import re

from sqlglot import exp

CHANGES = {
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.Copy, exp.Attach,
    exp.Detach, exp.Set, exp.Pragma, exp.Command, exp.Into, exp.TruncateTable, exp.Use, exp.Show, exp.Describe,
    exp.Summarize, exp.Transaction, exp.Commit, exp.Rollback, exp.Grant, exp.Revoke, exp.Kill, exp.LoadData,
    exp.Export, exp.Install, exp.Execute, exp.Lock, exp.Comment, exp.Analyze, exp.Cache, exp.Uncache,
    exp.Refresh, exp.Returning, exp.SessionParameter, exp.Put, exp.Get, exp.Declare, exp.Connect,
    exp.Disconnect, exp.Block, exp.IfBlock, exp.StoredProcedure, exp.ExecuteSql, exp.Undrop,
}  # fmt: skip
"""Nodes that write, or that order the database to do something."""

CONSTRUCTS = {
    exp.Add, exp.Alias, exp.Aliases, exp.All, exp.Any, exp.AtTimeZone, exp.Between, exp.BitwiseAnd,
    exp.BitwiseLeftShift, exp.BitwiseNot, exp.BitwiseOr, exp.BitwiseRightShift, exp.BitwiseXor, exp.Boolean,
    exp.Bracket, exp.CTE, exp.Column, exp.Cube, exp.DPipe, exp.DataType, exp.DataTypeParam, exp.Distinct,
    exp.Div, exp.Dot, exp.EQ, exp.Escape, exp.Except, exp.Fetch, exp.Filter, exp.From, exp.FromTimeZone, exp.GT,
    exp.GTE, exp.Glob, exp.Group, exp.GroupingSets, exp.Having, exp.HavingMax, exp.Hint, exp.Identifier,
    exp.IgnoreNulls, exp.ILike, exp.In, exp.IntDiv, exp.Intersect, exp.Interval, exp.IntervalSpan, exp.Is,
    exp.Join, exp.Kwarg, exp.LT, exp.LTE, exp.Lambda, exp.Lateral, exp.Like, exp.Limit, exp.LimitOptions,
    exp.Literal, exp.Mod, exp.Mul, exp.National, exp.NEQ, exp.Neg, exp.Not, exp.Null, exp.NullSafeEQ,
    exp.NullSafeNEQ, exp.Offset, exp.Order, exp.Ordered, exp.Paren, exp.Partition, exp.Pivot, exp.PropertyEQ,
    exp.Qualify, exp.RespectNulls, exp.Rollup, exp.Select, exp.SimilarTo, exp.Slice, exp.Star, exp.Sub,
    exp.Subquery, exp.Table, exp.TableAlias, exp.Tuple, exp.Union, exp.UnpivotColumns, exp.Values, exp.Var,
    exp.Where, exp.Window, exp.WindowSpec, exp.With, exp.WithinGroup, exp.Pseudocolumn, exp.Overlaps,
    exp.WithTableHint, exp.JSONKeyValue, exp.JSONPath, exp.JSONPathKey, exp.JSONPathRoot, exp.JSONPathSubscript,
    exp.JSONPathWildcard, exp.RawString, exp.HexString, exp.ByteString, exp.UnicodeString, exp.Collate,
    exp.Adjacent, exp.PivotAlias, exp.Comprehension,
}  # fmt: skip
"""Nodes of a query that only reads; functions and operators are looked at by their names."""

TABLE_FUNCTIONS = (exp.GenerateSeries, exp.Unnest, exp.Explode, exp.GenerateDateArray)
"""Table functions that read nothing, as the parser knows them."""

TABLE_FUNCTION_NAMES = frozenset({"range", "generate_series", "unnest"})
"""The same, by name."""

NO_PARENTHESES = frozenset(
    """
    user current_user session_user current_role current_catalog current_schema current_database current_date
    current_time current_timestamp localtime localtimestamp
    """.split()  # noqa: SIM905 - words read better in a row
)
"""Functions that are called without brackets, and so look like columns."""

FOREIGN_DANGERS = re.compile(
    r"(?:xp_|sp_|sys_|utl_|dbms_|lo_|dblink|load_file|load_extension|pg_|benchmark$|sleep|getenv|writefile|readfile|edit$|fts3_tokenizer|"
    r"file$|s3$|url$|remote|openrowset|openquery|opendatasource|read_|query_to_|system|exec|master_pos_wait|get_lock|"
    r"postgres_|mysql_|sqlite_|iceberg_|delta_|duckdb_|parquet_|which_secret|external_query|ml\.)",
    re.IGNORECASE,
)
"""Functions DuckDB does not have and that reach out elsewhere."""

CATALOGUES = re.compile(
    r"(?:duckdb_|pg_|sqlite_|pragma_|information_schema|mysql|sys|svv_|stl_|all_|dba_|v\$)", re.IGNORECASE
)
"""How the names of system tables begin."""

KEYWORDS_BEFORE_PARENTHESIS = frozenset(
    """
    in and or not where having on select from join values over filter by as exists any all some case when then
    else union except intersect limit offset distinct using group rollup cube sets interval lateral like ilike
    between is qualify materialized exclude replace escape with recursive similar to respect ignore nulls window
    within lambda for pivot unpivot anti semi asof cross inner left right full outer natural positional end
    array row struct map union decimal numeric varchar char text bit time timestamp double precision current
    rename order partition apply rows range groups preceding following unbounded div collate at zone respect
    return default table only
    """.split()  # noqa: SIM905 - words read better in a row
)
"""Words that may stand before a bracket without being called."""


FORBIDDEN_KEYS = re.compile(
    r"(?:current(?!ofrow)|session|local(?:time|timestamp)|systimestamp|utc|rand|seq\d|ai|ml|read|uuid|nextval|predict|version)"
)
"""Functions the parser knows, by the beginning of their class names: chance, session, files, models."""
