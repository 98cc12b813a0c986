"""Rows that take the places of others: answers are those of rows alone, no padding is fed, and times are their own."""

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers

from counting_llama import (
    CACHE_ARGUMENT,
    HEADLINES,
    QUERIES,
    Counting,
    asked,
    generated,
    make_network,
    make_tokenizer,
    opened,
    two_suites,
    whole,
)
from pytest_llmbench.models.transformers.batch import Kept
from pytest_llmbench.models.transformers.kv_cache import ROOM_SLOTS
from pytest_llmbench.models.transformers.ragged import RAGGED, RaggedBatch, _alike, ready_for_ragged
from pytest_llmbench.runner.recheck import check_batching
from pytest_llmbench.values import Answer, AnswerError, Request

WORDS = ("One:", "Two:", "Six:", "Ten:", "Zoo:")


@pytest.fixture(scope="module")
def network() -> Counting:
    made = make_network()
    assert ready_for_ragged(made, CACHE_ARGUMENT)
    return made


def unequal() -> list[Request]:
    """Ask for answers of 1 to 30 tokens."""
    return [asked(HEADLINES + "x" * (place % 5) + "?", max_tokens=1 + place * 7 % 30) for place in range(14)]


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_two_suites_are_answered_as_alone(network: Counting, rows: int) -> None:
    """Greedy answers of two suites in one plan are those of generate(), however many rows there are."""
    requests = two_suites()

    answers = whole(opened(network, rows).answer(requests))

    alone = [generated(network, make_tokenizer(), request.prompt.text or "") for request in requests]
    assert [answer.text for answer in answers] == alone


def test_places_are_filled_again(network: Counting) -> None:
    """A row that is done is followed by another at once: passes are fewer than in batches, answers are the same."""
    requests = unequal()
    expected = [answer.text for answer in whole(opened(make_network(), 4).answer(requests))]

    answers = whole(opened(network, 4).answer(requests))

    assert [answer.text for answer in answers] == expected
    assert {answer.concurrency for answer in answers} == {4}
    n_tokens = sum(request.sampling.max_tokens for request in requests)
    assert len(network.fed) - 1 <= n_tokens / 4 + 30 / 2


def test_no_padding_is_fed(network: Counting) -> None:
    """The beginning is fed once, then of each row its rest and all tokens but the last; rows one by one guess nothing."""
    requests = unequal()

    opened(network, 1).answer(requests)

    n_rests = sum(len(request.prompt.text or "") - len(HEADLINES) for request in requests)
    n_fed_again = sum(request.sampling.max_tokens - 1 for request in requests)
    assert network.clock() == len(HEADLINES) + n_rests + n_fed_again


def test_guesses_change_no_answer() -> None:
    """Of rows that repeat themselves several tokens are taken in one pass, and they are those of rows alone."""
    network = make_network(spread=0.05)
    assert ready_for_ragged(network, CACHE_ARGUMENT)
    requests = [asked(HEADLINES + word, max_tokens=60) for word in WORDS]

    together = whole(opened(network, 5).answer(requests))
    n_passes = len(network.fed)
    alone = [whole(opened(network, 1).answer([request]))[0] for request in requests]

    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert [answer.output_tokens for answer in together] == [60] * 5
    assert n_passes < 50


@pytest.mark.parametrize("rows", [2, 4, 6])
def test_drawn_answers_are_of_their_rows_alone(network: Counting, rows: int) -> None:
    """Samples of one case feed their prompt once, and what is drawn depends on no neighbour and on no guess."""
    requests = [
        asked(HEADLINES + word, sample, max_tokens=12, temperature=0.7, top_p=0.9, seed=4)
        for word in ("One:", "Two:")
        for sample in range(3)
    ]

    together = whole(opened(network, rows).answer(requests))
    fed = network.fed[1]
    alone = [whole(opened(network, 1).answer([request]))[0] for request in requests]

    assert fed == (1, 4 if rows == 2 else 8)
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert len({answer.text for answer in together}) > 3


def test_time_begins_when_a_row_enters(network: Counting) -> None:
    """A row that waited has not waited in its time: here a token lasts a second, and a pass those of all its rows."""
    requests = [asked(HEADLINES + word, max_tokens=n) for word, n in (("One:", 3), ("Two:", 1), ("Sixteen:", 1))]

    answers = whole(opened(network, 2).answer(requests))

    # 4 + 4 of the first two; then the first row's token and the 8 of the third
    assert [answer.ttft_s for answer in answers] == [8, 8, 9]
    assert [answer.latency_s for answer in answers] == [8 + 9 + 1, 8, 9]
    assert [answer.concurrency for answer in answers] == [2, 2, 2]


