import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import factories
from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.report.terminal.trust import trust_lines
from pytest_llmbench.results.annotations import Annotation, Drawn, Mark, answer_key, answer_sha256
from pytest_llmbench.results.grader_agreement import (
    Findings,
    GraderAgreement,
    kappa,
    kappa_interval,
    measure_agreement,
    untrusted_graders,
)
from pytest_llmbench.results.records import Record, Run, RunInfo, SuiteInfo
from pytest_llmbench.results.run_json import block_to_json, run_info_from_json, run_info_to_json
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Trust

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30)


def record(case: int, passed: bool, *, role: str = "m", digest: str | None = None) -> Record:
    sample = factories.sample(float(passed), f"answer {case}", reason="missing-points", explanation="Mark nothing.")
    names = {"suite": "jokes", "role": role, "case_sha256": digest or f"digest-{case}", "grader": "key_points"}
    return factories.record(f"case-{case}", sample, **names)


def verdict(
    case: int, said: Mark, *, by: str = "ann", drawn: Drawn | None = Drawn.RANDOM, answer: str | None = None
) -> Annotation:
    text = answer or f"answer {case}"
    return Annotation(
        key=answer_key(f"digest-{case}", text),
        case=f"case-{case}",
        suite="jokes",
        answer_sha256=answer_sha256(text),
        answer=text,
        mark=said,
        by=by,
        at="",
        drawn=drawn,
    )


def weighed(table: tuple[int, int, int, int]) -> GraderAgreement:
    """Weigh counts of (both pass, only people, only the grader, neither); odd ones of people's no are `part`."""
    cells = [(True, True), (True, False), (False, True), (False, False)]
    said = [cell for cell, count in zip(cells, table, strict=True) for _ in range(count)]
    records = [record(number, grader) for number, (_, grader) in enumerate(said)]
    no = (Mark.FAIL, Mark.PART)
    verdicts = [verdict(number, Mark.PASS if people else no[number % 2]) for number, (people, _) in enumerate(said)]
    (trust,) = measure_agreement(records, verdicts).graders
    return trust


def test_kappa_is_that_of_the_textbook_table() -> None:
    """50 grants read by two people, 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: kappa is 0.40."""
    trust = weighed((20, 5, 10, 15))

    assert trust.kappa == pytest.approx(0.4)
    assert trust.rate == 0.7
    assert (trust.tpr, trust.tnr) == (20 / 25, 15 / 25)
    assert len(trust.disagreements) == 15


@given(PAIRS)
def test_kappa_lies_in_its_range_and_does_not_mind_the_order(pairs: list[tuple[bool, bool]]) -> None:
    """It is -1..1, 1 only for full agreement, and the same with the raters swapped."""
    found = kappa(pairs)

    assert found == kappa([(second, first) for first, second in pairs])
    assert found is None or -1 <= found <= 1
    assert (found == 1) <= all(first == second for first, second in pairs)


@pytest.mark.parametrize("pairs", [[], [(True, True)] * 5, [(False, False)]])
def test_kappa_of_one_opinion_is_undefined(pairs: list[tuple[bool, bool]]) -> None:
    """Where all always say the same word there is no agreement beyond chance to measure."""
    assert kappa(pairs) is None
    assert kappa_interval(pairs) is None


def test_the_interval_holds_kappa_and_is_the_same_each_time() -> None:
    """It is seeded, and as wide as the published simulation says of 100 verdicts: about 0.28."""
    pairs = [(True, True)] * 43 + [(True, False)] * 7 + [(False, True)] * 8 + [(False, False)] * 42

    low, high = kappa_interval(pairs) or (0, 0)

    assert (low, high) == kappa_interval(pairs)
    assert low < (kappa(pairs) or 0) < high
    assert 0.22 < high - low < 0.34


def test_part_is_no_pass() -> None:
    """A grader that passes what people call partly right is wrong there."""
    found = measure_agreement([record(1, True)], [verdict(1, Mark.PART)]).graders[0]

    assert len(found.disagreements) == 1


def test_the_pass_rate_is_corrected_for_the_graders_errors() -> None:
    """Rogan and Gladen: (observed + TNR - 1) / (TPR + TNR - 1), within 0..1; nothing of a grader that guesses."""
    trust = weighed((40, 10, 10, 40))

    assert trust.corrected(0.5) == pytest.approx(0.5)
    assert trust.corrected(0.62) == pytest.approx(0.7)
    assert (trust.corrected(0.1), trust.corrected(0.95)) == (0, 1)
    assert weighed((25, 25, 25, 25)).corrected(0.5) is None


def test_only_the_random_share_counts() -> None:
    """Answers chosen for what the grader said would bend the figures; they are counted and left out."""
    records = [record(number, True) for number in range(4)]
    random = [verdict(number, Mark.PASS) for number in range(3)]

    (found,) = measure_agreement(records, [*random, verdict(3, Mark.FAIL, drawn=Drawn.CHOSEN)]).graders

    assert (found.n, found.rate, found.not_random, found.is_all_used) == (3, 1, 1, False)


