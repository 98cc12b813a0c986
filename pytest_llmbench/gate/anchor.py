"""What may become an anchor: the run that later ones are gated against, taken by a person (`llmbench accept`)."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import difference_of_runs
from pytest_llmbench.gate.broken import why_broken
from pytest_llmbench.results.records import Run


def check_anchor(name: str, run: Run, verdict: str | None) -> None:
    """Check that a run is whole, without errors, and not one that the gate refused.

    Args:
        name: of its file.
        run: the run.
        verdict: of its own gate, None where it had none.

    Raises:
        UsageFault: it cannot be an anchor; the message names why, and the way out.
    """
    why = next(_hindrances(run, verdict), None)
    if why is not None:
        raise UsageFault(f"{name}: this run cannot become the baseline: {why}.")


def _hindrances(run: Run, verdict: str | None) -> Iterator[str]:
    if not run.records:
        yield "it has no records; run all suites"
    if run.stopped is not None:
        yield f"it ended early ({run.stopped}); run it to its end"
    if run.incomplete:
        yield (
            f"it stopped early in {', '.join(run.incomplete)}; ask the rest: repeat its command with --llm-stop-early "
            "off --llm-reuse all"
        )
    broken = why_broken(run)
    if broken is not None:
        yield f"{broken}; run it again"
    errors = [record.case for record in run.records if record.has_error]
    if errors:
        yield f"{len(errors)} of its cases have an error ({', '.join(errors[:3])}); run it again without errors"
    limit = run.facts.options.get("limit")
    if limit is not None:
        yield f"--llm-limit {limit} left cases out; run all of them"
    for (suite, role), count in Counter((record.suite, record.role) for record in run.records).items():
        info = run.facts.suite(suite)
        if info is not None and info.n_cases is not None and count < info.n_cases:
            share = f"{count} of the {info.n_cases} cases"
            yield f'only {share} of suite "{suite}" were run under "{role}"; run all of them'
    if run.facts.collected is not None:
        met = {record.suite for record in run.records}
        yield from (
            f'no case of suite "{suite}" was run; run all suites'
            for suite in run.facts.collected.suites
            if suite not in met
        )
    if verdict == "worse":
        yield "its gate found it worse than its baseline"


def check_poolable(named: Sequence[tuple[str, Run]]) -> None:
    """Check that runs are of one model, prompted and graded in one way, so that they may be one anchor.

    Raises:
        UsageFault: two differ; the message names in what.
    """
    (first_name, first), *others = named
    for name, run in others:
        difference = difference_of_runs(first, run)
        if difference is not None:
            raise UsageFault(f"{name}: this run cannot be pooled with {first_name}: {difference}.")
