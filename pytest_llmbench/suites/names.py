"""What suites, cases and tags may be named: the names become pytest's marks and parts of test ids."""

import re

ID_PATTERN = re.compile(r"[A-Za-z0-9._-]+")
TAG_PATTERN = re.compile(r"[a-z0-9_-]+")
RESERVED_MARKS = frozenset(
    {
        "and",
        "or",
        "not",
        "skip",
        "skipif",
        "xfail",
        "parametrize",
        "usefixtures",
        "filterwarnings",
        "tryfirst",
        "trylast",
    }
    | {"benchmark", "xdist_group", "llm_suite"}
)
"""What may be no tag or suite name: pytest's own marks, ours, pytest-benchmark's, and the words of `-m`."""
