from dataclasses import replace
from itertools import permutations
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

import factories
from pytest_llmbench.results.classification import LabelTable, label_tables, last_label
from pytest_llmbench.results.confusion import Confusion, auroc
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.values import Json, Message, Outcome, Prompt

LABELS = ("a", "b", "c")
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, None])), min_size=1, max_size=40)


def sample(expected: str, strict: str | None, lenient: str | None = None, **more: Json) -> Sample:
    format_ok = more.pop("format_ok", strict is not None)
    parts = {"expected": expected, "strict": strict, "lenient": lenient or strict, **more}
    return factories.sample(float(strict == expected), format_ok=format_ok, parts=parts)


def record(*samples: Sample, case: str = "case", role: str = "m", prompt: str = "", grader: str = "yes_no") -> Record:
    return factories.record(case, *samples, role=role, prompt_sha256=prompt, grader=grader)


def table_of(*samples: Sample) -> LabelTable:
    (table,) = label_tables([record(one, case=str(number)) for number, one in enumerate(samples)])
    return table


def binary(tp: int, fn: int, fp: int, tn: int, lost_yes: int = 0, lost_no: int = 0) -> Confusion:
    return Confusion(labels=("yes", "no"), counts=((tp, fn, lost_yes), (fp, tn, lost_no)))


def test_a_table_without_unparsed_answers_is_the_textbook_one() -> None:
    """90 right of 100 positives, 20 right of 100 negatives: the figures computed by hand."""
    found = binary(tp=90, fn=10, fp=80, tn=20)

    assert (found.n, found.correct, found.accuracy) == (200, 110, 0.55)
    assert found.balanced_accuracy == pytest.approx((0.9 + 0.2) / 2)
    assert found.f1("yes") == pytest.approx(2 * 90 / (2 * 90 + 80 + 10))
    assert found.rate("yes") == pytest.approx(170 / 200)
    # (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)), Matthews (1975)
    assert found.mcc == pytest.approx((90 * 20 - 80 * 10) / (170 * 100 * 100 * 30) ** 0.5)


def test_unparsed_answers_count_as_wrong_for_every_class() -> None:
    """An answer without a label lowers accuracy, recall and F1 and gives no label's column anything."""
    found = binary(tp=6, fn=0, fp=0, tn=6, lost_yes=4, lost_no=4)

    assert found.answered == (6, 6, 8)
    assert found.accuracy == 0.6
    assert found.balanced_accuracy == pytest.approx(0.6)
    assert found.f1("yes") == pytest.approx(12 / 16)
    assert found.rate("yes") == 0.3


def test_a_model_that_rambles_instead_of_saying_no_is_no_perfect_classifier() -> None:
    """Unparsed answers to one class are not that class: MCC is 0.5, not 1."""
    found = binary(tp=10, fn=0, fp=0, tn=0, lost_no=10)

    assert found.mcc == pytest.approx(0.5)


def test_mcc_of_three_classes_is_the_published_r_k() -> None:
    """The example of scikit-learn's user guide on three classes: R_K by the sums of Gorodkin's formula."""
    found = Confusion(labels=LABELS, counts=((2, 0, 0, 0), (0, 0, 1, 0), (1, 0, 2, 0)))

    # c=4, s=6, predicted (3, 0, 3), true (2, 1, 3)
    assert found.mcc == pytest.approx((4 * 6 - (3 * 2 + 0 * 1 + 3 * 3)) / ((36 - 18) * (36 - 14)) ** 0.5)


@pytest.mark.parametrize("found", [binary(5, 0, 5, 0), binary(5, 5, 0, 0), binary(0, 0, 0, 0, 3, 3)])
def test_mcc_is_zero_and_undefined_without_two_classes(found: Confusion) -> None:
    """One label answered, one label expected, or no label at all: there is no correlation, and that is said."""
    assert not found.is_mcc_defined
    assert found.mcc == 0


def test_f1_of_a_label_nobody_meets_is_undefined() -> None:
    """Neither expected nor answered: there is nothing to find and nothing was claimed."""
    assert Confusion(labels=LABELS, counts=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0))).f1("c") is None


@given(PAIRS)
def test_measures_stay_in_their_ranges(pairs: list[tuple[str, str | None]]) -> None:
    """MCC lies in -1..1, every share in 0..1, and all answers are counted once."""
    found = Confusion.of(LABELS, pairs)

    assert -1 <= found.mcc <= 1
    assert 0 <= found.balanced_accuracy <= 1
    assert found.n == len(pairs) == sum(found.answered)
    assert all(score is None or 0 <= score <= 1 for score in map(found.f1, LABELS))


