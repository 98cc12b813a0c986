"""What three checks a case cost beside one, over 10,000 recorded cases.

    python benchmarks/checks.py [CASES]

The three are told apart by their kinds: a text, a pattern and a number of words; the one is the text.
"""

import sys
import tempfile
from pathlib import Path

from measure import alternate
from overhead import recorded_run, write_recorded

ROUNDS = 3
CASES = 10_000
ONE = """\
checks:
  - equals: "{{ expected }}"
"""
THREE = f"""\
{ONE}  - {{regex: 'word [0-9]+'}}
  - {{words: {{min: 1, max: 5}}}}
"""


def main(cases: int) -> None:
    """Compare the CPU time of both."""
    with tempfile.TemporaryDirectory() as name:
        folders = {"one": Path(name) / "one", "three": Path(name) / "three"}
        for folder, checks in zip(folders.values(), (ONE, THREE), strict=True):
            write_recorded(folder, cases)
            suite = folder / "suite.yaml"
            suite.write_text(suite.read_text().replace("grader: exact\n", checks))
        costs = alternate(
            {which: lambda folder=folder: recorded_run(folder) for which, folder in folders.items()}, rounds=ROUNDS
        )
    one, three = (cost.cpu_s for cost in costs.values())
    print(f"{cases:,} cases with three checks: {three / one:.3f}x the CPU of one check (aim 1.2x)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CASES)
