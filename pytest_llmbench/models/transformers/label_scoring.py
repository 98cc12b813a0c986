"""The probability of given texts as the answer: which token sequences count as which label.

A label counts in these forms: as written, in lower case, in upper case and with its first letter
in upper case, each with and without a blank before it, whatever the prompt ends in.  Labels that
differ in nothing but case count only as written (with and without the blank).  A form is taken in
the tokens the tokenizer writes it with; spellings in other pieces are not counted.

The probability of a form is the product of those of its tokens, by the model's own distribution
(no temperature, no top_p), and those of a label's forms are summed.  Nothing is divided by length.
What an answer begins with decides, and the longest form does: where the tokens of "no" are the
beginning of those of "no idea", the probability of "no" is without that of "no idea".  So the
probabilities of different labels are of events that exclude each other, and sum to at most 1; the
rest is on neither.  What comes after a form does not matter: "no" counts in "no, never" too.

A form of several tokens is left out if its first token has less than a thousandth of the probability
that the label's forms of one token have, which it could not change by more; its tokens need not be fed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmbench.models.label_forms import forms_of
from pytest_llmbench.models.transformers.batch import NOT_A_NUMBER
from pytest_llmbench.models.transformers.fed import Fed
from pytest_llmbench.models.transformers.prefixes import Tokens

_LEAD = "\n"
"""Before a form while it is put into tokens: no tokenizer joins a line's end with a word, some join ":"."""

_NEGLIGIBLE = 1e-3

