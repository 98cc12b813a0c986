"""Checks of how many words an answer shares with a reference: f1 and rouge_l.

f1 is that of SQuAD: lower case, without punctuation and English articles, words as a multiset.  rouge_l is the
F-measure of the longest common subsequence of words, without stemming, words in any script.
Source: Rajpurkar et al., 2016 (evaluate-v1.1); Lin, 2004 (ROUGE).
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pytest_llmbench.grading.answer_text import clip, ended
from pytest_llmbench.grading.checks.base import CheckKind, PathFields, Test, WrittenTexts, each, quoted
from pytest_llmbench.models.validation import Share
from pytest_llmbench.values import Answer, Case, Grade, Reason

_MOST_WORDS = 20_000
"""How many words of an answer are read."""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = frozenset({"a", "an", "the"})
_WORD = re.compile(r"\w+")

Measure: TypeAlias = Callable[[Sequence[str], Sequence[str]], float]


class F1Fields(PathFields):
    """Texts of which the answer shares so many words with one: `min` is the least score that passes."""

    f1: WrittenTexts
    min: Share


class RougeLFields(PathFields):
    """Texts of which the answer shares so long a subsequence with one: `min` is the least score that passes."""

    rouge_l: WrittenTexts
    min: Share


def squad_words(text: str) -> list[str]:
    """Give the words of a text as SQuAD compares them."""
    return [word for word in text.lower().translate(_PUNCTUATION).split() if word not in _ARTICLES][:_MOST_WORDS]


def plain_words(text: str) -> list[str]:
    """Give the words of a text in lower case."""
    return _WORD.findall(text.lower())[:_MOST_WORDS]


def f1(want: Sequence[str], got: Sequence[str]) -> float:
    """Give the F1 of two multisets of words; two empty ones are equal."""
    if not want or not got:
        return float(not want and not got)
    return _f_measure((Counter(want) & Counter(got)).total(), want, got)


def rouge_l(want: Sequence[str], got: Sequence[str]) -> float:
    """Give the F-measure of the longest common subsequence of two lists of words.

    One machine word of bits per row of the usual table (Hyyrö, 2004): an answer of 20,000 words takes milliseconds.
    """
    if not want or not got:
        return 0.0
    places: dict[str, int] = {}
    for place, word in enumerate(want):
        places[word] = places.get(word, 0) | 1 << place
    all_ones = (1 << len(want)) - 1
    row = all_ones
    for word in got:
        both = row & places.get(word, 0)
        row = ((row + both) | (row - both)) & all_ones
    return _f_measure(len(want) - row.bit_count(), want, got)


def _f_measure(common: int, want: Sequence[str], got: Sequence[str]) -> float:
    return 2 * common / (len(want) + len(got))


def _test(name: str, least: float, texts: Sequence[str], words: Callable[[str], list[str]], measure: Measure) -> Test:
    references = [words(text) for text in texts]

    def test(case: Case, answer: Answer) -> Grade:
        del case
        found = words(ended(answer.text))
        score = max(measure(reference, found) for reference in references)
        passed = score >= least
        return Grade(
            score=score,
            passed=passed,
            reason=Reason.CORRECT if passed else Reason.DIFFERENT,
            explanation=(f'{name} {score:.2f} of {least:g} with {quoted(texts, "or")}, found "{clip(answer.text)}".'),
        )

    return test


def _always(least: float, texts: Sequence[str], words: Callable[[str], list[str]]) -> bool | None:
    if least == 0:
        return True
    return None if any(words(text) for text in texts) else False


F1 = CheckKind(
    name="f1",
    version=2,
    fields=F1Fields,
    build=each(lambda fields: _test("f1", fields.min, fields.f1, squad_words, f1)),
    expected=lambda fields: f"f1 at least {fields.min:g} with {quoted(fields.f1, 'or')}",
    always=lambda fields: _always(fields.min, fields.f1, squad_words),
)
ROUGE_L = CheckKind(
    name="rouge_l",
    version=2,
    fields=RougeLFields,
    build=each(lambda fields: _test("rouge_l", fields.min, fields.rouge_l, plain_words, rouge_l)),
    expected=lambda fields: f"rouge_l at least {fields.min:g} with {quoted(fields.rouge_l, 'or')}",
    always=lambda fields: _always(fields.min, fields.rouge_l, plain_words),
)
