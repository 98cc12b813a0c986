"""In what the models, the judges and the embedders of two runs differ, as recorded in them."""

import json
from collections.abc import Mapping

from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.grading.registry import BUILT_IN, CHECKS
from pytest_llmbench.models.identities import OF_MACHINE, identity_differences
from pytest_llmbench.results.records import Record, RunInfo, SuiteInfo
from pytest_llmbench.values import Json

REPORTED = frozenset({"libraries", "settings.system_fingerprint"})
"""Parts of an identity that change under an unchanged model: library versions, what a server calls its deployment."""


def graders_without_judge() -> frozenset[str]:
    """Name the built-in graders that ask no judge; those of other packages may."""
    return frozenset(name for name, kind in BUILT_IN.items() if not kind.asks_judge)


def may_be_judged(record: Record) -> bool:
    """Tell whether a judge model may have graded a record; one of checks only if it was asked about its answers."""
    if record.grader == CHECKS:
        return any(sample.parts.get("judge_replies") for sample in record.samples)
    return record.grader not in graders_without_judge()


def judge_differences(old: RunInfo, new: RunInfo, suite: str) -> tuple[str, ...]:
    """Name what differs in how two runs had a suite judged; empty if nothing does, or neither had a judge.

    A server's name for its model counts only where both runs know it, which takes a new reply.
    """
    was, now = (None if facts.judge is None else facts.judge.suites.get(suite) for facts in (old, new))
    if was is None or now is None:
        is_same = was is now and old.options.get("judge") == new.options.get("judge")
        return () if is_same else ("model",)
    found = [name for name in ("prompt_sha256", "votes", "sampling") if getattr(was, name) != getattr(now, name)]
    identities = [facts.judge.identity for facts in (old, new) if facts.judge is not None]
    if identities[0] is None or identities[1] is None:
        return tuple(found)
    ignored = set(REPORTED)
    if None in (identities[0].server_model, identities[1].server_model):
        ignored.add("server_model")
    return tuple(name for name in (*identity_differences(identities[0], identities[1]), *found) if name not in ignored)


def grader_difference(old: SuiteInfo | None, new: SuiteInfo | None) -> str | None:
    """Describe how the grader of a suite differs in two runs: its version, its settings, or the content of its data.

    What one of them does not record is not compared.
    """
    if old is None or new is None:
        return None
    if old.grader_version != new.grader_version:
        return f"grader version differs: {old.grader_version} -> {new.grader_version}"
    was, now = old.grader_settings, new.grader_settings
    if was is None or now is None or was == now:
        return _data_difference(old.data_sha256 or {}, new.data_sha256 or {})
    names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    changes = (f"{name} {_written(was.get(name))} -> {_written(now.get(name))}" for name in names)
    return f"grader settings differ: {', '.join(changes)}"


def _data_difference(was: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Name the data that both runs know and that have other content; a file that knows none says nothing of them."""
    names = sorted(name for name in was.keys() & now.keys() if was[name] != now[name])
    return f"the content of the database differs: {', '.join(names)}" if names else None


def _written(value: Json) -> str:
    return "default" if value is None else clip(json.dumps(value, ensure_ascii=False))


def embedder_differences(old: SuiteInfo | None, new: SuiteInfo | None) -> tuple[str, ...]:
    """Name the embedders of a suite that are others in two runs, with what of them differs; one not opened is none."""
    was, now = ((None if info is None else info.embedders) or {} for info in (old, new))
    found = []
    for name in sorted(was.keys() & now.keys()):
        parts = set(identity_differences(was[name], now[name])) - REPORTED - set(OF_MACHINE)
        if None not in (was[name].weights, now[name].weights):
            parts.discard("model")  # the place of the files
        if parts:
            found.append(f"{name}: {', '.join(sorted(parts))}")
    if was and now and was.keys() != now.keys():
        found.append(f"{', '.join(sorted(was))} -> {', '.join(sorted(now))}")
    return tuple(found)
