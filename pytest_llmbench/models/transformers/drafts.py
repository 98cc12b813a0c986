"""Guesses of the tokens that a row will choose next: those that followed the same ones before in it.

A model that repeats itself or its prompt is so fed several tokens in one pass.  What it would have chosen is compared
with the guess token by token, so an answer is the same with guesses and without.  Source: prompt lookup decoding
(Saxena, 2023), speculative decoding without a second model.
"""

from collections.abc import Sequence

from pytest_llmbench.models.transformers.prefixes import Tokens

KEY_TOKENS = 3
"""So many tokens must have occurred before for what followed them to be guessed."""

MOST_TOKENS = 8
"""Most tokens guessed at once."""


class Drafts:
    """The guesses of one row.

    The first is of one token; the next are of twice as many after a right one, else of as many as were right.

    Args:
        prompt: of the row.
    """

    def __init__(self, prompt: Tokens):
        self._text = list(prompt)
        self._n_prompt = len(prompt)
        self._n_entered = KEY_TOKENS
        self._followed: dict[Tokens, int] = {}
        self._reach = 1

    def guess(self, tokens: Sequence[int], limit: int) -> Tokens:
        """Guess at most `limit` of what follows the tokens of the answer so far."""
        self._text += tokens[len(self._text) - self._n_prompt :]
        # What follows the last ones is not known yet, so they are entered the next time.
        for end in range(self._n_entered, len(self._text)):
            self._followed[tuple(self._text[end - KEY_TOKENS : end])] = end
        self._n_entered = max(KEY_TOKENS, len(self._text))
        place = self._followed.get(tuple(self._text[-KEY_TOKENS:]))
        if place is None:
            return ()
        # What is repeated may be shorter than the guess.
        period = len(self._text) - place
        return tuple(self._text[place + step % period] for step in range(min(limit, self._reach)))

    def learn(self, n_guessed: int, n_right: int) -> None:
        """Note how much of a guess was right."""
        if n_guessed:
            self._reach = min(MOST_TOKENS, 2 * n_right) if n_right == n_guessed else max(1, n_right)
