"""The probability of labels, against a softmax over the whole text computed here."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pytest_llmbench.models.base import Identity
from pytest_llmbench.models.transformers.batch import CACHE_ARGUMENTS
from pytest_llmbench.models.transformers.decoding import Loaded
from pytest_llmbench.models.transformers.label_scoring import label_tokens
from pytest_llmbench.models.transformers.model import TransformersModel
from pytest_llmbench.values import Answer, AnswerError, Prompt, Request, Sampling

LLAMA_TAKES = inspect.signature(transformers.LlamaForCausalLM.forward).parameters
CACHE_ARGUMENT = next(name for name in CACHE_ARGUMENTS if name in LLAMA_TAKES)
CONTEXT = 120
SHOTS = "You will not believe it: yes\nThe senate votes on water: no\n"
PROMPTS = (SHOTS + "Nine cats who know:", "A", SHOTS + "Rain, in the north:", "The quick brown fox ", SHOTS + "Zebras:")
MERGES = [("e", "s"), ("y", "es"), ("Y", "es"), ("n", "o"), ("Ġ", "yes"), ("Ġ", "no")]
CASED = {
    "yes": ("yes", "Yes", "YES", " yes", " Yes", " YES"),
    "no": ("no", "No", "NO", " no", " No", " NO"),
    "no idea": ("no idea", "No idea", "NO IDEA", " no idea", " No idea", " NO IDEA"),
    "maybe": ("maybe", "Maybe", "MAYBE", " maybe", " Maybe", " MAYBE"),
}


def make_tokenizer() -> Any:
    """Make every byte a token, and "yes", "Yes", " yes", "no" and " no" too."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merged = [one + other for one, other in MERGES]
    vocabulary = {token: place for place, token in enumerate(["<s>", "</s>", "<pad>", *letters, *merged])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


TOKENIZER = make_tokenizer()


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(5)
    config = transformers.LlamaConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        eos_token_id=1,
    )
    return transformers.LlamaForCausalLM(config).eval()


def opened(network: Any, rows: int = 4, *, is_sharing: bool = True) -> TransformersModel:
    return TransformersModel(
        Loaded(network=network, tokenizer=TOKENIZER, cache_argument=CACHE_ARGUMENT, is_sharing=is_sharing),
        identity=Identity(provider="transformers", model="double"),
        concurrency=rows,
    )


def asked(text: str, *labels: str, picks_label: bool = True, max_tokens: int = 6) -> Request:
    return Request(
        suite="s",
        case="c",
        sample=0,
        prompt=Prompt(text=text),
        sampling=Sampling(max_tokens=max_tokens),
        labels=labels,
        picks_label=picks_label,
    )


def whole(answers: Sequence[Answer | AnswerError]) -> list[Answer]:
    assert [answer for answer in answers if isinstance(answer, AnswerError)] == []
    return [answer for answer in answers if isinstance(answer, Answer)]


def share(network: Any, prompt: str, text: str) -> float:
    """Compute the probability of a text after a prompt in one pass, without any cache."""
    before = TOKENIZER(prompt)["input_ids"]
    after = TOKENIZER(text)["input_ids"]
    with torch.inference_mode():
        logits = network(torch.tensor([before + after])).logits[0]
    shares = torch.log_softmax(logits.double(), dim=-1)
    return math.exp(sum(float(shares[len(before) - 1 + place, token]) for place, token in enumerate(after)))


def shares(network: Any, prompt: str, label: str) -> float:
    return sum(share(network, prompt, form) for form in CASED[label])


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("is_sharing", [True, False])
@pytest.mark.parametrize("labels", [("yes", "no"), ("maybe", "yes"), ("no",)])
def test_choices_are_a_log_softmax(network: Any, rows: int, is_sharing: bool, labels: tuple[str, ...]) -> None:
    """A label's probability is the sum over its forms of the product of their tokens', in any batch."""
    answers = whole(opened(network, rows, is_sharing=is_sharing).answer([asked(text, *labels) for text in PROMPTS]))

    for text, answer in zip(PROMPTS, answers, strict=True):
        expected = {label: math.log(shares(network, text, label)) for label in labels}
        assert answer.label_logprobs == pytest.approx(expected, abs=1e-4)
        assert answer.text == max(labels, key=lambda label: expected[label])


def test_answer_of_a_choice(network: Any) -> None:
    """The likeliest label is the answer; no token is generated, and none comes first."""
    (answer,) = whole(opened(network).answer([asked("A", "yes", "no")]))

    assert (answer.finish_reason, answer.input_tokens, answer.output_tokens) == ("choice", 1, 0)
    assert answer.ttft_s is None
    assert answer.latency_s is not None
    assert answer.latency_s > 0


def test_choice_that_another_begins_with(network: Any) -> None:
    """An answer counts for the longest label it begins with, so "no" is without "no idea"."""
    for text in PROMPTS:
        (answer,) = whole(opened(network).answer([asked(text, "no", "no idea", "yes")]))

        assert answer.label_logprobs is not None
        told = {label: math.exp(logprob) for label, logprob in answer.label_logprobs.items()}
        without = shares(network, text, "no") - shares(network, text, "no idea")
        assert told == pytest.approx(
            {"no": without, "no idea": shares(network, text, "no idea"), "yes": shares(network, text, "yes")}, rel=1e-3
        )
        assert sum(told.values()) < 1


def test_choices_exclude_each_other(network: Any) -> None:
    """Even many labels, some the beginnings of others, sum to less than 1, for an answer counts for one of them."""
    tokens = [TOKENIZER.decode([token]) for token in range(len(TOKENIZER))]
    writable = [text for text in tokens if text.isascii() and text.isalpha() and text.islower()]
    (answer,) = whole(opened(network).answer([asked("A", *writable)]))

    assert answer.label_logprobs is not None
    assert len(answer.label_logprobs) == 26 + 3
    assert 0.1 < sum(math.exp(logprob) for logprob in answer.label_logprobs.values()) < 1