def test_verdicts_nobody_drew_all_count_and_that_is_said() -> None:
    """A file written by hand has no random share; its figures come with a warning."""
    findings = measure_agreement([record(1, True)], [verdict(1, Mark.PASS, drawn=None)])

    assert findings.graders[0].is_all_used
    assert "  no answer was drawn at random, so these figures may be biased" in [*trust_lines(findings)]


def test_verdicts_on_other_answers_are_counted_and_left_out() -> None:
    """An older answer, an older form of a case and a case that was not run are not compared."""
    records = [record(1, True), record(2, True, digest="changed")]
    verdicts = [verdict(1, Mark.FAIL, answer="an older answer"), verdict(2, Mark.PASS), verdict(9, Mark.PASS)]

    findings = measure_agreement(records, verdicts)

    assert findings == Findings(graders=(), older=2, foreign=1, tied=0)
    assert [*trust_lines(findings, ["v.jsonl:3: broken"])] == [
        "No answer in these runs is annotated; annotate some with: llmbench review RUN.json",
        "Left out: 2 annotations of another answer to a case here, or of an older form of it.",
        "Left out: 1 annotation of cases that are not in these runs.",
        "v.jsonl:3: broken",
    ]


def test_several_people_are_one_verdict() -> None:
    """The most decide; where they tie there is none."""
    people = [verdict(1, Mark.PASS, by=by) for by in ("ann", "bob")] + [verdict(1, Mark.FAIL, by="eve")]
    tied = [verdict(2, Mark.PASS), verdict(2, Mark.PART, by="bob")]

    findings = measure_agreement([record(1, True), record(2, True)], [*people, *tied])

    assert (findings.graders[0].n, findings.graders[0].rate, findings.tied) == (1, 1, 1)


def test_few_annotations_show_too_little() -> None:
    """Under 60 there is no kappa, only what the disagreements are."""
    findings = measure_agreement([record(1, True), record(2, False)], [verdict(1, Mark.PASS), verdict(2, Mark.PASS)])

    assert [*trust_lines(findings)] == [
        "jokes (key_points): 2 annotations, 50.0% agreement (1 of 2)",
        "  kappa, TPR, TNR: too few annotations (at least 60 needed)",
        "  jokes/case-2: ann: pass; grader: failed (missing-points, score 0.00)",
        "    answer 2",
    ]


def test_many_verdicts_say_it_all() -> None:
    """Kappa with its interval, both rates, and each model's pass rate beside the corrected one."""
    lines = [*trust_lines(Findings(graders=(weighed((40, 10, 10, 40)),), older=0, foreign=0, tied=0))]

    assert lines[0] == "jokes (key_points): 100 annotations, 80.0% agreement (80 of 100)"
    assert lines[1].startswith("  kappa 0.60 (0.4")
    assert lines[1].endswith("), TPR 80.0%, TNR 80.0%")
    assert lines[2] == "  pass rate of m: 50.0%, 50.0% corrected"
    assert len(lines) == 3 + 2 * 20


@pytest.mark.parametrize(
    ("table", "asked", "is_met"),
    [
        ((45, 5, 5, 45), Trust(), True),
        ((45, 5, 5, 45), Trust(kappa=0.79), False),
        ((45, 5, 5, 45), Trust(tnr=0.95), False),
        ((25, 0, 0, 25), Trust(), False),
        ((80, 0, 0, 0), Trust(), False),
    ],
)
def test_a_grader_may_gate_only_with_the_agreement_asked_for(
    table: tuple[int, int, int, int], asked: Trust, is_met: bool
) -> None:
    """The lower end of kappa's interval and the share of wrong answers failed, of enough verdicts of both kinds."""
    assert weighed(table).meets(asked) is is_met


def test_the_command_joins_review_and_agreement(tmp_path: Path) -> None:
    """Reviewed over a pipe, then compared: both speak of the same file, and a run that is none is exit 2."""
    run = Run(records=(record(1, True), record(2, False)), facts=RunInfo())
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"benchmarks": [], "llmbench": block_to_json(run)}))

    def llmbench(*arguments: str, keys: str = "") -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", "import sys; from pytest_llmbench.cli import main; sys.exit(main())"]
        return subprocess.run([*command, *arguments], cwd=tmp_path, input=keys, capture_output=True, text=True)

    review = llmbench("review", "run.json", "--by", "ann", keys="pp")
    agreement = llmbench("agreement", "run.json")
    nothing = llmbench("agreement", "none.json")

    assert review.returncode == 0, review.stderr
    assert review.stdout.endswith("2 annotated, 0 skipped, 0 left; the annotations of ann are in verdicts.jsonl.\n")
    assert agreement.returncode == 0, agreement.stderr
    assert "too few annotations" in agreement.stdout
    assert nothing.returncode == 2
    assert "there is no such file" in nothing.stderr


