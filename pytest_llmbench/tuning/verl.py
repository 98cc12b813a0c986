"""Prompts as the Parquet file that verl (0.9) reads: `data_source`, `prompt`, `reward_model`, `extra_info` and more."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ABOUT = {
    "suite": "VARCHAR",
    "case_id": "VARCHAR",
    "case_sha256": "VARCHAR",
    "prompt_sha256": "VARCHAR",
    "grader": "VARCHAR",
    "grader_version": "INTEGER",
    "score": "DOUBLE",
    "source": "VARCHAR",
}
_COLUMNS = {
    "data_source": "VARCHAR",
    "prompt": 'STRUCT("role" VARCHAR, content VARCHAR)[]',
    "ability": "VARCHAR",
    "reward_model": 'STRUCT("style" VARCHAR, ground_truth VARCHAR)',
    "extra_info": f"STRUCT({', '.join(f'{name} {kind}' for name, kind in _ABOUT.items())})",
    **_ABOUT,
}


def parquet_of(rows: Sequence[dict[str, Any]]) -> bytes:
    """Write rows as Parquet, in their order; the same rows give the same bytes."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": 1}) as connection:
        lines, target = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        lines.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        read = connection.read_json(str(lines), columns=_COLUMNS, format="newline_delimited")
        read.write_parquet(str(target), compression="zstd")
        return target.read_bytes()