def test_choices_are_those_of_batches(network: Counting) -> None:
    """Labels scored beside answers or instead of them have the probabilities they have in batches."""
    requests = [replace(asked(HEADLINES + word), labels=("yes", "no", "not at all")) for word in WORDS]
    picked = [replace(request, picks_label=True) for request in requests]
    plain = make_network()

    chosen = [replace(request, delimiter=" ") for request in picked]
    for several in (requests, picked, chosen):
        ours, theirs = whole(opened(network, 2).answer(several)), whole(opened(plain, 2).answer(several))
        assert [answer.text for answer in ours] == [answer.text for answer in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert one.label_logprobs == pytest.approx(other.label_logprobs, abs=1e-4)


def test_memory_for_fewer_rows(network: Counting) -> None:
    """Where memory does not hold the rows there are half as many; rows in flight begin again, those that wait wait."""
    requests = unequal()
    expected = [answer.text for answer in whole(opened(network, 1).answer(requests))]
    model = opened(network, 8)
    network.most_tokens = len(HEADLINES) + 2
    arrived: list[int] = []
    answers = whole(model.answer(requests, arrived=lambda index, answer: arrived.append(index)))

    assert [answer.text for answer in answers] == expected
    assert sorted(arrived) == list(range(len(requests)))


def test_a_broken_pass_ends_the_rows_in_it(network: Counting) -> None:
    """Rows that wait are answered, where those in flight met an error."""
    model = opened(network, 2)
    network.most_tokens = len(HEADLINES) + 1
    requests = [asked(HEADLINES + "x" * n + "?", max_tokens=2) for n in (1, 80, 2, 3)]

    answers = model.answer(requests)

    assert [isinstance(answer, Answer) for answer in answers] == [True, False, True, True]
    assert isinstance(answers[1], AnswerError)
    assert "no memory left" in answers[1].cause


def test_only_the_late_row_is_an_error(network: Counting) -> None:
    """A row whose time is over leaves, and the others go on."""
    model = opened(network, 2, timeout_s=20)
    requests = [asked(HEADLINES + word, max_tokens=n) for word, n in (("One:", 2), ("Two:", 40), ("Six:", 1))]

    in_time, late, after = model.answer(requests)

    assert isinstance(in_time, Answer)
    assert late == AnswerError(cause="no complete answer within 20 s; raise --llm-timeout", concurrency=2)
    assert isinstance(after, Answer)


def test_halt_between_two_passes(network: Counting) -> None:
    """When the run ends after the first answer, nothing more is fed."""
    halt = threading.Event()
    requests = [
        asked(beginning + word, max_tokens=n) for beginning in (HEADLINES, QUERIES) for word, n in (("A", 1), ("B", 9))
    ]

    answers = opened(network, 2).answer(requests, arrived=lambda index, answer: halt.set(), halt=halt)

    assert [isinstance(answer, Answer) for answer in answers] == [True, False, False, False]
    assert network.fed == [(1, len(HEADLINES)), (1, 2)]


def test_long_prompts_are_fed_beside_rows_that_grow(network: Counting) -> None:
    """A prompt longer than a pass is fed in pieces, while another row grows."""
    long = "a" * 390 + "?"
    requests = [asked("b" * 100, max_tokens=6), asked(long, max_tokens=2), asked("c" * 200, max_tokens=3)]

    answers = whole(opened(network, 3, is_sharing=False).answer(requests))

    assert network.fed[0] == (1, 512)
    assert [answer.text for answer in answers] == [
        generated(network, make_tokenizer(), request.prompt.text or "", request.sampling.max_tokens)
        for request in requests
    ]


def test_checking_finds_nothing(network: Counting) -> None:
    """Requests asked again alone give the same answers."""
    requests = two_suites()
    model = opened(network, 8)

    assert check_batching(model, requests, model.answer(requests), 3) == ()


def test_memory_is_rows_times_the_longest(network: Counting) -> None:
    """The cache has a place for each row and as many slots as the longest row, with some room to grow."""
    batch = RaggedBatch(network, CACHE_ARGUMENT, 3)
    batch.add(3, Kept(), 0)

    for n_tokens in (40, 60, 100):
        batch.feed([[7] * n_tokens, [7], []], [1, 0, 0])
        batch.drop(2)
        batch.add(1, Kept(), 0)

    rows, _, slots, _ = batch._cache.layers[0].roomy[0].shape
    assert batch.lengths == [200, 3, 0]
    assert rows == 3
    assert slots <= 200 + max(ROOM_SLOTS, 200 // 4)


@pytest.mark.parametrize(
    ("n_tokens", "parts"),
    [
        ([1, 1, 1], [(0, 3)]),
        ([1, 0, 1], [(0, 1), (2, 3)]),
        ([1, 1, 30, 32], [(0, 2), (2, 4)]),
        ([0, 0], []),
    ],
)
def test_rows_fed_alike_are_computed_together(n_tokens: list[int], parts: list[tuple[int, int]]) -> None:
    """Neighbours with about as many tokens are one part; rows that are fed nothing are in none."""
    assert [(part.start, part.stop) for part in _alike(n_tokens)] == parts


def test_a_network_that_computes_something_else_stays_as_it_was() -> None:
    """Where rows side by side are not what rows below each other are, or attention is another, nothing is changed."""

    class Strange(Counting):
        def forward(self, input_ids: Any, position_ids: Any = None, logits_to_keep: int = 0, **rest: Any) -> Any:
            output = super().forward(input_ids, position_ids, logits_to_keep, **rest)
            output.logits = output.logits * len(input_ids)
            return output

    strange = Strange(make_network().config).eval()
    eager = make_network()
    eager.set_attn_implementation("eager")

    assert not ready_for_ragged(strange, CACHE_ARGUMENT)
    assert not ready_for_ragged(eager, CACHE_ARGUMENT)
    assert strange.config._attn_implementation == "sdpa"
    assert eager.config._attn_implementation == "eager"


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "opt", "gemma"])
def test_architectures(kind: str) -> None:
    """Rows of networks with learned positions, biases, or many query heads are computed as they are alone."""
    torch.manual_seed(3)
    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    configs: dict[str, Any] = {
        "gpt2": lambda: transformers.GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=4),
        "qwen2": lambda: transformers.Qwen2Config(**sizes, num_key_value_heads=2, intermediate_size=32),
        "opt": lambda: transformers.OPTConfig(**sizes, ffn_dim=32, word_embed_proj_dim=16),
        "gemma": lambda: transformers.GemmaConfig(**sizes, num_key_value_heads=1, head_dim=8, intermediate_size=32),
    }
    made = transformers.AutoModelForCausalLM.from_config(configs[kind]()).eval()

    assert ready_for_ragged(made, CACHE_ARGUMENT)
    assert made.config._attn_implementation == RAGGED
