import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.grading.key_points.claims import Claim, Explanation, Phrases


def explanation(text: str) -> Explanation:
    return Explanation(text, limit=20_000, time_s=2)


def is_claimed(phrase: str, text: str) -> bool:
    return explanation(text).find(Phrases.of("phrase", [phrase])) is not None


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("money", "The joke is about money."),
        ("money", "MONEY is meant."),
        ("money", "It isn’t bread but money."),
        ("money", "It's not about bread, it's about money."),
        ("money", "Not bread; money."),
        ("money", "No, it's about money."),
        ("money", "She can't bake. Money is short."),
        ("money", "Why can't she bake? Money!"),
        ("money", "The pun doesn't work in print — money is meant."),
        ("money", "It does not mean bread (money is meant)."),
        ("money", "It isn't about baking\n\nMoney is meant"),
        ("money", "It isn't about\n- baking\n- money"),
        ("bread", "Not only bread but also money."),
        ("bread", "It's not just about bread."),
        ("bread", "It doesn't merely mean bread."),
        ("bread", "It's not a pun, it plays on bread or money."),
        ("money", "She did not earn enough money."),
        ("earn", "She couldn't earn enough, poor woman."),
        ("money", "There isn't enough money."),
        ("money", "He doesn't pay because money is short."),
        ("group of whales", "He doesn't know that a pod is a group of whales."),
        ("money", "Instead of bread it is about the thing called money."),
        ("avoid", "He flies on the 7th rather than the 6th in order to avoid the reading."),
        ("money", "It is nothing but money."),
        ("money", "It is nothing more than money."),
        ("money", "No doubt it is about money."),
        ("money", "Without a doubt money is meant."),
        ("money", "It is not unlike money."),
        ("7th", "He does not fly until the 7th."),
        ("money", "It is not so much about bread as about money."),
        ("money", "The baker does not bake and is short of money."),
        ("money", "I know money matters."),
        ("not return", "They do not return the money."),
        ("(not|n't) expect", "He doesn't expect it back."),
        (r"\w+n't expect", "He doesn’t expect it back."),
        ("group of (tpu|chips)", "a **group** of _chips_"),
        ("(not|n't) .{0,20}money", "She did not get any money."),
        ("(not|n't) .{0,20}money", "He didn't mean to lose money."),
        ("(not|n't) .{0,20}money", "It is not only about money."),
        ("don’t pay", "they don't pay"),
        ("money", "It is not money. Money it is."),
        ("peck", "Instead of a 'peck on the cheek', which means a kiss, it is a bird's."),
        ("peck", "Instead of a peck on the cheek he got a bite."),
        ("angle", "'Engel' is used instead of 'angle'."),
        ("angle", "He says Engel instead of angle."),
        ("soul", "She “didn’t tell a soul”, and sole is a fish."),
        ("soul", "She 'didn't tell a soul', and sole is a fish."),
        ("comment", "He said 'no comment', and comments are code."),
        ("comments", "He said 'no comment' about comments in code."),
        ("not", "The word 'not' sounds like 'knot'."),
        ("money", "Dough is money, which is not the point at first."),
        ("money", "It is about money: bread plays no role."),
        ("money", "Money matters; the bread isn't what is meant."),
        ("money", "Dough means money and the food does not matter."),
        ("knot", "The word 'not' sounds like 'knot'."),
    ],
)
def test_phrase_counts_where_it_is_claimed(phrase: str, text: str) -> None:
    """A negation in another clause, one that denies nothing, and one inside the phrase do no harm."""
    claimed = is_claimed(phrase, text)

    assert claimed


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("money", "The joke is not about money."),
        ("money", "The joke isn't about money."),
        ("money", "The joke isn’t about money."),
        ("money", "It doesn't really mean money."),
        ("money", "It cannot be about money."),
        ("money", "It is never about money."),
        ("bread", "It isn’t bread but money."),
        ("bread", "It has nothing to do with bread."),
        ("bread", "There is no bread in it."),
        ("bread", "neither bread nor money"),
        ("money", "neither bread nor money"),
        ("bread", "It is money rather than bread."),
        ("bread", "Instead of bread it is money."),
        ("money", "He lives without money."),
        ("flour", "He does not mean bread, flour, or money."),
        ("money", "He does not mean bread, flour, or money."),
        ("money", "This is not because of money."),
        ("money", "It doesn't mean that she lacks money."),
        ("money", "It is not true that money is meant."),
        ("money", "It is not true that dough is bread, but money."),
        ("money", "It is wrong to say that the dough, which she kneads, is money."),
        ("money", "It isn't the case that, whatever they say, he needs money"),
        ("money", "It is false that he sighs because he has no bread; he wants money."),
        ("poor", "The joke is not that the baker is poor."),
        ("bread", "It is not so much about bread as about money."),
        ("bread", "It is no longer about bread."),
        ("bread", "It isnt about bread."),
        ("money", "It doesn't mean\nmoney."),
        ("(not|n't) .{0,20}money", "It is not about money."),
        (r"\w+n't .{0,20}money", "The joke isn't really about money."),
        ("(not|n't) .{0,20}money", "Dough does not mean money."),
        ("money", "The joke is 'not about money'."),
        ("money", '"The joke, for all I can see, does in no way play on money"'),
        ("money", '"It is not money."'),
        ("money", "It's the bakers' dough, not the money that's meant."),
        ("money", "It isn't 'bread' or 'money'."),
        ("money", "Money isn't what is meant; it's only about the bread."),
        ("money", "Money is not the point."),
        ("money", "Money and bread are irrelevant."),
        ("money", "It is bread and money does not matter."),
        ("money", "It's about bread, and money plays no role."),
        ("money", "Money has nothing to do with it: the bread burnt."),
        ("money", "moneybags"),
        ("money", "blood-moneyed"),
    ],
)
def test_denied_phrase_does_not_count(phrase: str, text: str) -> None:
    """A phrase behind a negation in its clause, or inside another word, is not claimed."""
    claimed = is_claimed(phrase, text)

    assert not claimed


