"""What APIs of embeddings were given by checks, and what it cost, in a line an embedder. Pure functions."""

from collections.abc import Iterator

from pytest_llmbench.report.format import counted, dollars
from pytest_llmbench.results.records import EmbeddingUse, RunInfo


def embedding_lines(facts: RunInfo) -> Iterator[str]:
    """Write what each embedder behind an API was given; nothing where there was none."""
    for name, use in facts.embedding.items():
        yield f"embedder {name}: {embedding_text(use)}"


def embedding_text(use: EmbeddingUse) -> str:
    """Give how much was embedded, and what it cost as far as that is known."""
    texts = counted(use.texts, "text")
    if use.input_tokens is None:
        return f"{texts}; the cost is unknown: the server counts no tokens"
    found = f"{texts}, {counted(use.input_tokens, 'token')}"
    if use.usd is None:
        return f"{found}; the cost is unknown: add a price to its entry in the models file"
    return f"{found}, {dollars(use.usd)}"
