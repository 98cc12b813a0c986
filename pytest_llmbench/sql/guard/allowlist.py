"""The DuckDB functions an answer may call: everything that is a function of its arguments alone.

Left out on purpose, and refused where the engine knows them: files and catalogues (read_*, glob, duckdb_*,
pg_*, sniff_csv), text that runs as a query (query, query_table, json_execute_serialized_sql),
settings and variables (current_setting, getvariable, set_*), who and where (current_user, version),
chance and sequences (random, uuid, nextval, reservoir_quantile), waiting (sleep_ms, pg_sleep), logs, and the
clock (now and its kin are frozen before; what is left of them is refused).
Made from duckdb_functions() of DuckDB 2.0.0, read by hand.
"""

import re

from sqlglot import exp

ALLOWED = frozenset(
    """
    abs acos acosh add age aggregate any_value apply approx_count_distinct approx_quantile approx_top_k
    arbitrary arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin
    array array_agg array_aggr array_aggregate array_append array_apply array_cat array_concat array_contains
    array_cosine_distance array_cosine_similarity array_cross_product array_distance array_distinct
    array_dot_product array_extract array_filter array_grade_up array_has array_has_all array_has_any
    array_indexof array_inner_product array_intersect array_length array_negative_dot_product
    array_negative_inner_product array_pop_back array_pop_front array_position array_prepend array_push_back
    array_push_front array_reduce array_resize array_reverse array_reverse_sort array_select array_slice
    array_sort array_to_json array_to_string array_to_string_comma_default array_transform array_unique
    array_value array_where array_zip ascii asin asinh atan atan2 atanh avg bar base64 bin binom bit_and
    bit_count bit_length bit_or bit_position bit_xor bitstring bitstring_agg bool_and bool_or cardinality cast
    cbrt ceil ceiling century char_length character_length chr coalesce columns concat concat_ws contains corr
    cos cosh cot count count_if count_star countif covar_pop covar_samp cume_dist damerau_levenshtein date
    date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname
    dayofmonth dayofweek dayofyear days_in_month decade decimal_average decode degrees dense_rank divide
    editdist3 element_at encode ends_with entropy enum_code enum_first enum_last enum_range epoch epoch_ms
    epoch_ns epoch_us equi_width_bins era even exclude exists exp extract factorial favg fdiv fill filter
    first first_value flatten floor fmod format format_bytes formatreadabledecimalsize formatreadablesize
    from_base64 from_binary from_hex from_json from_json_strict fsum gamma gcd generate_series
    generate_subscripts geomean geometric_mean get_bit grade_up greatest greatest_common_divisor group_concat
    grouping grouping_id hamming hash hex histogram histogram_exact hour if ifnull iif ilike_escape instr
    isfinite isinf isnan isodow isoyear jaccard jaro_similarity jaro_winkler_similarity json json_array
    json_array_length json_contains json_deep_merge json_exists json_extract json_extract_path
    json_extract_path_text json_extract_string json_group_array json_group_object json_group_structure
    json_insert json_keys json_merge_patch json_merge_patch_diff json_normalize json_object json_pretty
    json_quote json_remove json_replace json_set json_strip_nulls json_structure json_transform
    json_transform_strict json_type json_valid json_value julian kahan_sum kurtosis kurtosis_pop lag last
    last_day last_value lcase lcm lead least least_common_multiple left left_grapheme len length
    length_grapheme levenshtein lgamma like_escape list list_aggr list_aggregate list_any_value list_append
    list_apply list_approx_count_distinct list_avg list_bit_and list_bit_or list_bit_xor list_bool_and
    list_bool_or list_cat list_concat list_contains list_cosine_distance list_cosine_similarity list_count
    list_distance list_distinct list_dot_product list_element list_entropy list_extract list_filter list_first
    list_grade_up list_has list_has_all list_has_any list_histogram list_indexof list_inner_product
    list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min list_mode
    list_negative_dot_product list_negative_inner_product list_pack list_position list_prepend list_product
    list_reduce list_resize list_reverse list_reverse_sort list_select list_sem list_skewness list_slice
    list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum list_transform list_unique list_value
    list_var_pop list_var_samp list_where list_zip listagg ln log log10 log2 lower lpad ltrim lttb mad
    make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz map map_concat
    map_contains map_contains_entry map_contains_value map_entries map_extract map_extract_value
    map_from_entries map_keys map_values max max_by md5 md5_number md5_number_lower md5_number_upper mean
    median microsecond millennium millisecond min min_by minute mismatches mod mode month monthname multiply
    nanosecond nextafter nfc_normalize not_ilike_escape not_like_escape nth_value ntile nullif nvl
    octet_length ord overlay parse_dirname parse_dirpath parse_filename parse_formatted_bytes parse_path
    path_join percent_rank pi position pow power prefix printf product quantile quantile_cont quantile_disc
    quarter radians range rank rank_dense reduce regexp_escape regexp_extract regexp_extract_all
    regexp_full_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regr_avgx
    regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace reverse
    right right_grapheme round round_even roundbankers row row_number row_to_json rpad rtrim second sem
    set_bit sha1 sha256 sign signbit sin sinh skewness split split_part sqrt starts_with stddev stddev_pop
    stddev_samp str_split str_split_regex strftime string_agg string_split string_split_regex string_to_array
    strip_accents strlen strpos strptime struct struct_concat struct_contains struct_extract struct_extract_at
    struct_has struct_indexof struct_insert struct_keys struct_pack struct_position struct_update
    struct_values substr substring substring_grapheme subtract suffix sum sum_no_overflow sumkahan tan tanh
    time time_bucket timestamp timezone timezone_hour timezone_minute to_base to_base64 to_binary to_centuries
    to_days to_decades to_hex to_hours to_json to_microseconds to_millennia to_milliseconds to_minutes
    to_months to_quarters to_seconds to_timestamp to_weeks to_years translate trim trunc try_cast try_strptime
    typeof ucase unbin unhex unicode union_extract union_value unnest unpivot_list upper url_decode url_encode
    var_pop var_samp variance wavg week weekday weekofyear weighted_avg xor year yearweek
    """.split()  # noqa: SIM905 - words read better in a row
)


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
