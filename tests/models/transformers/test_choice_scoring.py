"""The probability of choices, against a softmax over the whole text computed here."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pytest_llmbench.models.base import Identity
from pytest_llmbench.models.transformers.batch import cache_argument
from pytest_llmbench.models.transformers.choice_scoring import choice_tokens
from pytest_llmbench.models.transformers.decoding import Loaded
from pytest_llmbench.models.transformers.model import TransformersModel
from pytest_llmbench.values import Answer, AnswerError, Prompt, Request, Sampling

CONTEXT = 120
MERGES = [("o", "n"), ("e", "s"), ("Ġ", "a"), (":", "x")]
SHOTS = "Sheep say: baa\nCows say: moo\n"
CASES = (
    (SHOTS + "Dogs say:", (" ", ("bark", "bark twice", "meow"))),
    (SHOTS + "Cats say: ", ("", ("meow", "a", "purr on and on"))),
    ("A", ("", ("b", "c"))),
    ("Axes:", ("", ("xyz", "yes", "no"))),
    (SHOTS + "Mice say:", (" ", ("squeak", "squeak"))),
)


def make_tokenizer() -> Any:
    """Make every byte a token, and a few pairs; ":x" is one that joins a prompt with a choice."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "</s>", *letters, *(one + other for one, other in MERGES)]
    tokenizer = Tokenizer(models.BPE(vocab={token: place for place, token in enumerate(tokens)}, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", bos_token="<s>")


TOKENIZER = make_tokenizer()


def ids_of(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER(text)["input_ids"])


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


def opened(network: Any, rows: int, *, is_sharing: bool = True) -> TransformersModel:
    argument = cache_argument(network)
    assert argument is not None
    return TransformersModel(
        Loaded(network=network, tokenizer=TOKENIZER, cache_argument=argument, is_sharing=is_sharing),
        identity=Identity(provider="transformers", model="double"),
        concurrency=rows,
    )


def asked(text: str, delimiter: str | None, choices: Sequence[str]) -> Request:
    return Request(
        suite="s",
        case="c",
        sample=0,
        prompt=Prompt(text=text),
        sampling=Sampling(max_tokens=3),
        labels=tuple(choices),
        picks_label=delimiter is not None,
        delimiter=delimiter,
    )


def logprob(network: Any, prompt: str, continuation: str) -> float:
    """Compute it in one pass, without any cache; blanks at the end of the prompt are of the continuation."""
    before = ids_of(prompt.rstrip())
    begin = len(before)
    whole = before + ids_of(prompt + continuation)[begin:]
    with torch.inference_mode():
        logits = network(torch.tensor([whole])).logits[0]
    shares = torch.log_softmax(logits.double(), dim=-1)
    return sum(float(shares[place - 1, whole[place]]) for place in range(begin, len(whole)))


@pytest.mark.parametrize(("rows", "is_sharing"), [(1, True), (3, False), (8, True)])
def test_a_choice_has_the_probability_of_all_its_tokens(network: Any, rows: int, is_sharing: bool) -> None:
    """In any batch, behind any delimiter, and where the tokenizer joins prompt and choice."""
    requests = [asked(text, *given) for text, given in CASES]
    requests.insert(2, asked("A", None, ()))  # one that writes, between them

    answers = [one for one in opened(network, rows, is_sharing=is_sharing).answer(requests) if isinstance(one, Answer)]

    assert len(answers) == len(requests)
    assert answers.pop(2).label_logprobs is None
    for (text, (delimiter, choices)), answer in zip(CASES, answers, strict=True):
        expected = {choice: logprob(network, text, delimiter + choice) for choice in choices}
        assert answer.label_logprobs == pytest.approx(expected, abs=1e-4)
        assert answer.text == max(choices, key=lambda choice: expected[choice])
        assert (answer.output_tokens, answer.finish_reason) == (0, "choice")


def test_what_has_no_tokens_is_an_error(network: Any) -> None:
    """A prompt that is blank, a choice that is none, and a case longer than the context."""
    requests = [asked(" ", "", ["a", "b"]), asked("A", "", ["", "b"]), asked("A" * (CONTEXT - 1), " ", ["on and", "a"])]

    answers = opened(network, 2).answer(requests)

    assert [answer.cause for answer in answers if isinstance(answer, AnswerError)] == [
        "The choices cannot be scored: ValueError: the prompt is blank",
        'The choices cannot be scored: ValueError: the choice "" has no tokens of its own in this model',
        f"The prompt with its choices has {CONTEXT + 3} tokens and the model's context only {CONTEXT}; shorten the "
        "case, or take a model with a longer context.",
    ]


def test_tokens_are_those_that_the_harness_takes() -> None:
    """The tokens of a choice begin where the prompt's end, also where the tokenizer joins both."""
    found = choice_tokens("Axes: ", ids_of, ("a", "yes"), "")
    joined = choice_tokens("Axes:", ids_of, ("xyz", "yes"), "")

    assert found.prompt == joined.prompt == ids_of("Axes:")
    assert found.rests == {"a": ids_of(" a"), "yes": ids_of(" yes")}
    assert joined.rests == {"xyz": ids_of("yz"), "yes": ids_of("yes")}