TRUSTED = """\
suite: capitals
grader: exact
prompt: {completion: "Q"}
cases: [{id: france, expected: Paris}]
"""


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("", None),
        ("trust: {}", Trust(kappa=0.4, tnr=0.8)),
        ("trust: {kappa: 0.6}", Trust(kappa=0.6, tnr=0.8)),
        ("trust: {kappa: 0, tnr: 1}", Trust(kappa=0, tnr=1)),
    ],
)
def test_a_suite_says_what_agreement_it_asks_of_its_grader(tmp_path: Path, field: str, asked: Trust | None) -> None:
    """It stands in the suite, with defaults for what is not said."""
    path = tmp_path / "suite.yaml"
    path.write_text(f"{TRUSTED}{field}\n")

    loaded = load_suite(path)

    assert loaded is not None
    assert loaded.suite.trust == asked


@pytest.mark.parametrize(
    "field", ["trust: {kappa: 2}", "trust: {tnr: -1}", "trust: {tpr: 0.8}", "trust: 0.8", "trust:"]
)
def test_agreement_that_cannot_be_asked_for_is_refused(tmp_path: Path, field: str) -> None:
    """Shares of 0 to 1 under the two known names; the fault says where."""
    path = tmp_path / "suite.yaml"
    path.write_text(f"{TRUSTED}{field}\n")

    with pytest.raises(SuiteFault, match=r"suite\.yaml:5: trust: "):
        load_suite(path)


# -- who may gate

ASKED = Trust(kappa=0.4, tnr=0.8)
PEOPLE_AGREE = [(True, True)] * 40 + [(False, False)] * 40
PEOPLE_DIFFER = [(True, False)] * 40 + [(False, True)] * 40


def people_and_records(said: list[tuple[bool, bool]]) -> tuple[list[Record], list[Annotation]]:
    """Give records and verdicts of (people pass, the grader passes)."""
    records = [record(number, grader) for number, (_, grader) in enumerate(said)]
    verdicts = [verdict(number, Mark.PASS if people else Mark.FAIL) for number, (people, _) in enumerate(said)]
    return records, verdicts


def facts(trust: Trust | None = ASKED) -> tuple[SuiteInfo, ...]:
    return (SuiteInfo(suite="jokes", sha256="", grader="key_points", grader_version=1, path="", trust=trust),)


@pytest.mark.parametrize(
    ("said", "doubt"),
    [
        (PEOPLE_AGREE, None),
        (
            [],
            "these answers have no annotations (write some with llmbench review RUN.json), and the suite requires a kappa of 0.40 or more and a TNR of 80%",
        ),
        (PEOPLE_AGREE[:10], "only 10 of these answers have annotations (60 are needed), and the suite requires "),
        (
            PEOPLE_DIFFER,
            "its grader agrees too little with people: kappa -1.00 at the least, TNR 0%, and the suite requires ",
        ),
        ([(True, True)] * 80, "its grader agrees too little with people: kappa undefined, TNR unknown, and "),
    ],
)
def test_a_grader_is_doubted_until_people_agree_with_it(said: list[tuple[bool, bool]], doubt: str | None) -> None:
    """Where a suite asks for trust, its grader has to have earned it; the doubt says what is lacking."""
    records, verdicts = people_and_records(said)
    found = untrusted_graders([*records, record(1_000, True)], facts(), verdicts)

    assert found.keys() == ({"jokes"} if doubt else set())
    assert found.get("jokes", "").startswith(doubt or "")


def test_a_suite_that_asks_for_no_trust_is_not_doubted() -> None:
    """Nothing is asked of graders whose verdict is no matter of opinion."""
    assert untrusted_graders([record(1, True)], facts(trust=None), ()) == {}


def judged_by(made: Record, judge: str) -> Record:
    samples = tuple(replace(sample, parts={"judge": judge}) for sample in made.samples)
    return replace(made, samples=samples)


def test_a_judge_model_is_another_grader_than_the_patterns() -> None:
    """The same answers, judged twice, are weighed twice: patterns and each judge under a name of their own."""
    records = [record(number, True) for number in range(3)]
    again = [judged_by(record(number, False), "gpt") for number in range(3)]
    verdicts = [verdict(number, Mark.PASS) for number in range(3)]

    found = measure_agreement([*records, *again], verdicts).graders

    assert [(trust.grader, trust.n, trust.rate) for trust in found] == [
        ("key_points", 3, 1.0),
        ("key_points by gpt", 3, 0.0),
    ]


def test_a_judge_earns_its_own_trust() -> None:
    """That people agree with the patterns says nothing for the judge that now gates."""
    records, verdicts = people_and_records(PEOPLE_AGREE)
    judged = [judged_by(record(1_000 + number, True), "gpt") for number in range(3)]

    assert untrusted_graders([*judged, *records], facts(), verdicts) == {}
    assert untrusted_graders([*records, *judged], facts(), verdicts)["jokes"].startswith(
        "these answers have no annotations"
    )


def test_what_a_suite_asks_for_is_read_back_from_the_file() -> None:
    """The gate of two files knows it without the suite."""
    found = run_info_from_json(json.loads(json.dumps(run_info_to_json(RunInfo(suites=facts())))))

    assert found.suites == facts()
