"""Read the label in an answer: strictly, as the whole answer, and leniently, as a person would.

The lenient reading takes the first line with words.  Markdown, tags, headings, "Answer:", a question restated before
the answer and grounds behind it are no obstacle, and a word that merely looks like a label is none ("contains no
facts", "A quick look").  Two labels, or none, are no answer.  Of a chat model a later line counts that begins with
"Answer:", where the first gives no label; base models run on into the next example, and write its label too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pytest_llmbench.grading import east_asian
from pytest_llmbench.grading.answer_text import normalise

_FIRST_CHARACTERS = 2_000
"""How much of an answer its first line is looked for in; a label stands far before."""

_ALL_CHARACTERS = 50_000
"""How much of an answer a later line that announces the label is looked for in."""

_ANSWER_TAG = re.compile(r"<(?:final[_-]?)?(?:answer|output|label|result|verdict)>", re.IGNORECASE)
_TAG = re.compile(r"</?([^\W\d_][\w:-]*)(?:\s[^<>]*)?/?>|<[|｜][^<>]{1,40}[|｜]>")
_MARKDOWN = re.compile(r"```\w*|~~[^~\n]*~~|[*`\"#>]|(?<![^\W_])_+|_+(?![^\W_])|(?<!\w)'|'(?!\w)")
_HEADING = re.compile(r"\s*(?:#+\s|\*\*[^*]+\*\*:?\s*$|__[^_]+__:?\s*$)")
_PREFIX = re.compile(r"(?:[^\s:]+ ){0,5}[^\s:]+ ?: ?")
_SENTENCE = re.compile(r"\S.*?(?:[.!?](?= )|$)")
_FULL_STOP = re.compile(r"[.。]$")

_GROUNDS = re.compile(
    r"\s*(?:[—–(]|-- | - |\b(?:because|since|given|due to|as (?:it|this|that|the)"
    r"|even (?:if|though)|although|though|whereas|despite)\b)"
)
"""Where the grounds of a label begin, in which the other label may be a mere word."""

_CONCESSION = re.compile(r"(?:although|though|even (?:if|though)|whereas|while|despite)\b[^,]*, ")
"""A clause before the label, in which the other label may be a mere word."""

_CORRECTION = re.compile(
    r"(?:[.…,! -]|\b(?:no|wait|actually|sorry|i mean|correction|or rather|rather|hmm|it's|it is|the answer is)\b)+"
)
_CORRECTING = re.compile(r"\b(?:wait|actually|sorry|i mean|correction|rather)\b")
_FILLER = re.compile(r"[\s,]*(?:(?:and|but|or|also|well|maybe|perhaps|possibly|partly|then|again)\b[\s,]*)*")
_DENIAL = re.compile(
    r"(?P<bare>(?:\bnot|n't) |\bno[nt]-|\bnon ?"
    # the same around an English label in other languages
    r"|\b(?:nicht|kein(?:en?|er)?|pas(?: une?| du)?|no es(?: una?)?|não é(?: uma?)?|non è(?: una?)?|не|это не) "
    r"|(?:不是|不属于|不屬於|并非|並非|非) ?)$|(?P<plain>(?:\bnot|n't) an? )$"
    r"|(?:(?:\bnot|n't) (?:the|really|exactly|quite|simply|say|(?:call|consider) (?:it|this|that))"
    r"|\b(?:than|instead of|opposed to|over|neither|nor|weder|noch|ni)(?: an?| the)?) $"
    rf"|{east_asian.DENIAL}$|(?P<no>\bno )$"
)
_DENIAL_LENGTH = 20
_DENIED_BEHIND = re.compile(
    rf"{east_asian.DENIED_BEHIND}| (?:(?:is|was) (?:not(?! only\b)|wrong|incorrect|out)\b|(?:isn't|wasn't)\b)"
)
_ARE_DENIED = (
    r" (?:(?:are|were) (?:both |all )?(?:not(?! (?:only|both|all)\b)|wrong|incorrect|out)\b|(?:aren't|weren't)\b)"
)
_CONCLUSION = r"(?=[^.!?]{0,400}?\b(?:so|thus|therefore|hence|leaving|which leaves)\b)"
"""What ends a line's "A, B and D are wrong, so C": without it, "A, B and D are wrong" may be the answer A."""

