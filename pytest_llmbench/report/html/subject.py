"""What a report is about: the run shown, the gate's ruling on it, and its context."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlencode

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import Baseline
from pytest_llmbench.gate.comparison import join, only_role
from pytest_llmbench.gate.decision import decide
from pytest_llmbench.gate.pairs import Pair
from pytest_llmbench.gate.rulings import Gate
from pytest_llmbench.gate.run_decision import RunGate, RunRuling
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.report.html.prompts import Wording
from pytest_llmbench.results.grader_agreement import Findings
from pytest_llmbench.results.history import Entry
from pytest_llmbench.results.records import Record, Run, RunInfo

_SHOWN_MODELS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A model at the top of the page: its place among the roles, its role, what answers, and what answered before."""

    place: int
    role: str
    name: str
    before: str | None


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
    def is_between_models(self) -> bool:
        """Whether two models of this run are compared with each other."""
        return self.gate is not None and self.gate.comparison.baseline.facts is self.run.facts

    @property
    def title(self) -> str:
        """What is shown, and against what: files, or two models of one file."""
        if self.before is None:
            return self.name
        new = f": {self.gate.comparison.suites[0].role}" if self.gate and self.is_between_models else ""
        return f"{self.name}{new} against {self.before}"

    @cached_property
    def models(self) -> tuple[NamedModel, ...]:
        """The first models of the run, by name."""
        suites = self.gate.comparison.suites if self.gate else ()
        old = self.gate.comparison.baseline.facts if self.gate else None
        before = {suite.role: suite.baseline_role for suite in suites}
        return tuple(
            NamedModel(
                place=place,
                role=role,
                name=_model_name(self.run.facts, role).removeprefix(f"{role} "),
                before=_name_before(old, before[role], _target(self.run.facts, role))
                if old and role in before
                else None,
            )
            for place, role in enumerate(self.roles[:_SHOWN_MODELS])
        )

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


def two_models(run: Run, file: Path, settings: GateSettings) -> tuple[str, RunRuling] | None:
    """Gate the second of two models of a run against the first, in the order they were named.

    Args:
        run: the run.
        file: where it is kept.
        settings: what the gate tolerates.

    Gives the role of the first, and the ruling; None unless the run has two models with a case in common.
    """
    roles = Subject(name="", run=run).roles
    if len(roles) != 2:
        return None
    try:
        return roles[0], between_models(run, file, roles, settings)
    except UsageFault:
        return None


def between_models(run: Run, file: Path, roles: tuple[str, ...], settings: GateSettings) -> RunRuling:
    """Gate one model of a run against another of it.

    Args:
        run: the run.
        file: where it is kept.
        roles: the model compared with, and the candidate.
        settings: what the gate tolerates.

    Raises:
        UsageFault: the run has no such model, or they have no case in common.
    """
    old, new = (only_role(run, role) for role in roles)
    requirements = RunGate(baselines=(Baseline(path=file, run=old),), settings=settings)
    return RunRuling(requirements=requirements, gate=decide(join(old, new, settings.allowed), settings))


def _model_name(facts: RunInfo, role: str) -> str:
    """Name the model of a role: its entry, and what that is."""
    info = facts.model(role)
    if info is None:
        return role
    target = _target(facts, role)
    return target if info.model.replace(":", " ", 1) == target else f"{info.model} ({target})"


def _name_before(facts: RunInfo, role: str, target: str) -> str:
    """Name the model of the baseline; what it is is not repeated where that is the same."""
    info = facts.model(role)
    return info.model if info is not None and _target(facts, role) == target else _model_name(facts, role)


def _target(facts: RunInfo, role: str) -> str:
    info = facts.model(role)
    return "" if info is None else f"{info.identity.provider} {info.identity.model}"


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
