"""What APIs of embeddings cost: the words, and the sums over the processes of a run."""

import json
from dataclasses import replace

import pytest

from pytest_llmbench.report.embedding import embedding_lines
from pytest_llmbench.results.merged_info import merged_run_info
from pytest_llmbench.results.records import EmbeddingUse, RunInfo, TokenPrice
from pytest_llmbench.results.run_json import run_info_from_json, run_info_to_json

USE = EmbeddingUse(texts=3, input_tokens=1200, price=TokenPrice(input_per_million=0.5, output_per_million=0))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (USE, "3 texts, 1,200 tokens, $0.0006"),
        (replace(USE, texts=1, input_tokens=1), "1 text, 1 token, $0.0000005"),
        (
            replace(USE, price=None),
            "3 texts, 1,200 tokens; the cost is unknown: add a price to its entry in the models ",
        ),
        (replace(USE, input_tokens=None), "3 texts; the cost is unknown: the server counts no tokens"),
    ],
)
def test_the_cost_of_an_embedder_is_a_line(use: EmbeddingUse, words: str) -> None:
    """With why it is not known, where it is not."""
    (line,) = embedding_lines(RunInfo(embedding={"ada": use}))

    assert line.startswith(f"embedder ada: {words}")


def test_the_processes_of_a_run_are_summed_up() -> None:
    """What was counted in one of them is not lost by another that counts nothing; the file holds it."""
    silent = replace(USE, input_tokens=None)
    several = [RunInfo(embedding=uses) for uses in ({"a": USE, "b": silent}, {"a": USE}, {"a": silent, "b": silent})]

    merged = merged_run_info(several)

    assert merged.embedding == {"a": replace(USE, texts=9, input_tokens=2400), "b": replace(silent, texts=6)}
    assert run_info_from_json(json.loads(json.dumps(run_info_to_json(merged)))) == merged
