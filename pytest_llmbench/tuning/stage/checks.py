"""What is checked in the process that holds the tokenized rows, before the first step.

Each check has met a trainer that went on without a word: another template than the run's, rows whose answer was
dropped, an answer without an end, an adapter that does not learn.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from pytest_llmbench.errors import UsageFault

CHECKED_ROWS = 16
"""Rows of each suite whose tokens are compared; templates differ in all rows or in none."""

Tokens = Sequence[int]
Decode = Callable[[Tokens], str]


class CheckFault(UsageFault):
    """A stage would train on something else than what is meant: what, and the way out."""


def check_prompts(of_trainer: Sequence[Tokens], of_run: Sequence[Tokens], names: Sequence[str], decode: Decode) -> None:
    """Compare prompts token by token with those that a run sends.

    Args:
        of_trainer: tokens of each prompt, as the trainer has them.
        of_run: the same, as a run sends them.
        names: the case of each.
        decode: of the tokenizer.

    Raises:
        CheckFault: one differs.
    """
    for mine, its, name in zip(of_run, of_trainer, names, strict=True):
        if list(mine) != list(its):
            at = next((place for place, pair in enumerate(zip(mine, its, strict=False)) if pair[0] != pair[1]), None)
            place = min(len(mine), len(its)) if at is None else at
            raise CheckFault(
                f'the prompt of case "{name}" is not the one that a run sends: from token {place} on it is '
                f"{decode(its[place : place + 8])!r} here and {decode(mine[place : place + 8])!r} in a run; train with "
                "the tokenizer and the chat template of the model, and leave chat_template_path out."
            )


def check_row_count(kept: int, written: int, max_length: object) -> None:
    """Compare the rows left after the trainer's own preparation with those that were written.

    Raises:
        CheckFault: the trainer dropped some.
    """
    if kept != written:
        raise CheckFault(
            f"the trainer drops {written - kept} of {written} rows, whose answers lie beyond max_length = "
            f'{max_length}; set max_length = "auto".'
        )


def check_answers(
    trained: Sequence[Tokens], texts: Sequence[str], ends: Collection[int], decode: Decode, names: Sequence[str]
) -> None:
    """Check that the loss sees each answer, whole, with an end token right behind it.

    Args:
        trained: the tokens that the loss sees, a row.
        texts: the answers, as they were written.
        ends: the tokens at which a run ends an answer.
        decode: of the tokenizer.
        names: the case of each row.

    Raises:
        CheckFault: one does not.
    """
    for place, (tokens, text, name) in enumerate(zip(trained, texts, names, strict=True)):
        end = next((at for at, token in enumerate(tokens) if token in ends), None)
        if end is None:
            raise CheckFault(
                f'no end token stands behind the answer of case "{name}" ({decode(tokens)!r}), so the model would '
                "never learn to stop; use a chat template that ends an answer with the end token of the model's "
                'generation config, and max_length = "auto".'
            )
        if place < CHECKED_ROWS and not decode(tokens[:end]).strip().endswith(text.strip()):
            raise CheckFault(
                f'the loss of case "{name}" sees {decode(tokens[:end])!r} and not its answer {text!r}; use the '
                "model's own chat template, and leave chat_template_path out."
            )


def check_trainable(names: Iterable[tuple[str, bool]], *, has_adapter: bool) -> None:
    """Check that something learns, and that with an adapter it is all of the adapter.

    Args:
        names: parameters with whether they learn.
        has_adapter: an adapter is trained, rather than the weights.

    Raises:
        CheckFault: nothing learns, or a part of the adapter does not.
    """
    parameters = list(names)
    if not any(learns for _, learns in parameters):
        raise CheckFault("nothing would learn: every weight is frozen; leave requires_grad and freezing options out.")
    # a copy of the adapter is the reference of a later stage, and stays as it is
    frozen = [name for name, learns in parameters if "lora_" in name and ".ref." not in name and not learns]
    if has_adapter and frozen:
        raise CheckFault(f"{len(frozen)} weights of the adapter are frozen, {frozen[0]} first; train all of it.")


def sampled(names: Sequence[str], suites: Sequence[str]) -> list[int]:
    """Choose the rows that are compared: the first of each suite."""
    seen: dict[str, int] = {}
    chosen = []
    for place, suite in enumerate(suites):
        seen[suite] = seen.get(suite, 0) + 1
        if seen[suite] <= CHECKED_ROWS:
            chosen.append(place)
    return chosen if len(names) else []