_LEAST = 5e-324
"""The least probability reported, so that a logarithm is always a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTokens:
    """The token sequences that count as each label; no sequence belongs to two."""

    forms: Mapping[str, tuple[Tokens, ...]]

    @property
    def all_forms(self) -> tuple[Tokens, ...]:
        """The forms of all labels."""
        return tuple(form for forms in self.forms.values() for form in forms)

    @property
    def longest(self) -> int:
        """The number of tokens of the longest form."""
        return max(len(form) for form in self.all_forms)


def label_tokens(labels: Sequence[str], tokenizer: Any) -> LabelTokens:
    """Put the forms of labels into tokens.

    Raises:
        ValueError: the tokenizer cannot write a label, or writes two in the same tokens.
    """
    owner: dict[Tokens, str] = {}
    forms: dict[str, tuple[Tokens, ...]] = {}
    for label in dict.fromkeys(labels):
        written = [_tokens(text, tokenizer) for text in forms_of(label, labels)]
        forms[label] = tuple(dict.fromkeys(form for form in written if form))
        if not forms[label]:
            raise ValueError(f'the label "{label}" cannot be written in the tokens of this model')
        for form in forms[label]:
            if owner.setdefault(form, label) != label:
                raise ValueError(f'the labels "{owner[form]}" and "{label}" have the same tokens in this model')
    return LabelTokens(forms=forms)


def _tokens(text: str, tokenizer: Any) -> Tokens:
    """Return the tokens of a text that goes on after others; none if they do not decode to the text."""
    lead = tokenizer(_LEAD, add_special_tokens=False)["input_ids"]
    whole = tokenizer(_LEAD + text, add_special_tokens=False)["input_ids"]
    if lead and whole[: len(lead)] == lead:
        tokens, decoded = whole[len(lead) :], _decoded(whole, tokenizer).removeprefix(_decoded(lead, tokenizer))
    else:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        decoded = _decoded(tokens, tokenizer)
    return tuple(tokens) if decoded == text else ()


def _decoded(tokens: Sequence[int], tokenizer: Any) -> str:
    text: str = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
    return text


def score_labels(batch: Fed, rows: Sequence[LabelTokens | None], size: int) -> tuple[Mapping[str, float] | None, ...]:
    """Return the logarithm of the probability of each row's labels as what comes next.

    Forms of one token are read from the logits the batch has.  Others are fed, but for their last
    token, to copies of their rows, `size` at a time; the batch itself stays as it is.

    Args:
        batch: rows whose prompts have been fed.
        rows: of each of them the labels, None where none are wanted.
        size: copies fed at once.

    Raises:
        FloatingPointError: the network does not compute numbers any more.
    """
    if all(labels is None for labels in rows):
        return (None,) * len(rows)
    scores = _Scores(batch.logits)
    wanted = []
    kept: list[LabelTokens | None] = []
    for place, labels in enumerate(rows):
        kept.append(None if labels is None else scores.begin(place, batch.logits[place], labels))
        forms = kept[-1].all_forms if kept[-1] is not None else ()
        fed = {form[:-1] for form in forms if len(form) > 1}
        # What is the beginning of another is read on the way.
        wanted += [(place, form, forms) for form in fed if not any(_extends(other, form) for other in fed)]
    wanted.sort(key=lambda want: (len(want[1]), want[0], want[1]))
    for first in range(0, len(wanted), size):
        chunk = wanted[first : first + size]
        longest = max(len(form) for _, form, _ in chunk)
        # Padding on the right: attention to the past alone never sees what comes after.
        ids = [[*form, *[0] * (longest - len(form))] for _, form, _ in chunk]
        ahead = batch.look_ahead([place for place, _, _ in chunk], ids)  # [chunk, T, V]
        for logits, (place, form, forms) in zip(ahead, chunk, strict=True):
            for length in range(1, len(form) + 1):
                scores.read(place, form[:length], logits[length - 1], forms)
    return tuple(
        None if labels is None else {label: scores.logprob(place, label, labels) for label in labels.forms}
        for place, labels in enumerate(kept)
    )


class _Scores:
    """The logarithms of the probabilities of tokens after what precedes them, as far as they were read."""

    def __init__(self, logits: Any):
        self._next: dict[tuple[int, Tokens], float] = {}
        # Of all rows at once: the sum over the vocabulary is what costs.
        self._first_sums: list[float] = logits.double().logsumexp(dim=-1).tolist()

    def begin(self, place: int, logits: Any, labels: LabelTokens) -> LabelTokens:
        """Read from the logits [V] after a row's prompt; give the labels without forms that cannot matter."""
        self.read(place, (), logits, labels.all_forms)
        forms = {}
        for label, own in labels.forms.items():
            enough = _NEGLIGIBLE * sum(self._share(place, form) for form in own if len(form) == 1)
            forms[label] = tuple(
                form
                for form in own
                if len(form) == 1
                or self._share(place, form[:1]) >= enough
                or any(_extends(form, other) for other in labels.all_forms)
            )
        return LabelTokens(forms=forms)

    def read(self, place: int, before: Tokens, logits: Any, forms: Sequence[Tokens]) -> None:
        """Read from the logits [V] after `before` what the forms need of them."""
        length = len(before)
        after = sorted({form[: length + 1] for form in forms if len(form) > length and form[:length] == before})
        total = float(logits.double().logsumexp(dim=-1)) if before else self._first_sums[place]
        if math.isnan(total):
            raise FloatingPointError(NOT_A_NUMBER)
        values = logits[[form[-1] for form in after]].tolist()
        for form, value in zip(after, values, strict=True):
            self._next[place, form] = value - total

    def logprob(self, place: int, label: str, labels: LabelTokens) -> float:
        """Sum up the forms of a label, each without the longer ones that begin with it."""
        share = sum(
            self._share(place, form)
            - sum(self._share(place, longer) for longer in _next_longer(form, labels.all_forms))
            for form in labels.forms[label]
        )
        return math.log(max(share, _LEAST))

    def _share(self, place: int, form: Tokens) -> float:
        return math.exp(sum(self._next[place, form[:length]] for length in range(1, len(form) + 1)))


def _next_longer(form: Tokens, forms: Sequence[Tokens]) -> list[Tokens]:
    """Return the forms that extend this one with no other between."""
    longer = [other for other in forms if _extends(other, form)]
    return [other for other in longer if not any(_extends(other, between) for between in longer)]


def _extends(longer: Tokens, form: Tokens) -> bool:
    return len(longer) > len(form) and longer[: len(form)] == form
