"""Read the rows of a Parquet data file."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from pytest_llmbench.errors import SuiteFault


def read_parquet(path: Path) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    """Give a Parquet file's column names and its rows.

    Raises:
        SuiteFault: it is not Parquet.
    """
    with duckdb.connect() as connection:
        try:
            found = connection.read_parquet(str(path))
            return tuple(found.columns), found.fetchall()
        except duckdb.Error as fault:
            first_line = str(fault).splitlines()[0]
            raise SuiteFault(f"this is not a Parquet file that can be read: {first_line}.", path=path) from None
