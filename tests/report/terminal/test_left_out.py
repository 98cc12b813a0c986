"""The line about cases that an import left out."""

from dataclasses import replace

from pytest_llmbench.report.terminal.scoreboard import left_out_lines
from pytest_llmbench.results.records import SuiteInfo
from pytest_llmbench.values import Source


def test_every_run_repeats_what_an_import_left_out() -> None:
    """A suite that lacks cases of its source is named with their number, others are not."""
    whole = SuiteInfo(suite="s", sha256="1", grader="checks", grader_version=1, path="s.yaml")
    sources = [Source(kind="promptfoo", path="promptfooconfig.yaml", left_out=left_out) for left_out in (0, 1, 3)]

    suites = [whole, *(replace(whole, suite=f"s{n}", source=one) for n, one in enumerate(sources))]

    assert list(left_out_lines(suites)) == [
        "s1: 1 case of promptfooconfig.yaml left out when it was imported.",
        "s2: 3 cases of promptfooconfig.yaml left out when it was imported.",
    ]
