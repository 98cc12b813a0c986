"""The checks before the first step, each on tokens that are wrong in its way."""

import pytest

from pytest_llmbench.tuning.stage.checks import (
    CheckFault,
    check_answers,
    check_prompts,
    check_row_count,
    check_trainable,
    sampled,
)

END = 0


def decode(tokens: object) -> str:
    return "".join(chr(token) if token else "<end>" for token in tokens)  # type: ignore[attr-defined]


def encode(text: str) -> list[int]:
    return [ord(letter) for letter in text]


@pytest.mark.parametrize(
    ("of_trainer", "shown"),
    [
        ("<s>Title", "from token 0 on it is '<s>Title' here and 'Title' in a run"),
        ("Tit", "from token 3 on it is '' here and 'le' in a run"),
        ("Titled", "from token 5 on it is 'd' here and '' in a run"),
    ],
)
def test_another_prompt_than_the_runs(of_trainer: str, shown: str) -> None:
    """A second beginning-of-text token, an end that merged with the answer, a longer one: the place is named."""
    with pytest.raises(CheckFault) as fault:
        check_prompts([encode("same"), encode(of_trainer)], [encode("same"), encode("Title")], ["a", "b"], decode)

    assert f'the prompt of case "b" is not the one that a run sends: {shown}' in str(fault.value)


def test_rows_that_the_trainer_dropped() -> None:
    """TRL drops rows whose answers lie beyond max_length without a word."""
    check_row_count(5, 5, 64)

    with pytest.raises(CheckFault, match=r'drops 3 of 5 rows, .* max_length = 64; set max_length = "auto"'):
        check_row_count(2, 5, 64)


def test_an_answer_without_an_end() -> None:
    """The model would never learn to stop."""
    check_answers([[*encode("no"), END, 10]], ["no"], {END}, decode, ["a"])

    with pytest.raises(CheckFault, match=r"no end token stands behind the answer of case \"a\" \('no'\)"):
        check_answers([encode("no")], ["no"], {END}, decode, ["a"])


def test_a_loss_that_sees_something_else() -> None:
    """The answers of the examples in a prompt are not to be learnt; what a template writes before an answer may be."""
    check_answers([[*encode("<think></think>no"), END]], ["no"], {END}, decode, ["a"])

    with pytest.raises(CheckFault, match=r"the loss of case \"a\" sees 'yes' and not its answer 'no'"):
        check_answers([[*encode("yes"), END, *encode("no"), END]], ["no"], {END}, decode, ["a"])


def test_nothing_that_learns() -> None:
    """Neither a model that is frozen whole, nor an adapter of which a part is; the frozen reference may be there."""
    check_trainable([("base", False), ("q.lora_A.default", True), ("q.lora_A.ref.weight", False)], has_adapter=True)

    with pytest.raises(CheckFault, match="nothing would learn"):
        check_trainable([("a", False)], has_adapter=False)
    with pytest.raises(CheckFault, match=r"1 weights of the adapter are frozen, q.lora_A first"):
        check_trainable([("q.lora_A", False), ("q.lora_B", True)], has_adapter=True)


def test_some_rows_of_each_suite_are_compared() -> None:
    """Sixteen of each, in their order."""
    suites = ["a"] * 20 + ["b"] * 3

    assert sampled(suites, suites) == [*range(16), 20, 21, 22]
