"""What a tuned model was trained on: `llmbench_training.json`, beside an adapter or the weights of a whole model.

It is written by `llmbench tune` and read here, so that a run can tell which cases prove nothing about the model.  A
manifest is believed only for the weights that it names: one that was moved beside others, or edited, is an error.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import Training
from pytest_llmbench.models.transformers.files import LocalFiles, weights_digest
from pytest_llmbench.models.validation import message_of, place
from pytest_llmbench.values import Prompt

FILE = "llmbench_training.json"
SCHEMA = 1
SEAL = "content_sha256"
"""The key of the digest of all that stands beside it."""


class TrainedBy(StrEnum):
    """Why a case counts as one that a model was trained on, the plainest reason first."""

    CASE = "case"
    ID = "id"
    PROMPT = "prompt"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseToMatch:
    """What of a case, as it is asked now, is looked for in a manifest."""

    suite: str
    id: str
    sha256: str
    cluster: str | None
    prompt: Prompt


@dataclass(frozen=True, kw_only=True)
class TrainingManifest:
    """The cases that a model was trained on, its parents' among them.

    `sha256` is of the file, `weights` names those that it belongs to.  `cases` are by suite and id: digest of the
    case, digest of its prompt, cluster.  `foreign` are digests of the plain texts of prompts that belong to no case.
    """

    sha256: str
    path: Path
    weights: str
    cases: Mapping[str, Mapping[str, tuple[str, str, str | None]]]
    foreign: frozenset[str] = frozenset()

    def why_trained(self, case: CaseToMatch) -> TrainedBy | None:
        """Tell why a case counts as trained on; None if it does not."""
        of_suite = self.cases.get(case.suite, {})
        if case.sha256 in self._case_digests:
            return TrainedBy.CASE
        if case.id in of_suite:
            return TrainedBy.ID
        plain = hashlib.sha256(case.prompt.plain_text.encode("utf-8", "surrogatepass")).hexdigest()
        if case.prompt.sha256 in self._prompt_digests or plain in self.foreign:
            return TrainedBy.PROMPT
        if case.cluster is not None and (case.suite, case.cluster) in self._clusters:
            return TrainedBy.CLUSTER
        return None

    @cached_property
    def _case_digests(self) -> frozenset[str]:
        return frozenset(sha256 for of_suite in self.cases.values() for sha256, _, _ in of_suite.values())

    @cached_property
    def _prompt_digests(self) -> frozenset[str]:
        return frozenset(sha256 for of_suite in self.cases.values() for _, sha256, _ in of_suite.values())

    @cached_property
    def _clusters(self) -> frozenset[tuple[str, str]]:
        known = ((suite, cluster) for suite, own in self.cases.items() for _, _, cluster in own.values())
        return frozenset((suite, cluster) for suite, cluster in known if cluster is not None)

    @property
    def training(self) -> Training:
        """What the identity of a model says of it."""
        count = sum(len(of_suite) for of_suite in self.cases.values())
        return Training(manifest_sha256=self.sha256, cases=count, foreign=len(self.foreign))

    def check_weights(self, folder: Path, cache_dir: Path) -> None:
        """Check that the manifest belongs to the weights in a folder.

        Raises:
            ModelFault: it belongs to others.
        """
        found = weights_digest(LocalFiles(path=folder), cache_dir)
        if found != self.weights:
            raise ModelFault(
                f"{self.path} belongs to other weights (it names {_short(self.weights)}, {folder} holds "
                f"{_short(found)}), so it cannot tell what these were trained on: put the weights back that it was "
                "written with, train again with llmbench tune, or remove it if nothing is to be known."
            )

    def check_weights_beside(self, cache_dir: Path) -> None:
        """Check the weights in the manifest's own folder, where it holds any: those of a server are not seen.

        Raises:
            ModelFault: it belongs to others.
        """
        folder = self.path.parent
        if any(True for pattern in ("*.safetensors", "*.bin") for _ in folder.glob(pattern)):
            self.check_weights(folder, cache_dir)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """The parts of a manifest that are read; others are for people."""

    weights: str
    cases: dict[str, dict[str, list[str | None]]]
    foreign: tuple[str, ...] = ()


def manifest_beside(folder: Path) -> TrainingManifest | None:
    """Read the manifest in a folder of weights; None if there is none.

    Raises:
        UsageFault: see `read_manifest`.
    """
    path = folder / FILE
    return read_manifest(path) if path.is_file() else None


def read_manifest(path: Path) -> TrainingManifest:
    """Read a manifest.

    Raises:
        UsageFault: it cannot be read, is none, was edited, or is of a later version.
    """
    try:
        content = path.read_bytes()
        found = json.loads(content)
    except OSError as fault:
        raise UsageFault(f"{path} cannot be read: {fault.strerror}; correct the path.") from None
    except ValueError as fault:
        raise UsageFault(f"{path} is not JSON, or was cut off ({fault}); {_WAY_OUT}") from None
    if isinstance(found, dict) and isinstance(found.get("schema"), int) and found["schema"] > SCHEMA:
        raise UsageFault(f"{path} has schema {found['schema']}, this pytest-llmbench reads up to {SCHEMA}; update it.")
    if isinstance(found, dict) and SEAL in found and found != sealed(found):
        raise UsageFault(f"{path} was edited after it was written; {_WAY_OUT}")
    try:
        written: _Written = TypeAdapter(_Written).validate_python(found)
        cases = {suite: {id_: _case(*known) for id_, known in own.items()} for suite, own in written.cases.items()}
    except ValidationError as fault:
        error = fault.errors(include_url=False)[0]
        what = f"{place(error) or 'the whole'}: {message_of(error)}"
        raise UsageFault(f"{path} is no training manifest ({what}); {_WAY_OUT}") from None
    except TypeError:
        raise UsageFault(f"{path}: a case needs its digest, that of its prompt, and its cluster; {_WAY_OUT}") from None
    return TrainingManifest(
        sha256=hashlib.sha256(content).hexdigest(),
        path=path,
        weights=written.weights,
        cases=cases,
        foreign=frozenset(written.foreign),
    )


_WAY_OUT = "train again with llmbench tune, or remove it if nothing is to be known of the training."


def _case(sha256: str | None, prompt_sha256: str | None, cluster: str | None) -> tuple[str, str, str | None]:
    if sha256 is None or prompt_sha256 is None:
        raise TypeError("a digest is missing")
    return sha256, prompt_sha256, cluster


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give the content of a manifest with the digest that shows later whether it was edited."""
    rest = {name: value for name, value in content.items() if name != SEAL}
    written = json.dumps(rest, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return {**rest, SEAL: hashlib.sha256(written.encode()).hexdigest()}


def merged(first: TrainingManifest | None, second: TrainingManifest | None) -> TrainingManifest | None:
    """Put the manifests of an adapter and of its base model together: the first one's name, the cases of both."""
    if first is None or second is None:
        return first or second
    suites = dict.fromkeys((*first.cases, *second.cases))
    cases = {suite: {**second.cases.get(suite, {}), **first.cases.get(suite, {})} for suite in suites}
    return replace(first, cases=cases, foreign=first.foreign | second.foreign)


def _short(weights: str) -> str:
    return weights if len(weights) <= 19 else f"{weights[:19]}…"
