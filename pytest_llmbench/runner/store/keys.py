"""The keys of stored answers: equal requests share one, at temperature 0 whichever case they are of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import NamedTuple

from pytest_llmbench.models.base import Identity
from pytest_llmbench.models.entries import Entry
from pytest_llmbench.values import Json, Request, Sampling


class Key(NamedTuple):
    """Identifies a request among all of a model: its digest, and which of the equal ones of a plan it is."""

    request: str
    copy: int


def model_key(identity: Identity) -> str:
    """Give the digest that identifies a model.

    What a server calls its model is left out, since it is known only after the first answer; and on how many threads
    it computes, in which its replicas on a cluster may differ.
    """
    facts: Mapping[str, Json] = {
        "provider": identity.provider,
        "model": identity.model,
        "weights": identity.weights,
        "template": identity.template_sha256,
        "libraries": dict(identity.libraries),
        "settings": {key: value for key, value in identity.settings.items() if key != "threads"},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def request_key(model: str, request: Request) -> str:
    """Give the digest that identifies a request: `model_key`, prompt, sampling, number of the sample; and `drawn_for`.

    At temperature 0 cases with the same prompt have the same answer, so that a case can be renamed or moved.
    """
    facts: dict[str, Json] = {
        "model": model,
        "prompt": request.prompt.sha256,
        "sampling": _facts_of(request.sampling),
        "sample": request.sample,
        "choices": list(request.labels),
        "is_choice": request.picks_label,
        "reply_schema": request.reply_schema,
    }
    if request.delimiter is not None:
        facts["delimiter"] = request.delimiter
    if request.inputs:  # none where the model is sent the prompt alone, as all were in earlier releases
        facts["inputs"] = inputs_sha256(request.inputs)
    case = drawn_for(request.suite, request.case, request.sampling)
    if case is not None:
        facts["drawn_for"] = list(case)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def inputs_sha256(inputs: Mapping[str, Json]) -> str:
    """Give the digest of a case's inputs; their order is no part of it."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


def drawn_for(suite: str, case: str, sampling: Sampling) -> tuple[str, str] | None:
    """Give the suite and case that an answer is drawn for; None at temperature 0, where nothing is drawn.

    A local model makes the seed of each sample of suite and case, so that equal prompts get draws of their own: an
    answer above temperature 0 that was stored for one case is not what another would get.
    """
    return (suite, case) if sampling.temperature > 0 else None


@lru_cache(maxsize=64)
def _facts_of(sampling: Sampling) -> Mapping[str, Json]:
    facts = asdict(sampling)
    if not sampling.reasoning_tokens:  # so that answers stored before there was such room are still found
        del facts["reasoning_tokens"]
    return facts


_LATER_KEYS: Mapping[str, Json] = {
    "reasoning": "auto",
    "omit": [],
    "api_version": None,
    "merge_adapter": None,
}
"""Keys that entries had later, with their usual value: with it the digest is that of earlier releases."""


_NOT_THE_MODEL = ("concurrency", "price", "sampling", "reasoning_tokens", "training", "cluster")


def entry_key(entry: Entry) -> str:
    """Give the digest of an entry, without how its model is asked and what it costs."""
    keys = entry.model_dump(
        mode="json", exclude={"concurrency", "price", "sampling", "reasoning_tokens", "training", "cluster"}
    )
    for key, usual in _LATER_KEYS.items():
        if key in keys and keys[key] == usual:
            del keys[key]
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()
