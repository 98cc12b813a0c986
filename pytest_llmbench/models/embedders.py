"""Embedders: from texts to vectors of length 1, each opened once a process, each text embedded once a run.

An embedder is a local model (`models/transformers/embedding.py`) or an API (`models/openai/embedding.py`).  The run
names its models file with `Embedders.use`; elsewhere it is the one of the project.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import RLock
from typing import TypeAlias

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import Embedder, Identity, OpenSettings, Vector
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.entries import OpenAIEntry, TransformersEntry

BATCH = 64
"""So many texts are embedded at once."""

EmbedderEntry: TypeAlias = TransformersEntry | OpenAIEntry

_FLAG = "the embedder"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSpec:
    """An embedder that a check names: `name` as the suite writes it, `entry` how it is opened."""

    name: str
    entry: EmbedderEntry

    @property
    def key(self) -> str:
        """What it is known by in a process: a path in two suites may name two folders."""
        return f"{self.name} {self.entry.model}"

    @property
    def is_local(self) -> bool:
        """Whether it runs here, where nobody charges for it."""
        return isinstance(self.entry, TransformersEntry)

    def missing(self) -> str | None:
        """Tell what hinders opening it, as far as that can be known without; None if nothing does."""
        try:
            _check(self.entry)
        except UsageFault as fault:
            return str(fault)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderWork:
    """What an API of embeddings was given: `texts`, and their tokens as far as it counts them."""

    texts: int = 0
    input_tokens: int | None = None


class Embedders:
    """The embedders of a process, with the vectors they gave.

    `further` gives texts that will be asked for too: a text that is not known is embedded together with such.
    `paid` is called with each batch that an API embedded: the texts, and their tokens, or None if it counts none.
    """

    def __init__(self) -> None:
        self.further: Callable[[], Iterable[str]] = tuple
        self.paid: Callable[[EmbedderSpec, Sequence[str], int | None], None] = _nothing
        self._work: dict[str, EmbedderWork] = {}
        self._catalog: Catalog | None = None
        self._settings = OpenSettings()
        self._opened: dict[str, Embedder] = {}
        self._faults: dict[str, ModelFault] = {}
        self._vectors: dict[tuple[str, str], Vector] = {}
        self._identities: dict[str, Identity] = {}
        self._lock = RLock()

    def use(self, catalog: Catalog, settings: OpenSettings) -> None:
        """Begin a run: its models file and settings; nothing of an earlier one is kept."""
        self.close()
        self.further, self.paid = tuple, _nothing
        self._work.clear()
        self._catalog, self._settings = catalog, settings
        self._faults.clear()
        self._vectors.clear()
        self._identities.clear()

    def named(self, name: str, folder: Path, root: Path) -> EmbedderSpec:
        """Find an embedder; nothing is opened.

        Args:
            name: an entry of the models file, `package:NAME/FOLDER`, a folder, a hub id, or `PROVIDER:TARGET`.
            folder: what a relative path is relative to.
            root: of the project, below which its models file lies unless the run has named another.

        Raises:
            UsageFault: there is no such entry, or its provider gives no embeddings.
        """
        head = name.partition(":")[0]
        is_local = name.startswith(("package:", ".", "~")) or "/" in head
        catalog = self._catalog or Catalog(root / "fixtures" / "models.toml", {})
        (spec,) = catalog.choose([f"transformers:{name}" if is_local else name], folder, _FLAG)
        if not isinstance(spec.entry, EmbedderEntry):
            raise UsageFault(
                f'{_FLAG} "{name}" is a model of the provider "{spec.entry.provider}", which gives no embeddings; name '
                "one of transformers, or of openai and its presets."
            )
        return EmbedderSpec(name=name, entry=spec.entry)

    def vectors(self, embedder: EmbedderSpec, texts: Sequence[str]) -> list[Vector]:
        """Give the vector of each text; those not known yet are embedded in batches, with some of what is further.

        Raises:
            ModelFault: the embedder cannot be opened, or gives none.
        """
        key = embedder.key
        with self._lock:
            needed = [text for text in dict.fromkeys(texts) if (key, text) not in self._vectors]
            if needed:
                opened = self._open(embedder)
                further = dict.fromkeys(text for text in self.further() if (key, text) not in self._vectors)
                missing = list(dict.fromkeys([*needed, *further]))[: max(len(needed), BATCH)]
                for start in range(0, len(missing), BATCH):
                    batch = missing[start : start + BATCH]
                    before = opened.input_tokens
                    found = opened.embed(batch)
                    self._note(embedder, batch, before, opened.input_tokens)
                    self._vectors |= {(key, text): vector for text, vector in zip(batch, found, strict=True)}
                self._identities[key] = opened.identity
            return [self._vectors[key, text] for text in texts]

    def _note(self, embedder: EmbedderSpec, texts: Sequence[str], before: int | None, now: int | None) -> None:
        """Note a batch that an API embedded, by the tokens it has counted before and now."""
        if embedder.is_local:
            return
        tokens = None if now is None or now == before else now - (before or 0)
        known = self._work.get(embedder.key, EmbedderWork())
        self._work[embedder.key] = EmbedderWork(
            texts=known.texts + len(texts),
            input_tokens=known.input_tokens if tokens is None else tokens + (known.input_tokens or 0),
        )
        self.paid(embedder, texts, tokens)

    def work(self, embedder: EmbedderSpec) -> EmbedderWork | None:
        """Give what an API of embeddings was given; None for a local embedder, and where it was given nothing."""
        return self._work.get(embedder.key)

    def identity(self, embedder: EmbedderSpec) -> Identity | None:
        """Give what an embedder is, once it is opened; it stays known after it is closed."""
        return self._identities.get(embedder.key)

    def close(self) -> None:
        """Close what is open; it is opened again if it is wanted again."""
        with self._lock:
            while self._opened:
                self._opened.popitem()[1].close()

    def _open(self, embedder: EmbedderSpec) -> Embedder:
        key = embedder.key
        if key in self._faults:
            raise self._faults[key]
        if key not in self._opened:
            try:
                self._opened[key] = _opened(embedder.entry, self._settings)
            except ModelFault as fault:
                self._faults[key] = fault
                raise
        return self._opened[key]


def _nothing(*_: object) -> None:
    """Take no note."""


@cache
def shared_embedders() -> Embedders:
    """Give the embedders of this process."""
    return Embedders()


def cosine(one: Vector, other: Vector) -> float:
    """Give the cosine of two unit vectors, to four digits: the last ones depend on the batch."""
    return round(sum(a * b for a, b in zip(one, other, strict=True)), 4)


def _check(entry: EmbedderEntry) -> None:
    """Look for what an embedder needs.

    Raises:
        UsageFault: something is missing.
    """
    if isinstance(entry, TransformersEntry):
        from pytest_llmbench.models.transformers.embedding import check

        check(entry)
    else:
        from pytest_llmbench.models.openai.embedding import check as check_endpoint

        check_endpoint(entry)


def _opened(entry: EmbedderEntry, settings: OpenSettings) -> Embedder:
    if isinstance(entry, TransformersEntry):
        from pytest_llmbench.models.transformers.embedding import LocalEmbedder

        return LocalEmbedder(entry, settings)
    from pytest_llmbench.models.openai.embedding import EndpointEmbedder

    return EndpointEmbedder(entry, settings)
