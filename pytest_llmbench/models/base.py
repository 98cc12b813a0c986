"""What answers prompts: one verb, `answer`, whatever stands behind it.

A provider knows how to open models of one kind from an entry of the models file.
Heavy libraries are imported when a model is opened, never before.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, runtime_checkable

from pytest_llmbench.values import Answer, AnswerError, Arrived, Json, Prompt, PromptStyle, Request

if TYPE_CHECKING:
    from pytest_llmbench.models.entries import OpenAIEntry
    from pytest_llmbench.models.training_manifest import TrainingManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is known of how a model was trained: the digest of its manifest, and how many cases and prompts it lists."""

    manifest_sha256: str
    cases: int
    foreign: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a model is, exactly, so that two runs can be compared: did they meet the same one?.

    `weights` is a revision or a hash of the weights, `template_sha256` the digest of
    the chat template, `server_model` the name a server reported; `libraries` maps
    names to versions; `settings` holds what else changes answers (dtype, device,
    quantization, adapter).  Never a secret.  `training` is None where nothing is known of it.
    """

    provider: str
    model: str
    weights: str | None = None
    template_sha256: str | None = None
    server_model: str | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Json] = field(default_factory=dict)
    training: Training | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSettings:
    """What the command line adds to an entry when a model is opened.

    `concurrency` and `timeout_s` are None where the entry or the provider decides;
    `cache_dir` is where prepared weights may be kept; `root` is the project's root directory, from where its own
    code is imported.
    """

    concurrency: int | None = None
    timeout_s: float | None = None
    cache_dir: Path = field(default_factory=lambda: Path.home() / ".cache" / "pytest-llmbench")
    root: Path = field(default_factory=Path.cwd)


Vector: TypeAlias = Sequence[float]
"""The embedding of a text, of length 1."""


class Embedder(Protocol):
    """An opened embedder."""

    @property
    def identity(self) -> Identity:
        """What it is; may know more after the first text (a server's model name)."""
        ...

    @property
    def input_tokens(self) -> int | None:
        """How many tokens it has counted of the texts it was given; None where it counts none."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Give the vector of each text, all in one batch; raises `ModelFault` if there is none."""
        ...

    def close(self) -> None:
        """Let go of weights and connections."""
        ...


class Model(Protocol):
    """An opened model."""

    @property
    def identity(self) -> Identity:
        """What it is; may know more after the first answer (a server's model name)."""
        ...

    @property
    def concurrency(self) -> int:
        """Requests in flight or rows a batch."""
        ...

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given.

        `arrived(index, answer)` is called from the calling thread as each one arrives, in any
        order, once each.  When `halt` is set, the model stops within about a token's time, and what
        has no answer yet is an `AnswerError` with the cause "stopped" (not passed to `arrived`).
        One request's fault is its own `AnswerError`; nothing is raised for it.

        Raises:
            ModelFault: no request can be answered at all.
        """
        ...

    def close(self) -> None:
        """Free what the model holds; safe to call twice."""
        ...


STOPPED = "stopped"
"""The cause of an `AnswerError` for a request that was given up because the run ended."""


class Provider(Protocol):
    """Opens models of one kind. Other packages add theirs with the hook `pytest_llmbench_providers`.

    A provider may have the methods of `HasTraits`, `HasBatchEntry` and `CountsTokens` too.
    """

    @property
    def entry_type(self) -> type[Any]:
        """The pydantic class of an entry; its fields are the keys it may have (see `catalog.Entry`)."""
        ...

    @property
    def target_field(self) -> str:
        """The field that `PROVIDER:TARGET` on the command line fills."""
        ...

    def prompt_style(self, entry: Any) -> PromptStyle | None:
        """Give the style its prompts take, None for any, and check cheaply that it can be opened.

        Called before anything is asked of any model. Does not load weights.

        Raises:
            UsageFault: it surely cannot be opened (no such folder, no key, a missing extra).
        """
        ...

    def open(self, entry: Any, settings: OpenSettings) -> Model:
        """Open the model.

        Raises:
            ModelFault: it cannot be opened.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a run must know of a model before it is opened. The defaults are safe for a model nothing is known of.

    `is_local`: it may take memory of this machine, so that it is not open beside another local model without need.
    `is_free`: nobody charges for its answers, so that it needs no price.
    `is_recorded`: its answers exist already; they are not sent for, stored, or asked again.
    `is_api`: requests go to a server and wait there side by side; a label is picked by writing it.
    `takes_device`: it runs on an accelerator of its own where there are several, one a worker.
    `is_placed`: its entry itself names the devices it runs on.
    `takes_inputs`: the case's own fields are sent to it, beside the prompt or in its place.
    `reports_cost`: its answers may have their cost (`Answer.cost_usd`), so that it needs no price.
    `takes_tools`: the tools of a suite are sent to it, and its calls of them are read.
    `scores_choices`: it can give the probability of a whole text behind its prompt (`Request.delimiter`).
    `is_unversioned`: the code behind it may change unseen, so that its answers are not stored.
    """

    is_local: bool = True
    is_free: bool = False
    is_recorded: bool = False
    is_api: bool = False
    takes_device: bool = False
    is_placed: bool = False
    takes_inputs: bool = False
    takes_tools: bool = False
    reports_cost: bool = False
    is_unversioned: bool = False
    scores_choices: bool = False


@runtime_checkable
class HasTraits(Protocol):
    """What a provider may have too: the traits of its models; without it the defaults of `Traits` hold."""

    def traits(self, entry: Any) -> Traits:
        """Give the traits of the model of an entry. Opens and checks nothing."""
        ...


@runtime_checkable
class HasBatchEntry(Protocol):
    """What a provider may have too: its requests can be written to a file, for a batch API to answer."""

    def batch_entry(self, entry: Any) -> "OpenAIEntry":
        """Give the entry of an API that takes the model's requests. Needs no key, and opens nothing.

        Raises:
            UsageFault: the entry contradicts itself, or does not determine what is sent.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaInfo:
    """What became of one replica of a model on a cluster.

    Nodes are numbered; `gpu` and `cpu` name what it ran on, `answers` counts those it gave, `opened_s` is how long its
    model took to open, None if it was never open, `ended` why it ended before the run did.
    """

    node: int
    gpu: str | None
    cpu: str | None
    answers: int
    opened_s: float | None
    ended: str | None


@runtime_checkable
class HasReplicas(Protocol):
    """What an opened model may have too: replicas."""

    @property
    def replicas(self) -> tuple[ReplicaInfo, ...]:
        """What became of each by now."""
        ...


@runtime_checkable
class HasRemarks(Protocol):
    """What an opened model may have too: sentences that people should read at the end of the run."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The sentences so far."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """What a provider may have too: a way to count the tokens of prompts without opening the model."""

    def token_counter(self, entry: Any, settings: OpenSettings) -> Callable[[Prompt], int] | None:
        """Give what counts the tokens of a prompt; None where that would cost much."""
        ...


@runtime_checkable
class HasTraining(Protocol):
    """What a provider may have too: what is known of the training of a model."""

    def training(self, entry: Any) -> "TrainingManifest | None":
        """Give what is known; None if nothing is. Reads a small file, and no weights.

        Raises:
            UsageFault: a manifest cannot be read.
        """
        ...


class Opened:
    """Base for models: a context manager that closes."""

    def close(self) -> None:
        """Free what the model holds; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Wrapped:
    """Base for what stands around a model, is what it is, and closes it.

    Args:
        model: the model.
    """

    def __init__(self, model: Model):
        self._model = model

    @property
    def identity(self) -> Identity:
        """What it is."""
        return self._model.identity

    @property
    def concurrency(self) -> int:
        """Requests in flight or rows a batch."""
        return self._model.concurrency

    def close(self) -> None:
        """Close the model."""
        self._model.close()
