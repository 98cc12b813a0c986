"""A small project for plugin tests: one suite, one file of recorded answers."""

import json
from collections.abc import Callable, Mapping, Sequence

# A run in this process forgets what it imported, hypothesis' plugin a second's worth: it is imported once, here.
import hypothesis  # noqa: F401
import pytest

import pytest_llmbench.models.recorded
import pytest_llmbench.plugin.activate
import pytest_llmbench.plugin.fixtures  # noqa: F401

SUITE = """\
suite: capitals
grader: exact
prompt:
  completion: "Q: {{ question }}\\nA:"
cases:
  - {id: france, question: "Capital of France?", expected: Paris, tags: [europe]}
  - {id: peru, question: "Capital of Peru?", expected: Lima, tags: [america]}
  - {id: kenya, question: "Capital of Kenya?", expected: Nairobi, tags: [africa]}
"""

RIGHT = (
    {"case": "france", "answer": "Paris", "latency_s": 0.25, "ttft_s": 0.125, "output_tokens": 2},
    {"case": "peru", "answer": "Lima", "latency_s": 0.5, "output_tokens": 2},
    {"case": "kenya", "answer": "Nairobi", "latency_s": 0.75, "output_tokens": 3},
)
WRONG_PERU = (RIGHT[0], {"case": "peru", "answer": "Cusco", "latency_s": 0.5}, RIGHT[2])

Project = Callable[..., pytest.Pytester]


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    """Make the project: `project(answers, suite=...)`; further answer files as keywords `NAME=rows`."""

    def make(
        answers: Sequence[Mapping[str, object]] = RIGHT, suite: str = SUITE, **others: Sequence[Mapping[str, object]]
    ) -> pytest.Pytester:
        cases = pytester.mkdir("cases")
        (cases / "capitals.yaml").write_text(suite)
        fixtures = pytester.mkdir("fixtures")
        models = ""
        for name, rows in {"old": answers, **others}.items():
            (fixtures / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            models += f'[{name}]\nprovider = "recorded"\nanswers = "{name}.jsonl"\n'
        (fixtures / "models.toml").write_text(models)
        # a root directory of its own, and none of the outer run's settings
        pytester.makeini("[pytest]\n")
        return pytester

    return make
