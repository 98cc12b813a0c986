"""What a run was made with: models, suites, settings, machine, and what went wrong on the way."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.embedding import embedding_text
from pytest_llmbench.report.html.format import stamp
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.judge_check import judge_check_text
from pytest_llmbench.results.records import JudgeCheck, JudgeInfo, Machine, ModelInfo, Run
from pytest_llmbench.values import Json, Outcome, Sampling, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A heading with names and values below it."""

    heading: str
    lines: tuple[tuple[str, str], ...]


def section(subject: Subject) -> Section:
    """Make the section: what the runs were made with."""
    values = {"sheets": sheets(subject)}
    return Section(name="made", title="Made with", template=template("provenance.html"), values=values)


def sheets(subject: Subject) -> tuple[Sheet, ...]:
    """List what the run shown, and the baseline, were made with."""
    runs = [(subject.name, subject.run)]
    if subject.gate is not None:
        runs.insert(0, (f"{subject.before} (baseline)", subject.gate.comparison.baseline))
    return tuple(
        Sheet(heading=heading, lines=tuple(lines)) for name, run in runs for heading, lines in _of_run(name, run)
    )


def _of_run(name: str, run: Run) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    yield f"Run {name}", _about_run(run)
    for model in run.facts.models:
        yield f"{name}: model {model.role}", _about_model(model)
    for suite in run.facts.suites:
        facts = {
            "file": suite.path,
            "digest": suite.sha256,
            "grader": f"{suite.grader}, version {suite.grader_version}",
        }
        if suite.budget is not None:
            facts["budget"] = ", ".join(f"{k} {v:g}" for k, v in asdict(suite.budget).items() if v is not None)
        if suite.source is not None:
            facts |= dict(_about_source(suite.source))
        yield f"{name}: suite {suite.suite}", iter(facts.items())
    if run.facts.judge is not None:
        yield f"{name}: judge", _about_judge(run.facts.judge, run.facts.judge_check)


def _about_run(run: Run) -> Iterator[tuple[str, str]]:
    yield "made", stamp(run.datetime, run.commit) or "not recorded"
    if run.machine is not None:
        yield "machine", _machine(run.machine)
    yield from ((name, _text(value)) for name, value in run.facts.options.items() if value is not None)
    samples = [sample for record in run.records for sample in record.samples]
    errors = sum(sample.outcome is Outcome.ERROR for sample in samples)
    again = sum(sample.attempts > 1 for sample in samples)
    counts = {"answers": len(samples) - errors, "errors": errors, "asked more than once": again}
    counts["reused from an earlier run"] = sum(sample.reused for sample in samples)
    yield from ((name, f"{count:,}") for name, count in counts.items())
    ends = Counter(sample.finish_reason for sample in samples if sample.finish_reason)
    if ends:
        yield "ended by", ", ".join(f"{name} {count:,}" for name, count in sorted(ends.items()))
    tokens = [sum(getattr(sample, name) or 0 for sample in samples) for name in ("input_tokens", "output_tokens")]
    yield "tokens in, out", " · ".join(f"{count:,}" for count in tokens)
    yield from ((f"embedder {name}", embedding_text(use)) for name, use in run.facts.embedding.items())


def _about_source(source: Source) -> Iterator[tuple[str, str]]:
    yield "imported from", f"{source.path} ({source.kind}), digest {source.sha256}, by version {source.importer}"
    yield "cases left out", f"{source.left_out:,}"
    yield from ((name, _text(value)) for name, value in source.about.items())
    yield from (("note", note) for note in source.notes)


def _machine(machine: Machine) -> str:
    cores = f"{machine.cpu_count} × " if machine.cpu_count else ""
    return f"{cores}{machine.cpu or machine.architecture}, {machine.system}"


def _about_judge(judge: JudgeInfo, checks: Mapping[str, JudgeCheck]) -> Iterator[tuple[str, str]]:
    yield "name", judge.model
    if judge.identity is not None:
        yield from _identity(judge.identity)
    for suite, asked in judge.suites.items():
        yield f"prompt digest, {suite}", asked.prompt_sha256
        yield f"sampling, {suite}", f"votes {asked.votes}, {_sampling(asked.sampling)}"
    for suite, check in checks.items():
        yield f"judged again, {suite}", judge_check_text(check)


def _identity(identity: Identity) -> Iterator[tuple[str, str]]:
    yield from ((name.replace("_", " "), _text(value)) for name, value in asdict(identity).items() if value)


def _about_model(model: ModelInfo) -> Iterator[tuple[str, str]]:
    yield "name", model.model
    yield from _identity(model.identity)
    for suite, sampling in model.sampling.items():
        yield f"sampling, {suite}", _sampling(sampling)


def _sampling(sampling: Sampling) -> str:
    found = asdict(sampling)
    if not sampling.reasoning_tokens:
        del found["reasoning_tokens"]
    return ", ".join(f"{name} {_text(value)}" for name, value in found.items() if value not in (None, ()))


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, Sequence):
        return ", ".join(repr(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