_VERDICT_ON_PREFIX = re.compile(r"(?P<yes>yes|true)|(?:no|false)")
"""What may stand behind "clickbait:" where the labels are "clickbait" and "not clickbait"."""

_NO_AS_MERE_WORD = (
    r"(?! (?:one|longer|doubt|matter|such|idea|way|evidence|information|reason|comment|answer|label|facts?|details?)\b)"
    r"(?! (?:sé|estoy|hay|puedo|tengo|sabría|podría|so|capisco)\b)"  # Spanish and Italian
    r"(?!\.? ?\d+\b(?!\.))(?!(?<=\w no)\.? ?\d)"
)
_AFTER_NO = (
    r"(?:it|its|it's|this|that|that's|these|those|the|there|there's|i|i'm|i'd|we|you|he|she|they|not|but|and|or|is|isn't"
    r"|was|because|since|as|for|if|though|although|even|in|on|at|by|to|with|without|given|due|so|just|actually|really"
    r"|definitely|clearly|probably|sorry|thanks|please|wait|yes|no|my|your|his|her|their|our|what|which|who|when|while"
    r"|where|would|does|doesn't|do|don't|can|can't|cannot|here|are|were|will|may|might|should|could|has|have)\b"
)
_NO = rf"(?:no{_NO_AS_MERE_WORD}(?! (?!{_AFTER_NO})[^\W\d])|^no{_NO_AS_MERE_WORD}(?= [\w']+(?: [\w']+)?[.!]*$))"
"""The label "no", and not the word before a noun but in a line as short as "No clickbait."."""

_AFTER_LETTER = (
    r"(?:is|isn't|was|would|seems|looks|fits|because|since|as|for|and|or|but|over|not|rather|instead|best"
    r"|oder|und|ou|et|y|ist|est|es|sondern)\b"
)
_WORDS = {
    "no": _NO,
    "a": rf"a(?!'|-\w| (?!{_AFTER_LETTER})\w)",
    "i": r"i(?!'| (?!(?:is|because|since)\b)\w)",
}
"""Labels that are other words too: the article, the pronoun and the determiner are none."""

_ANNOUNCEMENT = (
    r"(?:(?:(?:final|correct|overall|right|best) )*(?:answer|verdict|conclusion|label|classification|decision|result"
    r"|output|response|judge?ment|prediction|category|option|choice)"
    r"|(?:(?:endgültige|finale|richtige) )?antwort|fazit|(?:bonne )?réponse(?: (?:finale|correcte))?"
    r"|respuesta(?: (?:final|correcta))?|risposta(?: (?:finale|corretta))?|resposta(?: (?:final|correta))?|ответ"
    r"|(?:最终|最終|正确|正確)?(?:的)?(?:答案|结论|結論|回答))"
)
_SECOND_THOUGHT = r"(?:wait|actually|sorry|hmm+|correction|on (?:second thoughts?|reflection))\b[,.:;…!—–-]* ?"
_ANNOUNCED = re.compile(
    rf"(?:(?:no[,.…!]* )?(?:{_SECOND_THOUGHT}(?:no[,.…!]* )?)+)?"
    r"(?:(?:so|thus|therefore|hence|and|but),? |所以|因此)?"
    rf"(?:(?:the|my|our|die|meine|la|ma|mi|minha|mia) )?{_ANNOUNCEMENT}"
    r"(?: ?(?::|=|→|->|—|–)| (?:is|ist|lautet|es|est|é|è)(?: ?:)?\b|是|为|為| - )[ :]*(?P<rest>.*)"
    r"|(?:therefore|thus|hence) ?: (?P<follows>.*)|.*\\boxed ?\{(?P<boxed>[^{}]*(?:\{[^{}]*\})?)"
)
_TURN = re.compile(rf"(?:no[,.…!]* )?{_SECOND_THOUGHT}")
"""What a line or the rest of one begins with that takes back the label before it."""

_ANNOUNCED_WITHIN = re.compile(rf"\b(?:the|my|our|final) {_ANNOUNCEMENT}(?: is|:)")
_LIST_MARK = re.compile(r"^(?:[^\w\\]*\d{1,2}[.)])?[^\w\\]*")
_ANNOUNCEMENT_ALONE = re.compile(rf"(?:(?:the|my|our) )?{_ANNOUNCEMENT}(?: is)?[ :]*")
_REASONING = re.compile(
    r"(?:(?:my|the|short|brief|step-by-step) )?(?:reason|reasons|reasoning|explanation|analysis|thoughts?|thinking"
    r"|rationale|grounds|justification|step \d+)\b(?: ?[:.-]|$)"
)
_ROLE = re.compile(r"(?:assistant|model|ai|bot)(?: ?:)?")
"""A line that a chat template leaves behind."""

