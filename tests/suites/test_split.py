"""The split of a suite: the formula, who stays on a side, what is refused, and what `validate` finds."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.cli.validate import split_text, validate
from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.suites.split import by_side, hashed_side, with_sides
from pytest_llmbench.values import Case, Side, Split

ROOT = Path(__file__).parents[2]
HEAD = 'suite: s\ngrader: exact\nprompt: {completion: "{{ q }}"}\n'


def load(folder: Path, split: str, cases: str) -> LoadedSuite:
    path = folder / "suite.yaml"
    path.write_text(f"{HEAD}{split}\ncases:\n{cases}")
    loaded = load_suite(path)
    assert loaded is not None
    return loaded


def fault_of(folder: Path, split: str, cases: str) -> str:
    with pytest.raises(SuiteFault) as raised:
        load(folder, split, cases)
    return str(raised.value).replace(f"{folder}/", "")


def case(id_: str, **others: Any) -> Case:
    return Case(suite="s", id=id_, inputs={}, **others)


@pytest.mark.parametrize(
    ("name", "salt", "share", "side"),
    [
        ("inflation-fog", "", 0.5, "train"),
        ("inflation-fog", "2", 0.5, "held-out"),
        ("toymaker-elmsby-recalls", "", 0.5, "train"),
        ("spelling-test-pass", "", 0.5, "held-out"),
        ("spelling-test-pass", "", 0.01, "held-out"),
        ("logins", "", 0.5, "held-out"),
        ("logins", "", 0.75, "train"),
        ("case-1", "", 0.25, "held-out"),
        ("case-1", "a/b", 0.25, "held-out"),
        ("Grüße", "", 0.9, "train"),
    ],
)
def test_the_side_is_that_of_the_published_formula(name: str, salt: str, share: float, side: str) -> None:
    """A fixed table, so that no change of the code moves a case of anybody's suite."""
    assert hashed_side(name, Split(train=share, salt=salt)) == side
    number = int.from_bytes(hashlib.sha256(f"{salt}/{name}".encode()).digest()[:8], "big")
    assert (number / 2**64 < share) is (side == "train")


@given(st.lists(st.text("abc.-", min_size=1), unique=True, min_size=1), st.floats(0.01, 0.99), st.text(max_size=3))
def test_adding_cases_moves_none_and_clusters_never_straddle(ids: list[str], share: float, salt: str) -> None:
    """The side follows from the case alone, whatever else is in the suite; cases of a cluster share it."""
    split = Split(train=share, salt=salt)
    cases = [case(id_, cluster=id_[0] if len(id_) > 1 else None) for id_ in ids]

    all_sides = [found.side for found in with_sides(cases, split)]

    assert all_sides == [with_sides([one], split)[0].side for one in cases]
    assert len({(one.cluster, side) for one, side in zip(cases, all_sides, strict=True) if one.cluster}) == len(
        {one.cluster for one in cases if one.cluster}
    )


def test_a_case_may_say_its_side_and_that_is_in_no_digest(tmp_path: Path) -> None:
    """What is written comes before the hash, a blank in CSV is nothing, and the case stays the same case."""
    (tmp_path / "d.csv").write_text("id,q,expected,split\na,1,x,held-out\nb,2,y,train\nc,3,z,\n")
    plain = load(tmp_path, "", "  - {id: d, q: 4, expected: x}\n")
    found = load(tmp_path, "split: {train: 0.5, salt: 7}\ndata: d.csv", "  - {id: d, q: 4, expected: x, split: ~}\n")

    sides = {one.id: one.side for one in found.suite.cases}

    assert found.suite.split == Split(train=0.5, salt="7")
    assert (sides["a"], sides["b"]) == (Side.HELD_OUT, Side.TRAIN)
    assert (sides["c"], sides["d"]) == (hashed_side("c", found.suite.split), hashed_side("d", found.suite.split))
    by_id = {one.id: one for one in found.suite.cases}
    assert by_id["d"].sha256 == plain.suite.cases[0].sha256
    assert "split" not in by_id["a"].inputs
    assert plain.suite.cases[0].side is None


def test_split_may_be_an_input_of_a_suite_that_has_none(tmp_path: Path) -> None:
    """A template that reads a column of that name goes on to do so."""
    path = tmp_path / "suite.yaml"
    path.write_text(HEAD.replace("{{ q }}", "{{ split }}") + "cases:\n  - {id: a, split: test, expected: x}\n")

    loaded = load_suite(path)

    assert loaded is not None
    assert dict(loaded.suite.cases[0].inputs) == {"split": "test"}


