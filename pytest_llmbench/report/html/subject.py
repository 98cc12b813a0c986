"""What a report is about: the run shown, the gate's ruling on it, and its context."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

from pytest_llmbench.gate.comparison import Pair
from pytest_llmbench.gate.rulings import Gate
from pytest_llmbench.gate.run_decision import RunRuling
from pytest_llmbench.report.html.prompts import Wording
from pytest_llmbench.results.grader_agreement import Findings
from pytest_llmbench.results.history import Entry
from pytest_llmbench.results.records import Record, Run


@dataclass(frozen=True, kw_only=True)  # no slots: what is asked often is kept
class Subject:
    """What a report is about.

    `run` is shown under `name`; `ruling` is the gate's, against the run named `before`, and None where the run is not
    gated.  `stopped` is why the run ended before its time.  `history` are the runs over time,
    this one among them; `trust` is None where there are no annotations of people.
    """

    name: str
    run: Run
    before: str | None = None
    ruling: RunRuling | None = None
    stopped: str | None = None
    history: tuple[Entry, ...] = ()
    trust: Findings | None = None

    @cached_property
    def wording(self) -> Wording:
        """The prompts of the run as texts."""
        return Wording.of(self.run)

    @cached_property
    def n_cases(self) -> int:
        """How many cases the run has, each counted once."""
        return len({(record.suite, record.case) for record in self.run.records})

    @property
    def gate(self) -> Gate | None:
        """What the run is compared with, where it is."""
        return None if self.ruling is None else self.ruling.gate

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """The roles that have records, in the order the models were named."""
        named = [model.role for model in self.run.facts.models]
        present = {record.role for record in self.run.records}
        return tuple(dict.fromkeys([*(role for role in named if role in present), *_in_order(self.run, "role")]))

    @cached_property
    def suites(self) -> tuple[str, ...]:
        """The suites, in the order they first come."""
        return tuple(_in_order(self.run, "suite"))

    @cached_property
    def pairs(self) -> Mapping[tuple[str, str, str], Pair]:
        """The cases that the baseline has too, by suite, role and case."""
        if self.gate is None:
            return {}
        return {
            (suite.suite, suite.role, pair.candidate.case): pair
            for suite in self.gate.comparison.suites
            for pair in suite.pairs
        }


def _in_order(run: Run, field: str) -> dict[str, None]:
    return dict.fromkeys(str(getattr(record, field)) for record in run.records)


def grouped(records: tuple[Record, ...]) -> Mapping[tuple[str, str], tuple[Record, ...]]:
    """Give the records by suite and role."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.suite, record.role), []).append(record)
    return {key: tuple(group) for key, group in found.items()}


def link(**state: str) -> str:
    """Give the link to a state of the list of cases: `f` filter, `s` suite, `m` model, `c` the case that is open."""
    return "#" + urlencode({key: value for key, value in state.items() if value}, errors="replace")