def test_choices_beside_an_answer(network: Any) -> None:
    """Where labels are only observed, the answer is as without them, and their probabilities as of choosing."""
    model = opened(network, 3)
    labels = ("maybe", "no")

    plain = whole(model.answer([asked(text, picks_label=False) for text in PROMPTS]))
    observed = whole(model.answer([asked(text, *labels, picks_label=False) for text in PROMPTS]))
    chosen = whole(model.answer([asked(text, *labels) for text in PROMPTS]))

    assert [answer.text for answer in observed] == [answer.text for answer in plain]
    assert [answer.label_logprobs for answer in plain] == [None] * 5
    for one, other in zip(observed, chosen, strict=True):
        assert one.label_logprobs == pytest.approx(other.label_logprobs, abs=1e-4)


def test_choosing_and_generating_in_one_plan(network: Any) -> None:
    """Requests of both kinds are answered in one call, each in its way."""
    requests = [asked(text, "yes", "no", picks_label=place % 2 == 0) for place, text in enumerate(PROMPTS)]

    answers = whole(opened(network).answer(requests))

    assert [answer.finish_reason == "choice" for answer in answers] == [True, False, True, False, True]


def test_choices_that_differ_in_case(network: Any) -> None:
    """Choices that differ in nothing but case count as they are written, with and without a blank."""
    (answer,) = whole(opened(network).answer([asked("A", "b", "B")]))

    expected = {label: math.log(sum(share(network, "A", blank + label) for blank in ("", " "))) for label in "bB"}
    assert answer.label_logprobs == pytest.approx(expected, abs=1e-4)


def test_forms() -> None:
    """A label counts as written, in lower and upper case and capitalised, each with and without a blank."""
    tokens = label_tokens(["Yes"], TOKENIZER)

    assert {TOKENIZER.decode(form) for form in tokens.forms["Yes"]} == set(CASED["yes"])
    assert tokens.longest == 4


def test_forms_of_a_tokenizer_that_puts_a_blank_first() -> None:
    """A tokenizer of the SentencePiece kind writes a blank before a text; the form without it has none."""
    vocabulary = {token: place for place, token in enumerate(["<unk>", "▁", "\n", *"noNO"])}
    spaced = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    spaced.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    spaced.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=spaced, unk_token="<unk>")

    forms = label_tokens(["no"], tokenizer).forms["no"]

    assert [tokenizer.convert_ids_to_tokens(form) for form in forms] == [
        ["n", "o"],
        ["▁", "n", "o"],
        ["N", "O"],
        ["▁", "N", "O"],
        ["N", "o"],
        ["▁", "N", "o"],
    ]
    with pytest.raises(ValueError, match=r'^the label "x" cannot be written in the tokens of this model$'):
        label_tokens(["no", "x"], tokenizer)


def test_faults_are_those_of_their_request(network: Any) -> None:
    """What cannot be scored is an error where the label is the answer, and untold where it is observed."""
    long = "x" * CONTEXT

    answers = opened(network).answer(
        [
            asked("A"),
            asked("A", " "),
            asked(long, "maybe"),
            asked("A", " ", picks_label=False),
            asked(long, "maybe", picks_label=False, max_tokens=1),
            asked(long[1:], "n"),
        ]
    )

    assert [answer.cause for answer in answers[:3] if isinstance(answer, AnswerError)] == [
        "The labels cannot be scored: there are none",
        'The labels cannot be scored: ValueError: the label " " cannot be written in the tokens of this model',
        "The prompt with its labels has 125 tokens and the model's context only 120; "
        "shorten the case, or take a model with a longer context.",
    ]
    observed = whole(answers[3:])
    assert [answer.label_logprobs is None for answer in observed] == [True, True, False]


def test_numbers_that_are_none(network: Any) -> None:
    """A network that computes no numbers gives an error, not a label."""
    broken = transformers.LlamaForCausalLM(network.config).eval()
    broken.model.norm.weight.data[:] = float("nan")

    answers = opened(broken).answer([asked("A", "yes", "no")])

    cause = 'FloatingPointError: the network computes "not a number"; try dtype = "float32"'
    assert answers == (AnswerError(cause=cause, concurrency=1),)


def test_impossible_choice_has_a_logarithm(network: Any) -> None:
    """A label whose probability is too small for a number has a finite logarithm, as JSON needs."""
    sure = transformers.LlamaForCausalLM(network.config).eval()
    sure.lm_head.weight.data.mul_(1e6)

    (answer,) = whole(opened(sure).answer([asked("A", "yes", "no", "maybe")]))

    assert answer.label_logprobs is not None
    assert all(math.isfinite(logprob) for logprob in answer.label_logprobs.values())


def test_recurrent_layers() -> None:
    """A network with recurrent layers scores labels of several tokens, and goes on as if it had not."""
    torch.manual_seed(5)
    config = transformers.Lfm2Config(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention", "conv"],
        initializer_range=0.3,
        eos_token_id=1,
        bos_token_id=0,
        pad_token_id=2,
    )
    recurrent = transformers.Lfm2ForCausalLM(config).eval()
    model = opened(recurrent, 1, is_sharing=False)

    (plain,) = whole(model.answer([asked("A", picks_label=False)]))
    (observed,) = whole(model.answer([asked("A", "maybe", "no", picks_label=False)]))

    expected = {label: math.log(shares(recurrent, "A", label)) for label in ("maybe", "no")}
    assert observed.label_logprobs == pytest.approx(expected, abs=1e-4)
    assert observed.text == plain.text