@pytest.mark.parametrize(
    ("split", "cases", "message"),
    [
        ("split: {train: 1}", "  - {id: a, q: 1, expected: x}", "suite.yaml:4: split: train: must be below 1."),
        ("split: {train: 0}", "  - {id: a, q: 1, expected: x}", "suite.yaml:4: split: train: must be above 0."),
        ("split: {salt: a}", "  - {id: a, q: 1, expected: x}", 'suite.yaml:4: split: "train" is missing.'),
        ("split: 0.5", "  - {id: a, q: 1, expected: x}", "suite.yaml:4: split: must be a mapping of names to values."),
        (
            "split: {trian: 0.5}",
            "  - {id: a, q: 1, expected: x}",
            'suite.yaml:4: split: there is no key "trian"; the keys there are: train, salt. Did you mean "train"?',
        ),
        (
            "split: {train: 0.5}",
            "  - {id: a, q: 1, expected: x, split: test}",
            'suite.yaml:6: case "a": `split` is "test"; it must be train or held-out.',
        ),
        (
            "split: {train: 0.5}",
            "  - {id: a, q: 1, expected: x, cluster: c, split: train}\n"
            "  - {id: b, q: 2, expected: x, cluster: c, split: held-out}",
            'suite.yaml:7: case "b" of the cluster "c" is on the held-out side, and "a" on the train side; give all '
            "cases of the cluster the same `split`, or none.",
        ),
        (
            "",
            "  - {id: a, q: 1, expected: x, split: train}",
            'suite.yaml:6: case "a": `split` needs one of the suite, or no case is on a side; write '
            "`split: {train: 0.5}` at the top level of the suite file, or take it out of the case.",
        ),
    ],
)
def test_what_is_wrong_with_a_split_has_its_place(tmp_path: Path, split: str, cases: str, message: str) -> None:
    """Each fault says file, line, and the way out."""
    assert fault_of(tmp_path, split, cases) == message


# -- validate


def remarks(folder: Path, split: str, cases: str) -> list[str]:
    load(folder, split, cases)
    found = validate([folder / "suite.yaml"], folder)
    return [
        f"{one.text} [{one.severity}]".replace(f"{folder}/", "") for one in found.remarks if "points" not in one.text
    ]


def test_equal_and_nearly_equal_cases_that_straddle_are_found(tmp_path: Path) -> None:
    """Equal inputs are an error, whatever their blanks and quotes; eight common words of ten a hint; fewer nothing."""
    words = "alpha beta gamma delta epsilon zeta eta theta iota"
    cases = f"""\
  - {{id: a, q: "How  many “logins”?", expected: x, split: train}}
  - {{id: b, q: 'How many "logins"?', expected: y, split: held-out}}
  - {{id: c, q: "{words}", expected: x, split: train}}
  - {{id: d, q: "{words} kappa", expected: x, split: held-out}}
  - {{id: e, q: "{words.replace("alpha", "lambda mu")} nu", expected: x, split: held-out}}
"""
    loaded = load(tmp_path, "split: {train: 0.5}", cases)

    assert remarks(tmp_path, "split: {train: 0.5}", cases) == [
        'suite.yaml:7: case "b": its inputs are equal to those of "a", which is on the train side; take one of them '
        "out, or give both the same `cluster`. [error]",
        'suite.yaml:9: case "d": its inputs share 90% of their words with "c", which is on the train side; give both '
        "the same `cluster` if they are the same question [advice]",
    ]
    assert split_text(loaded.suite) == (
        "split: 2 train (2 x, 0 y), 3 held-out (2 x, 1 y); the smallest drop that the held-out side can show is about "
        "83 points."
    )


def test_cases_that_share_just_enough_words_are_found(tmp_path: Path) -> None:
    """Four common words of five are the least that counts, where the fifth is the rarest."""
    cases = """\
  - {id: a, q: "alpha beta gamma delta epsilon", expected: x, split: train}
  - {id: b, q: "beta gamma delta epsilon", expected: x, split: held-out}
"""

    (found,) = remarks(tmp_path, "split: {train: 0.5}", cases)

    assert 'its inputs share 80% of their words with "a"' in found


def test_a_side_without_cases_is_an_error(tmp_path: Path) -> None:
    """A split that leaves nothing to decide on is no split."""
    found = remarks(tmp_path, "split: {train: 0.5}", "  - {id: a, q: 1, expected: x, split: train}\n")

    assert found == [
        "suite.yaml:1: all cases of the suite are on the train side, so none is left to decide about a trained model; "
        "give `split` another share or salt, or write `split: held-out` into some cases. [error]"
    ]


def test_the_shipped_headlines_are_split_as_documented() -> None:
    """173 train, 147 held out, and no pair of headlines straddles."""
    loaded = load_suite(ROOT / "cases" / "clickbait.yaml")
    assert loaded is not None

    sides = by_side(loaded.suite.cases)

    assert {side: len(cases) for side, cases in sides.items()} == {Side.TRAIN: 173, Side.HELD_OUT: 147}
    assert sum(one.expected == "no" for one in sides[Side.TRAIN]) == 92
    assert "173 train (92 no, 81 yes), 147 held-out (68 no, 79 yes)" in split_text(loaded.suite)