@pytest.mark.parametrize(
    ("text", "hedges"),
    [
        ("A pod can also be a group of whales.", 0),
        ("The word has another meaning; it could also mean money.", 0),
        ("Dough may refer to bread or money.", 0),
        ("The other pod might be one of whales.", 0),
        ("It means bread, or it could mean money.", 0),
        ('She says "or maybe not", which is a pun.', 0),
        ("Or it could be a pun.", 1),
        ("Peck can also be understood as a kiss.", 0),
        ("The joke can also be understood as a sigh.", 1),
        ("Alternatively, the whale is a pun.", 1),
        ("Alternatively, it could also be a pun.", 1),
        ("Or maybe the whale is slow. On the other hand, it might be a pun.", 2),
        ("Another interpretation is money. Another possible explanation is bread. Either way, it's funny.", 3),
        ("The joke may also be a pun, or it could be satire.", 2),
    ],
)
def test_switches_to_one_more_explanation_are_counted(text: str, hedges: int) -> None:
    """Phrases that offer another explanation count, once where several stand together; those that explain a pun don't."""
    counted = explanation(text).hedges

    assert counted == hedges


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("It is about money.", "money"),
        ("It is “about” ｍｏｎｅｙ.", "ｍｏｎｅｙ"),
        ("no money; then  **mon\u00adey** it is", "mon\u00adey"),
        ("  blank  money", "money"),
    ],
)
def test_claim_knows_its_place_in_the_original(text: str, quote: str) -> None:
    """Places and quotes are those of the answer as the model wrote it, not of the tidied text."""
    claim = explanation(text).find(Phrases.of("money", ["money"]))

    assert claim == Claim(start=text.index(quote), end=text.index(quote) + len(quote), quote=quote)


def test_first_claim_of_any_alternative_is_given() -> None:
    """Of several alternatives the one that stands first in the text is the evidence."""
    claim = explanation("cash, then money").find(Phrases.of("money", ["money", "cash"]))

    assert claim == Claim(start=0, end=4, quote="cash")


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("(money", r"'\(money' is no pattern \(missing \)\)"),
        ("money)(cash", "unbalanced parenthesis"),
        ("[money", "unterminated character set"),
        ("*", "nothing to repeat"),
        ("x*", "matches even the empty text"),
        ("money|", "matches even the empty text"),
        ("", "matches even the empty text"),
    ],
)
def test_pattern_that_cannot_work_is_refused(pattern: str, fault: str) -> None:
    """What does not compile, breaks out of its group, or matches everywhere is no phrase."""
    with pytest.raises(ValueError, match=fault):
        Phrases.of("money", ["cash", pattern])


@pytest.mark.parametrize("pattern", [r"\(money\)", "[)(]money", r"[\])]", "(a)|(b)", "[^])]x"])
def test_brackets_that_stand_for_themselves_are_balanced(pattern: str) -> None:
    """Escaped brackets and those in sets open and close no group."""
    phrases = Phrases.of("money", [pattern])

    assert len(phrases.patterns) == 1


def test_pattern_that_never_ends_is_stopped() -> None:
    """A pattern that runs away is an error that names phrase and pattern, not a point missed."""
    hostile = Explanation("a" * 60 + "e", limit=20_000, time_s=0.05)

    with pytest.raises(TimeoutError, match=r'"loop": the pattern .* takes too long on this text'):
        hostile.find(Phrases.of("loop", ["(a|a|aa)+(b|c)(a|a)*d"]))


@pytest.mark.parametrize("filler", ["a, ", "not ", "mean that ", "alternatively ", "x: ", "'", "_ ", "– ", "money "])
def test_hostile_text_takes_no_time(filler: str) -> None:
    """A megabyte made to confuse the rules is read within the time of one answer."""
    hostile = Explanation(filler * (1_000_000 // len(filler)), limit=20_000, time_s=1)

    claim = hostile.find(Phrases.of("money", ["money", r"wage\w*", "dough.{0,20}(deer|doe)"]))

    assert (claim is None) == (filler != "money ")
    assert hostile.hedges >= 0


SENTENCES = st.lists(
    st.lists(
        st.sampled_from(["the", "joke", "is", "not", "no", "bread", "money", ",", "but", "so", "that"]),
        min_size=1,
        max_size=8,
    ),
    max_size=4,
).map(lambda sentences: " ".join(" ".join(words) + "." for words in sentences))


@given(SENTENCES, SENTENCES)
def test_sentence_of_its_own_is_a_claim_wherever_it_stands(before: str, after: str) -> None:
    """Nothing said before or after takes away a plain sentence."""
    claimed = is_claimed("money", f"{before} Money is meant. {after}")

    assert claimed


@given(SENTENCES)
def test_plain_denial_adds_no_claim(text: str) -> None:
    """A sentence that denies the phrase never makes it count."""
    before = is_claimed("cash", text)

    after = is_claimed("cash", f"{text} It is not about cash.")

    assert before is after is False