@given(PAIRS, st.sampled_from([dict(zip(LABELS, other, strict=True)) for other in permutations(LABELS)]))
def test_other_names_for_the_labels_change_nothing(pairs: list[tuple[str, str | None]], names: dict[str, str]) -> None:
    """Relabelling both sides alike leaves accuracy, balanced accuracy and MCC as they are."""
    old = Confusion.of(LABELS, pairs)
    new = Confusion.of(LABELS, [(names[expected], names[said] if said else None) for expected, said in pairs])

    assert new.accuracy == old.accuracy
    assert isclose(new.balanced_accuracy, old.balanced_accuracy, abs_tol=1e-12)
    assert isclose(new.mcc, old.mcc, abs_tol=1e-12)


@given(st.tuples(*[st.integers(0, 30)] * 4).filter(any))
def test_swapping_all_answers_turns_the_sign_of_mcc(counts: tuple[int, int, int, int]) -> None:
    """In the two-label case a model that always says the opposite has the opposite correlation."""
    tp, fn, fp, tn = counts

    assert isclose(binary(tp, fn, fp, tn).mcc, -binary(fn, tp, tn, fp).mcc, abs_tol=1e-12)


@given(PAIRS)
def test_without_lost_answers_perfection_is_one(pairs: list[tuple[str, str | None]]) -> None:
    """Who answers what was expected has MCC 1 where more than one label was expected."""
    found = Confusion.of(LABELS, [(expected, expected) for expected, _ in pairs])

    assert found.accuracy == found.balanced_accuracy == 1
    assert not found.is_mcc_defined or isclose(found.mcc, 1)


def test_format_and_both_accuracies_stand_side_by_side() -> None:
    """An answer that says the right label in a sentence is lenient-right, strict-wrong and out of format."""
    table = table_of(sample("yes", "yes"), sample("no", None, "no"), sample("no", None), sample("yes", "no"))

    assert (table.format_rate, table.strict.share, table.lenient.share) == (0.5, 0.25, 0.5)
    assert table.strict.interval == pytest.approx((0.0456, 0.6994), abs=1e-4)
    assert table.confusion.counts == ((1, 1, 0), (0, 1, 1))


def test_chosen_answers_have_no_format_rate() -> None:
    """Where no sample has a format to keep, its rate is nothing, not 100 %."""
    assert table_of(sample("yes", "yes", format_ok=None)).format_rate is None


def test_labels_come_from_the_parts() -> None:
    """Another set of labels stands in the parts with its order and its positive one."""
    table = table_of(sample("b", "b", labels=["a", "b", "c"], positive="c"))

    assert (table.labels, table.positive) == (("a", "b", "c"), "c")
    assert [baseline.name for baseline in table.baselines] == ["always a", "always b", "always c"]


def test_a_record_with_labels_of_another_suite_breaks_nothing() -> None:
    """An expected label that the suite does not have is no answer to count; a strange answer is unparsed."""
    table = table_of(sample("a", "z", labels=["a", "b"]), sample("z", "a", labels=["a", "b"]))

    assert table.confusion.counts == ((0, 0, 1), (0, 0, 0))


def test_errors_are_in_no_rate_and_counted() -> None:
    """A sample without an answer is no wrong answer."""
    error = Sample(
        **{name: getattr(sample("yes", "yes"), name) for name in Sample.__dataclass_fields__}
        | {"outcome": Outcome.ERROR, "parts": {}, "score": None}
    )

    (table,) = label_tables([record(sample("yes", "yes"), error)])

    assert (table.strict.share, table.errors, table.confusion.n) == (1, 1, 1)


def test_several_answers_to_a_case_do_not_narrow_the_interval() -> None:
    """Four samples of one case say no more about other cases than one."""
    (table,) = label_tables([record(*[sample("yes", "yes")] * 4)])

    assert table.strict.interval == table_of(sample("yes", "yes")).strict.interval


def test_records_of_other_graders_have_no_table() -> None:
    """Only suites of labels are summed up."""
    assert label_tables([record(sample("yes", "yes"), grader="exact")]) == ()


