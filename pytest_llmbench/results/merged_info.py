"""One account of a run that several processes made. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_llmbench.results.records import (
    Collected,
    EmbeddingUse,
    JudgeCheck,
    JudgeInfo,
    ModelInfo,
    RunInfo,
    SuiteInfo,
)


def merged_run_info(several: Sequence[RunInfo], roles: Sequence[str] = ()) -> RunInfo:
    """Put the facts of several processes of one run together.

    Args:
        several: of each process.
        roles: in the order in which the models are to stand; others follow in the order they come.
    """
    models: dict[str, ModelInfo] = {}
    for facts in several:
        for model in facts.models:
            sampling = {**models[model.role].sampling, **model.sampling} if model.role in models else model.sampling
            models[model.role] = replace(model, sampling=sampling)
    places = {role: place for place, role in enumerate(roles)}
    return RunInfo(
        models=tuple(sorted(models.values(), key=lambda model: places.get(model.role, len(places)))),
        suites=_merged_suites([suite for facts in several for suite in facts.suites]),
        options={key: value for facts in several for key, value in facts.options.items()},
        prompts={digest: prompt for facts in several for digest, prompt in facts.prompts.items()},
        expected={digest: text for facts in several for digest, text in facts.expected.items()},
        judge=_merged_judge([facts.judge for facts in several if facts.judge is not None]),
        broken={role: cause for facts in several for role, cause in facts.broken.items()},
        collected=_merged_collected([facts.collected for facts in several if facts.collected is not None]),
        judge_check=_merged_checks([facts.judge_check for facts in several]),
        embedding=_merged_embedding([facts.embedding for facts in several]),
        stop_plans=tuple({(plan.suite, plan.role): plan for f in several for plan in f.stop_plans}.values()),
    )


def _merged_suites(several: Sequence[SuiteInfo]) -> tuple[SuiteInfo, ...]:
    """Give each suite once; a process that graded no answer of it knows no embedder."""
    found: dict[str, SuiteInfo] = {}
    for suite in several:
        known = found.get(suite.suite)
        embedders = suite.embedders or (None if known is None else known.embedders)
        found[suite.suite] = replace(suite, embedders=embedders)
    return tuple(found.values())


def _merged_collected(several: Sequence[Collected]) -> Collected | None:
    if not several:
        return None
    suites = dict.fromkeys(suite for collected in several for suite in collected.suites)
    return replace(several[0], suites=tuple(suites))


def _merged_checks(several: Sequence[Mapping[str, JudgeCheck]]) -> dict[str, JudgeCheck]:
    found: dict[str, JudgeCheck] = {}
    for suite, check in (pair for checks in several for pair in checks.items()):
        other = found.get(suite)
        found[suite] = check if other is None else _sum(other, check)
    return found


def _merged_embedding(several: Sequence[Mapping[str, EmbeddingUse]]) -> dict[str, EmbeddingUse]:
    found: dict[str, EmbeddingUse] = {}
    for name, use in (pair for uses in several for pair in uses.items()):
        other = found.get(name)
        if other is not None:
            counts = [one.input_tokens for one in (other, use) if one.input_tokens is not None]
            use = replace(use, texts=other.texts + use.texts, input_tokens=sum(counts) if counts else None)
        found[name] = use
    return found


def _sum(one: JudgeCheck, other: JudgeCheck) -> JudgeCheck:
    return JudgeCheck(
        answers=one.answers + other.answers,
        changed=one.changed + other.changed,
        scores_changed=one.scores_changed + other.scores_changed,
        errors=one.errors + other.errors,
        cases=tuple(dict.fromkeys((*one.cases, *other.cases))),
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
    )


def _merged_judge(several: Sequence[JudgeInfo]) -> JudgeInfo | None:
    if not several:
        return None
    suites = {suite: own for judge in several for suite, own in judge.suites.items()}
    identities = [judge.identity for judge in several if judge.identity is not None]
    return replace(several[-1], identity=identities[-1] if identities else None, suites=suites)