_NEXT_INPUT = re.compile(
    r"(?:next |new )?(?:headline|title|question|q|input|text|review|sentence|passage|article|tweet|e-?mail|message"
    r"|example|user|human|premise|hypothesis|statement|comment|document|post)(?: ?#?\d+)? ?:"
)
"""A line in which a next example begins: what follows belongs to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mention:
    """A label as a line mentions it; `label` is None where it is denied and no other label follows from that."""

    start: int
    end: int
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of a suite by their folded form, and the patterns that find them in a folded line."""

    by_key: Mapping[str, str]
    word: re.Pattern[str]
    options: re.Pattern[str]
    denied_together: re.Pattern[str]
    joined_on: re.Pattern[str]
    written_otherwise: re.Pattern[str]

    @classmethod
    def of(cls, labels: tuple[str, ...]) -> Self:
        """Prepare labels; the longest is tried first, for one may begin with another."""
        by_key = {folded(label): label for label in labels}
        longest_first = sorted(by_key, key=len, reverse=True)
        # an English label in Chinese, Japanese or Korean has no blank around it
        latin = "|".join(_word(key) for key in longest_first if key.isascii()) or "(?!)"
        other = "|".join(_word(key) for key in longest_first if not key.isascii()) or "(?!)"
        letter = rf"[^\W{east_asian.CHARACTERS}]"
        any_label = f"(?:{'|'.join(map(re.escape, longest_first))})"
        options = rf"(?<!\w){any_label}(?:(?:, ?| ?[/|] ?){any_label}){{0,200}}(?:,? or | ?[/|] ?){any_label}(?!\w)"
        opposed = [re.escape(key) for key in longest_first if _opposites(key).keys() & by_key.keys()]
        joined = rf"|(?<=\bnon)(?:{'|'.join(opposed)})" if opposed else ""
        both = rf"(?: and | & ){any_label}"
        several = rf"(?:, ?{any_label}){{1,20}},?{both}"
        joined_on = rf"(?:{east_asian.AND}{any_label}){{1,20}}"
        denied = (
            rf"(?:{both}{_ARE_DENIED}|{several}{_ARE_DENIED}{_CONCLUSION}|{joined_on}(?:{east_asian.DENIED_BEHIND}))"
        )
        return cls(
            by_key=by_key,
            word=re.compile(
                rf"(?:(?<!{letter})(?<!\w')(?:{latin}){joined})(?!{letter})|(?<!\w)(?<!\w')(?:{other})(?!\w)"
            ),
            options=re.compile(options),
            denied_together=re.compile(denied),
            joined_on=re.compile(joined_on),
            written_otherwise=_written_otherwise(longest_first),
        )

    def read_strictly(self, text: str) -> str | None:
        """Give the label that is the whole answer, but for one full stop."""
        text = text.strip()
        if len(text) > _FIRST_CHARACTERS:
            return None
        key = folded(text)
        return self.by_key.get(key, self.by_key.get(_FULL_STOP.sub("", key)))

    def read_leniently(self, text: str, *, is_chat: bool = True) -> str | None:
        """Give the label that a person would read; None if the answer has none, or two.

        Args:
            text: the answer.
            is_chat: a chat model may have written it, so that later lines may announce the label.
        """
        text = text.lstrip()
        is_reasoning = False
        lines = self._lines(text[:_FIRST_CHARACTERS])
        is_listed = is_chat and _is_list_of_labels([line for line, _ in lines], list(self.by_key))
        for place, (line, is_heading) in enumerate(lines):
            reading = self._without_prefix(line)
            is_role = _ROLE.fullmatch(line) is not None and not self._mentions(line)
            if is_role or not reading or _ANNOUNCEMENT_ALONE.fullmatch(line) or self._only_asks(reading):
                continue
            is_reasoning = is_reasoning or _REASONING.match(line) is not None
            if is_heading and not self._mentions(reading):
                continue
            first = None if is_listed else self._label_in(reading)
            if not is_chat:
                return first
            following = [line for line, _ in self._lines(text[:_ALL_CHARACTERS])[place + 1 :]]
            is_settled = first is not None and not is_reasoning
            later = self._announced(following, only=_TURN if is_settled else None)
            return first if later is None else later
        return None

    def _lines(self, text: str) -> list[tuple[str, bool]]:
        """Give the lines with words, folded and without marks, and whether each is a heading."""
        lines = []
        for line in _ANSWER_TAG.sub("\nAnswer: ", text).splitlines():
            plain = folded(_MARKDOWN.sub("", _TAG.sub(self._tag_as_text, normalise(line))))
            plain = self.written_otherwise.sub(lambda label: label[0].replace("_", " ").replace("-", " "), plain)
            if any(map(str.isalnum, plain)):
                lines.append((plain, _HEADING.match(line) is not None))
        return lines

    def _tag_as_text(self, tag: re.Match[str]) -> str:
        return f" {tag[1]} " if tag[1] and folded(tag[1]) in self.by_key else " "

    def _without_prefix(self, line: str) -> str:
        prefix = _PREFIX.match(line)
        if prefix is not None and (key := prefix[0].rstrip(": ")) in self.by_key:
            verdict = _VERDICT_ON_PREFIX.fullmatch(line[prefix.end() :].rstrip(".! "))
            if verdict is not None and verdict[0] not in self.by_key:
                return key if verdict["yes"] else f"not {key}"
        # "answer:" and "clickbait (yes/no):" announce; "no: the title gives all" has answered
        return line if prefix is None or len(_labels(self._mentions(prefix[0]))) == 1 else line[prefix.end() :]

    def _only_asks(self, line: str) -> bool:
        """Tell whether a line is a question, and no label with a question mark."""
        first = next(iter(self._mentions(line)), None)
        return line.endswith("?") and len(line.split()) > 2 and (first is None or first.start > 0)

    def _announced(self, lines: Sequence[str], only: re.Pattern[str] | None = None) -> str | None:
        """Give the label of the last line that announces one, before a next example begins.

        `only`: what a line must begin with to count.
        """
        found, is_next = None, False
        for line in lines:
            if _NEXT_INPUT.match(line):
                break
            if only is not None and not only.match(line):
                continue
            only = None  # behind a second thought any announcement counts
            announced = _ANNOUNCED.match(_LIST_MARK.sub("", line, count=1))
            rest = line if is_next else announced and (announced["rest"] or announced["follows"] or announced["boxed"])
            is_next = _ANNOUNCEMENT_ALONE.fullmatch(line) is not None
            found = (self._label_in(rest) if rest else None) or found
        return found

    def _label_in(self, line: str) -> str | None:
        """Read what the line announces, else its first sentence that holds a label."""
        line = self.options.sub(lambda options: "…" * len(options[0]), line)
        mentions = self._mentions(line)
        sentences = [sentence for sentence in _SENTENCE.finditer(line) if not self._only_asks(sentence[0])]
        announced = [found for sentence in sentences[1:] if (found := self._announced([sentence[0]]))]
        if announced:
            return announced[-1]
        for place, sentence in enumerate(sentences):
            inside = [one for one in mentions if sentence.start() <= one.start < sentence.end()]
            if _labels(inside):
                following = line[sentences[place + 1].start() :] if place + 1 < len(sentences) else ""
                return self._label_of_sentence(line[: sentence.end()], sentence.start(), inside, following)
        return None

    def _label_of_sentence(self, line: str, begin: int, mentions: Sequence[_Mention], following: str) -> str | None:
        """Read a sentence that holds labels: the one it opens with, or the one before its grounds.

        `line` ends with the sentence, which stands from `begin` on; `following` is what follows it.
        """
        concession = _CONCESSION.match(line, begin)
        behind = [one for one in mentions if concession and one.start >= concession.end()]
        mentions = behind if _labels(behind) else mentions
        found = _labels(mentions)
        first = next(one for one in mentions if one.label)
        if len(found) == 1:
            return self._unless_taken_back(first.label, following)
        if first.start == begin and line[first.end : first.end + 1] in tuple(",;:.!…-—–"):
            return self._unless_taken_back(first.label, line[first.end :])
        announced = list(_ANNOUNCED_WITHIN.finditer(line, begin))
        if announced and (named := [one for one in mentions if one.label and one.start >= announced[-1].end()]):
            return named[0].label
        grounds = _GROUNDS.search(line, begin)
        found = _labels([one for one in mentions if grounds and one.start < grounds.start()])
        return found.pop() if len(found) == 1 else None

    def _unless_taken_back(self, label: str | None, rest: str) -> str | None:
        """Give the label, the one it is corrected to, or None where another one follows as its equal."""
        correction = _CORRECTION.match(rest)
        is_correction = correction is not None and _CORRECTING.search(correction[0]) is not None
        if correction is not None and is_correction:
            # "wait, no": the word of the correction may be the label itself
            after = [one for one in self._mentions(rest) if one.start < correction.end() + 1 and one.label]
            return after[-1].label if after else self._announced([rest.lstrip(" ,.;:!…—–-")]) or label
        filler = _FILLER.match(rest.lstrip(".…!;: "))
        start = len(rest) - len(rest.lstrip(".…!;: ")) + (filler.end() if filler else 0)
        equal = next((one for one in self._mentions(rest) if one.start == start), None)
        if equal is None or equal.label in (None, label) or rest[equal.end : equal.end + 1] not in ("", *",.;:!"):
            return label
        return None

    def _mentions(self, text: str) -> list[_Mention]:
        return list(self._found(text))

    def _found(self, text: str) -> Iterator[_Mention]:
        end_of_denied = 0
        for match in self.word.finditer(text):
            key = re.sub(r"(?<=\d)\.0+$", "", match[0]) if match[0] not in self.by_key else match[0]
            before = text[max(0, match.start() - _DENIAL_LENGTH) : match.start()]
            denial = _DENIAL.search(before)
            is_denied = denial is not None and not (denial["no"] and "no" in self.by_key)
            label = self._opposite(key, denial) if denial and is_denied else self.by_key[key]
            denied = self.denied_together.match(text, match.end())
            if is_denied and (joined := self.joined_on.match(text, match.end())):
                denied = joined
            end_of_denied = end_of_denied if denied is None else max(end_of_denied, denied.end())
            if match.start() < end_of_denied or _DENIED_BEHIND.match(text, match.end()):
                label = None
            yield _Mention(start=match.start(), end=match.end(), label=label)

    def _opposite(self, key: str, denial: re.Match[str]) -> str | None:
        """Give the label that a denied one leaves: "not X" of X, or the other of two where they are no yes and no."""
        if not (denial["bare"] or denial["plain"] or denial["no"]):
            return None
        for opposite in _opposites(key):
            if opposite in self.by_key:
                return self.by_key[opposite]
        others = [label for other, label in self.by_key.items() if other != key]
        return others[0] if len(others) == 1 and denial["bare"] and key not in ("yes", "no") else None


