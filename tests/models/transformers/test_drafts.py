"""What a row will choose next is guessed from what followed the same tokens before in it."""

from pytest_llmbench.models.transformers.drafts import MOST_TOKENS, Drafts

LOOP = (1, 2, 3, 4)


def test_what_followed_is_guessed() -> None:
    """After three tokens that occurred before comes what came then; the latest place counts."""
    drafts = Drafts((1, 2, 3, 7, 8, 1, 2, 3, 9))

    assert drafts.guess((5, 1, 2, 3), 1) == (9,)


def test_nothing_is_guessed_from_nothing() -> None:
    """Tokens that did not occur before, short prompts, and no room for a guess give none."""
    assert Drafts((1, 2, 3, 4, 5)).guess((6,), 4) == ()
    assert Drafts(()).guess((1, 2, 3), 4) == ()
    assert Drafts(LOOP * 3).guess((), 0) == ()
    assert Drafts(LOOP * 3).guess((), -1) == ()


def test_right_guesses_grow() -> None:
    """A right guess is followed by one twice as long, up to a limit; a wrong one by as many tokens as were right."""
    drafts = Drafts(LOOP * 9)
    lengths = []

    for n_right in (1, 2, 4, 8, 8, 3, 3, 0, 0):
        guess = drafts.guess((), 100)
        lengths.append(len(guess))
        drafts.learn(len(guess), n_right)

    assert lengths == [1, 2, 4, MOST_TOKENS, MOST_TOKENS, MOST_TOKENS, 3, 6, 1]


def test_answers_are_read_as_they_grow() -> None:
    """The tokens of the answer are looked up like those of the prompt."""
    drafts = Drafts((9,))

    assert drafts.guess((1, 2, 3), 4) == ()
    assert drafts.guess((1, 2, 3, 4, 1, 2), 4) == ()
    assert drafts.guess((1, 2, 3, 4, 1, 2, 3), 4) == (4,)