def test_a_check_for_a_label_is_read_as_the_grader_is() -> None:
    """The first such check of a case has the table; other checks, and cases without one, have none."""
    samples = [sample("a", "a", labels=["a", "b"]), sample("b", None, lenient="b", labels=["a", "b"])]
    records = [
        record(
            replace(one, parts={"checks": [{"name": "words", "kind": "words", "passed": True}, {"name": "mood", "kind": "label", "parts": one.parts}]}),
            case=str(number), grader="checks",
        )
        for number, one in enumerate(samples)
    ]  # fmt: skip
    words = factories.sample(1.0, parts={"checks": [{"name": "words", "kind": "words", "passed": True}]})

    (table,) = label_tables([*records, record(words, case="other", grader="checks")])

    assert (table.cases, table.labels, table.strict.share, table.lenient.share) == (2, ("a", "b"), 0.5, 1.0)
    assert table.confusion.counts == ((1, 0, 0), (0, 1, 0))
    assert label_tables([record(words, grader="checks")]) == ()


def test_the_best_baseline_may_be_the_trivial_rule() -> None:
    """A model that ties with the rule is not above it; one answer more is."""
    answers = [sample("yes", "yes", rule="yes"), sample("no", "no", rule="no"), sample("no", "yes", rule="no")]

    below, above = table_of(*answers), table_of(*answers[:2], sample("no", "no", rule="yes"))

    assert (below.best_baseline.name, below.is_above_baselines) == ("rule", False)
    assert above.is_above_baselines


SHOTS = "Say whether it is clickbait, yes or no.\n\n1. The worst\nClickbait: yes\n\n2. Fog\nClickbait: No\n\n3. New\nClickbait:"


def test_the_last_label_of_the_prompt_is_a_baseline() -> None:
    """It is read from the prompt that was sent, and left out where some prompt was not kept."""
    records = [record(sample("no", "yes"), prompt="p"), record(sample("yes", "yes"), case="other", prompt="p")]

    (kept,) = label_tables(records, {"p": Prompt(text=SHOTS)})
    (lost,) = label_tables([records[0], record(sample("no", "no"), prompt="q")], {"p": Prompt(text=SHOTS)})

    assert [b.confusion.counts for b in kept.baselines if b.name == "last label"] == [((0, 1, 0), (0, 1, 0))]
    assert "last label" not in [baseline.name for baseline in lost.baselines]


@pytest.mark.parametrize(
    ("prompt", "label"),
    [
        (Prompt(text=SHOTS), "no"),
        (Prompt(text="Tell whether it is clickbait, yes or no.\nTitle: Fog\nClickbait:"), None),
        (Prompt(text="Fog -> no\nStorm -> **yes**\nRain ->"), "yes"),
        (Prompt(messages=(Message(role="assistant", content="Yes."), Message(role="user", content="Fog: no"))), "yes"),
        (Prompt(messages=(Message(role="user", content=SHOTS),)), "no"),
        (Prompt(messages=(Message(role="user", content="Fog"),)), None),
    ],
)
def test_last_label_is_that_of_the_last_example(prompt: Prompt, label: str | None) -> None:
    """Examples in a text or a chat count, the instruction that names the labels does not."""
    assert last_label(prompt, ("yes", "no")) == label


def test_probabilities_are_taken_as_shares_of_the_labels() -> None:
    """AUROC and Brier by hand: p(yes) of 0.8 and 0.25 among the labels, a mass of 0.1 on neither."""
    table = table_of(
        sample("yes", "yes", p={"yes": 0.72, "no": 0.18}, p_other=0.1),
        sample("no", "no", p={"yes": 0.225, "no": 0.675}, p_other=0.1),
    )

    assert table.probabilities is not None
    assert table.probabilities.auroc == 1
    assert table.probabilities.brier == pytest.approx((0.2**2 + 0.25**2) / 2)
    assert table.probabilities.other == pytest.approx(0.1)


def test_probabilities_of_nothing_are_left_out() -> None:
    """A mass of 0 on all labels has no shares, and no probabilities at all are no table of them."""
    assert table_of(sample("yes", "yes", p={"yes": 0.0, "no": 0.0}, p_other=1.0)).probabilities is None
    assert table_of(sample("yes", "yes")).probabilities is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=15), st.lists(st.integers(0, 5), min_size=1, max_size=15))
def test_auroc_is_the_share_of_pairs_won(higher: list[int], lower: list[int]) -> None:
    """It equals counting all pairs, ties as half, and turns round when the sides are swapped."""
    wins = sum((high > low) + (high == low) / 2 for high in higher for low in lower)

    assert auroc(higher, lower) == pytest.approx(wins / len(higher) / len(lower))
    assert auroc(lower, higher) == pytest.approx(1 - wins / len(higher) / len(lower))
    assert auroc(higher, []) is None