def _is_list_of_labels(lines: Sequence[str], keys: Sequence[str]) -> bool:
    """Tell whether lines list the labels as options: three or more begin with one each, in their order."""
    led = (
        next((place for place, key in enumerate(keys) if re.match(rf"\W*{re.escape(key)} ?[.):]", line)), None)
        for line in lines
    )
    return len(keys) > 2 and [place for place in led if place is not None][:3] == [0, 1, 2]


def _written_otherwise(keys: Sequence[str]) -> re.Pattern[str]:
    """Give a pattern of labels of several words with another mark than a blank between them: technical_support."""
    several = [key for key in keys if " " in key]
    return re.compile(
        rf"(?<!\w)(?:{'|'.join(re.escape(key).replace(chr(92) + ' ', '[ _-]') for key in several) or '(?!)'})(?!\w)"
    )


def folded(text: str) -> str:
    """Give the form in which labels are compared."""
    return normalise(text).casefold()


def _opposites(key: str) -> dict[str, None]:
    """Give the labels that deny one, in the order in which they are tried."""
    return dict.fromkeys((f"not {key}", f"non-{key}", f"non {key}", f"no {key}"))


def _labels(mentions: Sequence[_Mention]) -> set[str]:
    return {one.label for one in mentions if one.label}


def _word(key: str) -> str:
    if key in _WORDS:
        return _WORDS[key]
    if key.isascii() and key.isdigit():
        return rf"(?<!\d[.,])(?<!-){key}(?:\.0+)?(?![.,/]?\d)"
    return re.escape(key)
