"""`--llm-graders`: several answers graded at once, in a whole run."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

# A run in this process forgets what it imported, and DuckDB can be imported only once: here.
import duckdb  # noqa: F401
import pytest

import pytest_llmbench.sql.pool  # noqa: F401

ROOT = Path(__file__).parents[2]
REFERENCE = "SELECT COUNT(*) FROM events WHERE rpc_method = 'Login'"
ANSWERS = (
    REFERENCE,
    "SELECT SUM(rpc_method = 'Login') FROM events",
    "SELECT COUNT(*) FROM events",
    "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))",
    "SELECT no_such_column FROM events",
    "DROP TABLE events",
    "Count the logins.",
    "SELECT COUNT(event_id) FROM events WHERE rpc_method LIKE 'Login'",
)


@pytest.mark.parametrize("n", ["0", "1000", "two"])
def test_a_number_of_graders_that_cannot_be_is_a_usage_error(pytester: pytest.Pytester, n: str) -> None:
    """None at all, more than there are cores, or no number."""
    pytester.makeini("[pytest]\n")
    pytester.makefile(".jsonl", answers='{"case": "a", "answer": "x"}')

    result = pytester.runpytest("--llm-model=recorded:answers.jsonl", f"--llm-graders={n}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--llm-graders*{n}*"])


@pytest.mark.slow
@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two cores")
def test_records_are_equal_however_many_graders(pytester: pytest.Pytester) -> None:
    """Right and wrong queries, one that is killed, one that is refused: two graders give what one gives."""
    pytester.makeini("[pytest]\n")
    shutil.copytree(ROOT / "fixtures" / "databases" / "events", pytester.path / "fixtures" / "databases" / "events")
    cases = [{"id": f"q{place}", "reference": REFERENCE} for place in range(len(ANSWERS))]
    suite = {"suite": "logins", "grader": "sql", "database": "events", "time_limit_s": 1, "prompt": {"completion": "Q"}}
    pytester.mkdir("cases").joinpath("logins.yaml").write_text(json.dumps({**suite, "cases": cases}))
    lines = [json.dumps({"case": f"q{place}", "answer": text, "latency_s": 0.1}) for place, text in enumerate(ANSWERS)]
    pytester.makefile(".jsonl", answers="\n".join(lines))

    def records(n: int) -> list[Any]:
        options = ("--llm-no-fail", "--benchmark-quiet", f"--llm-graders={n}", f"--benchmark-json={n}.json")
        pytester.runpytest("--llm-model=recorded:answers.jsonl", *options, "cases")
        found = json.loads(pytester.path.joinpath(f"{n}.json").read_text())
        return [benchmark["extra_info"]["llmbench"] for benchmark in found["benchmarks"]]

    alone = records(1)

    assert records(2) == alone
    assert [record["samples"][0]["reason"] for record in alone] == [
        "correct", "correct", "wrong-result", "too-slow", "invalid", "unsafe", "no-sql", "correct",
    ]  # fmt: skip
