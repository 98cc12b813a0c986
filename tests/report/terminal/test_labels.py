from collections.abc import Sequence

import pytest

import factories
from pytest_llmbench.report.terminal.labels import label_lines
from pytest_llmbench.report.terminal.layout import Style, plain
from pytest_llmbench.results.records import Record
from pytest_llmbench.values import Json


def record(case: int, expected: str, strict: str | None, *, role: str = "small", **parts: Json) -> Record:
    said = {"expected": expected, "strict": strict, "lenient": strict, **parts}
    sample = factories.sample(float(strict == expected), format_ok=strict is not None, parts=said)
    return factories.record(str(case), sample, suite="clickbait", role=role, grader="yes_no")


def lines_of(records: Sequence[Record], width: int = 80) -> list[str]:
    return [plain(line) for line in label_lines(records, width=width)]


FOUR = [record(1, "yes", "yes"), record(2, "yes", "yes"), record(3, "no", "no"), record(4, "no", None)]


def test_a_suite_is_one_table_with_its_baselines() -> None:
    """Format, both accuracies, what the confusion matrix gives, the matrix itself, and a row a baseline."""
    assert lines_of(FOUR, width=160) == [
        'clickbait: labels yes, no; positive is "yes"',
        "  model         format  strict  95% interval  lenient  bal.acc   MCC    F1  yes-rate  expected yes: yes/no/?  expected no: yes/no/?",
        "  small          75.0%   75.0%     30.1-95.4    75.0%    75.0%  0.67  1.00     50.0%                   2/0/0                  0/1/1",
        "  (always yes)       -   50.0%             -    50.0%    50.0%    0*  0.67    100.0%                   2/0/0                  2/0/0",
        "  (always no)        -   50.0%             -    50.0%    50.0%    0*  0.00      0.0%                   0/2/0                  0/2/0",
        "  * MCC is undefined if only one label is expected or answered; it counts as 0.",
        '  "?" counts the answers in which no label could be read.',
    ]


def test_a_narrow_terminal_tells_the_matrix_in_lines() -> None:
    """At 60 columns nothing is wider, and the confusion matrix is still there."""
    lines = lines_of(FOUR, width=60)

    assert all(len(line) <= 60 for line in lines)
    assert "small: expected yes: 2 yes, 0 no, 0 unreadable; expected no: 0 yes, 1 no, 1 unreadable" in " ".join(
        " ".join(lines).split()
    )
    assert "95% interval" not in lines[1]


def test_a_model_not_above_the_best_baseline_is_named() -> None:
    """The warning says how good the model is and what a rule reaches."""
    records = [record(1, "yes", "yes", rule="yes"), record(2, "no", "yes", rule="no")]

    assert label_lines(records)[-1][-1].style is Style.DOUBTFUL
    assert (
        lines_of(records, width=100)[-1]
        == "  small does not beat the trivial baseline: 50.0% (strict) against 100.0% for the suite's rule."
    )


def test_probabilities_have_columns_where_a_model_tells_them() -> None:
    """AUROC, Brier and the mass on neither label; a model without them has dashes."""
    told = [
        record(1, "yes", "yes", p={"yes": 0.9, "no": 0.0}, p_other=0.1),
        record(2, "no", "no", p={"yes": 0.0, "no": 0.5}, p_other=0.5),
    ]
    silent = [record(1, "yes", "yes", role="big"), record(2, "no", "no", role="big")]

    lines = lines_of([*told, *silent], width=200)

    assert lines[1].endswith("AUROC  Brier  neither")
    assert lines[2].endswith(" 1.00   0.00    30.0%")
    assert lines[3].split()[0] == "big"
    assert lines[3].endswith("    -      -        -")


def test_many_labels_have_no_matrix() -> None:
    """Five labels would make thirty columns; the measures of the matrix stay."""
    labels = ["a", "b", "c", "d", "e"]

    lines = lines_of([record(1, "a", "a", labels=labels), record(2, "b", "c", labels=labels)], width=300)

    assert "expected" not in lines[1]
    assert "a-rate" in lines[1]


@pytest.mark.parametrize("width", [10, 40, 80, 200])
def test_names_from_outside_cannot_act_on_the_terminal(width: int) -> None:
    """An escape sequence in a label or a role is shown, not sent."""
    lines = lines_of([record(1, "a\x1b[2J", "a\x1b[2J", role="m\x1b", labels=["a\x1b[2J", "b"])], width=width)

    assert not any("\x1b" in line for line in lines)


def test_runs_without_labels_have_no_lines() -> None:
    """Nothing is said of suites of other graders."""
    assert lines_of([]) == []
