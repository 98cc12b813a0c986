"""Measure `llmbench import` of 1,000 tests of promptfoo, and the collection of a data set of 100,000 rows.

Run it with `python benchmarks/importing.py`.  The aims are 3 s, and 600 MiB.
"""

import sys
import tempfile
from pathlib import Path

from measure import run

TESTS = 1_000
ROWS = 100_000


def config() -> str:
    """Give a configuration of so many tests, with four assertions each."""
    lines = ['prompts: ["Classify: {{ body }}"]', "providers: [openai:gpt-4o-mini]", "tests:"]
    for number in range(TESTS):
        lines += [
            f"  - description: ticket {number}",
            f'    vars: {{body: "Ticket {number}: you charged me twice, and nobody answers.", wanted: billing}}',
            "    assert:",
            '      - {type: contains, value: "{{ wanted }}"}',
            "      - {type: not-icontains, value: best regards}",
            "      - {type: regex, value: '^\\{.*\\}$'}",
            """      - {type: javascript, value: "JSON.parse(output).category === 'billing'"}""",
        ]
    return "\n".join(lines) + "\n"


def parquet(path: Path) -> None:
    """Write a table of so many rows of 500 characters."""
    import duckdb

    query = (
        "COPY (SELECT 'Question ' || i || ': ' || repeat('what is this about? ', 12) AS question, "
        "repeat('a reason, ', 20) AS reason, CAST(i AS VARCHAR) AS answer FROM range(?) t(i)) TO '"
        f"{path}' (FORMAT parquet)"
    )
    duckdb.execute(query, [ROWS])


def main() -> None:
    """Print a line for each."""
    tool = str(Path(sys.executable).with_name("llmbench"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "promptfooconfig.yaml").write_text(config(), encoding="utf-8")
        cost = run([tool, "import", "promptfooconfig.yaml", "-o", "cases/tickets.yaml"], folder)
        print(f"import of a promptfoo configuration of {TESTS:,} tests: {cost.wall_s:.1f} s, {cost.peak_mib:.0f} MiB")
        parquet(folder / "rows.parquet")
        (folder / "rows.yaml").write_text(
            "suite: rows\ngrader: exact\nprompt: {completion: '{{ question }}'}\n"
            "data: {dataset: 'parquet:rows.parquet', columns: {id: '', question: question, expected: answer}}\n",
            encoding="utf-8",
        )
        (folder / "answers.jsonl").write_text('{"case": "x", "answer": "y"}\n', encoding="utf-8")
        options = ["--collect-only", "-q", "-p", "no:cacheprovider", "--llm-model", "recorded:answers.jsonl"]
        cost = run([sys.executable, "-m", "pytest", *options, "rows.yaml"], folder)
        print(f"collection of a data set of {ROWS:,} rows: {cost.wall_s:.1f} s, {cost.peak_mib:.0f} MiB")


if __name__ == "__main__":
    main()
