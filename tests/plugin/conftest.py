"""A small project for plugin tests: one suite, one file of recorded answers."""

import functools
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

# A run in this process forgets what it imported, hypothesis' plugin a second's worth: it is imported once, here.
import cpuinfo
import hypothesis  # noqa: F401
import pytest

import pytest_llmbench.grading.checks.grader
import pytest_llmbench.models.recorded
import pytest_llmbench.plugin.activate
import pytest_llmbench.plugin.fixtures  # noqa: F401
from pytest_llmbench.grading.checks.registry import KINDS

# The registry keeps the kinds that a run imported, and the run forgets the classes they are made of.
_KINDS = tuple(KINDS.values())

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


@pytest.fixture(scope="session", autouse=True)
def _known_machine() -> Iterator[None]:
    """Look up once what every run in this process would look up anew, and what does not change meanwhile.

    pytest reads the metadata of all that is installed twice a run, and pytest-benchmark has the processor measured.
    """
    installed = tuple(importlib.metadata.distributions())
    entry_points = functools.cache(importlib.metadata.Distribution.entry_points.fget)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "distributions", lambda **where: installed)
        patch.setattr(importlib.metadata.Distribution, "entry_points", property(entry_points))
        patch.setattr(cpuinfo, "get_cpu_info", functools.cache(cpuinfo.get_cpu_info))
        yield


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
